"""What a sweep will be, beside the button that starts it: cells, what of them is there, what is refused, what it takes.

Knows plans as words; nothing of how they are made.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from svdlab.lab.sweep_plans import Plan
from svdlab.recipes.sweeps import Grid
from svdlab.ui.parts.axes import RowError
from svdlab.ui.parts.element import element
from svdlab.ui.words import sentence
from svdlab.words import counted, duration, size

MOST_REASONS = 5


def build(name: str) -> gr.HTML:
    """The element; what it shows is also told to the rows."""
    return element("plan", {}, name=name)


def value(plan: Plan) -> dict[str, Any]:
    """A plan in words."""
    parts = [f"{plan.reused:,} are there already"] if plan.reused else []
    parts += [f"{sum(plan.refused.values()):,} are refused"] if plan.refused else []
    parts += [f"{plan.left_out:,} are left out"] if plan.left_out else []
    takes = []
    if plan.to_render:
        spent = f"about {duration(plan.seconds)} and " if plan.seconds else "about "
        takes = [f"{plan.to_render:,} to render: {spent}{size(plan.bytes)}."]
    line = f"{len(plan.cells):,} {'cell' if len(plan.cells) == 1 else 'cells'}"
    reasons = [
        f"{counted(count, 'cell')}: {sentence(Exception(said))}" for said, count in list(plan.refused.items())
    ]
    more = len(reasons) - MOST_REASONS
    return {
        "line": " ".join([f"{', '.join([line, *parts])}.", *takes]),
        "reasons": reasons[:MOST_REASONS] + ([f"and {more} reasons more"] if more > 0 else []),
        "counts": counts(plan.grid),
    }


def too_many_to_look_up(grid: Grid) -> dict[str, Any]:
    """A grid that is looked through only when it is started."""
    said = f"{grid.size:,} cells. What of them is there already is looked up when it starts."
    return {"line": said, "counts": counts(grid)}


def counts(grid: Grid) -> Sequence[int]:
    """How many values each row has."""
    return [len(axis.values) for axis in grid.axes]


def problem(error: Exception) -> dict[str, Any]:
    """Why there is no plan; under its row, if it is one row's fault."""
    row = error.row if isinstance(error, RowError) else None
    return {"error": sentence(error), "row": row}
