"""Run: one run on a page of its own, with its player, what was measured, where it comes from and the marks on it.

Handlers parse, ask the lab and show. Other pages lead here (`run?run=<id>`); the navigation shows History.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from svdlab.errors import SvdlabError
from svdlab.lab.lab import Lab
from svdlab.lab.visit import Visit
from svdlab.recipes.records import Run
from svdlab.ui.frame import Page
from svdlab.ui.identity import visit_of
from svdlab.ui.parts import marks, run
from svdlab.ui.parts.element import EACH, QUIET, asked
from svdlab.ui.parts.player import ComparePlayer
from svdlab.ui.parts.player.clips import of_run
from svdlab.ui.words import sentence


class RunPage:
    """The page's parts and handlers."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.player: ComparePlayer
        self.view: gr.HTML

    def lay_out(self) -> None:
        """The player, and beside it the run in words and numbers."""
        with gr.Column(elem_classes="run-page", elem_id="run-page"):
            with gr.Column(elem_classes="run-left"):
                self.player = ComparePlayer(sides=1, elem_id="run-player", elem_classes="lab-player")
            self.view = run.build("run-view")

    # Handlers

    def open(self, request: gr.Request) -> dict[Any, Any]:
        """A visit: the run of the address, or why there is none."""
        id = request.query_params.get("run", "") if request else ""
        try:
            visit = visit_of(self.lab, request)
            return self.shown(visit, visit.run(id))
        except SvdlabError as error:
            return {self.view: run.nothing(sentence(error))}

    def shown(self, visit: Visit, found: Run) -> dict[Any, Any]:
        """A run and its clip."""
        shown: dict[Any, Any] = {self.view: run.value(visit, found)}
        if found.done and found.video.is_file():
            shown[self.player] = of_run(found)
        return shown

    def mark(self, event: gr.EventData, request: gr.Request) -> dict[str, Any]:
        """A star, rating, note or tag."""
        visit = visit_of(self.lab, request)
        return self._changed(visit, event, lambda ids: marks.put(visit, asked(event), ids))

    def discard(self, event: gr.EventData, request: gr.Request) -> dict[str, Any]:
        """Puts the run into the bin."""
        visit = visit_of(self.lab, request)
        return self._changed(visit, event, visit.delete)

    def take_back(self, event: gr.EventData, request: gr.Request) -> dict[str, Any]:
        """Takes the run out of the bin."""
        visit = visit_of(self.lab, request)
        return self._changed(visit, event, visit.take_back)

    def _changed(self, visit: Visit, event: gr.EventData, act: Callable[[list[str]], Any]) -> dict[str, Any]:
        """Does something to the run of the page and shows it as it is then."""
        id = str(asked(event).get("id"))
        problem = {}
        try:
            act([id])
        except SvdlabError as error:
            problem = {"problem": sentence(error)}
        try:
            return run.value(visit, visit.run(id)) | problem
        except SvdlabError as error:
            return run.nothing(sentence(error))

    # Wiring

    def wire(self, app: gr.Blocks) -> None:
        """Who calls what."""
        self.view.mark(self.mark, None, self.view, **EACH)
        self.view.discard(self.discard, None, self.view, **EACH)
        self.view.take_back(self.take_back, None, self.view, **EACH)
        app.load(self.open, None, [self.view, self.player], **QUIET)


def build(lab: Lab, app: gr.Blocks) -> RunPage:
    """Components, handlers, wiring; inside the app's Blocks."""
    page = RunPage(lab)
    page.lay_out()
    page.wire(app)
    return page


PAGE = Page("Run", "run", build, within="history")
