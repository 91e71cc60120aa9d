"""The denoiser: learns where things move, and to carry the picture there. Knows diffusers' class.

Trained as EDM's v-prediction on unit-variance latents: input x/√(σ²+1), target (n − σ·x0)/√(σ²+1). Beside the picture's
latents it makes two channels that say where each place's content came from (as in VideoJAM, Chefer et al. 2025): a
direction is one decision for the whole clip, which a small network finds in whole-frame averages of those channels long
before it could find it in the picture's, and carrying the picture along a known field is then easy to learn.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch
from diffusers import UNetSpatioTemporalConditionModel

from training.clips import HEIGHT, PANS, RESTLESS, WIDTH, ClipMaker
from training.optim import Trainer
from training.pictures import PictureMaker
from training.runs import Clock, device_of, load_state, save_state
from training.vae import CHANNELS, LATENTS, MOTION, PATCH, encode_linearly, with_motion

PROJECTION = 16  # width of the CLIP embedding
ROWS, COLUMNS = HEIGHT // PATCH, WIDTH // PATCH
LEVELS = (0.3, 1.5, 5.0, 20.0, 80.0)  # noise levels σ at which held-out loss is printed
SIGMAS = (0.05, 250.0)
MOTION_UNIT = 2.7  # px of displacement that count as 1 in a motion channel
MOTION_WEIGHT = 2.0  # of the motion channels in the loss
SHAKE_WEIGHT = 8.0  # of what is wrong with the camera's acceleration
# What a step sees: clips, latent rows and columns, how often. Many small clips teach the choice of a move, which is one
# per clip; those of the full size teach what it looks like there.
SHAPES = ((3, 12, 16, 0.2), (2, 18, 32, 0.55), (1, 36, 64, 0.25))
MIRRORED = ((3, 12, 16, 0.5), (1, 18, 32, 0.5))  # each clip counts four times
WHOLE = ((2, 18, 32, 0.4), (1, 36, 64, 0.6))  # to end with
AUGMENTATION = 0.02  # the noise on the conditioning picture that the pair is meant to be sampled with


def build() -> UNetSpatioTemporalConditionModel:
    """Untrained, 3.9 M parameters; sizes are multiples of 8 pixels."""
    return UNetSpatioTemporalConditionModel(
        sample_size=(ROWS, COLUMNS),
        in_channels=2 * CHANNELS,
        out_channels=CHANNELS,
        block_out_channels=(96, 96),
        down_block_types=("DownBlockSpatioTemporal",) * 2,
        up_block_types=("UpBlockSpatioTemporal",) * 2,
        addition_time_embed_dim=16,
        projection_class_embeddings_input_dim=48,
        layers_per_block=1,
        cross_attention_dim=PROJECTION,
        transformer_layers_per_block=1,
        num_attention_heads=3,
        num_frames=14,
    )


def unet_trainer(unet: UNetSpatioTemporalConditionModel, rate: float = 1.0) -> Trainer:
    """All parameters; the average over about 300 steps is what is kept."""
    return Trainer(unet, matrix_lr=3e-3 * rate, vector_lr=5e-4 * rate, average=0.997)


def draw_levels(count: int, high_share: float = 0.35) -> torch.Tensor:
    """Noise levels σ to train at: log-normal around 2.2, and many of the high ones, where a direction is chosen."""
    levels = torch.exp(torch.randn(count) * 1.2 + 0.5)
    high = torch.exp(torch.rand(count) * 4.1 + 1.4)
    return torch.where(torch.rand(count) < high_share, high, levels).clamp(*SIGMAS)


def residuals(
    unet: UNetSpatioTemporalConditionModel,
    latents: torch.Tensor,
    given: torch.Tensor,
    ids: torch.Tensor,
    levels: torch.Tensor,
    noise: torch.Tensor,
) -> torch.Tensor:
    """What the v-prediction is off by, per value.

    `latents` and `noise` (clips, frames, CHANNELS, h, w) of unit variance, `given` the conditioning picture's latents
    (clips, CHANNELS, h, w) as the autoencoder gives them, `levels` σ per clip.
    """
    clips, frames = latents.shape[:2]
    sigma = levels.view(-1, 1, 1, 1, 1)
    scale = (sigma**2 + 1).sqrt()
    conditioning = given[:, None].expand(-1, frames, -1, -1, -1)
    inputs = torch.cat([(latents + sigma * noise) / scale, conditioning], dim=2)
    embeds = torch.zeros(clips, 1, PROJECTION, device=latents.device)
    with torch.autocast(latents.device.type, torch.bfloat16):
        made = unet(inputs, 0.25 * levels.log(), encoder_hidden_states=embeds, added_time_ids=ids).sample
    return made.float() - (noise - sigma * latents) / scale


def loss(off: torch.Tensor) -> torch.Tensor:
    """The mean square of `residuals` with the motion channels' weight, and with more for what shakes."""
    picture, motion = (part.pow(2).mean() for part in off.split([LATENTS, MOTION], dim=2))
    return picture + MOTION_WEIGHT * MOTION / LATENTS * motion + SHAKE_WEIGHT * shake(off).pow(2).mean()


