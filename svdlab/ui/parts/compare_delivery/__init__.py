"""The pair as one file, made when it is first asked for: that it is being made, then the file or why there is none."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import gradio as gr

from svdlab.ui.parts.element import element


def build(name: str) -> gr.HTML:
    """The element; `name` is its id on the page."""
    return element("compare_delivery", {}, name=name)


def file(path: Path) -> dict[str, Any]:
    """A file the browser fetches."""
    return {"asked": time.time(), "path": str(path), "name": path.name}


def problem(text: str) -> dict[str, Any]:
    """Why there is no file."""
    return {"asked": time.time(), "error": text}
