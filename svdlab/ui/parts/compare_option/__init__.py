"""Whether each side makes the frame count it was trained for, and what that count is."""

from __future__ import annotations

from typing import Any

import gradio as gr

from svdlab.recipes.checkpoint import Checkpoint
from svdlab.ui.parts.element import element


def build(name: str) -> gr.HTML:
    """The element; its value is `chosen`'s."""
    return element("compare_option", value(False), name=name)


def value(on: bool) -> dict[str, Any]:
    """Ticked or not."""
    return {"on": on}


def chosen(value: Any) -> bool:
    """Whether it is ticked, from the page's untrusted value."""
    return isinstance(value, dict) and value.get("on") is True


def native_frames(a: Checkpoint, b: Checkpoint) -> dict[str, str]:
    """What stands under it, ticked and not."""
    if a.native_frames == b.native_frames:
        both = f"Both were trained on {a.native_frames} frames."
        return {"on": both, "off": both}
    counts = f"A was trained on {a.native_frames} frames, B on {b.native_frames}"
    shared = min(a.native_frames, b.native_frames)
    return {"on": f"{counts}; only the first {shared} can be put side by side.", "off": f"{counts}."}
