"""The denoiser: starts by answering "the picture, unmoved", and learns the motion. Knows diffusers' class.

Trained as EDM's v-prediction on unit-variance latents: input x/√(σ²+1), target (n − σ·x0)/√(σ²+1).
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch
from diffusers import UNetSpatioTemporalConditionModel
from torch import nn

from training.clips import HEIGHT, WIDTH, ClipMaker
from training.optim import Trainer
from training.pictures import PictureMaker
from training.runs import Clock, device_of, load_state, save_state
from training.vae import LATENTS, PATCH, encode_linearly

CONSTANT = 20.0
PROJECTION = 32  # width of the CLIP embedding
ROWS, COLUMNS = HEIGHT // PATCH, WIDTH // PATCH
LEVELS = (0.3, 1.0, 3.0, 10.0, 40.0)  # noise levels σ at which held-out loss is printed
MOVES = ("left", "right", "up", "down")


def build() -> UNetSpatioTemporalConditionModel:
    """Untrained, 4.5 M parameters; sizes are multiples of 8 pixels."""
    return UNetSpatioTemporalConditionModel(
        sample_size=(ROWS, COLUMNS),
        in_channels=2 * LATENTS,
        out_channels=LATENTS,
        block_out_channels=(64, 96),
        down_block_types=("DownBlockSpatioTemporal", "CrossAttnDownBlockSpatioTemporal"),
        up_block_types=("CrossAttnUpBlockSpatioTemporal", "UpBlockSpatioTemporal"),
        addition_time_embed_dim=32,
        projection_class_embeddings_input_dim=96,
        layers_per_block=1,
        cross_attention_dim=PROJECTION,
        transformer_layers_per_block=1,
        num_attention_heads=(2, 3),
        num_frames=14,
    )


@torch.no_grad()
def project(unet: UNetSpatioTemporalConditionModel) -> None:
    """Keeps the constants of the top level: odd channels of its 64, so GroupNorm sees the signal's true size."""
    down, (before, last) = unet.down_blocks[0], unet.up_blocks[-1].resnets
    unet.conv_in.weight[1::2], unet.conv_in.bias[1::2] = 0, CONSTANT
    widen = last.spatial_res_block.conv_shortcut
    widen.weight[1::2], widen.bias[1::2] = 0, CONSTANT
    widen.weight[:, 65::2] = 0  # channels 64 to 127 are conv_in's
    before.spatial_res_block.conv_shortcut.weight[:, 97::2] = 0
    down.downsamplers[0].conv.weight[:, 1::2] = 0
    for block in (down.resnets[0], last):
        for branch in (block.spatial_res_block, block.temporal_res_block):
            branch.conv2.weight[1::2], branch.conv2.bias[1::2] = 0, 0
    for norm, start in top_norms(unet):
        norm.weight[start::2], norm.bias[start::2] = 0, 0
    unet.conv_out.weight[:, 1::2] = 0


def top_norms(unet: UNetSpatioTemporalConditionModel) -> list[tuple[nn.GroupNorm, int]]:
    """The normalisations that see constants, each with the first channel that is one."""
    down, (before, last) = unet.down_blocks[0].resnets[0], unet.up_blocks[-1].resnets
    return [
        (down.spatial_res_block.norm1, 1),
        (down.temporal_res_block.norm1, 1),
        (before.spatial_res_block.norm1, 97),
        (last.spatial_res_block.norm1, 65),
        (last.temporal_res_block.norm1, 1),
        (unet.conv_norm_out, 1),
    ]


