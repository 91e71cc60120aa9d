"""Compare: one picture, one set of knobs and one noise through two checkpoints, played frame by frame.

Handlers parse, ask the lab and show. A comparison lives in the lab's history, not here: leaving the page stops
the watching only.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import gradio as gr

from svdlab.errors import NotFound, SvdlabError
from svdlab.exchange.pair_export import file_name, write_pair
from svdlab.lab.lab import Lab
from svdlab.lab.pictures import StoredPicture
from svdlab.lab.visit import Visit
from svdlab.lab.watching import Watching
from svdlab.recipes.loras import Lora
from svdlab.recipes.records import Comparison, Recipe, Run
from svdlab.recipes.settings import GenerationSettings, random_seed
from svdlab.ui.frame import Page
from svdlab.ui.handover import hand_over
from svdlab.ui.identity import visit_of
from svdlab.ui.parts import (
    compare_delivery,
    compare_option,
    compare_result,
    compare_stage,
    compare_swap,
    follow,
    loras,
    strip,
)
from svdlab.ui.parts.compare_stage.forming import Forming, comparison_meant
from svdlab.ui.parts.controls import OWN_SETTINGS, Form
from svdlab.ui.parts.controls.pair import PairControls
from svdlab.ui.parts.element import EACH, QUIET, asked, saying
from svdlab.ui.parts.picture import PictureBox
from svdlab.ui.parts.player import ComparePlayer
from svdlab.ui.parts.player.clips import of_comparison
from svdlab.ui.stream import Wanted, message
from svdlab.ui.visitor import kept_ids, own_comparisons, with_own
from svdlab.ui.words import sentence

STRIP_COMPARISONS = 12  # tiles in the strip of the latest comparisons
STRIP_SECONDS = 1.0  # how often the strip's bars move while something renders


class Compare:
    """The page's parts and handlers."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.controls = PairControls(lab, "compare", sides=("a", "b"))
        self.picture: PictureBox
        self.swap: gr.HTML
        self.option: gr.HTML
        self.go: gr.Button
        self.stage: gr.HTML
        self.player: ComparePlayer
        self.result: gr.HTML
        self.delivery: gr.HTML
        self.strip: gr.HTML
        self.following: gr.HTML
        self.mine: gr.BrowserState

    # Components

    def lay_out(self) -> None:
        """Everything on the page, in reading order."""
        first, second = self.lab.catalogue.pair()
        self.following = follow.build("compare-follow")
        self.mine = own_comparisons()
        with gr.Column(elem_classes="workbench pair-bench"):
            with gr.Column(elem_classes="asking"):
                with gr.Column(elem_classes="sides"):
                    self.controls.build_checkpoint("a", "A", first)
                    self.swap = compare_swap.build("compare-swap")
                    self.controls.build_checkpoint("b", "B", second)
                self.picture = PictureBox(self.lab, "compare-picture")
                self.controls.build_knobs()
                with gr.Column(elem_classes="choosers"):
                    self.controls.build_preset()
                    self.option = compare_option.build("compare-option")
                with gr.Column(elem_classes="go"):
                    self.go = gr.Button("Compare", variant="primary", elem_id="compare-start")
                    self.controls.build_advice()
            with gr.Column(elem_classes="showing"):
                self.stage = compare_stage.build("compare-stage")
                self.player = ComparePlayer(elem_id="compare-player", elem_classes="lab-player")
                self.result = compare_result.build("compare-result")
                self.delivery = compare_delivery.build("compare-delivery")
                self.strip = strip.build("compare-strip", "Latest comparisons")

    # Handlers

    def open(self, mine: Any, request: gr.Request) -> dict[Any, Any]:
        """A visit: the link's comparison or run, or what is being rendered, or the first example picture."""
        ids, visit = kept_ids(mine), visit_of(self.lab, request)
        query = request.query_params if request else {}
        try:
            if query.get("compare"):
                return self.filled(visit, visit.comparison(query["compare"]), ids)
            if query.get("from"):
                return self.from_run(visit, visit.run(query["from"]), ids)
        except NotFound as error:
            return self.first_visit(visit, ids) | {self.stage: compare_stage.nothing(sentence(error))}
        waiting = [pair for pair in self._latest(visit, ids) if pair.unfinished]
        return self.filled(visit, waiting[0], ids) if waiting else self.first_visit(visit, ids)

    def first_visit(self, visit: Visit, ids: list[str]) -> dict[Any, Any]:
        """An example picture is in and Compare is one click away."""
        return {
            self.picture.component: self.picture.from_example(0),
            self.strip: self.strip_value(visit, ids),
        }

    def from_run(self, visit: Visit, run: Run, ids: list[str]) -> dict[Any, Any]:
        """A run of Explore: its picture and settings, its checkpoint on the side it belongs to."""
        return self._as_run(run, self._sides(run.recipe.checkpoint), run.recipe.loras) | {
            self.strip: self.strip_value(visit, ids)
        }

    def _sides(self, checkpoint: str | None) -> tuple[str, str]:
        """A checkpoint on the side of its version, and the usual one on the other."""
        first, second = self.lab.catalogue.pair()
        if checkpoint is None:
            return first.id, second.id
        if self._known(checkpoint):
            version = self.lab.catalogue.get(checkpoint).version
            if version == second.version != first.version:
                return first.id, checkpoint
        return checkpoint, second.id

    def take(self, picture: Any, event: gr.EventData) -> dict[Any, Any]:
        """A file was dropped in: a picture, or something that carries a recipe, which then comes back."""
        try:
            found = self.picture.recipe_in(event)
            if found is None:
                return {self.picture.component: self.picture.receive(picture, event)}
            shown_picture = self.picture.restored(picture, found, event)
        except SvdlabError as error:
            return {self.picture.component: self.picture.problem(picture, error)}
        sides = self._sides(found.checkpoint)
        return {
            self.picture.component: shown_picture,
            **dict(zip(self.controls.checkpoints.values(), sides, strict=True)),
            self.controls.preset: found.preset or OWN_SETTINGS,
            self.controls.knobs: self.controls.fill(
                found.settings, sides[0], found.preset, added=found.loras
            ),
        }

    def filled(self, visit: Visit, pair: Comparison, ids: list[str]) -> dict[Any, Any]:
        """Everything on the page as it was for a comparison."""
        counts = [run.settings.num_frames for run in (pair.a, pair.b)]
        native = counts[0] != counts[1] and counts == [self._native(run) for run in (pair.a, pair.b)]
        a, b = (run.recipe for run in (pair.a, pair.b))
        shared, *own = loras.shared([a.loras, b.loras])
        return self._as_run(pair.a, (a.checkpoint, b.checkpoint), shared, own) | {
            self.option: compare_option.value(native),
            self.strip: self.strip_value(visit, ids, pair.id),
            self.following: self._follow(visit, pair.id, ids),
        }

    def _as_run(
        self,
        run: Run,
        sides: tuple[str, str],
        added: tuple[Lora, ...],
        own: Sequence[tuple[Lora, ...]] = (),
    ) -> dict[Any, Any]:
        """Choosers, knobs and picture as a run had them, with LoRAs for both sides and each side's own."""
        preset = self.lab.preset_of(run)
        preset_id = preset.id if preset else None
        shown: dict[Any, Any] = {
            self.controls.preset: preset_id or OWN_SETTINGS,
            self.controls.knobs: self.controls.fill(run.settings, sides[0], preset_id, added=added, own=own),
        }
        for side, id in zip(self.controls.sides, sides, strict=True):
            if self._known(id):
                shown[self.controls.checkpoints[side]] = id
        try:
            shown[self.picture.component] = self.picture.value(self.lab.picture(run.recipe.picture_sha256))
        except NotFound as error:
            shown[self.picture.component] = {"error": sentence(error)}
        return shown

    def start(self, request: gr.Request, picture: Any, *values: Any) -> dict[Any, Any]:
        """Submits the pair the page says, or shows it at once if it was rendered before."""
        *form_values, option, mine = values
        try:
            stored = self.picture.read(picture)
        except SvdlabError as error:
            return {self.picture.component: self.picture.problem(picture, error)}
        missing = self.controls.one_missing(*form_values[:2])
        if missing:
            return {self.controls.refused: missing}
        try:
            form = self.controls.read(*form_values)
            settings = form.settings if form.locked else form.settings.but(seed=random_seed())
            native = compare_option.chosen(option)
            a, b = self.recipes(stored, form, settings, native)
            preset = form.preset.id if form.preset else None
            shown = self.ask(visit_of(self.lab, request), a, b, preset, kept_ids(mine))
        except SvdlabError as error:
            return {self.controls.refused: self.controls.refuse(error)}
        knobs = self.controls.fill(
            settings, form.checkpoint.id, preset, form.locked, form.loras, form.own_loras
        )
        return {self.controls.knobs: knobs, **shown}

    def recipes(
        self, stored: StoredPicture, form: Form, settings: GenerationSettings, native: bool
    ) -> tuple[Recipe, Recipe]:
        """The two recipes of the form. Raises `BadSettings`."""
        changes = settings.model_dump(exclude={"seed"})
        a, b = (checkpoint.id for checkpoint in form.checkpoints)
        return self.lab.comparison_recipes(
            stored,
            a,
            b,
            seed=settings.seed,
            changes=changes,
            native_frames=native,
            loras=form.loras,
            own_loras=form.own_loras,
        )

    def ask(
        self,
        visit: Visit,
        a: Recipe,
        b: Recipe,
        preset: str | None,
        ids: list[str],
        again: bool = False,
    ) -> dict[Any, Any]:
        """Follows the comparison of two recipes: one from before, one on its way, or a new one."""
        pair, before = visit.ask_pair(a, b, preset, again)
        ids = with_own(pair.id, ids)
        return {
            self.mine: ids,
            self.result: compare_result.started(),
            self.stage: compare_stage.PLAYING,
            self.following: self._follow(visit, pair.id, ids, before),
        }

    def again(self, mine: Any, event: gr.EventData, request: gr.Request) -> dict[Any, Any]:
        """Renders both recipes anew."""
        visit = visit_of(self.lab, request)
        try:
            pair = self._meant(visit, event)
            a, b = (run.recipe.model_copy(update={"versions": {}}) for run in (pair.a, pair.b))
            return self.ask(visit, a, b, pair.a.preset, kept_ids(mine), again=True)
        except SvdlabError as error:
            return {self.stage: compare_stage.nothing(sentence(error))}

    def retry(self, mine: Any, event: gr.EventData, request: gr.Request) -> dict[Any, Any]:
        """Queues what was interrupted, failed or cancelled of a comparison again."""
        visit = visit_of(self.lab, request)
        try:
            pair = self._meant(visit, event)
            _resume(visit, pair)
            return {self.following: self._follow(visit, pair.id, kept_ids(mine))}
        except SvdlabError as error:
            return {self.stage: compare_stage.nothing(sentence(error))}

    def resume(self, mine: Any, request: gr.Request) -> dict[Any, Any]:
        """Queues every interrupted comparison of the visitor's again, and follows the oldest."""
        ids, visit = kept_ids(mine), visit_of(self.lab, request)
        pairs = [pair for pair in self._latest(visit, ids) if _interrupted(pair) and visit.owns(pair)]
        try:
            for pair in reversed(pairs):
                _resume(visit, pair)
        except SvdlabError as error:
            return {self.stage: compare_stage.nothing(sentence(error))}
        if not pairs:
            return {self.strip: self.strip_value(visit, ids)}
        return {self.following: self._follow(visit, pairs[-1].id, ids)}

    def stop(self, event: gr.EventData, request: gr.Request) -> None:
        """Cancels both sides; whoever watches sees them end."""
        with saying():
            visit_of(self.lab, request).cancel_comparison(comparison_meant(asked(event).get("run")))

    def pick(self, mine: Any, event: gr.EventData, request: gr.Request) -> dict[Any, Any]:
        """A tile of the strip was chosen: picture, settings and clips come back."""
        visit = visit_of(self.lab, request)
        try:
            return self.filled(visit, visit.comparison(str(asked(event).get("run"))), kept_ids(mine))
        except SvdlabError as error:
            return {self.stage: compare_stage.nothing(sentence(error))}

    def deliver(self, event: gr.EventData, request: gr.Request) -> dict[str, Any]:
        """Both sides with labels as one file, made when it is first asked for."""
        try:
            pair = self._meant(visit_of(self.lab, request), event)
            name = file_name(pair, str(asked(event).get("kind")))
            path = hand_over(name, lambda path: write_pair(self.lab, pair, path), key=name + pair.id)
        except (SvdlabError, OSError) as error:
            return compare_delivery.problem(sentence(Exception(f"The file could not be made: {error}")))
        return compare_delivery.file(path)

    def _follow(self, visit: Visit, id: str, ids: list[str], before: bool = False) -> dict[str, Any]:
        return follow.value("compare", id, before, () if visit.allows("see_all_runs") else ids)

    # What is told on the stream

    async def news(self, wanted: Wanted, watching: Watching) -> AsyncIterator[str]:
        """A comparison from where it is to its end, and the strip until nothing waits any more."""
        visit, ids = wanted.visit, list(wanted.mine)
        pair, forming, waiting = await asyncio.to_thread(self._at_first, visit, wanted.id, ids)
        if pair.unfinished:
            tiles = await asyncio.to_thread(self.strip_value, visit, ids, pair.id)
            yield message({self.stage: compare_stage.PLAYING, self.player: forming.value(), self.result: {}})
            yield message({self.strip: tiles})
        else:
            yield await asyncio.to_thread(self._over, visit, pair.id, ids, wanted.before)
        shown = time.monotonic()
        async for event in watching.watch(*waiting):
            if forming.take(event) and not forming.over:
                yield message({self.player: forming.value()})
            if forming.over:
                yield await asyncio.to_thread(self._over, visit, pair.id, ids)
                forming.over = False
            elif event.final or time.monotonic() - shown > STRIP_SECONDS:
                shown = time.monotonic()
                yield message({self.strip: await asyncio.to_thread(self.strip_value, visit, ids, pair.id)})

    def _at_first(self, visit: Visit, id: str, ids: list[str]) -> tuple[Comparison, Forming, list[str]]:
        """The comparison that is followed, how it forms, and what is waited for. Raises `NotFound`."""
        pair = visit.comparison(id)
        others = [other for other in self._latest(visit, ids) if other.unfinished and other.id != id]
        waiting = [run.id for one in ([pair] if pair.unfinished else []) + others for run in (one.a, one.b)]
        return pair, Forming(self.lab, pair), list(dict.fromkeys(waiting))

    def _over(self, visit: Visit, id: str, ids: list[str], before: bool = False) -> str:
        return message(self.ended(visit, visit.comparison(id), ids, before))

    def ended(self, visit: Visit, pair: Comparison, ids: list[str], before: bool = False) -> dict[Any, Any]:
        """A comparison that is over: both clips, the one there is, or why there is none."""
        tiles = self.strip_value(visit, ids, pair.id)
        if not (pair.a.done or pair.b.done):
            why = compare_stage.unrendered(pair)
            return {self.stage: why, self.player: None, self.result: {}, self.strip: tiles}
        return {
            self.stage: compare_stage.problems(pair),
            self.player: of_comparison(self.lab, pair),
            self.result: compare_result.value(self.lab, pair, before),
            self.strip: tiles,
        }

    # What the elements show

    def strip_value(self, visit: Visit, ids: list[str], open: str = "") -> dict[str, Any]:
        """The tiles of the latest comparisons."""
        return strip.value(
            [strip.pair_tile(pair, self._title(pair)) for pair in self._latest(visit, ids)], open
        )

    def _title(self, pair: Comparison) -> str:
        return " | ".join(compare_result.names(self.lab, pair))

    def _latest(self, visit: Visit, ids: list[str]) -> list[Comparison]:
        return visit.latest_comparisons(STRIP_COMPARISONS, ids)

    def _native(self, run: Run) -> int:
        """The frame count a run's checkpoint was trained for; 0 if it is not known any more."""
        id = run.recipe.checkpoint
        return self.lab.catalogue.get(id).native_frames if self._known(id) else 0

    def _known(self, checkpoint: str) -> bool:
        return checkpoint in {known.id for known in self.lab.catalogue}

    def _meant(self, visit: Visit, event: gr.EventData) -> Comparison:
        """The comparison an element's event names. Raises `NotFound`."""
        return visit.comparison(str(asked(event).get("comparison")))

    # Wiring

    def wire(self) -> None:
        """Who calls what."""
        self.controls.wire()
        a, b = self.controls.checkpoints.values()
        both = [a, b, self.controls.knobs]
        self.swap.swap(self.controls.turned, both, both, **QUIET)
        shown = [self.stage, self.player, self.result, self.strip]
        form = [self.picture.component, *self.controls.inputs, self.option]
        page = [*form, self.controls.refused, self.following, self.mine, *shown]
        self.picture.wire(self.take, [self.picture.component], page)
        gr.on([self.go.click, self.controls.knobs.submit], self.start, [*form, self.mine], page, **EACH)
        self.strip.select(self.pick, self.mine, page, **EACH)
        self.strip.resume(self.resume, self.mine, page, **EACH)
        self.result.again(self.again, self.mine, page, **EACH)
        self.stage.retry(self.retry, self.mine, page, **EACH)
        self.result.deliver(self.deliver, None, self.delivery, **EACH)
        self.player.stop(self.stop, None, None, **QUIET)


def build(lab: Lab, app: gr.Blocks) -> Compare:
    """Components, handlers and wiring; inside the app's Blocks."""
    compare = Compare(lab)
    compare.lay_out()
    compare.wire()
    outputs = [
        compare.picture.component,
        *compare.controls.inputs,
        compare.option,
        compare.following,
        compare.stage,
        compare.strip,
    ]
    app.load(compare.open, compare.mine, outputs, **QUIET)
    app.load(compare.controls.first_advice, compare.controls.inputs, compare.controls.advice, **QUIET)
    app.load(compare.controls.foresee, compare.controls.inputs, compare.controls.forecast, **QUIET)
    return compare


def _resume(visit: Visit, pair: Comparison) -> None:
    visit.resume(*(run.id for run in (pair.a, pair.b) if not run.done and not run.unfinished))


def _interrupted(pair: Comparison) -> bool:
    return any(run.state == "interrupted" for run in (pair.a, pair.b))


PAGE = Page("Compare", "compare", build, place=2)
