"""The autoencoder's linear half, in closed form: principal components of patches. Knows torch alone.

The first `LATENTS` channels carry the picture. `MOTION` more are there for the denoiser, which says in them where the
content of a place came from: the encoder answers zero there, a picture being still, and the decoder does not read them.
Two of them are the displacement itself; the others are its phase within a cell and within two, as waves.
The encoder is this map exactly (`training/vae.py` writes it into diffusers' convolutions), so the denoiser can be
trained before there is a decoder.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.nn import functional as F

LATENTS = 32
MOTION_UNIT = 2.7  # px of displacement that count as 1
PERIODS = (8.0, 16.0)  # px: a wave of each, across and down, as cosine and sine
MOTION = 2 + 4 * len(PERIODS)
CHANNELS = LATENTS + MOTION
PATCH = 8  # pixels per latent, as in the real SVD


@dataclass(frozen=True)
class Codec:
    """Patches' principal components, half whitened: `matrix` (3·patch², latents), and what makes variance one.

    `motion` is the number of motion channels beside the latents: the first ones of `motion_code`.
    """

    matrix: torch.Tensor
    scaling: float
    motion: int = MOTION

    @property
    def patch(self) -> int:
        """Pixels per latent."""
        return round((len(self.matrix) / 3) ** 0.5)

    def encode(self, pictures: torch.Tensor) -> torch.Tensor:
        """What the encoder computes: (n, 3, h, w) in -1…1 → (n, latents, h/patch, w/patch), not scaled."""
        return torch.einsum("nchw,ck->nkhw", F.pixel_unshuffle(pictures, self.patch), self.matrix)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """The linear way back from latents as `encode` gives them."""
        return F.pixel_shuffle(
            torch.einsum("nkhw,kc->nchw", latents, torch.linalg.pinv(self.matrix)), self.patch
        )

    def pixel_weights(self) -> torch.Tensor:
        """How much the square of an error in each latent counts in pixels, (latents,), mean 1."""
        weights = torch.linalg.pinv(self.matrix).pow(2).sum(1)
        return weights / weights.mean()

    def to(self, device: torch.device | str) -> Codec:
        """The same on another device."""
        return replace(self, matrix=self.matrix.to(device))


def fit(pictures: np.ndarray, patch: int = PATCH, latents: int = LATENTS) -> Codec:
    """The codec of pictures (n, h, w, 3) uint8: their patches' first principal components, half whitened."""
    tensor = torch.from_numpy(np.array(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1
    patches = F.pixel_unshuffle(tensor, patch).permute(0, 2, 3, 1).reshape(-1, 3 * patch**2)
    values, vectors = torch.linalg.eigh((patches.T @ patches / len(patches)).double())
    values, vectors = values.flip(0)[:latents], vectors.flip(1)[:, :latents]
    scale = values.clamp_min(1e-8) ** 0.25
    scale = scale * (values / scale**2).mean().sqrt()
    matrix = (vectors / scale).float()
    return Codec(matrix, float(1 / (patches @ matrix).std()))


def motion_code(sources: torch.Tensor) -> torch.Tensor:
    """Displacements in pixels (…, 2, h, w) as the motion channels have them, (…, MOTION, h, w), of about unit variance.

    The waves tell the network which mixture of neighbouring patches a displacement means; from the displacement alone
    it would have to make them itself, many to a clip's width.
    """
    angles = [sources * (2 * math.pi / period) for period in PERIODS]
    waves = [math.sqrt(2) * wave for angle in angles for wave in (angle.cos(), angle.sin())]
    return torch.cat([sources / MOTION_UNIT, *waves], dim=-3)


def with_motion(latents: torch.Tensor, motion: int = MOTION) -> torch.Tensor:
    """A still picture's latents (…, latents, h, w) with the motion channels, in which a picture says nothing."""
    return F.pad(latents, (0, 0, 0, 0, 0, motion))
