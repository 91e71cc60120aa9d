"""A line under the button: what of the device's memory a run would take, and how it would fit."""

from __future__ import annotations

import gradio as gr

from svdlab.recipes.plan import Plan
from svdlab.ui.parts.element import element


def build(name: str) -> gr.HTML:
    """The element; its value is `value`'s."""
    return element("forecast", value(None), name=name)


def value(plan: Plan | None) -> dict[str, str]:
    """A small clip that is rendered in the fastest way anyhow needs no line."""
    return {"line": plan.sentence if plan is not None and (plan.counted or plan.how) else ""}
