"""A sweep: a grid of changes to one base recipe. Which cells it has, in which order, and how it is kept as text.

Knows axes and records; nothing of checkpoints' limits, of databases, of models or of screens.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from svdlab.errors import BadInput
from svdlab.recipes.axes import Axis, known, label_of
from svdlab.recipes.records import Recipe, RunState
from svdlab.recipes.settings import KNOBS
from svdlab.recipes.terms import SIGNS, Term, Value, said, terms

MAX_CELLS = 20_000
MAX_DIMENSIONS = 6
MAX_RULES = 16
MAX_TEXT = 2 * 2**20  # bytes of a grid as it is kept

# What is dear to change, dearest first: cells are rendered with these outermost. What is not named here, and whose
# values are neither numbers nor choices, names something that is loaded, and comes behind the checkpoint.
DEAR = (
    "checkpoint",
    "lora",
    "decoder",
    "width",
    "height",
    "num_frames",
    "picture",
    "fit",
    "focus_x",
    "focus_y",
)

SweepState = Literal["active", "paused", "cancelled", "ended"]
CellState = RunState | Literal["waiting", "refused", "gone"]
Rule = tuple[Term, ...]  # all must hold of a cell that is left out


@dataclass(frozen=True)
class Cell:
    """One combination. `number` counts through the dimensions as they were given, the last one fastest."""

    number: int
    place: tuple[int, ...]  # which value of each dimension
    values: Mapping[str, Value]


@dataclass(frozen=True)
class Grid:
    """Dimensions that are crossed, each of one axis or of several that go together value by value.

    `skip` leaves out cells of which all of one rule's conditions hold. Raises `BadInput` for an empty or exploding
    grid, with the count and the limit.
    """

    dimensions: tuple[tuple[Axis, ...], ...]
    skip: tuple[Rule, ...] = ()

    def __post_init__(self) -> None:
        if not self.dimensions or not all(self.dimensions):
            raise BadInput("a sweep needs an axis, such as motion_bucket_id=20,80,127")
        if len(self.dimensions) > MAX_DIMENSIONS:
            raise BadInput(f"a sweep may have {MAX_DIMENSIONS} dimensions, got {len(self.dimensions)}")
        names = [axis.name for axis in self.axes]
        for name in names:
            if names.count(name) > 1:
                raise BadInput(f"there are two axes called {name}; put all its values into one")
        for first, *others in self.dimensions:
            for other in others:
                if len(other.values) != len(first.values):
                    raise BadInput(
                        f"axes that go together need equally many values: {first.name} has {len(first.values)}, "
                        f"{other.name} {len(other.values)}"
                    )
        for together in self.dimensions:
            _check_different(together)
        if self.size > MAX_CELLS:
            raise BadInput(
                f"these axes make {self.size:,} cells, and a sweep may have {MAX_CELLS:,}; leave some values out"
            )
        if len(self.skip) > MAX_RULES:
            raise BadInput(f"a sweep may have {MAX_RULES} rules for what is left out, got {len(self.skip)}")
        for term in itertools.chain.from_iterable(self.skip):
            _check_term(term)

    @property
    def axes(self) -> tuple[Axis, ...]:
        """All axes, in the order of the dimensions."""
        return tuple(itertools.chain.from_iterable(self.dimensions))

    @property
    def shape(self) -> tuple[int, ...]:
        """How many values each dimension has."""
        return tuple(len(together[0].values) for together in self.dimensions)

    @property
    def size(self) -> int:
        """How many cells there are, with those that are left out."""
        return math.prod(self.shape)

    @property
    def title(self) -> str:
        """'Motion bucket × Seed'."""
        return " × ".join(" with ".join(axis.label for axis in together) for together in self.dimensions)

    def cells(self) -> Iterator[Cell]:
        """All cells in the order in which they are rendered: what is dear to change changes least often."""
        order = sorted(range(len(self.dimensions)), key=lambda d: min(map(_rank, self.dimensions[d])))
        for places in itertools.product(*(range(self.shape[d]) for d in order)):
            at = dict(zip(order, places, strict=True))
            yield self.cell(tuple(at[d] for d in range(len(order))))

    def cell(self, place: tuple[int, ...]) -> Cell:
        """The cell at a place."""
        number = 0
        for at, length in zip(place, self.shape, strict=True):
            number = number * length + at
        values = {
            axis.name: axis.values[at]
            for together, at in zip(self.dimensions, place, strict=True)
            for axis in together
        }
        return Cell(number, place, values)

    def place(self, number: int) -> tuple[int, ...]:
        """Where the cell of that number is."""
        place: list[int] = []
        for length in reversed(self.shape):
            number, at = divmod(number, length)
            place.append(at)
        return tuple(reversed(place))

    def leaves_out(self, values: Mapping[str, Value]) -> bool:
        """Whether a rule holds of all that a cell's recipe says, by the names of knobs and parts."""
        return any(all(term.holds(values.get(term.name)) for term in rule) for rule in self.skip)

    def heading(self, dimension: int, at: int) -> str:
        """What stands above a column: '127', '6 fps, 127' where two axes go together."""
        return ", ".join(axis.shown(at) for axis in self.dimensions[dimension])

    def only(self, numbers: Sequence[int], without: str = "") -> Grid:
        """Some of the cells, each a value of one dimension; `without` is an axis that is left out of them.

        Raises `BadInput` for no cells, or none there are.
        """
        for number in numbers:
            if not 0 <= number < self.size:
                raise BadInput(f"there is no cell {number} in this sweep")
        cells = [self.cell(self.place(number)) for number in dict.fromkeys(numbers)]
        labels = {axis.name: dict(zip(axis.values, axis.labels, strict=False)) for axis in self.axes}
        together = tuple(
            Axis(
                axis.name,
                tuple(cell.values[axis.name] for cell in cells),
                tuple(labels[axis.name][cell.values[axis.name]] for cell in cells) if axis.labels else (),
            )
            for axis in self.axes
            if axis.name != without
        )
        return Grid((together,) if cells else ())

    def to_json(self) -> str:
        """As it is kept."""
        return json.dumps(self.as_dict(), ensure_ascii=False)

    def as_dict(self) -> dict[str, Any]:
        """In plain values, as a program or a page has it."""
        dimensions = [
            [
                {"name": axis.name, "values": list(axis.values), "labels": list(axis.labels)}
                for axis in together
            ]
            for together in self.dimensions
        ]
        return {"svdlab_grid": 1, "dimensions": dimensions, "skip": [rule_text(rule) for rule in self.skip]}

    @classmethod
    def from_json(cls, text: str) -> Grid:
        """What `to_json` wrote. Raises `BadInput` for anything else."""
        try:
            content: Any = json.loads(text) if len(text) <= MAX_TEXT else None
            dimensions = tuple(
                tuple(Axis(one["name"], tuple(one["values"]), tuple(one["labels"])) for one in together)
                for together in content["dimensions"]
            )
            skip = tuple(rule_of(one) for one in content["skip"])
        except (ValueError, TypeError, KeyError, RecursionError):
            raise BadInput("this sweep cannot be read: it was changed, or a newer svdlab made it") from None
        return cls(dimensions, skip)


