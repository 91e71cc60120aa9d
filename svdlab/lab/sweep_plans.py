"""What a sweep will be: a grid's cells as changes to one base, what is refused and why, and whether it can be begun.

Knows the lab's catalogue, presets, LoRAs and pictures; nothing of what becomes of the cells.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from svdlab.errors import BadInput, SvdlabError
from svdlab.history.sweeps import CellRow
from svdlab.lab import framing
from svdlab.lab.pulse import FREE_BYTES
from svdlab.recipes import limits
from svdlab.recipes.checkpoint import Decoder
from svdlab.recipes.loras import Lora
from svdlab.recipes.records import Recipe
from svdlab.recipes.settings import KNOBS
from svdlab.recipes.sweeps import Cell, Grid
from svdlab.words import counted, size

if TYPE_CHECKING:
    from svdlab.lab.lab import Lab

May = Callable[[Recipe], None]  # raises `SvdlabError` for what whoever asks may not


@dataclass(frozen=True)
class Plan:
    """What a sweep will be: its cells, which of them are there already or refused and why, and what it takes."""

    base: Recipe
    preset: str | None
    grid: Grid
    cells: tuple[CellRow, ...]
    seconds: float | None  # of what is to be rendered; None where nothing was rendered yet to tell from
    bytes: int
    free: int  # bytes on the data folder's disk

    @property
    def reused(self) -> int:
        """Cells that were rendered before."""
        return sum(cell.run is not None for cell in self.cells)

    @property
    def to_render(self) -> int:
        """Cells that will be rendered."""
        return sum(cell.run is None and cell.refused is None for cell in self.cells)

    @property
    def left_out(self) -> int:
        """Combinations that the rules leave out."""
        return self.grid.size - len(self.cells)

    @property
    def refused(self) -> dict[str, int]:
        """Why cells are refused: sentence → how many."""
        return dict(Counter(cell.refused for cell in self.cells if cell.refused is not None))

    def summary(self) -> dict[str, Any]:
        """What it comes to, for programs."""
        return {
            "cells": len(self.cells),
            "rendered_before": self.reused,
            "to_render": self.to_render,
            "refused": self.refused,
            "left_out": self.left_out,
            "seconds": self.seconds,
            "bytes": self.bytes,
        }

    def check(self) -> None:
        """Raises `BadInput` with one sentence if it cannot be begun."""
        if not self.cells:
            raise BadInput("the rules leave out every cell; take one away")
        if not self.to_render and not self.reused:
            reason = next(iter(self.refused))
            raise BadInput(f"none of the {counted(len(self.cells), 'cell')} can be rendered: {reason}")
        if self.bytes > self.free - FREE_BYTES:
            raise BadInput(
                f"these cells will take about {size(self.bytes)} and {size(self.free)} are free on the data folder's "
                f"disk; make room, or leave some values out"
            )


class Resolver:
    """What cells make of one base, with what is looked up for them looked up once."""

    def __init__(self, lab: Lab, base: Recipe, preset: str | None, grid: Grid, told: Collection[str]) -> None:
        self._lab, self._base = lab, base
        self._told = {*told} | {axis.name for axis in grid.axes}
        # A name that is not there is a mistake, not a cell that is refused.
        values = {axis.name: axis.values for axis in grid.axes}
        checkpoints = {base.checkpoint, *map(str, values.get("checkpoint", ()))}
        self._checkpoints = {id: lab.catalogue.get(id) for id in checkpoints}
        self._presets = {id: lab.presets.get(str(id)) for id in values.get("preset", ())}
        pictures = {base.picture_sha256, *map(str, values.get("picture", ()))}
        self._pictures = {sha256: lab.picture(sha256) for sha256 in pictures}
        self._loras = {value: _chosen(lab, str(value)) for value in values.get("lora", ())}
        for lora in (*base.loras, *(one for some in self._loras.values() for one in some)):
            lab.loras.of(lora)
        self._decoders: dict[str, tuple[Decoder, ...]] = {id: lab.decoders(id) for id in checkpoints}

    def changes(self, cell: Cell) -> dict[str, Any]:
        """What a cell's recipe has instead of the base's. Raises `BadSettings`."""
        base, values = self._base, cell.values
        made_for = self._checkpoints[str(values.get("checkpoint", base.checkpoint))]
        picture = str(values.get("picture", base.picture_sha256))
        settings = base.settings
        if "preset" in values:
            settings = settings.but(**self._presets[values["preset"]].settings)
        settings = settings.but(**{name: value for name, value in values.items() if name in KNOBS})
        decoders = self._decoders[made_for.id]
        if settings.decoder not in decoders and "decoder" not in values:  # it comes with the checkpoint
            settings = settings.but(decoder=made_for.decoders[0])
        if picture != base.picture_sha256 and not {"width", "height"} & self._told:
            settings = framing.lying_as(made_for, settings, self._pictures[picture].size)
        changed: dict[str, Any] = {
            name: mine for name, (mine, _) in settings.differences(base.settings).items()
        }
        for name, now, then in (
            ("checkpoint", made_for.id, base.checkpoint),
            ("picture", picture, base.picture_sha256),
        ):
            if now != then:
                changed[name] = now
        if "lora" in values:
            changed["loras"] = [lora.model_dump() for lora in self._loras[values["lora"]]]
        return changed | ({"preset": values["preset"]} if "preset" in values else {})

    def refusal(self, recipe: Recipe, may: May | None) -> str | None:
        """Why a cell cannot be rendered; None if it can."""
        made_for = self._checkpoints[recipe.checkpoint]
        try:
            limits.check(made_for, recipe.settings, self._decoders[made_for.id])
            if may is not None:
                may(recipe)
        except SvdlabError as error:
            return str(error)
        return None


def recipe_with(base: Recipe, changes: Mapping[str, Any]) -> Recipe:
    """A cell's recipe. Raises `BadSettings`."""
    knobs = {name: value for name, value in changes.items() if name in KNOBS}
    return Recipe(
        checkpoint=changes.get("checkpoint", base.checkpoint),
        picture_sha256=changes.get("picture", base.picture_sha256),
        settings=base.settings.but(**knobs),
        loras=tuple(Lora(**one) for one in changes["loras"]) if "loras" in changes else base.loras,
    )


def _chosen(lab: Lab, value: str) -> tuple[Lora, ...]:
    """The LoRAs that a value of an axis stands for: a registered one, or none. Raises `BadInput`, `NotFound`."""
    return () if value == "none" else lab.loras.chosen([value], files=False)


def values_of(recipe: Recipe, preset: str | None) -> dict[str, Any]:
    """All that a rule may ask of a cell."""
    parts = {"checkpoint": recipe.checkpoint, "picture": recipe.picture_sha256, "preset": preset}
    return {**recipe.settings.model_dump(), **parts}
