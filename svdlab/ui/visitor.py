"""Who is looking: what this browser has asked for.

Knows the browser's storage; nothing of pages. What comes from a browser is untrusted: its ids open no more than any
address does (`svdlab.lab.visit`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import gradio as gr

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
