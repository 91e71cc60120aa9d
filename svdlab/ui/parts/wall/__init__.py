"""A wall of clips that play in step, each with what sets it apart. Knows the lab; nothing of the page's wiring."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from svdlab.errors import BadInput
from svdlab.lab.visit import Visit
from svdlab.recipes.settings import KNOBS
from svdlab.ui.parts.element import element
from svdlab.ui.words import knob_words

MOST_CLIPS = 12


def build(name: str) -> gr.HTML:
    """The element; `name` is its id on the page."""
    return element("wall", {}, name=name, before=("player/frames.js",))


def value(visit: Visit, ids: Sequence[str]) -> dict[str, Any]:
    """Clips to play in step, each with what sets it apart. Raises `SvdlabError`."""
    lab = visit.lab
    runs = [visit.run(id) for id in ids[: MOST_CLIPS + 1]]
    if len(runs) > MOST_CLIPS:
        raise BadInput(f"at most {MOST_CLIPS} clips play together; choose fewer")
    runs = [run for run in runs if run.done and run.video.is_file()]
    if not runs:
        raise BadInput("none of these runs has a clip to play")
    apart = [name for name in KNOBS if len({str(getattr(run.settings, name)) for run in runs}) > 1]
    checkpoints = len({run.recipe.checkpoint for run in runs}) > 1
    pictures = len({run.recipe.picture_sha256 for run in runs}) > 1
    clips = []
    for run in runs:
        words = [lab.name(run)] if checkpoints or not apart else []
        words += [f"{KNOBS[name].label} {knob_words(run, name)}" for name in apart]
        s = run.settings
        clips.append(
            {
                "id": run.id,
                "path": str(run.video),
                "frames": s.num_frames,
                "shape": s.width / s.height,
                "label": ", ".join(words),
            }
        )
    said = "Same picture." if not pictures else "Different pictures."
    return {"clips": clips, "fps": runs[0].settings.effective_playback_fps, "said": said}
