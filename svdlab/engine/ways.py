"""Ways to call the UNet, from the fastest to the one that takes least memory, and which of them fits.

The branches of guidance in one call or one after the other; feed-forward layers whole or by rows. The numbers are the
same but for the order of some sums. Knows the UNet's footprint; nothing of devices, checkpoints or runs.
"""

from __future__ import annotations

from dataclasses import dataclass

from diffusers import UNetSpatioTemporalConditionModel

from svdlab.engine.footprint import Call, unet_bytes
from svdlab.recipes.settings import GenerationSettings

PIECE = 16384  # rows of feed-forward: enough to keep a GPU busy, a fiftieth of an official clip's
MAPS = 64  # feature maps of the full resolution that a call never fills together: SVD-XT's fills 28


@dataclass(frozen=True)
class Way:
    """How the UNet is called in each step."""

    together: bool = True  # both branches of guidance in one call
    piece: int = 0  # rows of feed-forward at a time; 0: all

    def __str__(self) -> str:
        """In words; empty for the fastest."""
        said = [] if self.together else ["the branches of guidance one after the other"]
        said += [f"feed-forward by {self.piece:,} rows"] if self.piece else []
        return ", ".join(said)


WAYS = (Way(), Way(piece=PIECE), Way(together=False), Way(together=False, piece=PIECE))


def ways_of(settings: GenerationSettings) -> tuple[Way, ...]:
    """The ways that differ for these settings, from the fastest to the smallest."""
    return WAYS if settings.guided else tuple(way for way in WAYS if way.together)


def bytes_of(
    way: Way,
    unet: UNetSpatioTemporalConditionModel,
    settings: GenerationSettings,
    vae_scale: int,
    exact: bool,
) -> int:
    """What a call takes at its most beside the weights. The first answer for a network takes a few seconds."""
    branches = 2 if settings.guided and way.together else 1
    rows, columns = settings.height // vae_scale, settings.width // vae_scale
    return unet_bytes(unet, Call(branches, settings.num_frames, rows, columns, unet.dtype, way.piece, exact))


def fitting(
    unet: UNetSpatioTemporalConditionModel,
    settings: GenerationSettings,
    vae_scale: int,
    room: float,
    exact: bool = False,
) -> Way | None:
    """The fastest way that takes no more than `room` bytes, or None."""
    positions = settings.num_frames * settings.height * settings.width / vae_scale**2
    branches = 2 if settings.guided else 1
    if MAPS * unet.config.block_out_channels[0] * positions * branches * unet.dtype.itemsize <= room:
        return WAYS[0]
    ways = ways_of(settings)
    return next((way for way in ways if bytes_of(way, unet, settings, vae_scale, exact) <= room), None)
