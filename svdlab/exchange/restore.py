"""Settings, checkpoint and picture out of a file somebody drops in: a clip, a picture, a recipe, a ComfyUI workflow.

Knows the lab; nothing of models or screens. Files are untrusted: what they say is checked as any other input is, never
run, and what cannot be used is told in sentences instead of being passed over.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from PIL import Image

from svdlab.clips.carried import READABLE, WHOLE, Embedded, read_texts, shown, told
from svdlab.errors import BadInput, BadSettings, BadVideo, NotFound
from svdlab.exchange.comfyui import Reading, Workflow, parsed, read_workflow, workflows_in, write_workflow
from svdlab.exchange.swarmui import parameters_in, read_parameters
from svdlab.lab.lab import Lab
from svdlab.recipes import limits
from svdlab.recipes.checkpoint import Checkpoint, possible_size
from svdlab.recipes.loras import Lora
from svdlab.recipes.records import MAX_RECIPE_BYTES, Recipe, Run
from svdlab.recipes.settings import KNOBS, MAX_SEED, MAX_STORED_SEED, GenerationSettings

MAX_LINES = 1000  # of a text in which a recipe is looked for
MAX_NAMES = 64  # knobs in a recipe of another version
RECIPE = "svdlab_recipe"
WORKFLOWS = ("prompt", "workflow")  # keys of texts that are workflows

Origin = Literal["svdlab recipe", "ComfyUI workflow", "SwarmUI parameters"]


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
    loras: tuple[Lora, ...] = ()  # those of the file that are here


def restore(lab: Lab, source: str | Path | bytes) -> Restored:
    """Reads an untrusted MP4, WebM, PNG, WebP, AVIF, JPEG or JSON file, given as a path or as its bytes.

    A recipe of svdlab's own is preferred to a ComfyUI workflow, and that to SwarmUI's parameters. Raises `BadInput`
    (`BadVideo`) with one sentence if it carries none of them.
    """
    carried = read_texts(source)
    found = _found(lab, carried)
    if found is None:
        raise BadInput(f"{carried.name} carries neither an svdlab recipe nor a ComfyUI workflow")
    return found


def settings_in(lab: Lab, source: str | Path | bytes) -> Restored | None:
    """The same of a file that need not carry anything, as most pictures: then None."""
    return _found(lab, read_texts(source))


def fitted(lab: Lab, found: Restored, checkpoint: str) -> Restored:
    """The same for another checkpoint than the file's, which may not be able to do all that the file's own can."""
    if checkpoint == found.checkpoint:
        return found
    work = _Work(lab, found.origin, list(found.notes), lab.catalogue.get(checkpoint))
    if found.checkpoint is None:
        work.notes.append(f"{checkpoint} is used instead of the file's checkpoint; another can be chosen.")
    settings = work.possible(lab.catalogue.get(checkpoint), found.settings)
    notes = tuple(dict.fromkeys(work.notes))
    return replace(found, settings=settings, checkpoint=checkpoint, notes=notes)


def _found(lab: Lab, carried: Embedded) -> Restored | None:
    try:
        return _restored(lab, carried)
    except RecursionError:
        raise BadInput(f"{carried.name} is nested too deeply, so it was not read") from None


def _restored(lab: Lab, found: Embedded) -> Restored | None:
    values = _values(found)
    damaged = _damaged(found, values)
    for value in values.values():
        recipe = _recipe_in(value)
        if recipe is not None:
            return _from_recipe(lab, recipe, value.get("preset"))
    refused: BadInput | None = None
    for prompt, workflow in workflows_in(values):
        try:
            return _from_reading(
                lab, read_workflow(prompt, workflow, lab.catalogue), "ComfyUI workflow", damaged
            )
        except BadInput as error:
            refused = refused or error
    for value in (values, *values.values()):
        parameters = parameters_in(value)
        if parameters is not None:
            reading = read_parameters(parameters, lab.catalogue)
            return _from_reading(lab, reading, "SwarmUI parameters", damaged)
    if refused is not None:
        raise refused
    if WHOLE in found.texts and values.get(WHOLE) is None:
        raise BadInput(f"{found.name} holds no JSON that can be read; give {READABLE}")
    if found.unread:
        raise BadInput(found.unread[0])
    return None


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
    """Every text that is a JSON object, by its key; of several under one key the first."""
    texts = dict(found.texts)
    if WHOLE in texts and parsed(texts[WHOLE]) is None:  # what `svdlab runs show` prints, or a result.json
        lines = [line for line in texts[WHOLE].splitlines()[:MAX_LINES] if RECIPE in line]
        texts = {RECIPE: lines[0]} if lines else {}
    values: dict[str, dict[str, Any]] = {}
    for key, text in texts.items():
        value = parsed(text)
        name = key.partition("\0")[0]
        if value is not None:
            values[key if name in values else name] = value
    return values


def _damaged(found: Embedded, values: Mapping[str, Any]) -> list[str]:
    """A sentence on each text that was left out though it may have been meant."""
    broken = [
        f"The text {key} in the file is damaged; what else is in it was used."
        for key, text in found.texts.items()
        if key in WORKFLOWS and key not in values and text.lstrip()[:1] == "{"
    ]
    return broken + [f"{sentence[:1].upper()}{sentence[1:]}." for sentence in found.unread]


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
    try:
        recipe = Recipe.model_validate(value)
    except ValueError:  # pydantic's own error is one
        recipe = None
    work.preset = _preset_of(work, recipe, preset)
    if recipe is not None and (changed := lab.bits.sentence(recipe)):
        work.notes.append(changed)
    work.picture = value.get("picture_sha256")
    work.find_loras(recipe, value.get("loras"))
    base = GenerationSettings()  # what a recipe of an older version does not say was so by default
    return work.restored(knobs, base)


def _preset_of(work: _Work, recipe: Recipe | None, preset: Any) -> str | None:
    """The preset the file names, or that of the same run in the history."""
    if preset is None:
        before = work.lab.before.run(recipe) if recipe is not None else None
        preset = before.preset if before is not None else None
    if preset is None:
        return None
    try:
        return work.lab.presets.get(preset).id
    except NotFound:
        work.notes.append(f"There is no preset {told(preset)} here; its settings are kept.")
        return None


def _from_reading(lab: Lab, reading: Reading, origin: Origin, damaged: list[str]) -> Restored:
    work = _Work(lab, origin, [*damaged, *reading.notes])
    if reading.checkpoint is not None:
        work.find_checkpoint(reading.checkpoint)
    work.picture = reading.picture
    made_for = work.checkpoint
    base = limits.defaults_for(made_for) if made_for is not None else GenerationSettings()
    restored = work.restored({**reading.knobs, **work.reduced(reading.knobs.get("seed"))}, base)
    values = restored.settings.model_dump(mode="json")
    lost = [f"{one.sentence}, so {_here(values, one.knobs)} here." for one in reading.lost]
    return replace(restored, notes=(*dict.fromkeys(lost), *restored.notes))


def _word(value: Any) -> str:
    """A knob's value in a sentence."""
    return "left empty" if value is None else told(value)


