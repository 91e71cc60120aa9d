"""The denoiser: learns where things move, and to carry the picture there. Knows diffusers' class.

Trained as EDM's v-prediction on unit-variance latents: input x/√(σ²+1), target (n − σ·x0)/√(σ²+1). Beside the picture's
latents it makes channels that say where each place's content came from (as in VideoJAM, Chefer et al. 2025): a
direction is one decision for the whole clip, which a small network finds in whole-frame averages of those channels long
before it could find it in the picture's, and carrying the picture along a known field is then easy to learn.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from diffusers import UNetSpatioTemporalConditionModel

from training.clips import HEIGHT, WIDTH, Clips
from training.codec import CHANNELS, LATENTS, PATCH, Codec, motion_code, with_motion
from training.optim import Trainer
from training.runs import autocast

PROJECTION = 16  # width of the CLIP embedding
WIDTHS = (160, 96)  # channels at 32×18 cells and at 16×9
ROWS, COLUMNS = HEIGHT // PATCH, WIDTH // PATCH
SIGMAS = (0.05, 250.0)  # noise levels trained at
SEEN = (0.5, 4.0)  # of them, where a place's motion shows through the noise
STEPS_DOWN = (1.6, 5.5)  # times the level that a sampler comes from: eight of Karras' steps have 2 to 5
SMALL_NOISE = 0.5  # σ below which an error counts as what it does to the picture, not as one of the noise
MOTION_WEIGHT = 0.25  # of the displacement in the loss
WAVES_WEIGHT = 0.15  # of its waves
SHAKE_WEIGHT = 4.0  # of what is wrong with the camera's acceleration
PIXEL_SHARE = (
    0.5  # of the picture's loss that weighs latents as they count in pixels; the rest weighs all alike
)
AUGMENTATION = 0.02  # the noise on the conditioning picture that the pair is meant to be sampled with


@dataclass(frozen=True)
class Batch:
    """Clips as the denoiser is given them.

    `latents` (clips, frames, channels, rows, columns) of unit variance, `given` (clips, channels, rows, columns) the
    conditioning picture's as the autoencoder gives them, `ids` (clips, 3) the added time ids as diffusers tells them.
    """

    latents: torch.Tensor
    given: torch.Tensor
    ids: torch.Tensor

    def split(self, count: int) -> Iterator[Batch]:
        """The same in parts of so many clips."""
        for parts in zip(*(part.split(count) for part in (self.latents, self.given, self.ids)), strict=True):
            yield Batch(*parts)

    def to(self, device: torch.device) -> Batch:
        """The same on another device."""
        return Batch(self.latents.to(device), self.given.to(device), self.ids.to(device))


def build(widths: tuple[int, ...] = WIDTHS) -> UNetSpatioTemporalConditionModel:
    """Untrained, 7.0 M parameters at its own widths; sizes are multiples of 16 pixels."""
    return UNetSpatioTemporalConditionModel(
        sample_size=(ROWS, COLUMNS),
        in_channels=2 * CHANNELS,
        out_channels=CHANNELS,
        block_out_channels=widths,
        down_block_types=("DownBlockSpatioTemporal",) * len(widths),
        up_block_types=("UpBlockSpatioTemporal",) * len(widths),
        addition_time_embed_dim=16,
        projection_class_embeddings_input_dim=48,
        layers_per_block=1,
        cross_attention_dim=PROJECTION,
        transformer_layers_per_block=1,
        num_attention_heads=tuple(width // 32 for width in widths),
        num_frames=14,
    )


def unet_trainer(unet: UNetSpatioTemporalConditionModel, rate: float = 1.0) -> Trainer:
    """All parameters; the average over about 300 steps is what is kept."""
    return Trainer(unet, matrix_lr=4e-3 * rate, vector_lr=7e-4 * rate, average=0.997)


def batch_of(clips: Clips, codec: Codec, rng: torch.Generator | None = None, wild: float = 0.0) -> Batch:
    """Clips as latents. `wild` is the share whose conditioning picture is noisier than it is meant to be.

    `rng` is a CPU generator.
    """
    count, frames = clips.frames.shape[:2]
    device = clips.frames.device
    noisy = torch.rand(count, generator=rng) < wild
    strength = torch.where(noisy, 0.3 * torch.rand(count, generator=rng), torch.tensor(AUGMENTATION)).to(
        device
    )
    first = clips.frames[:, 0]
    grain = torch.randn(first.shape, generator=rng).to(device)
    latents = codec.encode(clips.frames.flatten(0, 1)).unflatten(0, (count, frames)) * codec.scaling
    given = codec.encode(first + strength[:, None, None, None] * grain)
    return Batch(
        torch.cat([latents, motion_code(clips.sources)[:, :, : codec.motion]], dim=2),
        with_motion(given, codec.motion),
        torch.stack([clips.fps - 1, clips.bucket, strength], dim=1),
    )


def draw_levels(count: int, high_share: float) -> torch.Tensor:
    """Noise levels σ to train at: log-normal around 1.6, and many of the high ones, where a direction is chosen."""
    levels = torch.exp(torch.randn(count) * 1.2 + 0.5)
    high = torch.exp(torch.rand(count) * 4.1 + 1.4)
    return torch.where(torch.rand(count) < high_share, high, levels).clamp(*SIGMAS)


def seen_levels(count: int) -> torch.Tensor:
    """Noise levels at which a motion still shows in the motion channels: log-uniform."""
    return torch.exp(torch.rand(count) * math.log(SEEN[1] / SEEN[0])) * SEEN[0]


def residuals(
    unet: UNetSpatioTemporalConditionModel, batch: Batch, levels: torch.Tensor, noise: torch.Tensor
) -> torch.Tensor:
    """What the v-prediction is off by, per value. `levels` σ per clip, `noise` of the latents' shape."""
    latents = batch.latents
    clips, frames = latents.shape[:2]
    sigma = levels.view(-1, 1, 1, 1, 1)
    scale = (sigma**2 + 1).sqrt()
    conditioning = batch.given[:, None].expand(-1, frames, -1, -1, -1)
    inputs = torch.cat([(latents + sigma * noise) / scale, conditioning], dim=2)
    embeds = torch.zeros(clips, 1, PROJECTION, device=latents.device)
    with autocast(latents.device):
        made = unet(
            inputs, 0.25 * levels.log(), encoder_hidden_states=embeds, added_time_ids=batch.ids
        ).sample
    return made.float() - (noise - sigma * latents) / scale


