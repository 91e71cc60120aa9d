"""What varies in a sweep, row by row: a name, its values as they are typed, and whether it goes with the row above.

Knows axes and how they are written; nothing of runs.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from svdlab.errors import BadInput, SvdlabError
from svdlab.lab.lab import Lab
from svdlab.recipes.axes import PARTS, Axis, axis_of
from svdlab.recipes.ready_sweeps import READY
from svdlab.recipes.settings import KNOBS
from svdlab.recipes.sweeps import MAX_DIMENSIONS, Grid, grid_of, rule_text
from svdlab.ui.parts.element import data, element, markup

MOST_ROWS = 2 * MAX_DIMENSIONS
FIRST = "bucket-ladder"


class RowError(BadInput):
    """A row of the editor is wrong; `row` counts from 0."""

    def __init__(self, message: str, row: int) -> None:
        super().__init__(message)
        self.row = row


def build(name: str, lab: Lab) -> gr.HTML:
    """The element; it triggers `change`, and `keep` to have the page's picture added to an axis of pictures."""
    names = [[key, label] for key, label in PARTS.items()] + [
        [key, knob.label] for key, knob in KNOBS.items()
    ]
    a, b = (one.id for one in lab.catalogue.pair())
    ready = [
        {"id": one.id, "name": one.name, "summary": one.summary, "rows": _rows(one.texts((a, b)))}
        for one in READY
    ]
    hints = {
        "checkpoint": [[one.id, one.name] for one in lab.catalogue],
        "lora": [["none", "none"], *([one.id, one.id] for one in lab.loras)],
        "preset": [[one.id, one.name] for one in lab.presets],
        **{key: [[word, word] for word in knob.choices] for key, knob in KNOBS.items() if knob.choices},
    }
    template = (
        markup("axes")
        .replace("{names}", data(names))
        .replace("{ready}", data(ready))
        .replace("{hints}", data(hints))
    )
    first = next(one for one in ready if one["id"] == FIRST)
    return element("axes", {"rows": first["rows"], "skip": ""}, template=template, name=name)


def _rows(texts: tuple[tuple[str, str], ...]) -> list[dict[str, Any]]:
    return [{"name": name, "values": values, "with": False} for name, values in texts]


def value(grid: Grid) -> dict[str, Any]:
    """The rows of a grid."""
    rows = []
    for together in grid.dimensions:
        for place, axis in enumerate(together):
            row: dict[str, Any] = {"name": axis.name, "values": axis.text, "with": place > 0}
            if axis.name == "picture":
                row["pictures"] = [list(one) for one in zip(map(str, axis.values), axis.labels, strict=True)]
            rows.append(row)
    return {"rows": rows, "skip": "\n".join(map(rule_text, grid.skip))}


def read(lab: Lab, given: Any) -> Grid:
    """The grid of untrusted rows. Raises `RowError` for what is wrong in one of them, `BadInput`."""
    given = given if isinstance(given, dict) else {}
    rows = [row for row in given.get("rows") or [] if isinstance(row, dict)]
    if len(rows) > MOST_ROWS:
        raise BadInput(f"a sweep may have {MOST_ROWS} rows of values, got {len(rows)}")
    axes: list[Axis] = []
    together: list[list[str]] = []
    for place, row in enumerate(rows):
        try:
            axis = _axis(lab, row)
        except SvdlabError as error:
            raise RowError(str(error), place) from None
        axes.append(axis)
        if row.get("with") and place:
            together[-1].append(axis.name)
        else:
            together.append([axis.name])
    skip = str(given.get("skip") or "").splitlines()
    return grid_of(axes, [names for names in together if len(names) > 1], skip)


def _axis(lab: Lab, row: dict[str, Any]) -> Axis:
    name = str(row.get("name"))
    if name != "picture":
        return axis_of(name, str(row.get("values") or ""))
    kept = [(str(one[0]), str(one[1])[:80]) for one in row.get("pictures") or [] if len(one) == 2]
    for sha256, _ in kept:
        lab.picture(sha256)
    return Axis("picture", tuple(sha256 for sha256, _ in kept), tuple(label for _, label in kept))
