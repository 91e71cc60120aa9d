"""Sweep: a base recipe and what varies on the left, the grid of clips on the right, all playing in step.

Handlers parse, ask the lab and show. A sweep lives in the lab's history, not here: leaving the page stops the watching
only. What is looked at stands in the page's address.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import gradio as gr

from svdlab.errors import NotFound, SvdlabError
from svdlab.exchange.restore import fitted
from svdlab.exchange.sweep_export import file_name, write_sweep
from svdlab.lab.lab import Lab
from svdlab.lab.sweep_plans import Plan
from svdlab.lab.sweeps import SweepStanding
from svdlab.lab.visit import Visit
from svdlab.lab.watching import QUIET_SECONDS, Watching
from svdlab.recipes.records import Recipe
from svdlab.recipes.settings import random_seed
from svdlab.recipes.sweeps import Grid, Sweep
from svdlab.ui.frame import Page
from svdlab.ui.handover import hand_over
from svdlab.ui.identity import visit_of
from svdlab.ui.parts import axes, follow, grid, marks, plan, relay
from svdlab.ui.parts.controls import OWN_SETTINGS, Controls, Form
from svdlab.ui.parts.element import EACH, QUIET, asked
from svdlab.ui.parts.grid.sheets import sheet
from svdlab.ui.parts.picture import PictureBox
from svdlab.ui.stream import Wanted, message
from svdlab.ui.words import sentence

PLANNED_AT_ONCE = 2_000  # cells that are looked up at every change; of a larger grid, when it is started
SHEETS_AT_ONCE = 8
LOOK_SECONDS = 1.0  # how often a sweep that somebody follows is looked at


class BaseControls(Controls):
    """The controls of what all cells have; how long it takes is said of the whole sweep."""

    def _estimate(self, form: Form) -> str:
        return ""


class SweepPage:
    """The page's parts and handlers."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.controls = BaseControls(lab, "sweep")
        self.picture: PictureBox
        self.axes: gr.HTML
        self.go: gr.Button
        self.plan: gr.HTML
        self.grid: gr.HTML
        self.sheets: gr.HTML
        self.measured: gr.HTML
        self.kept: gr.HTML
        self.answer: gr.HTML
        self.following: gr.HTML
        self._looks: dict[str, tuple[float, SweepStanding]] = {}

    # Components

    def lay_out(self) -> None:
        """Everything on the page, in reading order."""
        self.following = follow.build("sweep-follow")
        self.sheets = relay.build("sweep-sheets", "sheets")
        self.measured = relay.build("sweep-measured", "measured")
        self.kept = relay.build("sweep-kept", "kept")
        self.answer = relay.build("sweep-answer", "answer")
        with gr.Column(elem_classes="workbench"):
            with gr.Column(elem_classes="asking"):
                self.picture = PictureBox(self.lab, "sweep-picture")
                self.axes = axes.build("sweep-axes", self.lab)
                with gr.Column(elem_classes="choosers"):
                    self.controls.build_checkpoint("checkpoint", "Checkpoint")
                    self.controls.build_preset()
                self.controls.build_knobs()
                with gr.Column(elem_classes="go"):
                    self.go = gr.Button("Start sweep", variant="primary", elem_id="sweep-start")
                    self.plan = plan.build("sweep-plan")
                    self.controls.build_advice()
            with gr.Column(elem_classes="showing"):
                self.grid = grid.build("sweep-grid")

    # Opening and filling

    def open(self, request: gr.Request) -> dict[Any, Any]:
        """A visit: the address's sweep, or the base of the address's run, or the first example picture."""
        visit = visit_of(self.lab, request)
        query = request.query_params if request else {}
        try:
            if query.get("sweep"):
                return self.filled(visit, visit.sweep(query["sweep"]))
            if query.get("from"):
                run = visit.run(query["from"])
                return self._base(run.recipe, run.preset) | {self.grid: grid.nothing(visit)}
        except SvdlabError as error:
            return self.first_visit() | {self.grid: grid.nothing(visit, sentence(error))}
        return self.first_visit() | {self.grid: grid.nothing(visit)}

    def first_visit(self) -> dict[Any, Any]:
        """An example picture is in and Start is one click away."""
        return {self.picture.component: self.picture.from_example(0)}

    def filled(self, visit: Visit, sweep: Sweep) -> dict[Any, Any]:
        """Everything on the page as it was for a sweep."""
        return (
            self._base(sweep.base, sweep.preset)
            | {self.axes: axes.value(sweep.grid)}
            | self.followed(visit, sweep)
        )

    def followed(self, visit: Visit, sweep: Sweep) -> dict[Any, Any]:
        """The grid as it is, and what comes."""
        standing = self.lab.sweeps.standing(sweep.id)
        shown: dict[Any, Any] = {self.grid: grid.shown(visit, standing)}
        if not standing.over:
            shown[self.following] = follow.value("sweep", sweep.id)
        return shown

    def _base(self, recipe: Recipe, preset_id: str | None) -> dict[Any, Any]:
        """Choosers, knobs and picture as a recipe has them."""
        known = preset_id if preset_id in {preset.id for preset in self.lab.presets} else None
        shown: dict[Any, Any] = {
            self.controls.preset: known or OWN_SETTINGS,
            self.controls.knobs: self.controls.fill(
                recipe.settings, recipe.checkpoint, known, added=recipe.loras
            ),
        }
        if recipe.checkpoint in {checkpoint.id for checkpoint in self.lab.catalogue}:
            shown[self.controls.checkpoints["checkpoint"]] = recipe.checkpoint
        try:
            shown[self.picture.component] = self.picture.value(self.lab.picture(recipe.picture_sha256))
        except NotFound as error:
            shown[self.picture.component] = {"error": sentence(error)}
        return shown

    def take(self, picture: Any, event: gr.EventData) -> dict[Any, Any]:
        """A file was dropped in: a picture, or something that carries a recipe, which then comes back."""
        try:
            found = self.picture.recipe_in(event)
            if found is None:
                return {self.picture.component: self.picture.receive(picture, event)}
            checkpoint = found.checkpoint or self.lab.catalogue.default().id
            found = fitted(self.lab, found, checkpoint)
            return {
                self.picture.component: self.picture.restored(picture, found, event),
                self.controls.checkpoints["checkpoint"]: checkpoint,
                self.controls.preset: found.preset or OWN_SETTINGS,
                self.controls.knobs: self.controls.fill(
                    found.settings, checkpoint, found.preset, added=found.loras
                ),
            }
        except SvdlabError as error:
            return {self.picture.component: self.picture.problem(picture, error)}

    def keep(self, picture: Any, event: gr.EventData) -> dict[str, Any]:
        """The picture on the page becomes a value of an axis."""
        try:
            stored = self.picture.read(picture)
        except SvdlabError as error:
            return {"error": sentence(error)}
        name = str(picture.get("name") or "")[:80] or f"{stored.width}×{stored.height}"
        return {
            "place": asked(event).get("place"),
            "sha256": stored.sha256,
            "name": name,
            "asked": time.time(),
        }

    # Asking

    def advise(self, request: gr.Request, picture: Any, *values: Any) -> dict[str, Any]:
        """What the sweep will be, as far as it is said by now."""
        *form_values, rows = values
        try:
            cells = axes.read(self.lab, rows)
            if cells.size > PLANNED_AT_ONCE:
                visit_of(self.lab, request).check_cells(cells.size)
                return plan.too_many_to_look_up(cells)
            return plan.value(self._plan(visit_of(self.lab, request), picture, form_values, cells))
        except SvdlabError as error:
            return plan.problem(error)

    def start(self, request: gr.Request, picture: Any, *values: Any) -> dict[Any, Any]:
        """Accepts the sweep that the page says, and follows it."""
        *form_values, rows = values
        visit = visit_of(self.lab, request)
        try:
            self.picture.read(picture)
        except SvdlabError as error:
            return {self.picture.component: self.picture.problem(picture, error)}
        try:
            form = self.controls.read(*form_values)
            self.controls.must_be_here(form)
        except SvdlabError as error:
            return {self.controls.refused: self.controls.refuse(error)}
        try:
            planned = self._plan(visit, picture, form_values, axes.read(self.lab, rows))
            sweep = visit.submit_sweep(planned)
        except SvdlabError as error:
            return {self.plan: plan.problem(error)}
        return self.followed(visit, sweep) | {self.plan: plan.value(planned)}

    def _plan(self, visit: Visit, picture: Any, form_values: list[Any], cells: Grid) -> Plan:
        """Raises `SvdlabError`."""
        stored, form = self.picture.read(picture), self.controls.read(*form_values)
        seeded = form.locked or any(axis.name == "seed" for axis in cells.axes)
        settings = form.settings if seeded else form.settings.but(seed=random_seed())
        base = self.lab.recipe(form.checkpoint.id, stored, settings, form.loras)
        return visit.plan_sweep(base, cells, form.preset.id if form.preset else None)

    def full(self, event: gr.EventData, request: gr.Request) -> dict[Any, Any]:
        """Chosen cells with all the steps, as a sweep of their own, which is then followed."""
        visit, wanted = visit_of(self.lab, request), asked(event)
        given = wanted.get("numbers")
        numbers = [one for one in given if isinstance(one, int)] if isinstance(given, list) else []
        try:
            id = visit.sweep(str(wanted.get("id"))).id
            base, cells, preset = self.lab.sweeps.in_full(id, numbers)
            return self.filled(visit, visit.submit_sweep(visit.plan_sweep(base, cells, preset)))
        except SvdlabError as error:
            return {self.answer: grid.problem(error)}

    def control(self, event: gr.EventData, request: gr.Request) -> dict[Any, Any]:
        """Pauses, resumes, cancels, tries again or deletes, and shows the sweep as it is then."""
        visit, id = visit_of(self.lab, request), str(asked(event).get("id"))
        what = str(asked(event).get("what"))
        try:
            visit.control_sweep(id, what)
            if what == "delete":
                return {self.answer: grid.answer(go="sweep")}
            return self.followed(visit, visit.sweep(id))
        except SvdlabError as error:
            return {self.answer: grid.problem(error)}

    # Looking

    def cut(self, event: gr.EventData, request: gr.Request) -> dict[str, Any]:
        """The sheets of runs that are in sight; one that cannot be read is left out."""
        visit = visit_of(self.lab, request)
        ids, side = asked(event).get("ids"), asked(event).get("side")
        made = []
        for id in (ids if isinstance(ids, list) else [])[:SHEETS_AT_ONCE]:
            try:
                run = visit.run(str(id))
                made.append(sheet(run, side if isinstance(side, int) else 0))
            except (SvdlabError, OSError):
                made.append({"run": str(id)[:60], "path": ""})
        return grid.answer(sheets=made)

    def measure(self, event: gr.EventData, request: gr.Request) -> dict[str, Any]:
        """A measure of every finished cell."""
        wanted = asked(event)
        try:
            id = visit_of(self.lab, request).sweep(str(wanted.get("id"))).id
            values = self.lab.history.measured(id, str(wanted.get("name")))
        except SvdlabError as error:
            return grid.problem(error)
        return grid.answer(name=wanted.get("name"), values=sorted(values.items()))

    def pair(self, event: gr.EventData, request: gr.Request) -> dict[str, Any]:
        """Two chosen cells side by side on the Compare page."""
        try:
            made = visit_of(self.lab, request).pair(*marks.two(asked(event)))
        except SvdlabError as error:
            return grid.problem(error)
        return grid.answer(go=f"compare?compare={made.id}")

    def deliver(self, event: gr.EventData, request: gr.Request) -> dict[str, Any]:
        """What is seen of a sweep as a file the browser fetches."""
        wanted = asked(event)
        try:
            sweep = visit_of(self.lab, request).sweep(str(wanted.get("id")))
            view = grid.view_of(wanted.get("view"))
            name = file_name(sweep, str(wanted.get("kind")))
            path = hand_over(name, lambda path: write_sweep(self.lab, sweep, path, view))
        except (SvdlabError, OSError) as error:
            return grid.problem(error)
        return grid.answer(path=str(path), name=path.name)

    # What is told on the stream

    async def news(self, wanted: Wanted, watching: Watching) -> AsyncIterator[str]:
        """A sweep from where it is to its end: what changed, and what goes on with the cells being rendered."""
        sweep = await asyncio.to_thread(wanted.visit.sweep, wanted.id)
        shown: dict[int, tuple[str, str | None]] = {}
        last, told = "", time.monotonic()
        while not self.lab.live.closed:
            standing, now = await asyncio.to_thread(self._look, sweep.id)
            cells = [cell for cell in standing.cells if shown.get(cell.number) != (cell.state, cell.run)]
            shown.update({cell.number: (cell.state, cell.run) for cell in cells})
            said = message({self.grid: grid.changed(standing, cells, now)})
            if cells or said != last or time.monotonic() - told > QUIET_SECONDS:
                last, told = said, time.monotonic()
                yield said
            if standing.over:
                return
            await asyncio.sleep(LOOK_SECONDS)

    def _look(self, id: str) -> tuple[SweepStanding, dict[int, str]]:
        """How a sweep is, one look for all who follow it, and what its running cells do."""
        seen, standing = self._looks.get(id, (0.0, None))
        if standing is None or time.monotonic() - seen > LOOK_SECONDS / 2:
            standing = self.lab.sweeps.standing(id)
            now = time.monotonic()
            self._looks = {other: look for other, look in self._looks.items() if now - look[0] < 60}
            self._looks[id] = (now, standing)
        running = [cell for cell in standing.cells if cell.state == "running" and cell.run]
        return standing, {cell.number: self.lab.live.present(cell.run or "").text for cell in running}

    # Wiring

    def wire(self, app: gr.Blocks) -> None:
        """Who calls what."""
        self.controls.wire()
        form = [self.picture.component, *self.controls.inputs, self.axes]
        page = [*form, self.controls.refused, self.plan, self.grid, self.following, self.answer]
        self.picture.wire(self.take, [self.picture.component], page)
        changed = [component.change for component in form]
        gr.on(changed, self.advise, form, self.plan, trigger_mode="always_last", **QUIET)
        gr.on([self.go.click, self.controls.knobs.submit, self.axes.submit], self.start, form, page, **EACH)
        self.axes.keep(self.keep, self.picture.component, self.kept, **EACH)
        self.grid.control(self.control, None, page, **EACH)
        self.grid.full(self.full, None, page, **EACH)
        self.grid.sheets(self.cut, None, self.sheets, **EACH)
        self.grid.measure(self.measure, None, self.measured, **EACH)
        self.grid.pair(self.pair, None, self.answer, **EACH)
        self.grid.deliver(self.deliver, None, self.answer, **EACH)
        app.load(self.open, None, [*form, self.grid, self.following], **QUIET)
        app.load(self.controls.first_advice, self.controls.inputs, self.controls.advice, **QUIET)


def build(lab: Lab, app: gr.Blocks) -> SweepPage:
    """Components, handlers, wiring; inside the app's Blocks."""
    page = SweepPage(lab)
    page.lay_out()
    page.wire(app)
    return page


PAGE = Page("Sweep", "sweep", build, place=3)
