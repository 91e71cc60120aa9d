"""Explore: one picture, one checkpoint, one set of knobs, one clip. The first page.

Handlers parse, ask the lab and show. A run lives in the lab's history, not here: leaving the page stops the
watching only, and opening it again finds the run where it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import lru_cache
from typing import Any

import gradio as gr

from svdlab.errors import NotFound, SvdlabError
from svdlab.exchange.restore import fitted
from svdlab.lab.examples import clip_of
from svdlab.lab.lab import Lab
from svdlab.lab.visit import Visit
from svdlab.lab.watching import Watching
from svdlab.recipes.events import Event
from svdlab.recipes.records import Recipe, Run
from svdlab.recipes.settings import random_seed
from svdlab.ui.frame import Page, build_about
from svdlab.ui.identity import visit_of
from svdlab.ui.parts import decoded, follow, result, stage, strip
from svdlab.ui.parts.controls import OWN_SETTINGS, Controls
from svdlab.ui.parts.element import EACH, QUIET, asked, saying
from svdlab.ui.parts.picture import PictureBox
from svdlab.ui.parts.player import ComparePlayer
from svdlab.ui.parts.player.clips import of_run
from svdlab.ui.stream import Wanted, message
from svdlab.ui.visitor import kept_ids, own_runs, with_own
from svdlab.ui.words import sentence

STRIP_RUNS = 18  # tiles in the strip of the latest runs
SAID_ONCE = 64  # messages that are the same for everybody who follows a run


class Explore:
    """The page's parts and handlers."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.picture: PictureBox
        self.controls = Controls(lab, "explore")
        self.stage: gr.HTML
        self.player: ComparePlayer
        self.result: gr.HTML
        self.decoded: gr.HTML
        self.strip: gr.HTML
        self.go: gr.Button
        self.following: gr.HTML
        self.mine: gr.BrowserState
        self._forming = lru_cache(maxsize=SAID_ONCE)(self._formed)

    # Components

    def lay_out(self) -> None:
        """Everything on the page, in reading order."""
        self.following = follow.build("explore-follow")
        self.mine = own_runs()
        with gr.Column(elem_classes="workbench"):
            with gr.Column(elem_classes="asking"):
                self.picture = PictureBox(self.lab, "explore-picture")
                with gr.Column(elem_classes="choosers"):
                    self.controls.build_checkpoint("checkpoint", "Checkpoint")
                    self.controls.build_preset()
                self.controls.build_knobs()
                with gr.Column(elem_classes="go"):
                    self.go = gr.Button("Generate", variant="primary", elem_id="explore-generate")
                    self.controls.build_advice()
            with gr.Column(elem_classes="showing stage-holder"):
                self.stage = stage.build("explore-stage")
                self.player = ComparePlayer(sides=1, elem_id="explore-player", elem_classes="lab-player")
                self.result = result.build("explore-result")
                self.decoded = decoded.build("explore-decoded")
                self.strip = strip.build("explore-strip", "Latest")
                build_about(self.lab)

    # Handlers

    def open(self, mine: Any, request: gr.Request) -> dict[Any, Any]:
        """A visit: the run of the link, or what is being rendered, or the first example picture."""
        ids, visit = kept_ids(mine), visit_of(self.lab, request)
        wanted = request.query_params.get("run") if request else None
        try:
            if wanted:
                return self.filled(visit, visit.run(wanted), ids)
        except NotFound as error:
            return self.first_visit(visit, ids) | {self.stage: stage.nothing(sentence(error))}
        waiting = [run for run in self._latest(visit, ids) if run.unfinished]
        return self.filled(visit, waiting[0], ids) if waiting else self.first_visit(visit, ids)

    def first_visit(self, visit: Visit, ids: list[str]) -> dict[Any, Any]:
        """An example picture is in with its clip, if that was rendered, and Generate is one click away."""
        shown = {
            self.picture.component: self.picture.from_example(0),
            self.strip: self.strip_value(visit, ids),
        }
        return shown | self.example(visit, 0, ids)

    def example(self, visit: Visit, place: int, ids: list[str]) -> dict[Any, Any]:
        """An example's clip and what made it; the knobs stay where another checkpoint is the one to start with."""
        run = clip_of(self.lab, place)
        if run is None:
            return {}
        shown = self.filled(visit, run, ids) if self.lab.catalogue.default().demo else {}
        shown.pop(self.picture.component, None)
        return shown | {self.following: self._follow(visit, run.id, ids, True)}

    def choose_example(self, mine: Any, event: gr.EventData, request: gr.Request) -> Any:
        """An example picture was chosen: its clip is shown with it."""
        place = str(asked(event).get("example"))
        visit = visit_of(self.lab, request)
        shown = self.example(visit, int(place), kept_ids(mine)) if place.isdigit() else {}
        return shown or {self.strip: gr.skip()}

    def take(self, picture: Any, mine: Any, event: gr.EventData, request: gr.Request) -> dict[Any, Any]:
        """A file was dropped in: a picture, or something that carries a recipe, which then comes back."""
        try:
            found = self.picture.recipe_in(event)
            if found is None:
                return {self.picture.component: self.picture.receive(picture, event)}
            known = found.checkpoint is not None
            checkpoint = found.checkpoint or self.lab.catalogue.default().id
            found = fitted(self.lab, found, checkpoint)
            shown: dict[Any, Any] = {
                self.picture.component: self.picture.restored(picture, found, event),
                self.controls.checkpoints["checkpoint"]: checkpoint,
                self.controls.preset: found.preset or OWN_SETTINGS,
                self.controls.knobs: self.controls.fill(
                    found.settings, checkpoint, found.preset, added=found.loras
                ),
            }
            if known and found.picture_here and found.picture_sha256:
                stored = self.lab.picture(found.picture_sha256)
                visit = visit_of(self.lab, request)
                before = visit.before(self.lab.recipe(checkpoint, stored, found.settings, found.loras))
                if before:
                    shown[self.following] = self._follow(visit, before.id, kept_ids(mine), True)
        except SvdlabError as error:
            return {self.picture.component: self.picture.problem(picture, error)}
        return shown

    def generate(self, request: gr.Request, picture: Any, *values: Any) -> dict[Any, Any]:
        """Submits what the page says, or shows it at once if it was rendered before."""
        *form_values, mine = values
        try:
            stored = self.picture.read(picture)
        except SvdlabError as error:
            return {self.picture.component: self.picture.problem(picture, error)}
        try:
            form = self.controls.read(*form_values)
            self.controls.must_be_here(form)
            settings = form.settings if form.locked else form.settings.but(seed=random_seed())
            recipe = self.lab.recipe(form.checkpoint.id, stored, settings, form.loras)
            preset = form.preset.id if form.preset else None
            shown = self.ask(visit_of(self.lab, request), recipe, preset, kept_ids(mine))
        except SvdlabError as error:
            return {self.controls.refused: self.controls.refuse(error)}
        knobs = self.controls.fill(settings, form.checkpoint.id, preset, form.locked, form.loras)
        return {self.controls.knobs: knobs, **shown}

    def ask(
        self, visit: Visit, recipe: Recipe, preset: str | None, ids: list[str], again: bool = False
    ) -> dict[Any, Any]:
        """Follows the recipe's run: one from before, one already waiting, or a new one."""
        run, before = visit.ask(recipe, preset, again)
        ids = with_own(run.id, ids)
        return {self.mine: ids, self.following: self._follow(visit, run.id, ids, before)}

    def again(self, mine: Any, event: gr.EventData, request: gr.Request) -> dict[Any, Any]:
        """Renders a run's recipe anew."""
        try:
            visit = visit_of(self.lab, request)
            run = visit.run(str(asked(event).get("run")))
            return self.ask(
                visit, run.recipe.model_copy(update={"versions": {}}), run.preset, kept_ids(mine), again=True
            )
        except SvdlabError as error:
            return {self.stage: stage.nothing(sentence(error))}

    def retry(self, mine: Any, event: gr.EventData, request: gr.Request) -> dict[Any, Any]:
        """Queues an interrupted, failed or cancelled run again."""
        try:
            visit = visit_of(self.lab, request)
            [run] = visit.resume(str(asked(event).get("run")))
            return {self.following: self._follow(visit, run.id, kept_ids(mine))}
        except SvdlabError as error:
            return {self.stage: stage.nothing(sentence(error))}

    def decode(self, event: gr.EventData, request: gr.Request) -> dict[str, Any]:
        """Decodes a run's latents again; the page then goes to the comparison of the two."""
        wanted = asked(event)
        try:
            chunk = wanted.get("chunk") or None
            visit = visit_of(self.lab, request)
            pair = visit.decode_again(str(wanted.get("run")), wanted.get("decoder"), chunk)
        except SvdlabError as error:
            return decoded.problem(sentence(error))
        return decoded.go(f"compare?compare={pair.id}")

    def resume(self, mine: Any, request: gr.Request) -> dict[Any, Any]:
        """Queues everything of the visitor's that was interrupted again, and follows the oldest of it."""
        ids, visit = kept_ids(mine), visit_of(self.lab, request)
        interrupted = [run for run in self._latest(visit, ids) if run.state == "interrupted"]
        try:
            again = visit.resume(*(run.id for run in reversed(interrupted) if visit.owns(run)))
        except SvdlabError as error:
            return {self.stage: stage.nothing(sentence(error))}
        if not again:
            return {self.strip: self.strip_value(visit, ids)}
        return {self.following: self._follow(visit, again[0].id, ids)}

    def stop(self, event: gr.EventData, request: gr.Request) -> None:
        """Cancels the run on the stage; whoever watches sees it end."""
        with saying():
            visit_of(self.lab, request).cancel(str(asked(event).get("run")))

    def pick(self, mine: Any, event: gr.EventData, request: gr.Request) -> dict[Any, Any]:
        """A tile of the strip was chosen: picture, settings and clip come back."""
        try:
            visit = visit_of(self.lab, request)
            return self.filled(visit, visit.run(str(asked(event).get("run"))), kept_ids(mine))
        except SvdlabError as error:
            return {self.stage: stage.nothing(sentence(error))}

    def filled(self, visit: Visit, run: Run, ids: list[str]) -> dict[Any, Any]:
        """Everything on the page as it was for a run."""
        known = run.recipe.checkpoint in {checkpoint.id for checkpoint in self.lab.catalogue}
        preset = self.lab.preset_of(run)
        shown: dict[Any, Any] = {
            self.controls.preset: preset.id if preset else OWN_SETTINGS,
            self.controls.knobs: self.controls.fill(
                run.settings, run.recipe.checkpoint, preset.id if preset else None, added=run.recipe.loras
            ),
            self.strip: self.strip_value(visit, ids, run.id),
            self.following: self._follow(visit, run.id, ids),
        }
        if known:
            shown[self.controls.checkpoints["checkpoint"]] = run.recipe.checkpoint
        try:
            shown[self.picture.component] = self.picture.value(self.lab.picture(run.recipe.picture_sha256))
        except NotFound as error:
            shown[self.picture.component] = {"error": sentence(error)}
        return shown

    def _follow(self, visit: Visit, id: str, ids: list[str], before: bool = False) -> dict[str, Any]:
        return follow.value("explore", id, before, () if visit.allows("see_all_runs") else ids)

    # What is told on the stream

    async def news(self, wanted: Wanted, watching: Watching) -> AsyncIterator[str]:
        """A run from where it is to its end, and the strip until nothing waits any more."""
        visit, ids, standing = wanted.visit, list(wanted.mine), dict[str, str]()
        run, waiting = await asyncio.to_thread(self._at_first, visit, wanted.id, ids)
        if not run.unfinished:
            yield await asyncio.to_thread(self._over, visit, run.id, ids, wanted.before)
        async for event in watching.watch(*waiting):
            last, standing[event.run_id] = standing.get(event.run_id), strip.standing(event)
            if event.run_id == run.id and event.final:
                yield await asyncio.to_thread(self._over, visit, run.id, ids)
                continue
            if event.run_id == run.id:
                yield self._forming(event, run.settings.width, run.settings.height)
            else:
                yield message(strip.moved(event))
            if last != standing[event.run_id]:
                tiles = await asyncio.to_thread(self.strip_value, visit, ids, run.id)
                yield message({"explore-strip": tiles, **strip.moved(event)})

    def _at_first(self, visit: Visit, id: str, ids: list[str]) -> tuple[Run, list[str]]:
        """The run that is followed, and what is waited for. Raises `NotFound`."""
        run = visit.run(id)
        waiting = [other.id for other in self._latest(visit, ids) if other.unfinished]
        return run, list(dict.fromkeys([id, *waiting] if run.unfinished else waiting))

    def _formed(self, event: Event, width: int, height: int) -> str:
        shown = {"explore-stage": stage.working(event, width, height), "explore-result": {}}
        return message({**shown, **strip.moved(event)})

    def _over(self, visit: Visit, id: str, ids: list[str], before: bool = False) -> str:
        return message(self.ended(visit, visit.run(id), ids, before))

    def ended(self, visit: Visit, run: Run, ids: list[str], before: bool = False) -> dict[Any, Any]:
        """A run that is over: its clip, or why there is none."""
        tiles = self.strip_value(visit, ids, run.id)
        if not run.done:
            return {self.stage: stage.unrendered(run), self.result: {}, self.strip: tiles}
        return {
            self.stage: stage.shown(run),
            self.player: of_run(run),
            self.result: result.value(self.lab, run, before),
            self.strip: tiles,
        }

    # What the elements show

    def strip_value(self, visit: Visit, ids: list[str], open: str = "") -> dict[str, Any]:
        """The tiles of the latest runs."""
        runs = self._latest(visit, ids)
        return strip.value([strip.run_tile(run, self.lab.name(run)) for run in runs], open)

    def _latest(self, visit: Visit, ids: list[str]) -> list[Run]:
        return visit.latest_runs(STRIP_RUNS, ids)

    # Wiring

    def wire(self) -> None:
        """Who calls what."""
        self.controls.wire()
        shown = [self.stage, self.player, self.result, self.strip]
        form = [self.picture.component, *self.controls.inputs]
        page = [
            self.picture.component,
            *self.controls.inputs,
            self.controls.refused,
            self.following,
            self.mine,
            *shown,
        ]
        self.picture.component.select(self.choose_example, self.mine, page, **QUIET)
        self.picture.wire(self.take, [self.picture.component, self.mine], page)
        gr.on([self.go.click, self.controls.knobs.submit], self.generate, [*form, self.mine], page, **EACH)
        self.strip.select(self.pick, self.mine, page, **EACH)
        self.strip.resume(self.resume, self.mine, page, **EACH)
        self.result.decode(self.decode, None, self.decoded, **QUIET)
        self.result.again(self.again, self.mine, page, **EACH)
        self.stage.retry(self.retry, self.mine, page, **EACH)
        self.stage.stop(self.stop, None, None, **QUIET)


def build(lab: Lab, app: gr.Blocks) -> Explore:
    """Components, handlers, wiring; inside the app's Blocks."""
    explore = Explore(lab)
    explore.lay_out()
    explore.wire()
    outputs = [
        explore.picture.component,
        *explore.controls.inputs,
        explore.following,
        explore.stage,
        explore.strip,
    ]
    app.load(explore.open, explore.mine, outputs, **QUIET)
    app.load(explore.controls.first_advice, explore.controls.inputs, explore.controls.advice, **QUIET)
    app.load(explore.controls.foresee, explore.controls.inputs, explore.controls.forecast, **QUIET)
    return explore


PAGE = Page("Explore", "", build, place=1)
