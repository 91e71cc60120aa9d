"""Where a clip will be: the picture as the model will see it, the clip as it forms, or why there is none.

Gives its place to the player once there is a clip. Knows runs and their events; nothing of the lab.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from svdlab.recipes.events import Event
from svdlab.recipes.records import Run
from svdlab.ui.parts.element import element
from svdlab.ui.parts.picture.small import preview
from svdlab.ui.words import STATE_WORDS, sentence

BEFORE = ("picture/fitting.js",)


def build(name: str) -> gr.HTML:
    """The element; `name` is its id on the page."""
    return element("stage", {"mode": "idle"}, name=name, before=BEFORE)


def working(event: Event, width: int, height: int) -> dict[str, Any]:
    """While a run of that size in pixels waits or is rendered."""
    shown = {
        "mode": "working",
        "run": event.run_id,
        "text": event.text,
        "fraction": fraction(event),
        "width": width,
        "height": height,
    }
    return shown | {"preview": preview(event.preview)} if event.preview else shown


def shown(run: Run) -> dict[str, Any]:
    """The player has the place."""
    return {"mode": "shown", "run": run.id}


def unrendered(run: Run) -> dict[str, Any]:
    """A run that is over without a clip: why, and what can be done."""
    word = {"failed": run.error, "interrupted": run.error or "Interrupted before it was finished."}
    return nothing(sentence(Exception(word.get(run.state) or STATE_WORDS[run.state]))) | {
        "run": run.id,
        "action": "resume" if run.state == "interrupted" else "again",
    }


def nothing(text: str) -> dict[str, Any]:
    """Nothing to show, and why."""
    return {"mode": "ended", "sentence": text}


def fraction(event: Event) -> float:
    """How far a run is, 0 to 1; decoding counts as the last tenth."""
    part = event.step / event.steps if event.steps else 0.0
    match event.kind:
        case "step":
            return 0.9 * part
        case "decoding":
            return 0.9 + 0.1 * part
        case "saving" | "done":
            return 1.0
        case _:
            return 0.0
