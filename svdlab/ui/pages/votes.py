"""Vote: two clips side by side, nobody knows which is which; the result when one asks for it.

Handlers parse, ask the lab and show. Votes live in the lab's history; what is open to be voted on, in its booth.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from svdlab.errors import SvdlabError
from svdlab.lab.lab import Lab
from svdlab.lab.votes import MOST_CHOSEN
from svdlab.recipes.votes import Scope
from svdlab.ui.frame import Page
from svdlab.ui.identity import visit_of
from svdlab.ui.parts import ballot, relay, verdict
from svdlab.ui.parts.element import EACH, QUIET, asked
from svdlab.ui.words import sentence


class Votes:
    """The page's parts and handlers."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.told: gr.HTML
        self.ballot: gr.HTML
        self.verdict: gr.HTML

    def lay_out(self) -> None:
        """Everything on the page, in reading order."""
        self.told = relay.build("votes-told", "ballot")
        with gr.Column(elem_classes="voting"):
            self.ballot = ballot.build("votes-ballot")
            self.verdict = verdict.build("votes-verdict")

    def open(self, request: gr.Request) -> dict[str, Any]:
        """A visit: the address's clips (`?runs=`), or all that differ in their checkpoint alone."""
        visit, query = visit_of(self.lab, request), request.query_params if request else {}
        try:
            chosen = Scope(runs=tuple(filter(None, query.get("runs", "").split(",")))[: MOST_CHOSEN + 1])
            if chosen.runs:
                visit.check_ballots(chosen)
                return ballot.value(self.lab, [], chosen)
            return ballot.value(self.lab, visit.contests(), None)
        except SvdlabError as error:
            return ballot.value(self.lab, [], None, sentence(error))

    def next(self, event: gr.EventData, request: gr.Request) -> dict[str, Any]:
        """Two clips that this sitting has not seen; none when it has seen all."""
        visit, wanted = visit_of(self.lab, request), asked(event)
        scope, sitting = ballot.meant(wanted)
        try:
            found = visit.ballot(scope, sitting, bool(wanted.get("fresh")))
            shown = ballot.pair(found) if found else None
            return {"kind": "pair", "pair": shown, "given": ballot.sitting_line(visit, scope, sitting)}
        except (SvdlabError, OSError) as error:
            return {"kind": "pair", "pair": None, "error": sentence(error)}

    def vote(self, event: gr.EventData, request: gr.Request) -> dict[str, Any]:
        """Takes what was said of two clips."""
        visit, wanted = visit_of(self.lab, request), asked(event)
        scope, sitting = ballot.meant(wanted)
        try:
            visit.vote(str(wanted.get("token")), str(wanted.get("answer")))
            return {"kind": "voted", "given": ballot.sitting_line(visit, scope, sitting)}
        except SvdlabError as error:
            return {"kind": "voted", "error": sentence(error)}

    def reveal(self, event: gr.EventData, request: gr.Request) -> dict[str, Any]:
        """What all votes say, and which clip stood where in this sitting's."""
        visit, wanted = visit_of(self.lab, request), asked(event)
        scope, sitting = ballot.meant(wanted)
        try:
            said = self.lab.booth.verdict(scope, visit.votes(scope))
            return verdict.value(said, visit.votes(scope, sitting))
        except SvdlabError as error:
            return {"headline": sentence(error), "lines": [], "bars": [], "votes": []}

    def wire(self) -> None:
        """Who calls what."""
        self.ballot.next(self.next, None, self.told, **EACH)
        self.ballot.vote(self.vote, None, self.told, **EACH)
        self.ballot.reveal(self.reveal, None, self.verdict, **EACH)


def build(lab: Lab, app: gr.Blocks) -> Votes:
    """Components, handlers, wiring; inside the app's Blocks."""
    page = Votes(lab)
    page.lay_out()
    page.wire()
    app.load(page.open, None, page.ballot, **QUIET)
    return page


PAGE = Page("Vote", "vote", build, place=4)
