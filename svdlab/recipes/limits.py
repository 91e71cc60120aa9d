"""What a checkpoint makes of settings: its defaults, what it refuses, what it was not trained for.

Knows settings and checkpoints; nothing of models, files or screens.
"""

from __future__ import annotations

from dataclasses import dataclass

from svdlab.errors import BadSettings
from svdlab.recipes.checkpoint import Checkpoint, Decoder
from svdlab.recipes.settings import GenerationSettings

AYS_STEPS = 10  # that the AYS schedule was worked out for
LCM_LEVELS = 40  # noise levels that few-step weights were distilled between: no schedule has more steps
LCM_STEPS = (2, 8)  # what they were distilled for
MAX_PIXELS_FRAMES = 128 * 1024 * 1024  # frames × width × height: above it no known device decodes


@dataclass(frozen=True)
class Note:
    """A sentence about a knob that left what the checkpoint was trained for."""

    field: str
    sentence: str


def defaults_for(checkpoint: Checkpoint) -> GenerationSettings:
    """The maker's own settings for a checkpoint."""
    return GenerationSettings.parse(checkpoint.official)


def nearest_sizes(size: int, step: int) -> tuple[int, int]:
    """The multiples of `step` just below and just above, at least one step."""
    below = max(step, size // step * step)
    return below, below + step


def check(
    checkpoint: Checkpoint, settings: GenerationSettings, decoders: tuple[Decoder, ...] | None = None
) -> tuple[Note, ...]:
    """Notes on what the checkpoint was not trained for; raises `BadSettings` on what it cannot do.

    `decoders` are those that can be used with it, if more than its own.
    """
    decoders = decoders or checkpoint.decoders
    for name, size in (("width", settings.width), ("height", settings.height)):
        if size % checkpoint.size_step:
            below, above = nearest_sizes(size, checkpoint.size_step)
            raise BadSettings(
                f"{name} must be a multiple of {checkpoint.size_step} for {checkpoint.id}, got {size}; "
                f"try {below} or {above}",
                name,
            )
    if settings.decoder not in decoders:
        raise BadSettings(
            f"decoder must be {' or '.join(decoders)} for {checkpoint.id}, got {settings.decoder}",
            "decoder",
        )
    if settings.schedule == "lcm" and settings.num_inference_steps > LCM_LEVELS:
        raise BadSettings(
            f"num_inference_steps must be at most {LCM_LEVELS} with the schedule lcm, "
            f"got {settings.num_inference_steps}; it is made for {LCM_STEPS[0]} to {LCM_STEPS[1]}",
            "num_inference_steps",
        )
    if settings.num_frames * settings.width * settings.height > MAX_PIXELS_FRAMES:
        most = MAX_PIXELS_FRAMES // (settings.width * settings.height)
        raise BadSettings(
            f"num_frames must be at most {most} at {settings.width}×{settings.height}, got {settings.num_frames}",
            "num_frames",
        )
    return tuple(_notes(checkpoint, settings))


def _notes(checkpoint: Checkpoint, settings: GenerationSettings) -> list[Note]:
    notes = []
    name = checkpoint.name
    tuned_fps, tuned_bucket = checkpoint.tuned_fps, checkpoint.tuned_bucket
    if tuned_fps is not None and settings.conditioning_fps != tuned_fps:
        notes.append(
            Note(
                "fps",
                f"{name} was tuned seeing {tuned_fps} (fps {tuned_fps + 1} here); it sees {settings.fps - 1}.",
            )
        )
    elif not 5 <= settings.fps <= 31:
        notes.append(Note("fps", f"{name} was trained at 5 to 30 fps."))
    if tuned_bucket is not None and settings.motion_bucket_id != tuned_bucket:
        notes.append(Note("motion_bucket_id", f"{name} was tuned at motion bucket {tuned_bucket} only."))
    elif not 1 <= settings.motion_bucket_id <= 255:
        notes.append(Note("motion_bucket_id", f"{name} was trained on motion buckets 1 to 255."))
    if settings.num_frames != checkpoint.native_frames:
        many = settings.num_frames > 2 * checkpoint.native_frames
        tail = " so many frames usually lose the picture." if many else " other counts work, less surely."
        notes.append(Note("num_frames", f"{name} was trained on {checkpoint.native_frames} frames;{tail}"))
    if (settings.width, settings.height) != (checkpoint.width, checkpoint.height):
        notes.append(Note("width", f"{name} was trained at {checkpoint.width}×{checkpoint.height}."))
    if settings.noise_aug_strength > 1:
        notes.append(Note("noise_aug_strength", "Above 1 little of the picture is left."))
    if settings.schedule == "ays" and settings.num_inference_steps != AYS_STEPS:
        notes.append(Note("schedule", "AYS was worked out for 10 steps; other counts are interpolated."))
    if settings.feature_reuse > 1:
        said = (
            "Features are used again for as long as there are steps: only the first step runs whole."
            if settings.feature_reuse >= settings.num_inference_steps
            else f"Not exact: of {settings.feature_reuse} steps only one runs the whole UNet."
        )
        notes.append(Note("feature_reuse", said))
    return notes + _few_step_notes(checkpoint, settings)


def _few_step_notes(checkpoint: Checkpoint, settings: GenerationSettings) -> list[Note]:
    """On weights that were distilled for a consistency sampler, and on that sampler with others."""
    name, (fewest, most) = checkpoint.name, LCM_STEPS
    distilled = checkpoint.official.get("schedule") == "lcm"
    if settings.schedule != "lcm":
        said = f"{name} was distilled for {fewest} to {most} steps of the schedule lcm."
        return [Note("schedule", said)] if distilled else []
    notes = []
    if not distilled:
        said = (
            f"LCM is for weights distilled to few steps, or with a LoRA that is; {name} is not known to be."
        )
        notes.append(Note("schedule", said))
    if not fewest <= settings.num_inference_steps <= most:
        notes.append(
            Note("num_inference_steps", f"Weights for LCM were distilled for {fewest} to {most} steps.")
        )
    if settings.guided:
        said = "Weights for LCM have guidance built in: above 1 every step costs twice and colours burn."
        notes.append(Note("max_guidance_scale", said))
    return notes
