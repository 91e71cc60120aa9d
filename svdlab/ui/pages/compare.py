"""Compare: one picture, one set of knobs and one noise through two checkpoints, played frame by frame.

Handlers parse, ask the lab and show. A comparison lives in the lab's history, not here: leaving the page stops
the watching only. Its words and numbers are in `compare_result`.
"""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Iterator
from typing import Any

import gradio as gr
from PIL import Image

from svdlab.clips import fitting
from svdlab.errors import CheckpointUnavailable, NotFound, SvdlabError
from svdlab.lab.lab import Lab
from svdlab.lab.pictures import StoredPicture
from svdlab.recipes.events import Event
from svdlab.recipes.records import Comparison, Recipe, Run
from svdlab.recipes.settings import GenerationSettings, random_seed
from svdlab.ui.api import TOGETHER
from svdlab.ui.pages.explore import KEPT_IDS, QUIET, Watching, fraction, kept_ids, thumbnail
from svdlab.ui.parts import compare_result as said
from svdlab.ui.parts.controls import OWN_SETTINGS, Controls, Form
from svdlab.ui.parts.element import element
from svdlab.ui.parts.picture import PictureBox, data_uri
from svdlab.ui.parts.player import Clip, ComparePlayer, player_value, preview_value
from svdlab.ui.words import STATE_WORDS, ago, sentence
from svdlab.weights.availability import availability

STRIP_COMPARISONS = 12  # tiles in the strip of the latest comparisons
STRIP_SECONDS = 1.0  # how often the strip's bars move while something renders
PLAYING = {"mode": "shown"}  # the stage gives its place to the player
KINDS = ("mp4", "webp")

SWAP = (
    '<button type="button" class="icon" aria-label="Swap A and B" title="Swap A and B"><svg viewBox="0 0 20 20" '
    'aria-hidden="true" fill="none" stroke="currentColor" stroke-width="1.6" stroke-linecap="round" '
    'stroke-linejoin="round"><path d="M3.5 7h12M12.5 4l3 3-3 3M16.5 13h-12M7.5 10l-3 3 3 3"/></svg></button>'
)
OPTION = (
    '<div class="option"><label><input type="checkbox"><span>Each side its native frame count</span></label>'
    '<p class="help option-frames" hidden></p><p class="note option-pair" hidden></p></div>'
)
STAGE = """
<div><div class="problems" hidden><ul class="error" role="alert"></ul><button type="button"
  class="small retry" hidden></button></div><div class="pair-stage"><p class="help pair-hint" hidden></p>
  <figure><figcaption><b class="side-mark A">A</b><span class="pair-name"></span></figcaption><div
    class="pair-view"><img class="pair-still" alt="" hidden></div></figure>
  <figure><figcaption><b class="side-mark B">B</b><span class="pair-name"></span></figcaption><div
    class="pair-view"><img class="pair-still" alt="" hidden></div></figure>
  <div class="pair-end"><p class="pair-sentence" role="alert" hidden></p><button type="button" class="small retry"
    hidden></button></div></div></div>
"""
DELIVERY = (
    '<p class="help delivery-words" role="status" hidden></p>'
    '<p class="error delivery-error" role="alert" hidden></p>'
)


