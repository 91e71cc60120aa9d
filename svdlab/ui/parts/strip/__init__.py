"""The latest runs or comparisons as a row of tiles. Knows runs and their events; nothing of the lab."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from svdlab.recipes.events import Event
from svdlab.recipes.records import Comparison, Run
from svdlab.ui.parts.element import element, escape, markup
from svdlab.ui.parts.picture.small import thumbnail
from svdlab.ui.parts.stage import fraction
from svdlab.ui.words import STATE_WORDS, ago

# Of two runs the state that says most: rendering before waiting, a failure before a success.
TELLING = ("running", "queued", "failed", "interrupted", "cancelled", "done")


def build(name: str, title: str) -> gr.HTML:
    """The element; `name` is its id on the page."""
    return element("strip", {}, template=markup("strip").replace("{title}", escape(title)), name=name)


def value(tiles: Sequence[dict[str, Any]], open: str = "") -> dict[str, Any]:
    """Tiles in a row, the open one framed; interrupted ones are offered to be resumed."""
    interrupted = [tile["id"] for tile in tiles if tile["interrupted"]]
    return {"open": open, "runs": list(tiles), "interrupted": interrupted}


def moved(event: Event) -> dict[str, Any]:
    """What moves the bar of a run's tile, in a message of the stream."""
    return {"moved": {event.run_id: fraction(event)}}


def standing(event: Event) -> str:
    """The word on a run's tile: while it is another one, the bar alone moves."""
    return event.kind if event.final or event.kind == "queued" else "running"


def run_tile(run: Run, title: str) -> dict[str, Any]:
    """One run."""
    s = run.settings
    return {
        "id": run.id,
        "state": run.state,
        "interrupted": run.state == "interrupted",
        "words": STATE_WORDS[run.state],
        "poster": str(run.poster) if run.done else "",
        "picture": "" if run.done else thumbnail(run.picture),
        "title": title,
        "line": f"bucket {s.motion_bucket_id} · {s.fps} fps",
        "when": ago(run.created),
        "fraction": run.step / s.num_inference_steps,
    }


def pair_tile(pair: Comparison, title: str) -> dict[str, Any]:
    """One comparison."""
    sides, s = (pair.a, pair.b), pair.a.settings
    done = next((run for run in sides if run.done), None)
    state = min((run.state for run in sides), key=TELLING.index)
    return {
        "id": pair.id,
        "state": state,
        "interrupted": any(run.state == "interrupted" for run in sides),
        "words": STATE_WORDS[state],
        "poster": str(done.poster) if done else "",
        "picture": "" if done else thumbnail(pair.a.picture),
        "title": title,
        "line": f"bucket {s.motion_bucket_id} · {s.fps} fps · seed {s.seed}",
        "when": ago(pair.created),
        "fraction": sum(1 if r.done else r.step / r.settings.num_inference_steps for r in sides) / 2,
    }