def shake(off: torch.Tensor) -> torch.Tensor:
    """What is wrong with the whole frame's acceleration: (clips, frames - 2, MOTION), second differences of means.

    A camera's sway is a small part of all motion, and the noise on it, averaged over a frame, is smaller still.
    """
    return off[:, :, LATENTS:].mean((-2, -1)).diff(n=2, dim=1)


class Batches:
    """Fresh clips as latents, of any size: (latents, conditioning latents, added time ids)."""

    def __init__(self, maker: ClipMaker, pool: list[np.ndarray], patches: torch.Tensor, scaling: float):
        self.maker, self.pool, self.patches, self.scaling = maker, pool, patches, scaling

    def __call__(
        self, clips: int, frames: int, rows: int = ROWS, columns: int = COLUMNS, mirrored: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """`mirrored` gives each clip four times, as `MIRRORS` has them."""
        made = [one for _ in range(clips) for one in self._views(frames, rows, columns, mirrored)]
        latents, given, ids = (
            torch.stack(parts).to(self.patches.device) for parts in zip(*made, strict=True)
        )
        return latents, given, ids

    def _views(
        self, frames: int, rows: int, columns: int, mirrored: bool
    ) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        rng = self.maker.rng
        clip = self.maker(self.pool[rng.integers(len(self.pool))], frames, (PATCH * columns, PATCH * rows))
        pixels = torch.from_numpy(clip.frames).permute(0, 3, 1, 2) * 2 - 1
        moved = torch.from_numpy(clip.sources).permute(0, 3, 1, 2) / MOTION_UNIT
        strength = AUGMENTATION if rng.random() < 0.8 else float(rng.uniform(0, 0.3))
        pixels = torch.cat([pixels, pixels[:1] + strength * torch.randn_like(pixels[:1])])
        ids = torch.tensor([clip.fps - 1.0, float(clip.bucket), strength])  # as diffusers tells them
        views = []
        for sides in MIRRORS if mirrored else MIRRORS[:1]:
            pictures = encode_linearly(pixels.flip(sides).to(self.patches.device), self.patches)
            latents = torch.cat([pictures[:-1] * self.scaling, mirror(moved, sides).to(pictures)], dim=1)
            views.append((latents, with_motion(pictures[-1]), ids))
        return views


# Which sides of (…, rows, columns) are turned round.
MIRRORS: tuple[tuple[int, ...], ...] = ((), (-1,), (-2,), (-2, -1))


def mirror(motion: torch.Tensor, sides: tuple[int, ...]) -> torch.Tensor:
    """A field of displacements (…, 2, rows, columns), across and down, as a mirror shows it."""
    signs = torch.tensor([-1.0 if -1 in sides else 1.0, -1.0 if -2 in sides else 1.0], device=motion.device)
    return motion.flip(sides) * signs.view(2, 1, 1)


def draw_noise(latents: torch.Tensor, mirrored: bool) -> torch.Tensor:
    """Noise for each clip; for the four views of one clip the same in the motion channels, as the mirrors have it.

    A preference for one direction then cannot come in by chance: each step sees all four on equal terms.
    """
    noise = torch.randn_like(latents)
    if mirrored:
        for place in range(0, len(noise), len(MIRRORS)):
            for view, sides in enumerate(MIRRORS):
                noise[place + view, :, LATENTS:] = mirror(noise[place, :, LATENTS:], sides)
    return noise


def train(
    work: Path,
    minutes: float,
    device: str = "auto",
    *,
    name: str = "unet",
    start: str | None = None,
    restless: float = RESTLESS,
    fixed: tuple[int, int] | None = None,
    moves: tuple[str, ...] = PANS,
    things: float = 0.0,
    frames: tuple[int, ...] = (14,),
    shapes: tuple[tuple[int, int, int, float], ...] = SHAPES,
    high_share: float = 0.35,
    mirrored: bool = False,
    rate: float = 1.0,
    pool_size: int = 120,
) -> None:
    """Trains `work/<name>` for so many minutes, going on from its state, or from `work/<start>`'s weights.

    `fixed` (fps, bucket) and `restless` 0 make the fine-tuned, steady checkpoint; a step's clips have one of the
    frame counts and one of the shapes. Needs `work/vae`.
    """
    where, rng = device_of(device), np.random.default_rng(time.time_ns())
    vae_state = load_state(work / "vae")
    if vae_state is None:
        raise SystemExit(f"there is no trained autoencoder in {work / 'vae'}; run the vae stage first")
    painter = PictureMaker(rng)
    pool = [painter() for _ in range(pool_size)]
    state = load_state(work / name)
    unet = build()
    if start and not state:
        first = load_state(work / start)
        if first is None:
            raise SystemExit(f"there is nothing to fine-tune in {work / start}; run the unet stage first")
        unet.load_state_dict(first["trainer"]["average"])
    unet.to(where)
    maker = ClipMaker(rng, moves, restless, fixed, things, PATCH)
    batches = Batches(maker, pool, vae_state["patches"].to(where), vae_state["scaling"])
    held_out = batches(4, frames[0], *shapes[-1][1:3])
    often = [shape[3] for shape in shapes]
    trainer = unet_trainer(unet, rate)
    if state:
        trainer.load_state_dict(state["trainer"])
    clock = Clock(minutes)
    while clock.running():
        if trainer.steps % 8 == 0:
            pool[rng.integers(len(pool))] = painter()
        clips, rows, columns, _ = shapes[rng.choice(len(shapes), p=often)]
        latents, given, ids = batches(clips, frames[rng.integers(len(frames))], rows, columns, mirrored)
        views = len(latents) // clips
        kept = (
            (torch.rand(clips) > 0.1).float().repeat_interleave(views)
        )  # without: what guidance contrasts with
        given = given * kept.to(where).view(-1, 1, 1, 1)
        levels = draw_levels(clips, high_share).repeat_interleave(views).to(where)
        off = residuals(unet, latents, given, ids, levels, draw_noise(latents, mirrored))
        trainer.update(loss(off), clock.factor())
        if clock.report(trainer.steps):
            print(f"{name} {trainer.steps} {clock.text()} {_held_out(trainer.average, held_out)}", flush=True)
            save_state(work / name, trainer.average, trainer=trainer.state_dict())
    save_state(work / name, trainer.average, trainer=trainer.state_dict())


@torch.no_grad()
def blend(
    work: Path, name: str, other: Path, share: float = 0.5, lean: tuple[float, float] = (0.0, 0.0)
) -> None:
    """Makes `work/<name>` the mean of itself and an earlier copy of that folder, with `share` of the latter.

    A preference for one direction wanders while a network is trained; between two states of one run it averages out.
    What is left of it `lean` takes away: added to the last layer's bias of the motion channels, across and down.
    """
    state, earlier = load_state(work / name), load_state(other)
    if state is None or earlier is None:
        raise SystemExit(f"there is no trained state in {work / name if state is None else other}")
    mine, theirs = state["trainer"]["average"], earlier["trainer"]["average"]
    for key, value in mine.items():
        value.lerp_(theirs[key], share)
    mine["conv_out.bias"][LATENTS:] += torch.tensor(lean)
    unet = build()
    unet.load_state_dict(mine)
    trainer = unet_trainer(unet)
    trainer.steps = state["trainer"]["steps"]
    save_state(work / name, trainer.average, trainer=trainer.state_dict())


@torch.no_grad()
def _held_out(
    unet: UNetSpatioTemporalConditionModel, batch: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
) -> str:
    latents, given, ids = batch
    said = []
    for level in LEVELS:
        levels = torch.full((len(latents),), level, device=latents.device)
        generator = torch.Generator(latents.device).manual_seed(1)
        noise = torch.randn(latents.shape, generator=generator, device=latents.device)
        off = residuals(unet, latents, given, ids, levels, noise)
        shown = {"picture": off[:, :, :LATENTS], "motion": off[:, :, LATENTS:], "shake": shake(off)}
        figures = " ".join(f"{key} {float(part.pow(2).mean()):.3f}" for key, part in shown.items())
        said.append(f"σ {level:g}: {figures}")
    return ", ".join(said)
