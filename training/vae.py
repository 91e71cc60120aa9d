"""The autoencoder: a linear encoder set in closed form, a decoder trained on pictures. Knows diffusers' class.

The first `LATENTS` channels carry the picture. `MOTION` more are there for the denoiser, which says in them where
the content of a place came from: the encoder answers zero there, a picture being still, and the decoder does not read
them.

Small networks have few channels in each of GroupNorm's 32 groups, so normalising throws away absolute brightness. A
constant in the last channel of a group of three, large against the signal, makes normalisation all but linear;
`project` keeps those constants after every step. (In a group of two, signal and constant, the signal's mean would still
be lost.)
"""

from __future__ import annotations

import math
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from diffusers import AutoencoderKLTemporalDecoder
from torch import nn
from torch.nn import functional as F

from training.optim import Trainer
from training.pictures import PictureMaker
from training.runs import Clock, device_of, load_state, save_state

LATENTS = 8
MOTION = 2
CHANNELS = LATENTS + MOTION
PATCH = 4  # pixels per latent
CONSTANT = 30.0
ENCODER_CONSTANT = 40.0
CROP, BATCH = 64, 8
FRAMES = (
    4  # of the moving crops that every second step is trained on, so that the decoder learns to be steady
)
LATENT_NOISE = 0.05  # the decoder is also given latents that are slightly off, as the UNet's are
SKELETON_STEPS = 900  # of plain convolutions first: a linear start


def constants(channels: int) -> torch.Tensor:
    """Which of a layer's channels are constant: the last of each of 32 groups, where a group is more than one."""
    mask, size = torch.zeros(channels, dtype=torch.bool), channels // 32
    if size > 1:
        mask[size - 1 :: size] = True
    return mask


def build() -> AutoencoderKLTemporalDecoder:
    """Untrained, 2.1 M parameters."""
    return AutoencoderKLTemporalDecoder(
        block_out_channels=(96, 32, 96),
        down_block_types=("DownEncoderBlock2D",) * 3,
        layers_per_block=1,
        latent_channels=CHANNELS,
        sample_size=256,
        scaling_factor=1.0,
        force_upcast=True,
    )


def principal_patches(crops: torch.Tensor) -> torch.Tensor:
    """The (48, LATENTS) matrix of 4×4 patches' first principal components, half whitened. `crops` are -1…1."""
    patches = F.pixel_unshuffle(crops, PATCH).permute(0, 2, 3, 1).reshape(-1, 3 * PATCH**2)
    values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
    values, vectors = values.flip(0)[:LATENTS], vectors.flip(1)[:, :LATENTS]
    scale = values.clamp_min(1e-8) ** 0.25
    scale = scale * (values / scale**2).mean().sqrt()
    return vectors / scale


def encode_linearly(pictures: torch.Tensor, patches: torch.Tensor) -> torch.Tensor:
    """What the encoder computes, as one matrix product: (n, 3, h, w) → (n, LATENTS, h/4, w/4)."""
    return torch.einsum("nchw,ck->nkhw", F.pixel_unshuffle(pictures, PATCH), patches)


def unit_scaling(patches: torch.Tensor, pool: list[np.ndarray]) -> float:
    """What latents are multiplied with so that their variance is one."""
    pictures = torch.from_numpy(np.stack(pool)).permute(0, 3, 1, 2)
    return float(1 / encode_linearly(pictures * 2 - 1, patches).std())


def with_motion(latents: torch.Tensor) -> torch.Tensor:
    """A still picture's latents (…, LATENTS, h, w) with the channels that say nothing has moved."""
    return F.pad(latents, (0, 0, 0, 0, 0, MOTION))


@torch.no_grad()
def set_encoder(vae: AutoencoderKLTemporalDecoder, patches: torch.Tensor) -> None:
    """Writes the linear map into the encoder's convolutions; its residual branches stay shut."""
    encoder = vae.encoder
    _shut_residuals(encoder)
    first, second = (encoder.down_blocks[level].downsamplers[0].conv for level in (0, 1))
    narrow, widen = (encoder.down_blocks[level].resnets[0].conv_shortcut for level in (1, 2))
    for layer in (encoder.conv_in, first, narrow, second, widen, encoder.conv_out, vae.quant_conv):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    for colour in range(3):
        encoder.conv_in.weight[colour, colour, 1, 1] = 1
        for y in range(PATCH):
            for x in range(PATCH):
                middle = colour * 4 + (y % 2) * 2 + x % 2
                first.weight[middle, colour, y % 2, x % 2] = 1
                narrow.weight[middle, middle, 0, 0] = 1
                second.weight[:LATENTS, middle, y // 2, x // 2] = patches[colour * 16 + y * PATCH + x]
    # Groups of three: x, -x, constant. SiLU(x) - SiLU(-x) is x, so the last convolution gets the signal back.
    norm = encoder.conv_norm_out
    norm.weight.fill_(ENCODER_CONSTANT * math.sqrt(2) / 3)
    norm.bias.fill_(ENCODER_CONSTANT / 3)
    norm.weight[2::3], norm.bias[2::3] = 1, 0
    widen.bias[2::3] = ENCODER_CONSTANT
    for j in range(LATENTS):
        widen.weight[3 * j, j, 0, 0], widen.weight[3 * j + 1, j, 0, 0] = 1, -1
        encoder.conv_out.weight[j, 3 * j, 1, 1], encoder.conv_out.weight[j, 3 * j + 1, 1, 1] = 1, -1
        vae.quant_conv.weight[j, j, 0, 0] = 1
    vae.quant_conv.bias[CHANNELS:] = -10  # next to no variance


def _shut_residuals(module: nn.Module) -> None:
    for name, layer in module.named_modules():
        if name.endswith(("conv2", "to_out.0")):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)