class PairControls(Controls):
    """One set of knobs for two checkpoints. A preset that was made for a pair also chooses the pair."""

    def wire(self) -> None:
        """As on a page with one checkpoint, but for the preset and the second side."""
        sides = list(self.checkpoints.values())
        sides[0].input(self.refill, self.inputs, self.knobs, **QUIET)  # the knobs start from A's settings
        self.preset.input(self.choose_preset, self.inputs, [*sides, self.knobs], **QUIET)
        changed = [component.change for component in self.inputs]
        gr.on(changed, self.advise, self.inputs, self.advice, trigger_mode="always_last", **QUIET)
        self.advice.reset(self.reset, self.inputs, self.knobs, **QUIET)

    def choose_preset(self, *values: Any) -> dict[Any, Any]:
        """The knobs as the preset has them, and its pair where it has one: that pair if it is here."""
        *chosen, preset_id, knobs = values
        preset = self.lab.presets.get(preset_id) if preset_id else None
        if preset and preset.compare:
            chosen = list(self.pair_for(preset.compare))
        shown: dict[Any, Any] = dict(zip(self.checkpoints.values(), chosen, strict=True))
        return shown | {self.knobs: self.refill(*chosen, preset_id, knobs)}

    def pair_for(self, wanted: tuple[str, str]) -> tuple[str, str]:
        """The two checkpoints of that name if both are here, else the best pair that is."""
        if all(availability(self.lab.catalogue.get(id)).ready for id in wanted):
            return wanted
        first, second = self.lab.catalogue.pair()
        return first.id, second.id

    def advise(self, *values: Any) -> dict[str, Any]:
        """Also what the two sides were made for, and which pair the preset was meant for."""
        advice = super().advise(*values)
        if advice["errors"]:
            return advice
        *chosen, preset_id, _ = values
        first, second = (self.lab.catalogue.get(id) for id in chosen)
        wanted = self.lab.presets.get(preset_id).compare if preset_id else None
        advice["notes"] = {
            field: said.of_both(notes, first, second) for field, notes in advice["notes"].items()
        }
        advice["names"] = [f"{side.name} · {side.id}" for side in (first, second)]
        advice["frames"] = said.native_frames(first, second)
        if wanted and wanted != (first.id, second.id):
            names = " beside ".join(self.lab.catalogue.get(id).name for id in wanted)
            advice["pair"] = f"This preset is meant for {names}."
        return advice

    def one_missing(self, *chosen: Any) -> dict[str, Any] | None:
        """What `advice` shows if a side cannot be rendered with: the sentence stands under its chooser."""
        for side, id in zip(self.sides, chosen, strict=True):
            try:
                checkpoint = self.lab.catalogue.get(id)
                here = availability(checkpoint)
                if not here.obtainable:
                    raise CheckpointUnavailable(f"{checkpoint.name}: {here.sentence}")
            except SvdlabError as error:
                return self.refuse(error, side)
        return None


