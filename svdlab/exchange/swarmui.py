"""SwarmUI's own parameters (`sui_image_params`), which it writes into a picture instead of a workflow → knobs by name.

Knows SwarmUI's names and defaults; nothing of graphs, files or screens. Values are as untrusted as the file.
Source: SwarmUI's T2IParamTypes.cs and WorkflowGeneratorSteps.cs (image to video).
"""

from __future__ import annotations

import math
from typing import Any

from svdlab.clips.carried import told
from svdlab.errors import BadInput
from svdlab.exchange.comfyui.findings import Lost
from svdlab.exchange.comfyui.reading import OTHER_AUGMENTATION, OTHER_NOISE, Reading, checkpoint_named
from svdlab.exchange.comfyui.sampling import LCM, OTHER_LEVELS
from svdlab.weights.catalogue import Catalogue

PARAMETERS = "sui_image_params"
SEED_STEP = 42  # what SwarmUI adds to the picture's seed for the clip's
SIZE_STEP = 64  # pixels
NATIVE = (1024, 576)
DEFAULTS: dict[str, tuple[str, Any]] = {  # knob → SwarmUI's name, and what it takes where it is not given
    "num_frames": ("videoframes", 25),
    "num_inference_steps": ("videosteps", 20),
    "max_guidance_scale": ("videocfg", 2.5),
    "min_guidance_scale": ("videomincfg", 1.0),
    "fps": ("videofps", 6),
    "motion_bucket_id": ("videomotionbucket", 127),
    "noise_aug_strength": ("videoaugmentationlevel", 0.0),
}


def parameters_in(value: Any) -> dict[str, Any] | None:
    """SwarmUI's parameters in what a file carries; None if there are none."""
    found = value.get(PARAMETERS) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else None


def read_parameters(found: dict[str, Any], catalogue: Catalogue) -> Reading:
    """Reads the parameters. Raises `BadInput` if they make no clip."""
    given = {str(name).lower(): value for name, value in list(found.items())[:500]}
    model = given.get("videomodel")
    if not isinstance(model, str) or not model:
        raise BadInput("SwarmUI's parameters in it have no video model, so they make a picture and no clip")
    checkpoint, decoder = checkpoint_named(model[:500], catalogue)
    notes = ["The picture that the clip starts from is not in the file; drop it in as well."]
    if checkpoint is None:
        notes.append(f"There is no checkpoint {told(model)} here; choose another, or add that file.")
    knobs: dict[str, Any] = {"schedule": "karras", "fit": "crop", "focus_x": 0.5, "focus_y": 0.5}
    knobs |= {"decoder": decoder} if decoder else {}
    for knob, (name, usual) in DEFAULTS.items():
        knobs[knob] = given.get(name, usual)
    if knobs["min_guidance_scale"] in (-1, "-1"):  # off
        knobs["min_guidance_scale"] = knobs["max_guidance_scale"]
    absent = [knob for knob, (name, _) in DEFAULTS.items() if name not in given]
    if absent:
        said = ", ".join(f"{knob} {told(DEFAULTS[knob][1])}" for knob in absent)
        notes.append(
            f"SwarmUI writes down what was set by hand; the rest is as it has it by default: {said}."
        )
    knobs["playback_fps"] = knobs["fps"]  # frames put in between are played as much faster
    lost = _seed(given, knobs) + _size(given, knobs)
    sampler = given.get("sampler")
    if sampler == LCM:
        knobs["schedule"] = LCM
        notes.append(OTHER_LEVELS)
    elif sampler != "euler":
        notes.append(
            "SwarmUI samples clips with another sampler than euler by default; here it is always euler."
        )
    if knobs["noise_aug_strength"] not in (0, 0.0):
        notes.append(OTHER_AUGMENTATION)
    notes.append(OTHER_NOISE)
    return Reading(checkpoint, knobs, None, tuple(notes), lost=lost)


def _seed(given: dict[str, Any], knobs: dict[str, Any]) -> tuple[Lost, ...]:
    """The clip's seed is the picture's and a little."""
    seed = given.get("seed")
    if isinstance(seed, int) and not isinstance(seed, bool) and seed >= 0:
        knobs["seed"] = seed + SEED_STEP
        return ()
    return (Lost(f"The seed in the file is {told(seed)}", ("seed",)),)


def _size(given: dict[str, Any], knobs: dict[str, Any]) -> tuple[Lost, ...]:
    """The clip's size: the model's own, the picture's, or the picture's shape with as many pixels as the model's."""
    how = given.get("videoresolution", "Model Preferred")
    sides = [given.get("width"), given.get("height")]
    if how == "Model Preferred":
        knobs |= dict(zip(("width", "height"), NATIVE, strict=True))
        return ()
    if not all(isinstance(side, int) and 16 <= side <= 65536 for side in sides):
        return (Lost("The size of the picture is not in the file", ("width", "height")),)
    width, height = (int(side) for side in sides if side is not None)
    if how != "Image" and (width, height) != (1344, 768):  # SDXL's 16:9 stands for the model's own
        scale = math.sqrt(NATIVE[0] * NATIVE[1] / (width * height))
        width, height = (math.floor(side * scale / SIZE_STEP + 0.5) * SIZE_STEP for side in (width, height))
    elif how != "Image":
        width, height = NATIVE
    knobs |= {"width": width, "height": height}
    return ()
