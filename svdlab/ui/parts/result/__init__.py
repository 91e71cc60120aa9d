"""What stands under one clip: its line, its recipe in words and as JSON, its files, and decoding it again.

Knows the lab; nothing of the page's wiring.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from svdlab.lab.examples import TAG
from svdlab.lab.lab import Lab
from svdlab.recipes.records import Run
from svdlab.recipes.settings import KNOBS
from svdlab.ui.parts.element import element
from svdlab.ui.words import clip_line, clip_words, effort_line, knob_words

DECODE_COUNTS = (1, 8)  # frames at once that a clip can be decoded again with, beside all


def build(name: str) -> gr.HTML:
    """The element; `name` is its id on the page."""
    return element("result", {}, name=name)


def value(lab: Lab, run: Run, before: bool = False) -> dict[str, Any]:
    """The line, the recipe in words and as JSON, and where the files are; `before` says it was rendered earlier."""
    preset = lab.preset_of(run)
    words = [
        ["Checkpoint", lab.label(run)],
        ["Preset", preset.name if preset else "Checkpoint's own"],
        *([knob.label, knob_words(run, name)] for name, knob in KNOBS.items()),
    ]
    return {
        "run": run.id,
        "line": clip_line(run),
        "measured": clip_words(run),
        "detail": " ".join(filter(None, (lab.label(run) + ".", effort_line(run)))),
        "note": _note(run, before),
        "words": words,
        "recipe": run.recipe.model_dump_json(indent=2),
        "video": str(run.video),
        "frames": str(run.frames_zip) if run.frames_zip.is_file() else "",
        "decode": decode_choices(lab, run),
    }


def _note(run: Run, before: bool) -> str:
    if before and TAG in run.tags:
        return "An example, rendered when this lab was first started."
    return "Rendered before." if before else ""


def decode_choices(lab: Lab, run: Run) -> dict[str, Any] | None:
    """What a run's latents can be decoded with; None if they were not kept."""
    source = lab.history.get(run.latents_of) if run.latents_of else run
    if not source.latents.is_file():
        return None
    counts = [n for n in DECODE_COUNTS if n < run.settings.num_frames]
    return {
        "decoders": list(lab.decoders(run.recipe.checkpoint)),
        "decoder": run.settings.decoder,
        "chunks": [["", f"all {run.settings.num_frames}"], *([str(n), str(n)] for n in reversed(counts))],
    }
