"""Ways to call the UNet, from the fastest to the one that takes least memory, and what each takes.

The branches of guidance in one call or one after the other; its layers whole or by rows. The numbers are the
same but for the order of some sums. Knows the UNet's footprint; nothing of devices, checkpoints or runs.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import torch

from svdlab.engine.footprint import Call, unet_bytes
from svdlab.recipes.settings import GenerationSettings

PIECE = 16384  # rows of a layer: enough to keep a GPU busy, a fiftieth of an official clip's
MAPS = 64  # feature maps of the full resolution that a call never fills together: SVD-XT's fills 28


@dataclass(frozen=True)
class Way:
    """How the UNet is called in each step."""

    together: bool = True  # both branches of guidance in one call
    piece: int = 0  # rows of a layer at a time; 0: all

    def __str__(self) -> str:
        """In words; empty for the fastest."""
        said = [] if self.together else ["the branches of guidance one after the other"]
        said += [f"layers by {self.piece:,} rows"] if self.piece else []
        return ", ".join(said)


WAYS = (Way(), Way(piece=PIECE), Way(together=False), Way(together=False, piece=PIECE))


def ways_of(settings: GenerationSettings) -> tuple[Way, ...]:
    """The ways that differ for these settings, from the fastest to the smallest."""
    return WAYS if settings.guided else tuple(way for way in WAYS if way.together)


def bytes_of(
    way: Way, unet: str, dtype: torch.dtype, settings: GenerationSettings, vae_scale: int, exact: bool
) -> int:
    """What a call of a UNet of that configuration takes at its most beside the weights. Seconds, the first time."""
    branches = 2 if settings.guided and way.together else 1
    rows, columns = settings.height // vae_scale, settings.width // vae_scale
    return unet_bytes(unet, Call(branches, settings.num_frames, rows, columns, dtype, way.piece, exact))


def bound_of(unet: str, dtype: torch.dtype, settings: GenerationSettings, vae_scale: int) -> int:
    """More than a call in the fastest way takes, known at once."""
    positions = settings.num_frames * settings.height * settings.width // vae_scale**2
    channels = int(json.loads(unet)["block_out_channels"][0])
    return MAPS * channels * positions * (2 if settings.guided else 1) * dtype.itemsize