@torch.no_grad()
def patches_of(vae: AutoencoderKLTemporalDecoder) -> torch.Tensor:
    """The matrix that `set_encoder` wrote, read back."""
    second = vae.encoder.down_blocks[1].downsamplers[0].conv.weight
    rows = [
        second[:LATENTS, colour * 4 + (y % 2) * 2 + x % 2, y // 2, x // 2]
        for colour in range(3)
        for y in range(PATCH)
        for x in range(PATCH)
    ]
    return torch.stack(rows).float()


def vae_trainer(vae: AutoencoderKLTemporalDecoder) -> Trainer:
    """The encoder stays as it was set, and so does the last mixing over time."""
    for part in (vae.encoder, vae.quant_conv, vae.decoder.time_conv_out):
        part.requires_grad_(False)
    return Trainer(vae, matrix_lr=3e-4, vector_lr=3e-4)


@torch.no_grad()
def set_decoder(vae: AutoencoderKLTemporalDecoder) -> None:
    """A start from which training is quick: residual branches shut, normalisation undone, no mixing over time."""
    decoder = vae.decoder
    _shut_residuals(decoder)
    for name, norm in decoder.named_modules():
        if name.endswith(("norm1", "group_norm")) or name == "conv_norm_out":
            size = norm.num_channels // 32
            if size == 1:
                continue
            norm.weight.fill_(CONSTANT * math.sqrt(size - 1) / size)
            norm.bias.fill_(CONSTANT / size)
            norm.bias[constants(norm.num_channels)] = 0
    nn.init.zeros_(decoder.conv_out.bias)
    nn.init.zeros_(decoder.time_conv_out.weight)
    nn.init.zeros_(decoder.time_conv_out.bias)
    for colour in range(3):
        decoder.time_conv_out.weight[colour, colour, 1, 0, 0] = 1
    project(vae)


def main_path(vae: AutoencoderKLTemporalDecoder) -> list[nn.Conv2d]:
    """The decoder's convolutions that no skip goes around."""
    blocks = vae.decoder.up_blocks
    return [
        vae.decoder.conv_in,
        blocks[0].upsamplers[0].conv,
        blocks[1].resnets[0].spatial_res_block.conv_shortcut,
        blocks[1].upsamplers[0].conv,
        blocks[2].resnets[0].spatial_res_block.conv_shortcut,
    ]


@torch.no_grad()
def project(vae: AutoencoderKLTemporalDecoder) -> None:
    """Puts the constants back: nothing writes into them, no plain convolution reads them."""
    decoder = vae.decoder
    for index, layer in enumerate(main_path(vae)):
        mask = constants(layer.out_channels)
        layer.weight[mask], layer.bias[mask] = 0, CONSTANT
        if index:
            layer.weight[:, constants(layer.in_channels)] = 0
    for name, layer in decoder.named_modules():
        if name.endswith(("conv2", "to_out.0")):
            mask = constants(layer.weight.shape[0])
            layer.weight[mask], layer.bias[mask] = 0, 0
        if name.endswith("norm1") or name == "conv_norm_out":
            layer.weight[constants(layer.num_channels)] = 0
    decoder.conv_out.weight[:, constants(decoder.conv_out.in_channels)] = 0
    decoder.conv_in.weight[:, LATENTS:] = 0


def skeleton(vae: AutoencoderKLTemporalDecoder, latents: torch.Tensor) -> torch.Tensor:
    """The decoder without its residual branches: nearly linear."""
    conv_in, up_first, narrow, up_second, widen = main_path(vae)
    h = up_first(F.interpolate(conv_in(latents), scale_factor=2.0))
    h = widen(up_second(F.interpolate(narrow(h), scale_factor=2.0)))
    return vae.decoder.conv_out(F.silu(vae.decoder.conv_norm_out(h)))


def reconstruction_loss(made: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """L1 + 2·MSE + half the L1 of the gradients."""
    d = made - wanted
    edges = (d[..., 1:] - d[..., :-1]).abs().mean() + (d[..., 1:, :] - d[..., :-1, :]).abs().mean()
    return d.abs().mean() + 2 * d.pow(2).mean() + 0.5 * edges


def crops(pool: list[np.ndarray], rng: np.random.Generator, count: int, side: int) -> torch.Tensor:
    """Random crops of pictures in 0…1, as (count, 3, side, side) in -1…1."""
    found = []
    for _ in range(count):
        picture = pool[rng.integers(len(pool))]
        y, x = (int(rng.integers(0, size - side + 1)) for size in picture.shape[:2])
        crop = picture[y : y + side, x : x + side]
        found.append(crop[:, ::-1] if rng.random() < 0.5 else crop)
    return torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2).contiguous() * 2 - 1


def moving_crops(
    pool: list[np.ndarray], rng: np.random.Generator, clips: int, frames: int, side: int
) -> torch.Tensor:
    """Crops that drift over a picture at up to 2 px a frame, (clips · frames, 3, side, side) in -1…1."""
    found = []
    for _ in range(clips):
        picture = pool[rng.integers(len(pool))]
        room = side / 2 + 2.0 * frames
        place = np.array([rng.uniform(room, size - room) for size in picture.shape[1::-1]])
        drift = rng.uniform(-2, 2, 2)
        for t in range(frames):
            x, y = place + t * drift
            found.append(cv2.getRectSubPix(picture, (side, side), (float(x), float(y))))
    return torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2).contiguous() * 2 - 1


