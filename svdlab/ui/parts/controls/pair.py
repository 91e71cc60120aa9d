"""The controls of two checkpoints that share one set of knobs. Knows the lab's words; nothing of runs or models."""

from __future__ import annotations

from typing import Any

import gradio as gr

from svdlab.errors import CheckpointUnavailable, NotFound, SvdlabError
from svdlab.recipes.checkpoint import Checkpoint
from svdlab.ui.parts import compare_option, loras
from svdlab.ui.parts.controls import Controls
from svdlab.ui.parts.element import QUIET
from svdlab.weights.availability import availability


class PairControls(Controls):
    """One set of knobs for two checkpoints. A preset that was made for a pair also chooses the pair."""

    def wire(self) -> None:
        """As on a page with one checkpoint, but for the preset and the second side."""
        sides = list(self.checkpoints.values())
        sides[0].input(self.refill, self.inputs, self.knobs, **QUIET)  # the knobs start from A's settings
        self.preset.input(self.choose_preset, self.inputs, [*sides, self.knobs], **QUIET)
        changed = [component.change for component in self.inputs]
        gr.on(changed, self.advise, self.inputs, self.advice, trigger_mode="always_last", **QUIET)
        gr.on(changed, self.foresee, self.inputs, self.forecast, trigger_mode="always_last", **QUIET)
        self.advice.reset(self.reset, self.inputs, self.knobs, **QUIET)

    def choose_preset(self, *values: Any) -> dict[Any, Any]:
        """The knobs as the preset has them, and its pair where it has one: that pair if it is here."""
        *chosen, preset_id, knobs = values
        try:
            preset = self.lab.presets.get(preset_id) if preset_id else None
        except NotFound:  # the advice says so
            return {self.knobs: gr.skip()}
        if preset and preset.compare:
            chosen = list(self.pair_for(preset.compare))
        shown: dict[Any, Any] = dict(zip(self.checkpoints.values(), chosen, strict=True))
        return shown | {self.knobs: self.refill(*chosen, preset_id, knobs)}

    def turned(self, a: Any, b: Any, knobs: Any) -> tuple[Any, Any, Any]:
        """The two sides in each other's place, with the LoRAs of each."""
        if isinstance(knobs, dict):
            knobs = {**knobs, loras.KEY: loras.turned(knobs.get(loras.KEY), (self.sides[0], self.sides[1]))}
        return b, a, knobs

    def pair_for(self, wanted: tuple[str, str]) -> tuple[str, str]:
        """The two checkpoints of that name if both are here, else the best pair that is."""
        if all(availability(self.lab.catalogue.get(id)).ready for id in wanted):
            return wanted
        first, second = self.lab.catalogue.pair()
        return first.id, second.id

    def advise(self, *values: Any) -> dict[str, Any]:
        """Also what the two sides were made for, and which pair the preset was meant for."""
        advice = super().advise(*values)
        if advice["errors"]:
            return advice
        *chosen, preset_id, _ = values
        first, second = (self.lab.catalogue.get(id) for id in chosen)
        wanted = self.lab.presets.get(preset_id).compare if preset_id else None
        advice["notes"] = {field: of_both(notes, first, second) for field, notes in advice["notes"].items()}
        advice["names"] = [f"{side.name} · {side.id}" for side in (first, second)]
        advice["frames"] = compare_option.native_frames(first, second)
        if wanted and wanted != (first.id, second.id):
            names = " beside ".join(self.lab.catalogue.get(id).name for id in wanted)
            advice["pair"] = f"This preset is meant for {names}."
        return advice

    def one_missing(self, *chosen: Any) -> dict[str, Any] | None:
        """What `refused` tells if a side cannot be rendered with: the sentence stands under its chooser."""
        for side, id in zip(self.sides, chosen, strict=True):
            try:
                checkpoint = self.lab.catalogue.get(id)
                here = availability(checkpoint)
                if not here.obtainable:
                    raise CheckpointUnavailable(f"{checkpoint.name}: {here.sentence}")
            except SvdlabError as error:
                return self.refuse(error, side)
        return None


def of_both(notes: list[str], a: Checkpoint, b: Checkpoint) -> list[str]:
    """Notes about a knob, with what is true of both sides said once."""
    tails = [note.removeprefix(f"{side.name} was ") for note, side in zip(notes, (a, b), strict=False)]
    if len(notes) == 2 and tails[0] == tails[1] and tails != notes:
        return [f"Both were {tails[0]}"]
    return list(dict.fromkeys(notes))
