"""What a generation needs of a checkpoint: its components on one device, and what each of them is.

Knows the classes; nothing of files, or of where components wait.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderKLTemporalDecoder,
    EulerDiscreteScheduler,
    UNetSpatioTemporalConditionModel,
)
from transformers import CLIPImageProcessor, CLIPVisionModelWithProjection


class Stamp(NamedTuple):
    """What a component is, whatever checkpoint has it: its part, its numbers' hash, what its class is built from, and
    the LoRAs that were added to the numbers, by hash and strength."""

    part: str
    key: str
    config: str
    loras: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Components:
    """What a generation needs, on one device. `latent_rgb` is (channels, 3) and (3,): scaled latents → 0..1."""

    image_encoder: CLIPVisionModelWithProjection
    vae: AutoencoderKLTemporalDecoder | AutoencoderKL
    unet: UNetSpatioTemporalConditionModel
    scheduler: EulerDiscreteScheduler
    feature_extractor: CLIPImageProcessor
    latent_rgb: tuple[torch.Tensor, torch.Tensor]
    stamps: Mapping[str, Stamp] = field(default_factory=dict)  # component → what it is
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))  # where they compute

    @property
    def keys(self) -> dict[str, str]:
        """Component → hash of its weights."""
        return {part: stamp.key for part, stamp in self.stamps.items()}

    @property
    def dtype(self) -> torch.dtype:
        """What the CLIP encoder and UNet compute in."""
        return self.unet.dtype

    @property
    def vae_scale(self) -> int:
        """Pixels per latent along each side."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    @property
    def latent_channels(self) -> int:
        """Channels of one frame's latents."""
        return int(self.unet.config.in_channels) // 2

    @property
    def size_step(self) -> int:
        """What width and height must be multiples of, in pixels."""
        return int(self.vae_scale * 2 ** (len(self.unet.config.block_out_channels) - 1))
