"""The controls of a page: checkpoint, preset and every knob, made from `KNOBS`, the catalogue and the presets.

The sentence about a value that cannot be comes back to stand under its control. A page builds them where it wants them:

    controls = Controls(lab, name="explore", sides=("checkpoint",))   # Compare: sides=("a", "b")
    controls.build_checkpoint("checkpoint", "Checkpoint")
    controls.build_preset()
    controls.build_knobs()
    controls.build_advice()                                           # the line beside Generate
    ...
    controls.wire()
    form = controls.read(*values)                                     # values of `controls.inputs`

Knows the lab's words; nothing of runs or models.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from svdlab.errors import BadSettings, CheckpointUnavailable, NotFound, SvdlabError
from svdlab.lab.framing import lying_as, native_sizes
from svdlab.lab.lab import Lab
from svdlab.recipes import limits
from svdlab.recipes.checkpoint import Checkpoint
from svdlab.recipes.loras import Lora
from svdlab.recipes.presets import Preset
from svdlab.recipes.settings import KNOBS, GenerationSettings, resolve_seed
from svdlab.ui.parts import advice, choice, forecast, loras, relay
from svdlab.ui.parts import knobs as panel
from svdlab.ui.parts.element import QUIET
from svdlab.ui.words import sentence
from svdlab.weights.availability import availability, fetches
from svdlab.words import duration

PRESET_GROUPS = {
    "official": "Official settings",
    "speed": "Fast",
    "motion": "Motion",
    "article": "From the article",
    "own": "Own",
}
OWN_SETTINGS = ""  # the preset choice that means the checkpoint's official settings
# Not carried over when another checkpoint is chosen: they belong to the checkpoint, not to the experiment.
CHECKPOINT_BOUND = ("width", "height", "decoder", "decode_chunk_size")


@dataclass(frozen=True)
class Form:
    """What the controls say, checked."""

    checkpoints: tuple[Checkpoint, ...]  # one per side, in the order of `Controls.sides`
    preset: Preset | None
    settings: GenerationSettings
    locked: bool  # whether the seed stays between runs
    loras: tuple[Lora, ...] = ()  # added to every side's UNet
    own_loras: tuple[tuple[Lora, ...], ...] = ()  # of two sides, what is added to each besides

    @property
    def checkpoint(self) -> Checkpoint:
        """The first side's."""
        return self.checkpoints[0]


