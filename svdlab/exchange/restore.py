"""Settings, checkpoint and picture out of a file somebody drops in: a clip, a picture, a recipe, a ComfyUI workflow.

Knows the lab; nothing of models or screens. Files are untrusted: what they say is checked as any other input is, never
run, and what cannot be used is told in sentences instead of being passed over.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from PIL import Image

from svdlab.clips.carried import READABLE, WHOLE, Embedded, read_texts, shown
from svdlab.errors import BadInput, BadSettings, BadVideo, NotFound
from svdlab.exchange.comfyui import Workflow, is_workflow, read_workflow, write_workflow
from svdlab.lab.lab import Lab
from svdlab.recipes import limits
from svdlab.recipes.checkpoint import Checkpoint, possible_size
from svdlab.recipes.records import MAX_RECIPE_BYTES, Recipe, Run
from svdlab.recipes.settings import KNOBS, GenerationSettings

MAX_LINES = 1000  # of a text in which a recipe is looked for
MAX_NAMES = 64  # knobs in a recipe of another version
RECIPE = "svdlab_recipe"

Origin = Literal["svdlab recipe", "ComfyUI workflow"]


@dataclass(frozen=True)
class Restored:
    """What a file says. The settings can be rendered with the checkpoint, if there is one."""

    settings: GenerationSettings
    checkpoint: str | None  # its id here; None where it is not known
    preset: str | None
    picture_sha256: str | None
    picture_here: bool
    origin: Origin
    notes: tuple[str, ...]  # what could not be restored as it was, one sentence each; plain text


def restore(lab: Lab, source: str | Path | bytes) -> Restored:
    """Reads an untrusted MP4, WebM, PNG, WebP or JSON file, given as a path or as its bytes.

    A recipe of svdlab's own is preferred to a ComfyUI workflow. Raises `BadInput` (`BadVideo`) with one sentence if
    it carries neither.
    """
    found = read_texts(source)
    try:
        return _restored(lab, found)
    except RecursionError:
        raise BadInput(f"{found.name} is nested too deeply, so it was not read") from None


def _restored(lab: Lab, found: Embedded) -> Restored:
    values = _values(found)
    for value in values.values():
        recipe = _recipe_in(value)
        if recipe is not None:
            return _from_recipe(lab, recipe, value.get("preset"))
    for value in (values, *values.values()):
        prompt, workflow = (_nested(value.get(key)) for key in ("prompt", "workflow"))
        if is_workflow(prompt) or is_workflow(workflow):
            return _from_workflow(lab, prompt, workflow)
    whole = values.get(WHOLE)
    if is_workflow(whole):
        return _from_workflow(lab, whole, whole)
    if WHOLE in found.texts and whole is None:
        raise BadInput(f"{found.name} holds no JSON that can be read; give {READABLE}")
    raise BadInput(f"{found.name} carries neither an svdlab recipe nor a ComfyUI workflow")


def workflow_of(lab: Lab, run: Run) -> Workflow:
    """A run as a ComfyUI workflow that does the same job there, with sentences on what differs."""
    try:
        with Image.open(run.picture) as picture:
            size = picture.size
    except OSError:
        size = None
    return write_workflow(run.recipe, lab.catalogue, size)


# Reading


def _values(found: Embedded) -> dict[str, dict[str, Any]]:
    """Every text that is a JSON object, by its key."""
    texts = dict(found.texts)
    if WHOLE in texts and _parsed(texts[WHOLE]) is None:  # what `svdlab runs show` prints, or a result.json
        lines = [line for line in texts[WHOLE].splitlines()[:MAX_LINES] if RECIPE in line]
        texts = {RECIPE: lines[0]} if lines else {}
    parsed = {key: _parsed(text) for key, text in texts.items()}
    return {key: value for key, value in parsed.items() if value is not None}


def _parsed(text: str) -> dict[str, Any] | None:
    """A JSON object; None for anything else: numbers that are none, nesting without end, text."""
    try:
        value = json.loads(text, parse_constant=_no_number) if text.lstrip()[:1] == "{" else None
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is not a number")


def _nested(value: Any) -> Any:
    """A workflow inside another text; some programs write it there as text once more."""
    return _parsed(value) if isinstance(value, str) else value


def _recipe_in(value: Mapping[str, Any]) -> dict[str, Any] | None:
    """A recipe, or the one in what `svdlab runs show --json` prints."""
    for one in (value, value.get("recipe")):
        if isinstance(one, dict) and RECIPE in one:
            return one
    return None


def _from_recipe(lab: Lab, value: dict[str, Any], preset: Any) -> Restored:
    text = json.dumps(value)
    if len(text) > MAX_RECIPE_BYTES:
        raise BadVideo(f"the recipe is larger than {MAX_RECIPE_BYTES // 1024} KB, so it was not read")
    knobs = value.get("settings")
    if not isinstance(knobs, dict) or not isinstance(value.get("checkpoint"), str):
        raise BadVideo("this is no svdlab recipe: it has no settings or no checkpoint")
    work = _Work(lab, "svdlab recipe")
    work.find_checkpoint(value["checkpoint"])
    work.preset = _preset_of(work, value, preset)
    work.picture = value.get("picture_sha256")
    base = GenerationSettings()  # what a recipe of an older version does not say was so by default
    return work.restored(knobs, base)


def _preset_of(work: _Work, value: dict[str, Any], preset: Any) -> str | None:
    """The preset the file names, or that of the same run in the history."""
    if preset is None:
        try:
            before = work.lab.before.run(Recipe.model_validate(value))
        except ValueError:  # pydantic's own error is one
            before = None
        preset = before.preset if before is not None else None
    if preset is None:
        return None
    try:
        return work.lab.presets.get(preset).id
    except NotFound:
        work.notes.append(f"There is no preset {shown(preset)} here; its settings are kept.")
        return None


def _from_workflow(lab: Lab, prompt: Any, workflow: Any) -> Restored:
    reading = read_workflow(prompt, workflow, lab.catalogue)
    work = _Work(lab, "ComfyUI workflow", list(reading.notes))
    if reading.checkpoint is not None:
        work.find_checkpoint(reading.checkpoint)
    work.picture = reading.picture
    made_for = work.checkpoint
    base = limits.defaults_for(made_for) if made_for is not None else GenerationSettings()
    return work.restored(reading.knobs, base)


# Bringing it to what can be rendered here


@dataclass
class _Work:
    lab: Lab
    origin: Origin
    notes: list[str] = field(default_factory=list)
    checkpoint: Checkpoint | None = None
    preset: str | None = None
    picture: Any = None

    def find_checkpoint(self, id: str) -> None:
        """The checkpoint of that id, if it is here."""
        try:
            self.checkpoint = self.lab.catalogue.get(id)
        except NotFound:
            self.notes.append(f"There is no checkpoint {shown(id)} here: choose another, or add it.")

    def restored(self, knobs: Mapping[str, Any], base: GenerationSettings) -> Restored:
        """Everything together, each part checked."""
        settings = self._pair(self._checked(knobs, base))
        if self.checkpoint is not None:
            settings = self._possible(self.checkpoint, settings)
        sha256, here = self._picture()
        notes = tuple(dict.fromkeys(self.notes))
        id = self.checkpoint.id if self.checkpoint is not None else None
        return Restored(settings, id, self.preset, sha256, here, self.origin, notes)

    def _checked(self, knobs: Mapping[str, Any], base: GenerationSettings) -> dict[str, Any]:
        """Values one by one: what is out of bounds goes to the nearest bound, what is no value to the base's."""
        values = base.model_dump()
        for name, value in list(knobs.items())[:MAX_NAMES]:
            if name not in KNOBS:
                self.notes.append(f"There is no knob {shown(name, 40)} here; it was left out.")
                continue
            try:
                alone = {"max_guidance_scale": 20.0} if name == "min_guidance_scale" else {}
                values[name] = getattr(GenerationSettings.parse({**alone, name: value}), name)
            except BadSettings:
                values[name] = self._nearest(name, value, values[name])
        return values

    def _nearest(self, name: str, value: Any, otherwise: Any) -> Any:
        knob = KNOBS[name]
        used = otherwise
        if isinstance(value, int | float) and not isinstance(value, bool) and knob.minimum is not None:
            assert knob.maximum is not None
            used = min(max(value, knob.minimum), knob.maximum)
            used = round(used) if knob.kind == "int" else float(used)
        self.notes.append(
            f"{name} was {shown(value, 30)} in the file; {knob.wanted} is possible, so it is {used} now."
        )
        return used

    def _pair(self, values: dict[str, Any]) -> GenerationSettings:
        """The settings; a pair of guidance values that no model can use becomes no guidance."""
        try:
            return GenerationSettings.parse(values)
        except BadSettings:
            self.notes.append(
                f"Guidance from {values['min_guidance_scale']:g} to {values['max_guidance_scale']:g} is not possible "
                "here; both are 1 now."
            )
            return GenerationSettings.parse({**values, "min_guidance_scale": 1.0, "max_guidance_scale": 1.0})

    def _possible(self, checkpoint: Checkpoint, settings: GenerationSettings) -> GenerationSettings:
        """The settings as the checkpoint can render them."""
        changes: dict[str, Any] = {}
        step = checkpoint.size_step
        for name in ("width", "height"):
            size = getattr(settings, name)
            if size % step:
                largest = int(KNOBS[name].maximum or size) // step * step
                changes[name] = min(possible_size(size - step // 2, step), largest)
        decoders = self.lab.decoders(checkpoint.id)
        if settings.decoder not in decoders:
            changes["decoder"] = decoders[0]
        fitting = settings.but(**changes)
        most = limits.MAX_PIXELS_FRAMES // (fitting.width * fitting.height)
        if fitting.num_frames > most:
            changes["num_frames"] = most
        for name, value in changes.items():
            self.notes.append(
                f"{name} was {getattr(settings, name)} in the file; {checkpoint.name} cannot do that, "
                f"so it is {value} now."
            )
        return settings.but(**changes)

    def _picture(self) -> tuple[str | None, bool]:
        """The picture's hash, if it is one, and whether it is here."""
        if self.picture is None:
            return None, False
        try:
            sha256 = Recipe.model_validate(
                {"checkpoint": "any", "picture_sha256": self.picture, "settings": {}}
            ).picture_sha256
        except ValueError:
            self.notes.append("What the file says of its picture is no hash; drop the picture in as well.")
            return None, False
        here = self.lab.history.picture_path(sha256).is_file()
        if not here:
            self.notes.append(f"The picture ({sha256[:8]}…) is not in this lab; drop it in as well.")
        return sha256, here
