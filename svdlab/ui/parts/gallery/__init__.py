"""The gallery: runs and comparisons as tiles, with the filters they are found by and what is done with chosen ones.

Knows the lab's words and small pictures; nothing of the page's wiring.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from svdlab.lab.lab import Lab
from svdlab.recipes.records import Comparison, Run
from svdlab.ui.parts import marks
from svdlab.ui.parts.compare_result import names
from svdlab.ui.parts.element import element
from svdlab.ui.parts.gallery.filters import sort_line
from svdlab.ui.parts.picture.small import thumbnail
from svdlab.ui.words import STATE_WORDS


def build(name: str) -> gr.HTML:
    """The element; `name` is its id on the page."""
    return element("gallery", {}, name=name)


def run_tile(lab: Lab, run: Run, sort: str = "created") -> dict[str, Any]:
    """One run as the gallery shows it."""
    s = run.settings
    return {
        **marks.of(run),
        "href": f"run?run={run.id}",
        "state": run.state,
        "words": STATE_WORDS[run.state],
        "posters": [str(run.poster)] if run.done else [],
        "picture": "" if run.done else thumbnail(run.picture),
        "video": str(run.video) if run.done else "",
        "shape": s.width / s.height,
        "title": lab.name(run),
        "line": f"bucket {s.motion_bucket_id} · {s.fps} fps · {s.num_frames} frames · seed {s.seed}",
        "key": sort_line(run, sort),
    }


def pair_tile(lab: Lab, pair: Comparison) -> dict[str, Any]:
    """One comparison as the gallery shows it."""
    s = pair.a.settings
    done = pair.a.done and pair.b.done
    unfinished = next((run.state for run in (pair.a, pair.b) if not run.done), "done")
    return {
        **marks.of(pair),
        "href": f"compare?compare={pair.id}",
        "state": unfinished,
        "words": STATE_WORDS[unfinished],
        "posters": [str(pair.a.poster), str(pair.b.poster)] if done else [],
        "picture": "" if done else thumbnail(pair.a.picture),
        "video": "",
        "shape": s.width / s.height,
        "title": " | ".join(names(lab, pair)),
        "line": f"bucket {s.motion_bucket_id} · {s.fps} fps · {s.num_frames} frames · seed {s.seed}",
        "key": "",
    }
