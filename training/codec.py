"""The autoencoder's linear half, in closed form: principal components of patches. Knows torch alone.

The first `LATENTS` channels carry the picture. `MOTION` more are there for the denoiser, which says in them where the
content of a place came from: the encoder answers zero there, a picture being still, and the decoder does not read them.
The encoder is this map exactly (`training/vae.py` writes it into diffusers' convolutions), so the denoiser can be
trained before there is a decoder.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

LATENTS = 32
MOTION = 2
CHANNELS = LATENTS + MOTION
PATCH = 8  # pixels per latent, as in the real SVD


@dataclass(frozen=True)
class Codec:
    """Patches' principal components, half whitened: `matrix` (3·patch², latents), and what makes variance one."""

    matrix: torch.Tensor
    scaling: float

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
        return Codec(self.matrix.to(device), self.scaling)


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


def with_motion(latents: torch.Tensor) -> torch.Tensor:
    """A still picture's latents (…, LATENTS, h, w) with the channels that say nothing has moved."""
    return F.pad(latents, (0, 0, 0, 0, 0, MOTION))
