"""The line beside the button: how long it will take, what differs from the preset; hands notes to the controls."""

from __future__ import annotations

import gradio as gr

from svdlab.ui.parts.element import element


def build(name: str) -> gr.HTML:
    """The element; it triggers `reset`."""
    return element("advice", {}, name=name)
