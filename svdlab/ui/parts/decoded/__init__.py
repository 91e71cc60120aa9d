"""The answer to decoding a run again: the page goes on to the comparison of the two, or says why not."""

from __future__ import annotations

import time
from typing import Any

import gradio as gr

from svdlab.ui.parts.element import element


def build(name: str) -> gr.HTML:
    """The element; `name` is its id on the page."""
    return element("decoded", {}, name=name)


def go(address: str) -> dict[str, Any]:
    """The page goes there."""
    return {"asked": time.time(), "go": address}


def problem(text: str) -> dict[str, Any]:
    """Why it was not decoded again."""
    return {"asked": time.time(), "error": text}