class Compare:
    """The page's parts and handlers."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.shared = bool(os.environ.get("SPACE_ID"))  # other people's pictures are in the history
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
        self.following: gr.State
        self.watching: gr.State
        self.mine: gr.BrowserState

    # Components

    def lay_out(self) -> None:
        """Everything on the page, in reading order."""
        first, second = self.lab.catalogue.pair()
        self.following = gr.State(None)
        self.watching = gr.State(Watching())
        self.mine = gr.BrowserState([], storage_key="svdlab.comparisons", secret="svdlab")
        with gr.Column(elem_classes="workbench pair-bench"):
            with gr.Column(elem_classes="asking"):
                with gr.Column(elem_classes="sides"):
                    self.controls.build_checkpoint("a", "A", first)
                    self.swap = element("compare_swap", SWAP, name="compare-swap")
                    self.controls.build_checkpoint("b", "B", second)
                self.picture = PictureBox(self.lab, "compare-picture")
                self.controls.build_knobs()
                with gr.Column(elem_classes="choosers"):
                    self.controls.build_preset()
                    self.option = element("compare_option", OPTION, {"on": False}, name="compare-option")
                with gr.Column(elem_classes="go"):
                    self.go = gr.Button("Compare", variant="primary", elem_id="compare-start")
                    self.controls.build_advice()
            with gr.Column(elem_classes="showing"):
                self.stage = element("compare_stage", STAGE, {"mode": "idle"}, name="compare-stage")
                self.player = ComparePlayer(elem_id="compare-player", elem_classes="lab-player")
                self.result = element("compare_result", said.TEMPLATE, {}, name="compare-result")
                self.delivery = element("compare_delivery", DELIVERY, {}, name="compare-delivery")
                self.strip = element("strip", said.STRIP, {}, name="compare-strip")

    # Handlers

    def open(self, mine: Any, request: gr.Request) -> dict[Any, Any]:
        """A visit: the link's comparison or run, or what is being rendered, or the first example picture."""
        ids = kept_ids(mine)
        query = request.query_params if request else {}
        try:
            if query.get("compare"):
                return self.restored(self.lab.history.comparison(query["compare"]), ids)
            if query.get("from"):
                return self.from_run(self.lab.history.get(query["from"]), ids)
        except NotFound as error:
            return self.first_visit(ids) | {self.stage: said.nothing(sentence(error))}
        waiting = [pair for pair in self._latest(ids) if pair.unfinished]
        return self.restored(waiting[0], ids) if waiting else self.first_visit(ids)

    def first_visit(self, ids: list[str]) -> dict[Any, Any]:
        """An example picture is in and Compare is one click away."""
        return {self.picture.component: self.picture.from_example(0), self.strip: self.strip_value(ids)}

    def from_run(self, run: Run, ids: list[str]) -> dict[Any, Any]:
        """A run of Explore: its picture and settings, its checkpoint on the side it belongs to."""
        return self._filled(run, self._sides(run.recipe.checkpoint)) | {self.strip: self.strip_value(ids)}

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
            self.controls.knobs: self.controls.fill(found.settings, sides[0], found.preset),
        }

    def restored(self, pair: Comparison, ids: list[str]) -> dict[Any, Any]:
        """Everything on the page as it was for a comparison."""
        counts = [run.settings.num_frames for run in (pair.a, pair.b)]
        native = counts[0] != counts[1] and counts == [self._native(run) for run in (pair.a, pair.b)]
        return self._filled(pair.a, (pair.a.recipe.checkpoint, pair.b.recipe.checkpoint)) | {
            self.option: {"on": native},
            self.strip: self.strip_value(ids, pair.id),
            self.following: _follow(pair.id),
        }

    def _filled(self, run: Run, sides: tuple[str, str]) -> dict[Any, Any]:
        """Choosers, knobs and picture as a run had them."""
        preset = self.lab.preset_of(run)
        preset_id = preset.id if preset else None
        shown: dict[Any, Any] = {
            self.controls.preset: preset_id or OWN_SETTINGS,
            self.controls.knobs: self.controls.fill(run.settings, sides[0], preset_id),
        }
        for side, id in zip(self.controls.sides, sides, strict=True):
            if self._known(id):
                shown[self.controls.checkpoints[side]] = id
        try:
            shown[self.picture.component] = self.picture.value(self.lab.picture(run.recipe.picture_sha256))
        except NotFound as error:
            shown[self.picture.component] = {"error": sentence(error)}
        return shown

    def start(self, picture: Any, *values: Any) -> dict[Any, Any]:
        """Submits the pair the page says, or shows it at once if it was rendered before."""
        *form_values, option, mine = values
        try:
            stored = self.picture.read(picture)
        except SvdlabError as error:
            return {self.picture.component: self.picture.problem(picture, error)}
        missing = self.controls.one_missing(*form_values[:2])
        if missing:
            return {self.controls.advice: missing}
        try:
            form = self.controls.read(*form_values)
            settings = form.settings if form.locked else form.settings.but(seed=random_seed())
            native = isinstance(option, dict) and option.get("on") is True
            a, b = self.recipes(stored, form, settings, native)
            preset = form.preset.id if form.preset else None
            asked = self.ask(a, b, preset, kept_ids(mine))
        except SvdlabError as error:
            return {self.controls.advice: self.controls.refuse(error)}
        return {
            self.controls.knobs: self.controls.fill(settings, form.checkpoint.id, preset, form.locked),
            **asked,
        }

    def recipes(
        self, stored: StoredPicture, form: Form, settings: GenerationSettings, native: bool
    ) -> tuple[Recipe, Recipe]:
        """The two recipes of the form. Raises `BadSettings`."""
        changes = settings.model_dump(exclude={"seed"})
        a, b = (checkpoint.id for checkpoint in form.checkpoints)
        return self.lab.comparison_recipes(
            stored, a, b, seed=settings.seed, changes=changes, native_frames=native
        )

    def ask(
        self, a: Recipe, b: Recipe, preset: str | None, ids: list[str], again: bool = False
    ) -> dict[Any, Any]:
        """Follows the comparison of two recipes: one from before, one on its way, or a new one."""
        known = None if again else self.lab.before.pair(a, b) or self.lab.before.waiting_pair(a, b)
        pair = known or self.lab.submit_comparison(a, b, preset=preset)
        ids = [pair.id, *(id for id in ids if id != pair.id)][:KEPT_IDS]
        before = known is not None and not known.unfinished
        return {
            self.mine: ids,
            self.result: {"started": time.time()},
            self.stage: PLAYING,
            self.following: _follow(pair.id, before),
        }

    def again(self, mine: Any, event: gr.EventData) -> dict[Any, Any]:
        """Renders both recipes anew."""
        try:
            pair = self._meant(event)
            a, b = (run.recipe.model_copy(update={"versions": {}}) for run in (pair.a, pair.b))
            return self.ask(a, b, pair.a.preset, kept_ids(mine), again=True)
        except SvdlabError as error:
            return {self.stage: said.nothing(sentence(error))}

    def retry(self, event: gr.EventData) -> dict[Any, Any]:
        """Queues what was interrupted, failed or cancelled of a comparison again."""
        try:
            pair = self._meant(event)
            self._resume(pair)
            return {self.following: _follow(pair.id)}
        except SvdlabError as error:
            return {self.stage: said.nothing(sentence(error))}

    def resume(self, mine: Any) -> dict[Any, Any]:
        """Queues every interrupted comparison again, and follows the oldest."""
        pairs = [pair for pair in self._latest(kept_ids(mine)) if _interrupted(pair)]
        for pair in reversed(pairs):
            self._resume(pair)
        return {self.following: _follow(pairs[-1].id)} if pairs else {}

    def _resume(self, pair: Comparison) -> None:
        self.lab.resume(*(run.id for run in (pair.a, pair.b) if not run.done and not run.unfinished))

    def stop(self, event: gr.EventData) -> None:
        """Cancels both sides; whoever watches sees them end. The player names what `Forming` gave it."""
        try:
            pair = self.lab.history.comparison(str(event._data.get("run")).split(":")[0])
        except NotFound:
            return
        for run in (pair.a, pair.b):
            self.lab.cancel(run.id)

    def pick(self, mine: Any, event: gr.EventData) -> dict[Any, Any]:
        """A tile of the strip was chosen: picture, settings and clips come back."""
        try:
            return self.restored(self.lab.history.comparison(str(event._data.get("run"))), kept_ids(mine))
        except SvdlabError as error:
            return {self.stage: said.nothing(sentence(error))}

    def deliver(self, event: gr.EventData) -> dict[str, Any]:
        """Both sides with labels as one file, made when it is first asked for."""
        asked = time.time()
        try:
            pair, kind = self._meant(event), str(event._data.get("kind"))
            path = said.side_by_side(self.lab, pair, kind if kind in KINDS else KINDS[0])
        except (SvdlabError, ValueError, OSError) as error:
            return {"asked": asked, "error": sentence(Exception(f"The file could not be made: {error}"))}
        return {"asked": asked, "path": str(path), "name": path.name}

    def follow(self, following: Any, watching: Watching, mine: Any) -> Iterator[dict[Any, Any]]:
        """Shows a comparison from where it is to its end, and the strip until nothing waits any more.

        Ends when the visitor turns to another one, as on Explore.
        """
        if not isinstance(following, dict):
            return
        watching.since = following["asked"]
        ids, id = kept_ids(mine), str(following["comparison"])
        pair = self.lab.history.comparison(id)
        if not pair.unfinished:
            yield self.ended(pair, ids, bool(following.get("before")))
        others = [other for other in self._latest(ids) if other.unfinished and other.id != id]
        forming = Forming(self.lab, pair)
        waiting = [run.id for one in ([pair] if pair.unfinished else []) + others for run in (one.a, one.b)]
        if pair.unfinished:
            yield {
                self.stage: PLAYING,
                self.player: forming.value(),
                self.result: {},
                self.strip: self.strip_value(ids, id),
            }
        shown = time.monotonic()
        for event in self.lab.watch(*waiting):
            if watching.since != following["asked"]:
                break
            news: dict[Any, Any] = {}
            if forming.take(event):
                news[self.player] = forming.value()
            if forming.over:
                news, forming.over = self.ended(self.lab.history.comparison(id), ids), False
            elif event.final or time.monotonic() - shown > STRIP_SECONDS:
                shown = time.monotonic()
                news[self.strip] = self.strip_value(ids, id)
            if news:
                yield news
        # Gradio sends an ended generator's last values once more, and the clips would start anew; these change nothing.
        yield {self.strip: gr.skip()}

    def ended(self, pair: Comparison, ids: list[str], before: bool = False) -> dict[Any, Any]:
        """A comparison that is over: both clips, the one there is, or why there is none."""
        strip = self.strip_value(ids, pair.id)
        if not (pair.a.done or pair.b.done):
            return {self.stage: said.unrendered(pair), self.player: None, self.result: {}, self.strip: strip}
        return {
            self.stage: PLAYING | said.problems(pair),
            self.player: self.clips(pair),
            self.result: said.result(self.lab, pair, before),
            self.strip: strip,
        }

    # What the elements show

    def clips(self, pair: Comparison) -> dict[str, Any]:
        """The player's value for a comparison of which at least one side is done."""
        labels = dict(zip("AB", self.lab.labels(pair), strict=True))
        done = [(letter, run) for letter, run in (("A", pair.a), ("B", pair.b)) if run.done]
        s = done[0][1].settings
        clips = [Clip(run.video, labels[letter], run.settings.num_frames) for letter, run in done]
        if len(done) == 1:
            letter, run = done[0]
            clips = [Clip(run.video, f"{letter} · {labels[letter]}", s.num_frames)]
        return player_value(*clips, fps=s.effective_playback_fps, size=(s.width, s.height))

    def strip_value(self, ids: list[str], open: str = "") -> dict[str, Any]:
        """The tiles of the latest comparisons."""
        pairs = self._latest(ids)
        interrupted = [pair.id for pair in pairs if _interrupted(pair)]
        return {"open": open, "runs": [self._tile(pair) for pair in pairs], "interrupted": interrupted}

    def _tile(self, pair: Comparison) -> dict[str, Any]:
        sides, s = (pair.a, pair.b), pair.a.settings
        done = next((run for run in sides if run.done), None)
        # The state that says most: rendering before waiting, a failure before a success.
        order = ("running", "queued", "failed", "interrupted", "cancelled", "done")
        state = min((run.state for run in sides), key=order.index)
        return {
            "id": pair.id,
            "state": state,
            "words": STATE_WORDS[state],
            "poster": str(done.poster) if done else "",
            "picture": "" if done else thumbnail(pair.a.picture),
            "title": " | ".join(said.names(self.lab, pair)),
            "line": f"bucket {s.motion_bucket_id} · {s.fps} fps · seed {s.seed}",
            "when": ago(pair.created),
            "fraction": sum(1 if r.done else r.step / r.settings.num_inference_steps for r in sides) / 2,
        }

    def _latest(self, ids: list[str]) -> list[Comparison]:
        """The latest comparisons this visitor may see."""
        if not self.shared:
            return self.lab.history.comparisons(limit=STRIP_COMPARISONS)
        known = []
        for id in sorted(ids, reverse=True)[:STRIP_COMPARISONS]:
            try:
                known.append(self.lab.history.comparison(id))
            except NotFound:
                continue
        return known

    def _native(self, run: Run) -> int:
        """The frame count a run's checkpoint was trained for; 0 if it is not known any more."""
        id = run.recipe.checkpoint
        return self.lab.catalogue.get(id).native_frames if self._known(id) else 0

    def _known(self, checkpoint: str) -> bool:
        return checkpoint in {known.id for known in self.lab.catalogue}

    def _meant(self, event: gr.EventData) -> Comparison:
        """The comparison an element's event names. Raises `NotFound`."""
        return self.lab.history.comparison(str(event._data.get("comparison")))

    # Wiring

    def wire(self) -> None:
        """Who calls what."""
        self.controls.wire()
        a, b = self.controls.checkpoints.values()
        self.swap.swap(lambda a, b: (b, a), [a, b], [a, b], **QUIET)
        shown = [self.stage, self.player, self.result, self.strip]
        form = [self.picture.component, *self.controls.inputs, self.option]
        page = [*form, self.controls.advice, self.following, self.mine, *shown]
        news: dict[str, Any] = {"trigger_mode": "multiple", **QUIET}
        self.picture.wire(self.take, [self.picture.component], page)
        self.following.change(self.follow, [self.following, self.watching, self.mine], shown, **news)
        gr.on([self.go.click, self.controls.knobs.submit], self.start, [*form, self.mine], page, **news)
        self.strip.select(self.pick, self.mine, page, **news)
        self.strip.resume(self.resume, self.mine, page, **news)
        self.result.again(self.again, self.mine, page, **news)
        self.stage.retry(self.retry, None, page, **news)
        self.result.deliver(self.deliver, None, self.delivery, **news)
        self.player.stop(self.stop, None, None, **QUIET)


