"""The button between the two choosers: A becomes B and B becomes A."""

from __future__ import annotations

import gradio as gr

from svdlab.ui.parts.element import element


def build(name: str) -> gr.HTML:
    """The element; it triggers `swap`."""
    return element("compare_swap", name=name)