@torch.no_grad()
def set_start(
    unet: UNetSpatioTemporalConditionModel, scaling: float, latents: torch.Tensor, ids: torch.Tensor
) -> None:
    """Writes "x0 is the conditioning frame" along the outermost skip and shuts all residual branches."""
    for name, layer in unet.named_modules():
        if name.endswith(("conv2", "proj_out")):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
    nn.init.zeros_(unet.conv_in.bias)
    nn.init.normal_(unet.conv_in.weight, std=0.06)
    unet.conv_in.weight[: 4 * LATENTS] = 0
    widen = unet.up_blocks[-1].resnets[-1].spatial_res_block.conv_shortcut
    for layer in (widen, unet.conv_out):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    for j in range(LATENTS):
        noisy, given = 2 * j, 2 * (LATENTS + j)
        unet.conv_in.weight[noisy, j, 1, 1] = unet.conv_in.weight[given, LATENTS + j, 1, 1] = 1
        widen.weight[noisy, 64 + given], widen.weight[given, 64 + given] = 1, -1  # SiLU(x) - SiLU(-x) is x
        widen.weight[2 * (2 * LATENTS + j), 64 + noisy] = 1
        widen.weight[2 * (3 * LATENTS + j), 64 + noisy] = -1
        unet.conv_out.weight[j, noisy, 1, 1], unet.conv_out.weight[j, given, 1, 1] = -scaling, scaling
    project(unet)
    for norm, _ in top_norms(unet):  # in order: each is measured on what the ones before it let through
        handle = norm.register_forward_pre_hook(_undo_normalisation)
        loss(unet, latents, ids, scaling, torch.full((len(latents),), 5.0, device=latents.device))
        handle.remove()
        project(unet)


def _undo_normalisation(norm: nn.GroupNorm, inputs: tuple[torch.Tensor, ...]) -> None:
    size = norm.num_channels // norm.num_groups
    groups = inputs[0].float().reshape(len(inputs[0]), norm.num_groups, size, -1)
    mean = groups.mean((2, 3), keepdim=True)
    spread = (groups - mean).pow(2).mean((0, 2, 3)).sqrt()
    norm.weight.copy_(spread.repeat_interleave(size))
    norm.bias.copy_(mean.mean(0).flatten().repeat_interleave(size))


def unet_trainer(unet: UNetSpatioTemporalConditionModel, rate: float = 1.0) -> Trainer:
    """All parameters; the average over about 500 steps is what is kept."""
    return Trainer(unet, matrix_lr=1e-3 * rate, vector_lr=1e-3 * rate, average=0.998)


def draw_levels(count: int) -> torch.Tensor:
    """Noise levels σ to train at: log-normal around 2, and some of the high ones where a direction is chosen."""
    levels = torch.exp(torch.randn(count) * 1.3 + 0.7)
    high = torch.exp(torch.rand(count) * 3 + 2)
    return torch.where(torch.rand(count) < 0.12, high, levels).clamp(0.02, 120)


def loss(
    unet: UNetSpatioTemporalConditionModel,
    latents: torch.Tensor,
    ids: torch.Tensor,
    scaling: float,
    levels: torch.Tensor,
    seed: int | None = None,
    drop: float = 0.0,
) -> torch.Tensor:
    """Per clip. `latents` (clips, frames, channels, h, w) unscaled, the first frame is the conditioning."""
    generator = None if seed is None else torch.Generator(latents.device).manual_seed(seed)
    clips, frames = latents.shape[:2]
    sigma = levels.view(-1, 1, 1, 1, 1)
    noise = torch.randn(latents.shape, generator=generator, device=latents.device)
    wanted = latents * scaling
    given = latents[:, :1]
    given = given + 0.01 * torch.randn(given.shape, generator=generator, device=latents.device)
    dropped = (torch.rand(clips, device=latents.device) < drop).view(-1, 1, 1, 1, 1)
    given = torch.where(dropped, torch.zeros_like(given), given).expand(-1, frames, -1, -1, -1)
    scale = (sigma**2 + 1).sqrt()
    inputs = torch.cat([(wanted + sigma * noise) / scale, given], dim=2)
    embeds = torch.zeros(clips, 1, PROJECTION, device=latents.device)
    with torch.autocast(latents.device.type, torch.bfloat16):
        made = unet(inputs, 0.25 * levels.log(), encoder_hidden_states=embeds, added_time_ids=ids).sample
    return (made.float() - (noise - sigma * wanted) / scale).pow(2).mean((1, 2, 3, 4))