def clean_error(off: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
    """What the predicted clean latents are off by, where the v-prediction is off by so much."""
    return -off * (levels / (levels**2 + 1).sqrt()).view(-1, 1, 1, 1, 1)


def stepped(
    error: torch.Tensor, noise: torch.Tensor, above: torch.Tensor, levels: torch.Tensor
) -> torch.Tensor:
    """The noise after Euler's step from `above` down to `levels` (clips,), with a clean prediction so much off.

    What the step leaves of the error stands in the sample as if it were noise.
    """
    return noise + error * (1 / levels - 1 / above).view(-1, 1, 1, 1, 1)


@torch.no_grad()
def drifted(
    unet: UNetSpatioTemporalConditionModel,
    batch: Batch,
    levels: torch.Tensor,
    noise: torch.Tensor,
    steps: int,
) -> torch.Tensor:
    """The noise at `levels` as a sampler brings it there from above in so many steps, with the network's own errors.

    A network that has seen true clips alone takes the errors of its former steps for the picture: each step adds to
    them. (DAgger's idea, Ross et al. 2011; of diffusion, "exposure bias", Ning et al. 2023.)
    """
    low, high = (math.log(times) for times in STEPS_DOWN)
    ladder = [levels]
    for _ in range(steps):
        times = torch.exp(low + (high - low) * torch.rand(len(levels))).to(levels)
        ladder.append((ladder[-1] * times).clamp(max=SIGMAS[1]))
    for above, below in itertools.pairwise(reversed(ladder)):
        error = clean_error(residuals(unet, batch, above, noise), above)
        noise = stepped(error, noise, above, below)
    return noise


def loss(off: torch.Tensor, levels: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """The mean square of `residuals`, by pixels and by latents, with more for motion and for what shakes.

    `weights` (LATENTS,) say how much a latent counts in pixels, mean 1. At a small σ the noise is hard to tell and
    hardly seen: an untrained network spends its steps on it if it counts in full.
    """
    off = off * (levels / (levels**2 + SMALL_NOISE**2).sqrt()).view(-1, 1, 1, 1, 1)
    picture = off[:, :, :LATENTS].pow(2).mean((0, 1, 3, 4))
    picture = (picture * torch.lerp(torch.ones_like(weights), weights, PIXEL_SHARE)).mean()
    motion, waves = (part.pow(2).mean() for part in off[:, :, LATENTS:].tensor_split([2], dim=2))
    return picture + MOTION_WEIGHT * motion + WAVES_WEIGHT * waves + SHAKE_WEIGHT * shake(off).pow(2).mean()


def shake(off: torch.Tensor) -> torch.Tensor:
    """What is wrong with the whole frame's acceleration: (clips, frames - 2, 2), second differences of
    means.

    A camera's sway is a small part of all motion, and the noise on it, averaged over a frame, is smaller still.
    """
    return off[:, :, LATENTS : LATENTS + 2].mean((-2, -1)).diff(n=2, dim=1)