def grid_of(axes: Sequence[Axis], together: Sequence[Sequence[str]] = (), skip: Sequence[str] = ()) -> Grid:
    """A grid of axes; each group of names in `together` is one dimension. Raises `BadInput`."""
    by_name = {axis.name: axis for axis in axes}
    groups = [tuple(name.strip().replace("-", "_") for name in names) for names in together]
    for names in groups:
        for name in names:
            if known(name) not in by_name:
                raise BadInput(f"{name} has no values to go together with; give it an axis")
        if len(set(names)) < 2:
            raise BadInput("going together takes two axes, as in fps,motion_bucket_id")
    grouped = [name for names in groups for name in names]
    for name in grouped:
        if grouped.count(name) > 1:
            raise BadInput(f"{name} can go together with others once only")
    dimensions: list[tuple[Axis, ...]] = []
    for axis in axes:
        group = next((names for names in groups if axis.name in names), (axis.name,))
        members = tuple(one for one in axes if one.name in group)
        if members[0] is axis or axis.name not in grouped:
            dimensions.append(members if axis.name in grouped else (axis,))
    return Grid(tuple(dimensions), tuple(rule_of(text) for text in skip if text.strip()))


def rule_of(text: str) -> Rule:
    """A rule as it is typed: `fps>10 motion_bucket_id<50`. Raises `BadInput`."""
    return tuple(terms(text, "cells are left out by conditions as in fps>10 or checkpoint=demo-1-0"))


def rule_text(rule: Rule) -> str:
    """A rule as it is typed."""
    return " ".join(map(str, rule))


