"""The controls of a page: checkpoint, preset and every knob, made from `KNOBS`, the catalogue and the presets.

One panel element holds all knobs as one dict, so that a value a person typed reaches `GenerationSettings.parse`
untouched and the sentence about it comes back to stand under its control. A page builds them where it wants
them:

    controls = Controls(lab, name="explore", sides=("checkpoint",))   # Compare: sides=("a", "b")
    controls.build_checkpoint("checkpoint", "Checkpoint")
    controls.build_preset()
    controls.build_knobs()
    controls.build_advice()                                           # the line beside Generate
    ...
    controls.wire(demo_page)
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
from svdlab.lab.lab import Lab
from svdlab.recipes import limits
from svdlab.recipes.checkpoint import Checkpoint
from svdlab.recipes.presets import Preset
from svdlab.recipes.settings import KNOBS, GenerationSettings, Knob, resolve_seed
from svdlab.ui.parts.element import data, element, escape
from svdlab.ui.words import duration, sentence
from svdlab.weights.availability import availability, fetches

GROUPS = {
    "motion": "Motion",
    "sampling": "Sampling",
    "picture": "Size and crop",
    "output": "Decoding and playback",
}
PRESET_GROUPS = {
    "official": "Official settings",
    "speed": "Fast",
    "motion": "Motion",
    "article": "From the article",
    "own": "Own",
}
OWN_SETTINGS = ""  # the preset choice that means the checkpoint's official settings
EMPTY = {
    "seed": "random",
    "decode_chunk_size": "all",
    "playback_fps": "as frame rate",
}  # what an empty box means
# Not carried over when another checkpoint is chosen: they belong to the checkpoint, not to the experiment.
CHECKPOINT_BOUND = ("width", "height", "decoder", "decode_chunk_size")


@dataclass(frozen=True)
class Form:
    """What the controls say, checked."""

    checkpoints: tuple[Checkpoint, ...]  # one per side, in the order of `Controls.sides`
    preset: Preset | None
    settings: GenerationSettings
    locked: bool  # whether the seed stays between runs

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

    # Components

    def build_checkpoint(self, side: str, label: str, default: Checkpoint | None = None) -> gr.HTML:
        """A checkpoint chooser with the sentence about where its weights are."""
        start = default or self.lab.catalogue.default()
        groups, notes = self.choices()
        self.checkpoints[side] = choice(f"{self.name}-{side}", side, label, groups, notes, start.id)
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
        """As `advise`, for a page that was just opened: also the checkpoints there are by now."""
        groups, notes = self.choices()
        return self.advise(*values) | {"choices": {"sides": self.sides, "groups": groups, "notes": notes}}

    def build_preset(self, label: str = "Preset", default: str = OWN_SETTINGS) -> gr.HTML:
        """A preset chooser with what it is and what to look for."""
        groups: dict[str, list[tuple[str, str]]] = {"": [(OWN_SETTINGS, "Checkpoint's own")]}
        notes = {OWN_SETTINGS: {"summary": "The settings its makers sample with."}}
        for preset in self.lab.presets:
            groups.setdefault(PRESET_GROUPS[preset.group], []).append((preset.id, preset.name))
            notes[preset.id] = {"summary": preset.summary, "look": preset.look_for}
        self.preset = choice(f"{self.name}-preset", "preset", label, groups, notes, default)
        return self.preset

    def build_knobs(self) -> gr.HTML:
        """The knob panel: the essential ones in sight, the rest folded."""
        start = self.fill(self._base(self._default_checkpoint(), None))
        self.knobs = element("knobs", _panel(self.name), start, name=f"{self.name}-knobs")
        return self.knobs

    def build_advice(self) -> gr.HTML:
        """How long it will take and what differs from the preset; it also carries notes to the controls."""
        template = (
            '<div class="advice" aria-live="polite"><span class="advice-estimate" hidden></span>'
            '<span class="advice-differs" hidden></span>'
            '<button type="button" class="link advice-reset" hidden>Reset</button>'
            '<p class="error advice-error" role="alert" hidden></p></div>'
        )
        self.advice = element("advice", template, {}, name=f"{self.name}-advice")
        return self.advice

    @property
    def inputs(self) -> list[gr.HTML]:
        """What `read` takes, in its order."""
        return [*(self.checkpoints[side] for side in self.sides), self.preset, self.knobs]

    def wire(self) -> None:
        """Connects the controls among themselves: advice on every change, knobs filled by the choosers."""
        quiet: dict[str, Any] = {
            "show_progress": "hidden",
            "api_visibility": "private",
            "concurrency_limit": None,
        }
        for chooser in (*self.checkpoints.values(), self.preset):
            chooser.input(self.refill, self.inputs, self.knobs, **quiet)
        changed = [component.change for component in self.inputs]
        gr.on(changed, self.advise, self.inputs, self.advice, trigger_mode="always_last", **quiet)
        self.advice.reset(self.reset, self.inputs, self.knobs, **quiet)

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
        return Form(checkpoints, preset, settings, knobs.get("_lock") is not False)

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
    ) -> dict[str, Any]:
        """The knob panel's value for settings; `checkpoint` and `preset` are what they were made for.

        The seed goes as text: JavaScript's numbers end at 2⁵³.
        """
        shown = {name: "" if value is None else value for name, value in settings.model_dump().items()}
        made = {"_checkpoint": checkpoint, "_preset": preset or OWN_SETTINGS}
        return {**shown, "seed": str(settings.drawn_seed), "_lock": locked, **made}

    def refill(self, *values: Any) -> dict[str, Any]:
        """The knobs after another checkpoint or preset was chosen.

        Another preset sets all knobs but seed and crop; another checkpoint keeps what the person had changed.
        """
        *chosen, preset_id, knobs = values
        knobs = knobs if isinstance(knobs, dict) else {}
        base = self._base(
            self.lab.catalogue.get(chosen[0]), self.lab.presets.get(preset_id) if preset_id else None
        )
        keep = {name: knobs[name] for name in ("seed", "fit", "focus_x", "focus_y") if name in knobs}
        if (knobs.get("_preset") or OWN_SETTINGS) == (preset_id or OWN_SETTINGS):
            keep |= self._changed(knobs)
        return self._filled(base, keep, chosen[0], preset_id, knobs)

    def reset(self, *values: Any) -> dict[str, Any]:
        """The knobs as the preset has them, but for the seed and the focus of the crop."""
        *chosen, preset_id, knobs = values
        knobs = knobs if isinstance(knobs, dict) else {}
        base = self._base(
            self.lab.catalogue.get(chosen[0]), self.lab.presets.get(preset_id) if preset_id else None
        )
        keep = {name: knobs[name] for name in ("seed", "focus_x", "focus_y") if name in knobs}
        return self._filled(base, keep, chosen[0], preset_id, knobs)

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
        return self.fill(settings, checkpoint, preset, knobs.get("_lock") is not False)

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
        }

    def refuse(self, error: SvdlabError, field: str | None = None) -> dict[str, Any]:
        """`problem` in answer to Generate: the page also brings the sentence into sight."""
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
        return f"About {duration(sum(known))}." if known and len(known) == len(seconds) else ""

    def _differs(self, form: Form) -> str:
        base = self._base(form.checkpoint, form.preset)
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


def choice(
    name: str,
    field: str,
    label: str,
    groups: Mapping[str, Sequence[tuple[str, str]]],
    notes: Mapping[str, Mapping[str, str]],
    value: str,
) -> gr.HTML:
    """A grouped drop-down; under it stand the summary, what to look for and the state of what is chosen."""
    options = ""
    for title, entries in groups.items():
        inner = "".join(f'<option value="{escape(id)}">{escape(text)}</option>' for id, text in entries)
        options += f'<optgroup label="{escape(title)}">{inner}</optgroup>' if title and inner else inner
    template = (
        f'<div class="choice" data-field="{escape(field)}" data-notes="{data(notes)}">'
        f'<label for="{name}-select">{escape(label)}</label>'
        f'<div class="select"><select id="{name}-select">{options}</select></div>'
        '<p class="help choice-summary"></p><p class="help choice-look" hidden></p>'
        '<p class="note choice-state" hidden></p><p class="error choice-error" role="alert" hidden></p></div>'
    )
    return element("choice", template, value, name=name)


# The panel's markup


def _panel(name: str) -> str:
    essential = "".join(_cell(name, knob) for knob in KNOBS.values() if knob.group == "essential")
    folded = ""
    for group, title in GROUPS.items():
        cells = "".join(_cell(name, knob) for knob in KNOBS.values() if knob.group == group)
        folded += f'<section><h3>{title}</h3><div class="knob-grid">{cells}</div></section>'
    return (
        f'<div class="knobs"><div class="knob-grid essential">{essential}</div>'
        '<details class="knobs-more"><summary>More'
        "<span>noise, steps, guidance, size, crop, decoding</span></summary>"
        f"{folded}</details></div>"
    )


def _cell(panel: str, knob: Knob) -> str:
    id = f"{panel}-{knob.name}"
    why = more = ""
    if knob.more:
        why = (
            f'<button type="button" class="why" aria-expanded="false" aria-controls="{id}-more" '
            f'aria-label="More about {escape(knob.label.lower())}" title="More">?</button>'
        )
        more = f'<p class="help knob-explained" id="{id}-more" hidden>{escape(knob.more)}</p>'
    limits = f'data-min="{knob.minimum}" data-max="{knob.maximum}" data-step="{knob.step or ""}"'
    return (
        f'<div class="knob {knob.name}" data-knob="{knob.name}" {limits}>'
        f'<div class="knob-head"><label for="{id}" id="{id}-label">{escape(knob.label)}</label>{why}</div>'
        f'<div class="knob-row">{_body(id, knob)}</div>'
        f'<p class="help" id="{id}-help">{escape(knob.help)}</p>'
        '<p class="knob-live" hidden></p><p class="note knob-note" hidden></p>'
        f'<p class="error knob-error" role="alert" hidden></p>{more}</div>'
    )


def _body(id: str, knob: Knob) -> str:
    if knob.kind == "choice":
        radios = "".join(
            f'<label><input type="radio" name="{id}" value="{word}"><span>{_word(word)}</span></label>'
            for word in knob.choices
        )
        return f'<div class="segments" role="radiogroup" aria-labelledby="{id}-label">{radios}</div>'
    mode = "numeric" if knob.kind == "int" else "decimal"
    number = (
        f'<input class="number" id="{id}" type="text" inputmode="{mode}" autocomplete="off" spellcheck="false" '
        f'placeholder="{EMPTY.get(knob.name, "")}" aria-describedby="{id}-help">'
    )
    if knob.name == "seed":
        return (
            f'{number}<button type="button" class="icon dice" aria-label="New seed" title="New seed">{DICE}</button>'
            f'<button type="button" class="icon lock" aria-label="Keep the seed" aria-pressed="true">{LOCK}</button>'
        )
    unit = f'<span class="unit">{escape(knob.unit)}</span>' if knob.unit in ("px", "fps") else ""
    if knob.optional or knob.usual is None:
        return number + unit
    low, high = knob.usual
    return (
        f'<input type="range" min="{low:g}" max="{high:g}" step="{knob.step or "any"}" '
        f'aria-labelledby="{id}-label" aria-describedby="{id}-help">{number}{unit}'
    )


def _word(word: str) -> str:
    return "AYS" if word == "ays" else word.capitalize()


DICE = (
    '<svg viewBox="0 0 20 20" aria-hidden="true"><rect x="3" y="3" width="14" height="14" rx="3" fill="none" '
    'stroke="currentColor" stroke-width="1.5"/><circle cx="7" cy="7" r="1.3"/><circle cx="13" cy="7" r="1.3"/>'
    '<circle cx="10" cy="10" r="1.3"/><circle cx="7" cy="13" r="1.3"/><circle cx="13" cy="13" r="1.3"/></svg>'
)
LOCK = (
    '<svg viewBox="0 0 20 20" aria-hidden="true" fill="none" stroke="currentColor" stroke-width="1.5">'
    '<rect x="4" y="9" width="12" height="8" rx="2"/><path class="closed" d="M6.5 9V6.5a3.5 3.5 0 0 1 7 0V9"/>'
    '<path class="open" d="M6.5 9V5.5a3.5 3.5 0 0 1 6.6-1.6"/></svg>'
)