def _here(values: Mapping[str, Any], knobs: tuple[str, ...]) -> str:
    """What knobs are now, as words: 'seed is 42 and fps is 6'."""
    said = [f"{knob} is {_word(values[knob])}" for knob in knobs]
    return f"{', '.join(said[:-1])} and {said[-1]}" if len(said) > 1 else said[0]


# Bringing it to what can be rendered here


@dataclass
class _Work:
    lab: Lab
    origin: Origin
    notes: list[str] = field(default_factory=list)
    checkpoint: Checkpoint | None = None
    preset: str | None = None
    picture: Any = None
    loras: tuple[Lora, ...] = ()

    def find_loras(self, recipe: Recipe | None, said: Any) -> None:
        """The LoRAs of a recipe that are here; each that is not is said, since without it another clip comes out."""
        for lora in recipe.loras if recipe is not None else ():
            try:
                self.lab.loras.of(lora)
                self.loras += (lora,)
            except NotFound:
                self.notes.append(
                    f"The LoRA {lora.sha256[:8]}… (strength {lora.strength:g}) is not here, so it is left out; "
                    "svdlab loras add FILE adds it."
                )
        if recipe is None and said:
            self.notes.append(
                "The LoRAs of the file are left out: the rest of its recipe is not as it was written."
            )

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
            settings = self.possible(self.checkpoint, settings)
        sha256, here = self._picture()
        notes = tuple(dict.fromkeys(self.notes))
        id = self.checkpoint.id if self.checkpoint is not None else None
        return Restored(settings, id, self.preset, sha256, here, self.origin, notes, self.loras)

    def _checked(self, knobs: Mapping[str, Any], base: GenerationSettings) -> dict[str, Any]:
        """Values one by one: what is out of bounds goes to the nearest bound, what is no value to the base's."""
        values = base.model_dump()
        for name, value in list(knobs.items())[:MAX_NAMES]:
            if name not in KNOBS:
                self.notes.append(f"There is no knob {shown(name, 40)} here; it was left out.")
                continue
            if name == "seed" and self.origin == "svdlab recipe" and _stored_seed(value):
                values[name] = value
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
        number = isinstance(value, int | float) and not isinstance(value, bool) and not _none(value)
        if number and knob.minimum is not None:
            assert knob.maximum is not None
            used = min(max(value, knob.minimum), knob.maximum)
            used = round(used) if knob.kind == "int" else float(used)
        self.notes.append(
            f"{name} was {told(value, 30)} in the file; {knob.wanted} is possible, so it is {_word(used)} now."
        )
        return used

    def _pair(self, values: dict[str, Any]) -> GenerationSettings:
        """The settings; a pair of guidance values that no model can use becomes no guidance."""
        base = GenerationSettings.model_validate({"seed": values["seed"]})  # an older version's may be larger
        values = {name: value for name, value in values.items() if name != "seed"}
        try:
            return GenerationSettings.parse(values, base)
        except BadSettings:
            self.notes.append(
                f"Guidance from {values['min_guidance_scale']:g} to {values['max_guidance_scale']:g} is not possible "
                "here; both are 1 now."
            )
            off = {"min_guidance_scale": 1.0, "max_guidance_scale": 1.0}
            return GenerationSettings.parse({**values, **off}, base)

    def reduced(self, seed: Any) -> dict[str, int]:
        """A seed of another program as the generator takes it: torch has 64 bits for it, and uses the last 32."""
        if not isinstance(seed, int) or isinstance(seed, bool) or not MAX_SEED < seed < 2**64:
            return {}
        low = seed % (MAX_SEED + 1)
        self.notes.append(
            f"The seed {seed} has more than the 32 bits that torch's generator uses; {low} is the same seed and gives "
            "the same clip."
        )
        return {"seed": low}

    def possible(self, checkpoint: Checkpoint, settings: GenerationSettings) -> GenerationSettings:
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
        if settings.schedule == "lcm" and settings.num_inference_steps > limits.LCM_LEVELS:
            changes["num_inference_steps"] = limits.LCM_LEVELS
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


def _stored_seed(value: Any) -> bool:
    """Whether a recipe of an older version may have this seed, which cannot be asked for any more."""
    return isinstance(value, int) and not isinstance(value, bool) and MAX_SEED < value <= MAX_STORED_SEED


def _none(value: float) -> bool:
    """Whether a number is not one."""
    return isinstance(value, float) and not math.isfinite(value)
