"""Who is looking: what this browser has asked for, and what may be seen of the rest.

Knows the browser's storage and asks the lab; nothing of pages. What comes from a browser is untrusted.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import gradio as gr

from svdlab.errors import NotFound
from svdlab.lab.lab import Lab
from svdlab.recipes.records import Comparison, Run

KEPT_IDS = 60  # what a browser remembers of its own runs, and of its own comparisons
SECRET = "svdlab"  # the same for every start: what a browser keeps outlives the server

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
    if lab.policy.see_all_runs:
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
    if lab.policy.see_all_runs:
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