def _check_different(together: tuple[Axis, ...]) -> None:
    """Raises `BadInput` if values of a dimension stand there twice: they would be the same cells."""
    seen: set[tuple[Value, ...]] = set()
    for values in zip(*(axis.values for axis in together), strict=True):
        if values in seen:
            named = " and ".join(
                f"{axis.name} has {said(value)}" for axis, value in zip(together, values, strict=True)
            )
            raise BadInput(f"{named} twice; each value makes cells of its own")
        seen.add(values)


def _check_term(term: Term) -> None:
    known(term.name)
    words = term.name not in KNOBS or KNOBS[term.name].kind not in ("int", "float")
    if words and term.sign not in ("=", "!="):
        raise BadInput(f"{term.name}{term.sign} has no meaning; ask with = or !=")
    if term.sign not in SIGNS:
        raise BadInput(f"cells are left out by {', '.join(SIGNS)}, got {term.sign!r}")
    if not words and isinstance(term.value, str):
        raise BadInput(f"{label_of(term.name)} must be asked for with a number, got {term.value[:40]!r}")


def _rank(axis: Axis) -> float:
    """How dear a change is: lower is dearer."""
    if axis.name in DEAR:
        return DEAR.index(axis.name)
    loaded = axis.name in KNOBS and KNOBS[axis.name].kind not in ("int", "float", "choice")
    return 0.5 if loaded else len(DEAR)


@dataclass(frozen=True)
class Sweep:
    """A sweep as it is kept: what its cells change, and what they change it of."""

    id: str
    state: SweepState
    base: Recipe
    preset: str | None
    grid: Grid
    created: float  # seconds since 1970
    cells: int = 0  # without those that are left out
    visitor: str | None = None  # who asked for it (`Visitor.id`); None: whoever runs the lab
    deleted: float | None = None

    @property
    def title(self) -> str:
        """What varies."""
        return self.grid.title


@dataclass(frozen=True)
class CellStanding:
    """One cell of a sweep as it is now."""

    number: int
    state: CellState
    run: str | None = None
    said: str = ""  # why it was refused or failed
    seconds: float = 0.0  # of rendering, without loading weights

    @property
    def pending(self) -> bool:
        """Whether it is still to come."""
        return self.state in ("waiting", "queued", "running")


@dataclass(frozen=True)
class View:
    """How a grid lies on a page: which dimensions run downwards and across, outermost first, and where the others are.

    A dimension that is in neither is turned like a page: `at` says which of its values is looked at.
    """

    rows: tuple[int, ...]
    columns: tuple[int, ...]
    at: Mapping[int, int]

    @classmethod
    def usual(cls, grid: Grid) -> View:
        """All of a grid: its last dimension across, all others downwards; one with a single value is neither."""
        several = [d for d, length in enumerate(grid.shape) if length > 1] or [0]
        return cls(tuple(several[:-1]), (several[-1],), {})

    def check(self, grid: Grid) -> None:
        """Raises `BadInput` if it is not a view of that grid."""
        shown = (*self.rows, *self.columns)
        known_ones = range(len(grid.dimensions))
        if len(set(shown)) < len(shown) or not set(shown) <= set(known_ones):
            raise BadInput(
                f"rows and columns must be different axes of this sweep, which has {len(known_ones)}"
            )
        for dimension, at in self.at.items():
            if dimension not in known_ones or not 0 <= at < grid.shape[dimension]:
                raise BadInput("there is no such page of this sweep")

    def places(self, grid: Grid) -> list[list[tuple[int, ...]]]:
        """The cells' places, row by row."""
        rest = {d: self.at.get(d, 0) for d in range(len(grid.dimensions))}
        return [
            [
                tuple(
                    (
                        rest
                        | dict(zip(self.rows, row, strict=True))
                        | dict(zip(self.columns, column, strict=True))
                    )[d]
                    for d in range(len(grid.dimensions))
                )
                for column in _combinations(grid, self.columns)
            ]
            for row in _combinations(grid, self.rows)
        ]

    def above(self, grid: Grid) -> list[tuple[int, ...]]:
        """For each column, which value of each of its dimensions it has."""
        return list(_combinations(grid, self.columns))

    def beside(self, grid: Grid) -> list[tuple[int, ...]]:
        """For each row, which value of each of its dimensions it has."""
        return list(_combinations(grid, self.rows))


def _combinations(grid: Grid, dimensions: Sequence[int]) -> Iterator[tuple[int, ...]]:
    return itertools.product(*(range(grid.shape[d]) for d in dimensions))
