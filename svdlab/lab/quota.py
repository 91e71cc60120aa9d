"""What a claim takes of GPU time that is lent by the second, and the sentence that says so before a click.

On ZeroGPU every call names its seconds in advance; they are held against what its visitor has left for the day. Knows
settings and checkpoints; nothing of who lends, of torch or of screens.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from svdlab.recipes.checkpoint import Checkpoint
from svdlab.recipes.settings import GenerationSettings
from svdlab.words import duration

Plan = tuple[Checkpoint, GenerationSettings]

TODAY = 1.5  # what ZeroGPU's cards of today multiply asked durations by

# Seconds of a day, as Hugging Face gives them.
WITHOUT_ACCOUNT = 120
WITH_ACCOUNT = 300

# Measured on a whole H200 at SVD-XT's full size; durations are reckoned by a part of one, 60 of its 132 processors.
SHARE = 132 / 60
FULL_PIXELS = 25 * 1024 * 576  # frames × width × height
FULL_PARAMETERS = 2_254_400_000
UNET_SECONDS = 0.315 * SHARE  # one branch, one step
CODEC_SECONDS = 2.5 * SHARE  # the picture encoded, all frames decoded
STEP_SECONDS = 0.05 * SHARE  # the least a step takes, however small
START_SECONDS = 3.0  # the process forked, what is placed moved to the GPU
LOAD_SECONDS = 8.0  # of a checkpoint of full size that was not placed
MARGIN = 1.1
DEMO_PARAMETERS = FULL_PARAMETERS // 100  # what embedded weights are counted as


@dataclass(frozen=True)
class Quota:
    """How GPU time is lent: what is asked for is multiplied by `factor`; `placed` are the ids that need no loading."""

    factor: float = 1.0
    placed: frozenset[str] = frozenset()

    def seconds(self, plans: Sequence[Plan]) -> int:
        """What to ask for, for everything that is rendered in one call."""
        spent = START_SECONDS
        for checkpoint, settings in plans:
            spent += self._load(checkpoint) + rendering_seconds(checkpoint, settings)
        return math.ceil(MARGIN * spent)

    def charged(self, plans: Sequence[Plan]) -> int:
        """What that is of a visitor's seconds at the most: what is not used is given back."""
        return math.ceil(self.factor * self.seconds(plans))

    def sentence(self, plans: Sequence[Plan]) -> str:
        """What a click takes, in one line."""
        wanted = self.charged(plans)
        said = f"Takes up to {duration(wanted)} of your GPU time for the day"
        if wanted > WITH_ACCOUNT:
            return f"{said}, more than a free account has ({duration(WITH_ACCOUNT)})."
        if wanted > WITHOUT_ACCOUNT:
            return (
                f"{said}, more than a visitor without an account has ({duration(WITHOUT_ACCOUNT)}): log in."
            )
        return f"{said}: {duration(WITHOUT_ACCOUNT)} without an account, {duration(WITH_ACCOUNT)} with one."

    def _load(self, checkpoint: Checkpoint) -> float:
        return 0.0 if checkpoint.id in self.placed else LOAD_SECONDS * _weight(checkpoint)


def rendering_seconds(checkpoint: Checkpoint, settings: GenerationSettings) -> float:
    """Seconds from the picture to the last frame, weights in place."""
    size = settings.num_frames * settings.width * settings.height / FULL_PIXELS
    branches = 2 if settings.guided else 1
    step = max(STEP_SECONDS, UNET_SECONDS * branches * size * _weight(checkpoint))
    return settings.num_inference_steps * step + CODEC_SECONDS * size * _weight(checkpoint)


def _weight(checkpoint: Checkpoint) -> float:
    """How much it computes beside SVD; weights whose size is not known count as that."""
    known = checkpoint.parameters or (DEMO_PARAMETERS if checkpoint.demo else FULL_PARAMETERS)
    return known / FULL_PARAMETERS