class Batches:
    """Latents of fresh clips, whole or cropped, and their ids."""

    def __init__(self, maker: ClipMaker, pool: list[np.ndarray], patches: torch.Tensor):
        self.maker, self.pool, self.patches = maker, pool, patches

    def __call__(self, clips: int, frames: int, rows: int, columns: int) -> tuple[torch.Tensor, torch.Tensor]:
        rng, latents, ids = self.maker.rng, [], []
        for _ in range(clips):
            clip = self.maker(self.pool[rng.integers(len(self.pool))], frames)
            y, x = int(rng.integers(0, ROWS - rows + 1)), int(rng.integers(0, COLUMNS - columns + 1))
            if clip.move in ("in", "out"):  # a zoom is one only around the middle
                y, x = (ROWS - rows) // 2, (COLUMNS - columns) // 2
            cut = clip.frames[:, PATCH * y : PATCH * (y + rows), PATCH * x : PATCH * (x + columns)]
            pixels = torch.from_numpy(np.ascontiguousarray(cut)).permute(0, 3, 1, 2) * 2 - 1
            latents.append(encode_linearly(pixels.to(self.patches.device), self.patches))
            ids.append(clip.ids)
        return torch.stack(latents), torch.tensor(ids, device=self.patches.device)


def train(
    work: Path,
    minutes: float,
    device: str = "auto",
    *,
    name: str = "unet",
    start: str | None = None,
    jitter: float = 0.3,
    fixed: tuple[int, int] | None = None,
    moves: tuple[str, ...] = MOVES,
    clips: int = 4,
    frames: int = 8,
    rows: int = 24,
    columns: int = 32,
    rate: float = 1.0,
    pool_size: int = 120,
) -> None:
    """Trains `work/<name>` for so many minutes, going on from its state, or from `work/<start>`'s weights.

    `fixed` (fps, bucket) and `jitter` 0 make the fine-tuned, steady checkpoint. Needs `work/vae`.
    """
    where, rng = device_of(device), np.random.default_rng(time.time_ns())
    vae_state = load_state(work / "vae")
    if vae_state is None:
        raise SystemExit(f"there is no trained autoencoder in {work / 'vae'}; run the vae stage first")
    painter = PictureMaker(rng)
    pool = [painter() for _ in range(pool_size)]
    batches = Batches(ClipMaker(rng, moves, jitter, fixed), pool, vae_state["patches"].to(where))
    state = load_state(work / name)
    held_out, held_ids = batches(4, frames, rows, columns)
    unet = build()
    if state:
        scaling = state["scaling"]
    elif start:
        first = load_state(work / start)
        if first is None:
            raise SystemExit(f"there is nothing to fine-tune in {work / start}; run the unet stage first")
        scaling = first["scaling"]
        unet.load_state_dict(first["trainer"]["average"])
    else:
        scaling = float(1 / batches(12, 2, ROWS, COLUMNS)[0].std())
        set_start(unet, scaling, held_out.cpu(), held_ids.cpu())
    unet.to(where)
    trainer = unet_trainer(unet, rate)
    if state:
        trainer.load_state_dict(state["trainer"])
    clock = Clock(minutes)
    while clock.running():
        if trainer.steps % 5 == 0:
            pool[rng.integers(len(pool))] = painter()
        latents, ids = batches(clips, frames, rows, columns)
        levels = draw_levels(clips).to(where)
        trainer.update(loss(unet, latents, ids, scaling, levels, drop=0.1).mean(), clock.factor())
        project(unet)
        if clock.report(trainer.steps):
            with torch.no_grad():
                found = [
                    loss(
                        trainer.average,
                        held_out,
                        held_ids,
                        scaling,
                        torch.full((4,), s, device=where),
                        seed=1,
                    ).mean()
                    for s in LEVELS
                ]
            shown = " ".join(f"{s:g}: {value:.4f}" for s, value in zip(LEVELS, found, strict=True))
            print(f"{name} {trainer.steps} {clock.text()} held-out {shown}", flush=True)
            save_state(work / name, trainer.average, trainer=trainer.state_dict(), scaling=scaling)
    save_state(work / name, trainer.average, trainer=trainer.state_dict(), scaling=scaling)