@torch.no_grad()
def psnr(vae: AutoencoderKLTemporalDecoder, pictures: torch.Tensor) -> torch.Tensor:
    """dB of decode(encode(x)) for each picture (n, 3, h, w) in -1…1."""
    made = []
    for picture in pictures.split(1):
        latents = vae.encode(picture).latent_dist.mode()
        made.append(vae.decode(latents, num_frames=1).sample.clamp(-1, 1))
    return -10 * torch.log10(((torch.cat(made) - pictures) / 2).pow(2).mean((1, 2, 3)))


def train(work: Path, minutes: float, device: str = "auto", pool_size: int = 200) -> None:
    """Trains for so many minutes, going on from `work/vae` if it is there; saves state every few minutes."""
    where, rng = device_of(device), np.random.default_rng(time.time_ns())
    maker = PictureMaker(rng)
    pool = [maker() for _ in range(pool_size)]
    held_out = crops([maker() for _ in range(8)], rng, 8, 2 * CROP).to(where)
    vae, state = build(), load_state(work / "vae")
    patches = state["patches"] if state else principal_patches(crops(pool, rng, 400, CROP))
    scaling = state["scaling"] if state else unit_scaling(patches, pool)
    set_encoder(vae, patches)
    if not state:
        set_decoder(vae)
    vae.to(where)
    known = {"patches": patches, "scaling": scaling}
    patches = patches.to(where)
    trainer = vae_trainer(vae)
    if state:
        trainer.load_state_dict(state["trainer"])
    else:
        _train_skeleton(vae, patches, pool, rng)
    clock = Clock(minutes)
    while clock.running():
        if trainer.steps % 4 == 0:
            pool[rng.integers(len(pool))] = maker()
        frames = FRAMES if trainer.steps % 2 else 1
        if frames == 1:
            wanted = crops(pool, rng, BATCH, CROP).to(where)
        else:
            wanted = moving_crops(pool, rng, BATCH // frames, frames, CROP).to(where)
        latents = with_motion(encode_linearly(wanted, patches))
        with torch.autocast(where.type, torch.bfloat16):
            noisy = latents + LATENT_NOISE * torch.randn_like(latents)
            made = vae.decode(noisy, num_frames=frames).sample
        loss = reconstruction_loss(made.float(), wanted)
        trainer.update(loss, clock.factor())
        project(vae)
        if clock.report(trainer.steps):
            quality = psnr(trainer.average, held_out).mean()
            print(f"vae {trainer.steps} {clock.text()} loss {loss:.4f} held-out {quality:.2f} dB", flush=True)
            save_state(work / "vae", trainer.average, trainer=trainer.state_dict(), **known)
    save_state(work / "vae", trainer.average, trainer=trainer.state_dict(), **known)


def _train_skeleton(vae, patches: torch.Tensor, pool: list[np.ndarray], rng: np.random.Generator) -> None:
    layers = [*main_path(vae), vae.decoder.conv_out, vae.decoder.conv_norm_out]
    parameters = [p for layer in layers for p in layer.parameters()]
    adam = torch.optim.Adam(parameters, 2e-3, betas=(0.9, 0.98))
    for step in range(SKELETON_STEPS):
        done = step / SKELETON_STEPS
        adam.param_groups[0]["lr"] = (
            2e-3 * min(1, (step + 1) / 20) * (0.05 + 0.475 * (1 + math.cos(math.pi * done)))
        )
        wanted = crops(pool, rng, BATCH, CROP).to(patches.device)
        loss = (skeleton(vae, with_motion(encode_linearly(wanted, patches))) - wanted).pow(2).mean()
        adam.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        adam.step()
        project(vae)
