"""What makes a page follow a run, a comparison or downloads on the server's event stream (`svdlab.ui.stream`).

Knows what is followed by name; nothing of how it is told or shown.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import gradio as gr

from svdlab.ui.parts.element import element

_turns = itertools.count(1)


def build(name: str) -> gr.HTML:
    """The element, of which nothing is seen; `name` is its id on the page."""
    return element("follow", None, name=name)


def value(page: str, id: str = "", before: bool = False, mine: Iterable[str] = ()) -> dict[str, Any]:
    """Follows something from now on: new each time, so that following the same again is a change.

    `before` says that it was rendered earlier; `mine` are the visitor's own ids, where those are all that is shown.
    """
    return {"page": page, "id": id, "before": before, "mine": list(mine), "turn": next(_turns)}
