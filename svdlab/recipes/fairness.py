"""Whether two runs may be compared, and in sentences why or why not: same picture, same settings, same noise.

Knows records; nothing of what the clips show, of models or of screens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from svdlab.recipes.records import Run

DECODING = ("decoder", "decode_chunk_size")  # the knobs that act on finished latents


@dataclass(frozen=True)
class Fairness:
    """Whether two runs may be compared, and in words why or why not."""

    subject: Literal["checkpoint", "decoding"]  # the one thing that is meant to differ
    same_picture: bool
    same_settings: bool
    same_noise: bool
    noise: str  # short hash of A's noise
    differences: tuple[str, ...]  # each a sentence
    remarks: tuple[str, ...]  # what differs with the checkpoints themselves: it belongs to the comparison
    shared_frames: int

    @property
    def fair(self) -> bool:
        """Same picture, same settings, same noise."""
        return self.same_picture and self.same_settings and self.same_noise


def fairness(a: Run, b: Run, forced_decoders: bool = False) -> Fairness:
    """Compares two runs' recipes and, where both are rendered, the noise they really got.

    With `forced_decoders` neither side's checkpoint has another decoder than the one used: that difference comes with
    the checkpoints. Two runs from the same latents are a comparison of decoding.
    """
    differences, remarks = [], []
    decoding = same_latents(a, b)
    same_picture = a.recipe.picture_sha256 == b.recipe.picture_sha256
    if not same_picture:
        differences.append("The two started from different pictures.")
    changed = a.settings.differences(b.settings)
    if decoding:
        for name in DECODING:
            changed.pop(name, None)
    elif forced_decoders and "decoder" in changed:
        mine, theirs = changed.pop("decoder")
        remarks.append(
            f"Each checkpoint brings its own decoder, {mine} on A and {theirs} on B: sharpness and flicker may come "
            f"from it."
        )
    counts = changed.pop("num_frames", None)
    for name, (mine, theirs) in changed.items():
        differences.append(f"{name} is {mine} on A and {theirs} on B.")
    loras = [{(one.sha256, one.strength) for one in run.recipe.loras} for run in (a, b)]
    if loras[0] != loras[1]:
        said = (
            f"LoRA files are added to the UNet: {len(loras[0])} on A and {len(loras[1])} on B, not the same."
        )
        if a.recipe.checkpoint == b.recipe.checkpoint:
            remarks.append(said)  # what is compared
        else:
            differences.append(said)
            changed["loras"] = (loras[0], loras[1])
    chunks = a.outcome.decode_chunk_size, b.outcome.decode_chunk_size
    short_of_memory = bool(a.outcome.fallbacks or b.outcome.fallbacks) and not decoding
    if short_of_memory and chunks[0] != chunks[1] and counts is None:
        differences.append(f"Memory was short: A decoded {chunks[0]} frames at once and B {chunks[1]}.")
        changed["decode_chunk_size"] = chunks
    numbers = _numbers(a), _numbers(b)
    if all(numbers) and numbers[0] != numbers[1]:
        differences.append(f"A was computed in {numbers[0]} and B in {numbers[1]}.")
        changed["numbers"] = numbers
    shared = min(a.settings.num_frames, b.settings.num_frames)
    noise_a, noise_b = a.outcome.noise_frames, b.outcome.noise_frames
    known = bool(noise_a and noise_b)
    same_noise = known and noise_a[: shared + 1] == noise_b[: shared + 1]
    if counts is not None:
        tail = ", on the same noise" if same_noise else ""
        differences.append(
            f"A has {counts[0]} frames and B has {counts[1]}: only the first {shared} can be put side by side{tail}, "
            f"and each model saw a clip of another length."
        )
    if known and not same_noise:
        differences.append("The two got different noise.")
    return Fairness(
        subject="decoding" if decoding else "checkpoint",
        same_picture=same_picture,
        same_settings=not changed and counts is None,
        same_noise=same_noise,
        noise=a.outcome.noise_sha256[:8],
        differences=tuple(differences),
        remarks=tuple(remarks),
        shared_frames=shared,
    )


def _numbers(run: Run) -> str:
    """What a finished run was computed in: 'float32', 'float32, fast'; empty where it is not known."""
    dtype = run.recipe.versions.get("dtype", "")
    return f"{dtype}, fast" if dtype and run.recipe.computed_fast else dtype


def same_latents(a: Run, b: Run) -> bool:
    """Whether both clips were decoded from the same latents."""
    sources = [run.latents_of or run.id for run in (a, b)]
    return sources[0] == sources[1] and a.id != b.id