class Forming:
    """What is known of a comparison while it is rendered: the newest event and preview of each side."""

    def __init__(self, lab: Lab, pair: Comparison) -> None:
        self.pair = pair
        self.over = False
        self._cancel = f"{pair.id}:{time.time()}"  # new each time: the player's button is used up by a click
        self._labels = lab.labels(pair)
        self._news: dict[str, Event] = {}
        still = as_the_model_sees(pair.a)
        self._previews = {pair.a.id: still, pair.b.id: still}

    def take(self, event: Event) -> bool:
        """Notes an event; returns whether the player should change.

        In lockstep B's step follows A's at once, and both are shown together.
        """
        if event.run_id not in self._previews:
            return False
        if event.preview:
            encoded = base64.b64encode(event.preview).decode("ascii")
            self._previews[event.run_id] = f"data:image/webp;base64,{encoded}"
        self._news[event.run_id] = event
        a, b = self._sides()
        self.over = bool(a and b and a.final and b.final)
        both_step = a is not None and b is not None and a.kind == b.kind == "step"
        return not (both_step and a and b and abs(a.step - b.step) == 1)

    def value(self) -> dict[str, Any]:
        """The player's value."""
        a, b = self._sides()
        s = self.pair.a.settings
        parts = [fraction(event) if event else 0.0 for event in (a, b)]
        return preview_value(
            *self._previews.values(),
            text=said.progress(a, b),
            fraction=sum(parts) / 2,
            labels=self._labels,
            size=(s.width, s.height),
            cancel=self._cancel,
        )

    def _sides(self) -> tuple[Event | None, Event | None]:
        return self._news.get(self.pair.a.id), self._news.get(self.pair.b.id)


def build(lab: Lab, page: gr.Blocks) -> Compare:
    """The endpoint, components, handlers and wiring; inside the page's Blocks."""
    gr.api(said.endpoint(lab), api_name="compare", concurrency_limit=TOGETHER)
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
    page.load(compare.open, compare.mine, outputs, **QUIET)
    page.load(compare.controls.first_advice, compare.controls.inputs, compare.controls.advice, **QUIET)
    return compare


def as_the_model_sees(run: Run) -> str | None:
    """The fitted picture as a small data address, for the time before there is a preview."""
    s = run.settings
    try:
        with Image.open(run.picture) as image:
            fitted = fitting.fit_picture(image.convert("RGB"), s.width, s.height, s.fit, s.focus_x, s.focus_y)
    except OSError:
        return None
    return data_uri(fitted, 640)


def _interrupted(pair: Comparison) -> bool:
    return any(run.state == "interrupted" for run in (pair.a, pair.b))


def _follow(id: str, before: bool = False) -> dict[str, Any]:
    """A new value each time, so that following the same comparison again is a change too."""
    return {"comparison": id, "before": before, "asked": time.time()}
