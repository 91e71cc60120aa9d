"""History: every run and comparison found again, marked, exported, put into the bin; or a wall of clips in step.

Handlers parse, ask the lab and show. What is looked for stands in the page's address, so that going back finds it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr

from svdlab.errors import BadInput, SvdlabError
from svdlab.exchange import tables
from svdlab.history.search import RunQuery
from svdlab.lab.lab import Lab
from svdlab.lab.visit import Visit
from svdlab.recipes.records import Comparison, Run
from svdlab.ui.frame import Page
from svdlab.ui.handover import hand_over
from svdlab.ui.identity import visit_of
from svdlab.ui.parts import gallery, marks, wall
from svdlab.ui.parts.element import EACH, QUIET, asked
from svdlab.ui.parts.gallery import room
from svdlab.ui.parts.gallery.filters import choices, exports, read_query
from svdlab.ui.visitor import kept_ids, own_comparisons, own_runs, with_own
from svdlab.ui.words import sentence

TILES = 48  # a page of the gallery


class HistoryPage:
    """The page's parts and handlers."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.gallery: gr.HTML
        self.wall: gr.HTML
        self.mine: gr.BrowserState
        self.my_pairs: gr.BrowserState

    def lay_out(self) -> None:
        """Everything on the page; what the address does not ask for stays hidden."""
        self.mine = own_runs()
        self.my_pairs = own_comparisons()
        self.gallery = gallery.build("history-gallery")
        self.wall = wall.build("history-wall")

    # Handlers

    def open(self, mine: Any, pairs: Any, request: gr.Request) -> dict[Any, Any]:
        """A visit: a wall, or the gallery as the address asks for it; a run has a page of its own."""
        query, visit = dict(request.query_params) if request else {}, visit_of(self.lab, request)
        if query.get("run"):
            return {self.gallery: _news(instead=f"run?run={quote(query['run'])}")}
        try:
            if query.get("wall"):
                return {self.wall: wall.value(visit, str(query["wall"]).split(",")), self.gallery: {}}
        except SvdlabError as error:
            return {self.gallery: {**self.page(visit, {}, mine, pairs), "error": sentence(error)}}
        return {self.gallery: self.page(visit, query, mine, pairs)}

    def find(self, mine: Any, pairs: Any, event: gr.EventData, request: gr.Request) -> dict[str, Any]:
        """The first page of another search, or the next page of this one."""
        wanted = asked(event)
        query, after = wanted.get("query"), wanted.get("after")
        texts = {str(name): str(given) for name, given in query.items()} if isinstance(query, dict) else {}
        visit = visit_of(self.lab, request)
        return self.page(visit, texts, mine, pairs, str(after) if after else None) | {
            "turn": wanted.get("turn")
        }

    def mark(self, event: gr.EventData, request: gr.Request) -> dict[str, Any]:
        """A star, rating, note or tag on runs and comparisons."""
        visit = visit_of(self.lab, request)
        return self._changed(visit, event, lambda ids: marks.put(visit, asked(event), ids))

    def discard(self, event: gr.EventData, request: gr.Request) -> dict[str, Any]:
        """Puts things into the bin."""
        visit = visit_of(self.lab, request)
        return self._changed(visit, event, visit.delete)

    def take_back(self, event: gr.EventData, request: gr.Request) -> dict[str, Any]:
        """Takes things out of the bin."""
        visit = visit_of(self.lab, request)
        return self._changed(visit, event, visit.take_back)

    def _changed(self, visit: Visit, event: gr.EventData, act: Callable[[list[str]], Any]) -> dict[str, Any]:
        """Does something to things of the gallery and says how they are now."""
        ids = marks.chosen(asked(event))
        try:
            act(ids)
            return _news(did=asked(event).get("did"), ids=ids, tiles=[self.tile_of(visit, id) for id in ids])
        except SvdlabError as error:
            return _news(error=sentence(error))

    def weigh(self, event: gr.EventData, request: gr.Request) -> dict[str, Any]:
        """What two chosen runs differ in, in one line."""
        ids = marks.chosen(asked(event))
        try:
            visit = visit_of(self.lab, request)
            a, b = (visit.run(id) for id in marks.two(asked(event)))
            said = self.lab.fairness(Comparison("", a, b, time.time()))
        except SvdlabError as error:
            return _news(ids=ids, differs=sentence(error))
        parts = said.differences if said.differences else ("same picture, settings and noise",)
        line = " ".join(sentence(Exception(part)) for part in (*parts, *said.remarks))
        names = [self.lab.name(run) for run in (a, b)]
        return _news(ids=ids, differs=line if len(set(names)) < 2 else f"{' | '.join(names)}: {line}")

    def pair(self, pairs: Any, event: gr.EventData, request: gr.Request) -> tuple[dict[str, Any], list[str]]:
        """Puts two chosen runs side by side on the Compare page."""
        kept = kept_ids(pairs)
        try:
            made = visit_of(self.lab, request).pair(*marks.two(asked(event)))
        except SvdlabError as error:
            return _news(error=sentence(error)), kept
        return _news(go=f"compare?compare={made.id}"), with_own(made.id, kept)

    def export(self, event: gr.EventData, request: gr.Request) -> dict[str, Any]:
        """Chosen runs as a file the browser fetches."""
        try:
            visit = visit_of(self.lab, request)
            runs = [run for id in marks.chosen(asked(event)) for run in self.runs_of(visit, id)]
            path = self._exported(list({run.id: run for run in runs}.values()), str(asked(event).get("as")))
        except (SvdlabError, OSError) as error:
            return _news(error=sentence(error))
        return _news(path=str(path), name=path.name)

    def _exported(self, runs: list[Run], kind: str) -> Path:
        def write(path: Path) -> None:
            if kind == "zip":
                tables.write_zip(self.lab, runs, path)
            else:
                tables.write_table(runs, path, kind)

        if kind not in (*tables.FORMATS, "zip"):
            raise BadInput(f"export as {', '.join(tables.FORMATS)} or zip")
        return hand_over(f"svdlab-{datetime.now():%Y-%m-%d-%H%M}.{kind}", write)

    def measure(self, request: gr.Request) -> dict[str, Any]:
        """How much room everything takes."""
        if not visit_of(self.lab, request).allows("see_the_machine"):
            return _news(disk="")
        return _news(disk=room.said(self.lab))

    # What the gallery shows

    def page(
        self, visit: Visit, asked_for: Mapping[str, Any], mine: Any, pairs: Any, after: str | None = None
    ) -> dict[str, Any]:
        """A page of tiles for what the address or the filters ask for."""
        kind = "comparisons" if asked_for.get("kind") == "comparisons" else "clips"
        everything = visit.allows("see_all_runs")
        value: dict[str, Any] = {
            "asked": time.time(),
            "kind": kind,
            "shared": not everything,
            "exports": exports(),
            "tiles": [],
            "next": None,
            "choices": choices(self.lab) if after is None and everything else None,
            "query": {name: str(given) for name, given in asked_for.items() if given},
            "more": after is not None,
        }
        try:
            query = read_query(asked_for)
            found = (
                self._found(visit, kind, query, after) if everything else self._own(visit, kind, mine, pairs)
            )
            return value | found
        except SvdlabError as error:
            return value | {"error": sentence(error)}

    def _found(self, visit: Visit, kind: str, query: RunQuery, after: str | None) -> dict[str, Any]:
        if kind == "comparisons":
            pairs = visit.find_comparisons(query, after, TILES)
            tiles = [gallery.pair_tile(self.lab, pair) for pair in pairs.comparisons]
            return {"tiles": tiles, "next": pairs.next}
        page = visit.find(query, after, TILES)
        tiles = [gallery.run_tile(self.lab, run, query.sort) for run in page.runs]
        return {"tiles": tiles, "next": page.next, "count": visit.count(query)}

    def _own(self, visit: Visit, kind: str, mine: Any, pairs: Any) -> dict[str, Any]:
        """On a public lab: what this visitor asked for or was handed, and nothing else."""
        if kind == "comparisons":
            found = visit.latest_comparisons(TILES, kept_ids(pairs))
            return {"tiles": [gallery.pair_tile(self.lab, pair) for pair in found]}
        runs = visit.latest_runs(TILES, kept_ids(mine))
        return {"tiles": [gallery.run_tile(self.lab, run) for run in runs]}

    def tile_of(self, visit: Visit, id: str) -> dict[str, Any]:
        """The tile of a run or comparison by its id. Raises `NotFound`."""
        found = visit.either(id)
        return (
            gallery.run_tile(self.lab, found)
            if isinstance(found, Run)
            else gallery.pair_tile(self.lab, found)
        )

    def runs_of(self, visit: Visit, id: str) -> list[Run]:
        """A run, or a comparison's two, by its id. Raises `NotFound`."""
        found = visit.either(id)
        return [found] if isinstance(found, Run) else [found.a, found.b]

    # Wiring

    def wire(self, app: gr.Blocks) -> None:
        """Who calls what."""
        ids = [self.mine, self.my_pairs]
        self.gallery.find(self.find, ids, self.gallery, **EACH)
        self.gallery.mark(self.mark, None, self.gallery, **EACH)
        self.gallery.discard(self.discard, None, self.gallery, **EACH)
        self.gallery.take_back(self.take_back, None, self.gallery, **EACH)
        self.gallery.weigh(self.weigh, None, self.gallery, **EACH)
        self.gallery.pair(self.pair, self.my_pairs, [self.gallery, self.my_pairs], **EACH)
        self.gallery.deliver(self.export, None, self.gallery, **EACH)
        self.gallery.measure(self.measure, None, self.gallery, **EACH)
        app.load(self.open, ids, [self.gallery, self.wall], **QUIET)


def _news(**news: Any) -> dict[str, Any]:
    """The gallery's value for what came of one thing that was done."""
    return {"asked": time.time(), "news": news}


def build(lab: Lab, app: gr.Blocks) -> HistoryPage:
    """Components, handlers, wiring; inside the app's Blocks."""
    page = HistoryPage(lab)
    page.lay_out()
    page.wire(app)
    return page


PAGE = Page("History", "history", build, place=5)
