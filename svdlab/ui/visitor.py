"""Who is looking: what this browser has asked for, which of it a page follows, and what may be seen of the rest.

Knows the browser's storage and asks the lab; nothing of pages. What comes from a browser is untrusted.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import gradio as gr

from svdlab.errors import BadInput, NotFound
from svdlab.lab.lab import Lab
from svdlab.recipes.records import Comparison, Run

KEPT_IDS = 60  # what a browser remembers of its own runs, and of its own comparisons
SECRET = "svdlab"  # the same for every start: what a browser keeps outlives the server

Permission = Literal["see_all_runs", "change_runs", "see_the_machine", "change_weights"]
REFUSALS: dict[Permission, str] = {
    "see_all_runs": "runs on a shared Space are private; ask for one by its id",
    "change_runs": "what is kept here belongs to everybody, so it cannot be changed",
    "see_the_machine": "this machine is not yours, so its folders are not shown",
    "change_weights": "the weights here belong to everybody, so they cannot be changed",
}


def may(lab: Lab, permission: Permission) -> bool:
    """Whether a visitor is allowed something; on a shared Space visitors are strangers to each other."""
    return not os.environ.get("SPACE_ID")


def must(lab: Lab, permission: Permission) -> None:
    """Raises `BadInput` with one sentence if that is not allowed."""
    if not may(lab, permission):
        raise BadInput(REFUSALS[permission])


def may_log_in(lab: Lab) -> bool:
    """Whether a visitor's own Hugging Face login can fetch gated weights."""
    return bool(os.environ.get("SPACE_ID") and os.environ.get("OAUTH_CLIENT_ID"))


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


def latest_runs(lab: Lab, ids: Iterable[str], count: int) -> list[Run]:
    """The latest runs this visitor may see, newest first; `ids` are the visitor's own."""
    if may(lab, "see_all_runs"):
        return lab.history.runs(limit=count)
    found = []
    for id in newest(ids):
        try:
            found.append(lab.history.get(id))
        except NotFound:
            continue
    return [run for run in found if run.deleted is None][:count]


def latest_comparisons(lab: Lab, ids: Iterable[str], count: int) -> list[Comparison]:
    """The latest comparisons this visitor may see, newest first; `ids` are the visitor's own."""
    if may(lab, "see_all_runs"):
        return lab.history.comparisons(limit=count)
    found = []
    for id in newest(ids):
        try:
            found.append(lab.history.comparison(id))
        except NotFound:
            continue
    return [pair for pair in found if pair.deleted is None][:count]


def newest(ids: Iterable[str]) -> list[str]:
    """Ids from the newest on: each begins with its time."""
    return sorted(set(ids), reverse=True)


# What a page follows


@dataclass
class Watching:
    """Which turn of following is the present one in a visitor's session; shared by the handlers running in it."""

    since: float = 0.0


def to_follow(id: str, before: bool = False) -> dict[str, Any]:
    """What makes a page follow a run or comparison: new each time, so that following the same again is a change.

    `before` says that it was rendered earlier.
    """
    return {"id": id, "before": before, "asked": time.time()}