class Controls:
    """The controls of one page; `name` is the prefix of their ids."""

    def __init__(self, lab: Lab, name: str, sides: Sequence[str] = ("checkpoint",)) -> None:
        self.lab = lab
        self.name = name
        self.sides = tuple(sides)
        self.checkpoints: dict[str, gr.HTML] = {}
        self.preset: gr.HTML
        self.knobs: gr.HTML
        self.advice: gr.HTML
        self.refused: gr.HTML
        self.forecast: gr.HTML

    # Components

    def build_checkpoint(self, side: str, label: str, default: Checkpoint | None = None) -> gr.HTML:
        """A checkpoint chooser with the sentence about where its weights are."""
        start = default or self.lab.catalogue.default()
        groups, notes = self.choices()
        self.checkpoints[side] = choice.build(f"{self.name}-{side}", side, label, groups, notes, start.id)
        return self.checkpoints[side]

    def choices(self) -> tuple[dict[str, list[tuple[str, str]]], dict[str, dict[str, str]]]:
        """The checkpoints to choose from, by where they are, and what is said of each."""
        groups: dict[str, list[tuple[str, str]]] = {"Here": [], "To be fetched": []}
        notes = {}
        for checkpoint in self.lab.catalogue:
            here = availability(checkpoint)
            group = "Here" if here.ready else "To be fetched" if fetches(checkpoint) else "Missing or broken"
            groups.setdefault(group, []).append((checkpoint.id, checkpoint.name))
            notes[checkpoint.id] = {
                "summary": checkpoint.summary,
                "state": "" if here.ready else here.sentence,
            }
        return groups, notes

    def first_advice(self, *values: Any) -> dict[str, Any]:
        """As `advise`, for a page that was just opened: also the checkpoints and LoRA files there are by now."""
        groups, notes = self.choices()
        there = {"sides": self.sides, "groups": groups, "notes": notes, "loras": loras.choices(self.lab)}
        return self.advise(*values) | {"choices": there}

    def build_preset(self, label: str = "Preset", default: str = OWN_SETTINGS) -> gr.HTML:
        """A preset chooser with what it is and what to look for."""
        groups: dict[str, list[tuple[str, str]]] = {"": [(OWN_SETTINGS, "Checkpoint's own")]}
        notes = {OWN_SETTINGS: {"summary": "The settings its makers sample with."}}
        for preset in self.lab.presets:
            groups.setdefault(PRESET_GROUPS[preset.group], []).append((preset.id, preset.name))
            notes[preset.id] = {"summary": preset.summary, "look": preset.look_for}
        self.preset = choice.build(f"{self.name}-preset", "preset", label, groups, notes, default)
        return self.preset

    def build_knobs(self) -> gr.HTML:
        """The knob panel: the essential ones in sight, the rest folded."""
        start = self.fill(self._base(self._default_checkpoint(), None))
        self.knobs = panel.build(self.name, start)
        return self.knobs

    def build_advice(self) -> gr.HTML:
        """How long it will take and what differs from the preset; it also carries notes to the controls."""
        self.advice = advice.build(f"{self.name}-advice")
        self.refused = relay.build(f"{self.name}-refused", "refused")
        self.forecast = forecast.build(f"{self.name}-forecast")
        return self.advice

    @property
    def inputs(self) -> list[gr.HTML]:
        """What `read` takes, in its order."""
        return [*(self.checkpoints[side] for side in self.sides), self.preset, self.knobs]

    def wire(self) -> None:
        """Connects the controls among themselves: advice on every change, knobs filled by the choosers."""
        for chooser in (*self.checkpoints.values(), self.preset):
            chooser.input(self.refill, self.inputs, self.knobs, **QUIET)
        changed = [component.change for component in self.inputs]
        gr.on(changed, self.advise, self.inputs, self.advice, trigger_mode="always_last", **QUIET)
        gr.on(changed, self.foresee, self.inputs, self.forecast, trigger_mode="always_last", **QUIET)
        self.advice.reset(self.reset, self.inputs, self.knobs, **QUIET)

    # Reading and showing

    def read(self, *values: Any) -> Form:
        """The form from untrusted values. Raises `SvdlabError`; a `BadSettings` names its field."""
        *chosen, preset_id, knobs = values
        checkpoints = tuple(self.lab.catalogue.get(id) for id in chosen)
        preset = self.lab.presets.get(preset_id) if preset_id else None
        knobs = knobs if isinstance(knobs, dict) else {}
        given = {name: knobs[name] for name in KNOBS if name in knobs}
        given["seed"] = resolve_seed(_as_seed(given.get("seed")))
        settings = GenerationSettings.parse(given, base=self._base(checkpoints[0], preset))
        for checkpoint in checkpoints:
            limits.check(checkpoint, self.suited(checkpoint, settings))
        added, *own = loras.read(self.lab, knobs.get(loras.KEY), self._own_sides)
        return Form(checkpoints, preset, settings, knobs.get("_lock") is not False, added, tuple(own))

    @property
    def _own_sides(self) -> tuple[str, ...]:
        """The sides that can have LoRAs of their own: where there are two."""
        return self.sides if len(self.sides) > 1 else ()

    def suited(self, checkpoint: Checkpoint, settings: GenerationSettings) -> GenerationSettings:
        """Where one set of controls serves two checkpoints, each decodes with what it has."""
        if len(self.sides) == 1 or settings.decoder in checkpoint.decoders:
            return settings
        return settings.but(decoder=checkpoint.decoders[0])

    def must_be_here(self, form: Form) -> None:
        """Raises `CheckpointUnavailable` with the sentence if a chosen checkpoint cannot be rendered with."""
        for checkpoint in form.checkpoints:
            here = availability(checkpoint)
            if not here.obtainable:
                raise CheckpointUnavailable(f"{checkpoint.name}: {here.sentence}")

    def fill(
        self,
        settings: GenerationSettings,
        checkpoint: str = "",
        preset: str | None = None,
        locked: bool = True,
        added: tuple[Lora, ...] = (),
        own: Sequence[tuple[Lora, ...]] = (),
    ) -> dict[str, Any]:
        """The knob panel's value for settings and LoRAs, those for all sides and each side's own; `checkpoint` and
        `preset` are what they were made for.

        The seed goes as text: JavaScript's numbers end at 2⁵³.
        """
        shown = {name: "" if value is None else value for name, value in settings.model_dump().items()}
        made: dict[str, Any] = {"_checkpoint": checkpoint, "_preset": preset or OWN_SETTINGS}
        made |= {loras.KEY: loras.value(self.lab, (added, *own), self._own_sides)}
        return {**shown, "seed": str(settings.drawn_seed), "_lock": locked, **made}

    def refill(self, *values: Any) -> Any:
        """The knobs after another checkpoint or preset was chosen; as they are if that is not known any more.

        Another preset sets all knobs but seed and crop; another checkpoint keeps what the person had changed. A native
        size stays upright if it was.
        """
        *chosen, preset_id, knobs = values
        try:
            base = self._chosen_base(chosen[0], preset_id, knobs)
        except NotFound:  # the advice says so
            return gr.skip()
        knobs = knobs if isinstance(knobs, dict) else {}
        keep = {name: knobs[name] for name in ("seed", "fit", "focus_x", "focus_y") if name in knobs}
        if (knobs.get("_preset") or OWN_SETTINGS) == (preset_id or OWN_SETTINGS):
            keep |= self._changed(knobs)
        return self._filled(base, keep, chosen[0], preset_id, knobs)

    def reset(self, *values: Any) -> Any:
        """The knobs as the preset has them, but for the seed and the focus of the crop."""
        *chosen, preset_id, knobs = values
        try:
            base = self._chosen_base(chosen[0], preset_id, knobs)
        except NotFound:
            return gr.skip()
        knobs = knobs if isinstance(knobs, dict) else {}
        keep = {name: knobs[name] for name in ("seed", "focus_x", "focus_y") if name in knobs}
        return self._filled(base, keep, chosen[0], preset_id, knobs)

    def _chosen_base(self, checkpoint: Any, preset: Any, knobs: Any) -> GenerationSettings:
        """What the knobs start from; a native size lies as theirs does. Raises `NotFound`."""
        made_for = self.lab.catalogue.get(checkpoint)
        base = self._base(made_for, self.lab.presets.get(preset) if preset else None)
        try:
            size = int(knobs["width"]), int(knobs["height"])
        except (KeyError, TypeError, ValueError):  # half-typed, or a first visit
            return base
        return lying_as(made_for, base, size)

    def _filled(
        self,
        base: GenerationSettings,
        keep: Mapping[str, Any],
        checkpoint: str,
        preset: str,
        knobs: Mapping[str, Any],
    ) -> dict[str, Any]:
        try:
            settings = base.but(**keep)
        except BadSettings:  # something half-typed is not carried over
            settings = base
        filled = self.fill(settings, checkpoint, preset, knobs.get("_lock") is not False)
        return {**filled, loras.KEY: knobs.get(loras.KEY) or []}  # they belong to the experiment

    def _changed(self, knobs: Mapping[str, Any]) -> dict[str, Any]:
        """What a person changed since the last checkpoint and preset filled the knobs."""
        try:
            former = self.lab.catalogue.get(knobs.get("_checkpoint") or self._default_checkpoint().id)
            preset = self.lab.presets.get(knobs["_preset"]) if knobs.get("_preset") else None
            before = self._base(former, preset)
            now = before.but(**{name: knobs[name] for name in KNOBS if name in knobs})
        except SvdlabError:
            return {}
        return {
            name: mine for name, (mine, _) in now.differences(before).items() if name not in CHECKPOINT_BOUND
        }

    def advise(self, *values: Any) -> dict[str, Any]:
        """What stands under the controls and beside Generate, for `advice`."""
        try:
            form = self.read(*values)
        except SvdlabError as error:
            return self.problem(error)
        notes: dict[str, list[str]] = {}
        for checkpoint in form.checkpoints:
            for note in limits.check(checkpoint, self.suited(checkpoint, form.settings)):
                notes.setdefault(note.field, []).append(note.sentence)
        return {
            "notes": notes,
            "errors": {},
            "estimate": self._estimate(form),
            "differs": self._differs(form),
            "size_step": max(checkpoint.size_step for checkpoint in form.checkpoints),
            "sizes": native_sizes(form.checkpoint),
        }

    def foresee(self, *values: Any) -> dict[str, str]:
        """What stands under the button, of memory; may take seconds. Not for strangers, who do not choose a device."""
        if self.lab.environment.shared:
            return forecast.value(None)
        try:
            form = self.read(*values)
            return forecast.value(
                self.lab.plan(form.checkpoints, self.suited(form.checkpoint, form.settings))
            )
        except SvdlabError:  # the advice says what is wrong
            return forecast.value(None)

    def refuse(self, error: SvdlabError, field: str | None = None) -> dict[str, Any]:
        """`problem` in answer to Generate, for `refused`: the page brings the sentence into sight, and no answer to an
        earlier change takes it away.
        """
        return {**self.problem(error, field), "asked": time.time()}

    def problem(self, error: SvdlabError, field: str | None = None) -> dict[str, Any]:
        """The value for `advice` that puts an error's sentence where its cause is."""
        where = field or getattr(error, "field", None) or "*"
        if isinstance(error, CheckpointUnavailable):
            where = field or self.sides[0]
        elif isinstance(error, NotFound) and where == "*":
            where = "preset" if "preset" in str(error) else self.sides[0]
        return {"notes": {}, "errors": {where: sentence(error)}}

    def _estimate(self, form: Form) -> str:
        seconds = [
            self.lab.estimate(checkpoint.id, self.suited(checkpoint, form.settings))
            for checkpoint in form.checkpoints
        ]
        known = [s for s in seconds if s is not None]
        said = [f"About {duration(sum(known))}."] if known and len(known) == len(seconds) else []
        if self.lab.quota is not None:  # time that is lent: what the click takes of the visitor's
            plans = [(made_for, self.suited(made_for, form.settings)) for made_for in form.checkpoints]
            said.append(self.lab.quota.sentence(plans))
        return " ".join(said)

    def _differs(self, form: Form) -> str:
        base = self._base(form.checkpoint, form.preset)
        base = lying_as(form.checkpoint, base, (form.settings.width, form.settings.height))
        changed = [
            name for name in form.settings.differences(base) if name not in ("seed", "focus_x", "focus_y")
        ]
        return ", ".join(KNOBS[name].label.lower() for name in changed)

    def _base(self, checkpoint: Checkpoint, preset: Preset | None) -> GenerationSettings:
        return preset.settings_for(checkpoint) if preset else limits.defaults_for(checkpoint)

    def _default_checkpoint(self) -> Checkpoint:
        first = self.checkpoints.get(self.sides[0])
        return self.lab.catalogue.get(first.value) if first is not None else self.lab.catalogue.default()


def _as_seed(value: Any) -> Any:
    """A seed typed with blanks around it, as it is meant."""
    return value.strip() if isinstance(value, str) else value
