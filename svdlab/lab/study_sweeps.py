"""A sweep over checkpoints read as a study: its cells pair up where all but the checkpoint is equal.

Knows the lab's sweeps and studies; nothing of screens.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from svdlab.errors import BadInput, NotFound
from svdlab.lab.studies import Made, StudyPair, as_measured_today
from svdlab.recipes.axes import Axis
from svdlab.recipes.records import Run
from svdlab.recipes.sweeps import CellStanding, Sweep

if TYPE_CHECKING:
    from svdlab.lab.lab import Lab

SIDES = "checkpoint"  # the axis whose values are held against each other
APART = ("picture", "seed")  # axes that a pair is one of; all others are settings that are asked under
Key = tuple[object, ...]


def sides_of(sweep: Sweep) -> tuple[str, ...]:
    """The checkpoints that a sweep's cells can be held against each other by; empty where it varies none."""
    found = next((axis.values for axis in sweep.grid.axes if axis.name == SIDES), ())
    return tuple(map(str, found)) if len(found) > 1 else ()


def made_in(lab: Lab, sweep: Sweep, cells: Iterable[CellStanding], a: str, b: str) -> list[Made]:
    """The pairs of two checkpoints that are finished on both sides, measured as today's are.

    Raises `BadInput` where the sweep does not have both.
    """
    sides = sides_of(sweep)
    if a == b or not {a, b} <= set(sides):
        raise BadInput("choose two of this study's checkpoints")
    found: dict[Key, dict[str, Run]] = {}
    for standing in cells:
        cell = sweep.grid.cell(sweep.grid.place(standing.number))
        side = str(cell.values[SIDES])
        if standing.state != "done" or not standing.run or side not in (a, b):
            continue
        with suppress(NotFound):  # deleted meanwhile
            run = lab.history.get(standing.run)
            key = tuple(value for name, value in cell.values.items() if name != SIDES)
            found.setdefault(key, {})[side] = run
    whole = {key: runs for key, runs in found.items() if len(runs) == 2}
    fresh = as_measured_today(lab, [run for runs in whole.values() for run in runs.values()])
    return [
        Made(_pair(lab, sweep, dict(zip(_others(sweep), key, strict=True)), *both), *both)
        for key, runs in whole.items()
        if all(runs[side].id in fresh for side in (a, b))
        for both in [(fresh[runs[a].id], fresh[runs[b].id])]
    ]


def _others(sweep: Sweep) -> list[str]:
    return [axis.name for axis in sweep.grid.axes if axis.name != SIDES]


def _pair(lab: Lab, sweep: Sweep, values: dict[str, object], a: Run, b: Run) -> StudyPair:
    """What a pair has in common, in words where it is a setting."""
    said = []
    for axis in sweep.grid.axes:
        if axis.name not in (SIDES, *APART):
            at = axis.values.index(values[axis.name])
            said.append(_named(lab, axis, at))
    preset = values.get("preset", sweep.preset)
    return StudyPair(
        ", ".join(said) or "The study's settings",
        str(preset) if preset else None,
        a.recipe.picture_sha256,
        a.settings.drawn_seed,
        a.recipe,
        b.recipe,
    )


def _named(lab: Lab, axis: Axis, at: int) -> str:
    if axis.name == "preset":
        return lab.presets.get(str(axis.values[at])).name
    return f"{axis.label} {axis.shown(at)}"
