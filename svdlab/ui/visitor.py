"""Who is looking: what this browser has asked for, and which of it a page follows.

Knows the browser's storage; nothing of pages. What comes from a browser is untrusted: its ids open no more than any
address does (`svdlab.lab.visit`).
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterable, Iterator
from typing import Any

import gradio as gr

KEPT_IDS = 60  # what a browser remembers of its own runs, and of its own comparisons
SECRET = "svdlab"  # the same for every start: what a browser keeps outlives the server
OUTLAST_SECONDS = 3.0  # how long the end of what was followed before is waited for
_turns = itertools.count(1)

# What this browser has asked for


def own_runs() -> gr.BrowserState:
    """The ids of a browser's own runs, newest first; the same on every page."""
    return gr.BrowserState([], storage_key="svdlab.runs", secret=SECRET)


def own_comparisons() -> gr.BrowserState:
    """The ids of a browser's own comparisons, newest first; the same on every page."""
    return gr.BrowserState([], storage_key="svdlab.comparisons", secret=SECRET)


def kept_ids(kept: Any) -> list[str]:
    """The ids a browser sent."""
    return [id for id in kept if isinstance(id, str)][:KEPT_IDS] if isinstance(kept, list) else []


def with_own(id: str, ids: Iterable[str]) -> list[str]:
    """The ids with one more in front."""
    return [id, *(other for other in ids if other != id)][:KEPT_IDS]


# What a page follows


class Watching:
    """Which turn of following is the present one in a visitor's session; shared by the handlers running in it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._turn = 0
        self._running: set[int] = set()

    def __deepcopy__(self, memo: Any) -> Watching:
        return Watching()  # a session of its own

    def take(self, turn: int, news: Iterable[dict[Any, Any]]) -> Iterator[dict[Any, Any]]:
        """The news of a turn, until the visitor takes another one; Gradio's own cancelling fails on what just ended.

        What an older turn was about to say may reach the page after the first news of this one: that is said again
        as soon as the older one is over.
        """
        with self._changed:
            self._turn = turn
            older = any(other < turn for other in self._running)
            self._running.add(turn)
        try:
            for one in news:
                if self._turn != turn:
                    return
                yield one
                if older:
                    self._outlast(turn)
                    older = False
                    yield one
        finally:
            with self._changed:
                self._running.discard(turn)
                self._changed.notify_all()

    def _outlast(self, turn: int) -> None:
        """Waits for the end of the turns before this one; those that do not end are given up."""
        with self._changed:
            self._changed.wait_for(lambda: turn <= min(self._running, default=turn), OUTLAST_SECONDS)
            self._running = {other for other in self._running if other >= turn}


def to_follow(id: str, before: bool = False) -> dict[str, Any]:
    """What makes a page follow a run or comparison: new each time, so that following the same again is a change.

    `before` says that it was rendered earlier.
    """
    return {"id": id, "before": before, "turn": next(_turns)}
