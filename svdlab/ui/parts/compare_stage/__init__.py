"""Where both clips will be: the picture as both models will see it; above the player, which side is missing and why.

Knows comparisons and checkpoints' states; nothing of the lab.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from svdlab.recipes.records import Comparison, Run
from svdlab.ui.parts.element import element
from svdlab.ui.words import STATE_WORDS, sentence

PLAYING = {"mode": "shown"}  # the stage gives its place to the player


def build(name: str) -> gr.HTML:
    """The element; `name` is its id on the page."""
    return element("compare_stage", {"mode": "idle"}, name=name, before=("picture/fitting.js",))


def nothing(text: str) -> dict[str, Any]:
    """Nothing to play, and why."""
    return {"mode": "idle", "sentence": text}


def unrendered(pair: Comparison) -> dict[str, Any]:
    """A comparison that is over without a clip."""
    same = pair.a.state == pair.b.state and pair.a.error == pair.b.error
    lines = (
        [_ended(pair.a)]
        if same
        else [f"{letter}: {_ended(run)}" for letter, run in (("A", pair.a), ("B", pair.b))]
    )
    return nothing(" ".join(lines)) | {"comparison": pair.id, "action": _action(pair)}


def problems(pair: Comparison) -> dict[str, Any]:
    """What is said above the one clip there is; nothing if there are two."""
    sides = (("A", pair.a), ("B", pair.b))
    lines = [f"{letter} was not rendered. {_ended(run)}" for letter, run in sides if not run.done]
    return PLAYING | {"comparison": pair.id, "problems": lines, "action": _action(pair)}


def _ended(run: Run) -> str:
    return sentence(Exception(run.error or STATE_WORDS[run.state]))


def _action(pair: Comparison) -> str:
    states = {pair.a.state, pair.b.state} - {"done"}
    if not states:
        return ""
    return "resume" if "interrupted" in states else "again"
