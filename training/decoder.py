"""Training of the decoder: on clean latents of pictures, and on what the denoiser makes of a noised clip.

The denoiser's clip is a true one, noised, brought down by none to four steps of sampling and predicted clean; a window
of it is decoded and held against the true frames. Knows the autoencoder, the denoiser and the clips.
"""

from __future__ import annotations

import math
import time
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKLTemporalDecoder, UNetSpatioTemporalConditionModel
from torch import nn

from training import pool
from training.clips import ClipMaker
from training.codec import PATCH, Codec, with_motion
from training.courses import PICTURES, known_codec
from training.runs import Clock, autocast, device_of, load_state, save_state, times
from training.unet import Batch, batch_of, clean_error, drifted, residuals
from training.vae import (
    build,
    main_path,
    project,
    psnr,
    reconstruction_loss,
    set_decoder,
    set_encoder,
    skeleton,
    vae_trainer,
)

CROP, CROPS = 64, 4  # side in pixels and number of the pictures' crops in a step on clean latents
CLIP = 14  # frames that the denoiser sees
FRAMES, CELLS = 4, 8  # of them that a step decodes: as many frames as svdlab decodes at once
VIEW = (128, 80)  # px that the denoiser sees
GIVEN_SHARE = 0.5  # of steps on what the denoiser gives, once there is one
SIGMAS = (0.1, 1.0)  # noise levels that the denoiser predicts a clip at
DEEPEST = 4  # steps of sampling that lead there: from σ 0.1 up to where the move is known
LATENT_NOISE = 0.02  # on clean latents
LINEAR_STEPS = 600  # of plain convolutions first


def crops(pictures: np.ndarray, rng: np.random.Generator, count: int, side: int) -> torch.Tensor:
    """Random crops of pictures (n, h, w, 3) uint8, as (count, 3, side, side) in -1…1."""
    found = []
    for _ in range(count):
        picture = pictures[rng.integers(len(pictures))]
        y, x = (int(rng.integers(0, size - side + 1)) for size in picture.shape[:2])
        crop = picture[y : y + side, x : x + side]
        found.append(crop[:, ::-1] if rng.random() < 0.5 else crop)
    return torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2).float() / 127.5 - 1


@torch.no_grad()
def given(
    unet: UNetSpatioTemporalConditionModel, batch: Batch, levels: torch.Tensor, steps: int
) -> torch.Tensor:
    """The clean latents that the denoiser predicts for clips at σ `levels` (clips,), of unit variance.

    The clips were noised further up and brought there by so many steps of sampling: with none it is one prediction
    from a true clip, with more the errors of sampling are in it, which a decoder never given them shows as grain.
    """
    noise = drifted(unet, batch, levels, torch.randn_like(batch.latents), steps)
    return batch.latents + clean_error(residuals(unet, batch, levels, noise), levels)


def train(
    work: Path, minutes: float, device: str = "auto", *, pictures: int = PICTURES, linear: int = LINEAR_STEPS
) -> None:
    """Trains `work/vae` for so many minutes, going on from its state; with the denoiser in `work/unet/best`, if any."""
    run = Run(work, minutes, device_of(device), pictures, linear)
    while run.clock.running():
        run.step()
        if run.clock.report():
            run.keep()
    run.keep()


class Run:
    """The decoder's training under way."""

    def __init__(self, work: Path, minutes: float, device: torch.device, pictures: int, linear: int):
        self.folder, self.device = work / "vae", device
        self.codec, self.rng = known_codec(work, pictures), np.random.default_rng()
        self.pictures = pool.pictures(work, pictures)
        self.maker = ClipMaker(self.pictures, time.time_ns() % 2**31, device=device, things=0.1)
        self.held_out = crops(pool.draw(pool.HELD_OUT, 8), np.random.default_rng(1), 4, 2 * CROP).to(device)
        state, self.vae = load_state(self.folder), build()
        set_encoder(self.vae, self.codec)
        if not state:
            set_decoder(self.vae)
            _train_linearly(self.vae, self.codec, self.pictures, self.rng, linear)
        self.vae.to(device).train()
        self.codec = self.codec.to(device)
        self.trainer, spent = vae_trainer(self.vae), 0.0
        if state:
            self.trainer.load_state_dict(state["trainer"])
            spent = state["spent"] if state["spent"] < minutes * 60 else 0.0
        best = work / "unet" / "best"
        self.unet = (
            UNetSpatioTemporalConditionModel.from_pretrained(best).to(device) if best.is_dir() else None
        )
        self.clock = Clock(minutes, spent)
        if not state:
            self.keep()  # the linear start took a while

    def step(self) -> None:
        """One update, on clean latents or on the denoiser's."""
        if self.unet and self.rng.random() < GIVEN_SHARE:
            latents, wanted = self.given_window()
            frames = FRAMES
        else:
            wanted, frames = (
                crops(self.pictures, self.rng, CROPS * times(self.device), CROP).to(self.device),
                1,
            )
            latents = with_motion(self.codec.encode(wanted))
            latents = latents + LATENT_NOISE * torch.randn_like(latents)
        with autocast(self.device):
            made = self.vae.decode(latents, num_frames=frames).sample
        self.trainer.update(reconstruction_loss(made.float(), wanted), self.clock.factor())
        project(self.vae)

    def given_window(self) -> tuple[torch.Tensor, torch.Tensor]:
        """A window of clips as the denoiser gives them, as latents for the decoder, and its true frames."""
        clips = self.maker(times(self.device), CLIP, VIEW)
        low, high = (math.log(sigma) for sigma in SIGMAS)
        levels = torch.exp(low + (high - low) * torch.rand(len(clips.fps))).to(self.device)
        steps = int(self.rng.integers(0, DEEPEST + 1))
        made = given(self.unet, batch_of(clips, self.codec), levels, steps) / self.codec.scaling
        room = (CLIP - FRAMES, VIEW[1] // PATCH - CELLS, VIEW[0] // PATCH - CELLS)
        t, y, x = (int(self.rng.integers(0, most + 1)) for most in room)
        rows, columns = (slice(PATCH * place, PATCH * (place + CELLS)) for place in (y, x))
        window = made[:, t : t + FRAMES, :, y : y + CELLS, x : x + CELLS]
        return window.flatten(0, 1), clips.frames[:, t : t + FRAMES, :, rows, columns].flatten(0, 1)

    def keep(self) -> None:
        """Says dB of held-out pictures there and back, and saves the averaged decoder and the state."""
        quality = float(psnr(self.trainer.average, self.held_out).mean())
        print(f"vae {self.trainer.steps} {self.clock.text()} there and back {quality:.2f} dB", flush=True)
        self.trainer.average.save_pretrained(self.folder / "best")
        save_state(self.folder, trainer=self.trainer.state_dict(), spent=self.clock.spent)


def _train_linearly(
    vae: AutoencoderKLTemporalDecoder,
    codec: Codec,
    pictures: np.ndarray,
    rng: np.random.Generator,
    steps: int,
) -> None:
    layers = [*main_path(vae), vae.decoder.conv_out, vae.decoder.conv_norm_out]
    parameters = [p for layer in layers for p in layer.parameters()]
    adam = torch.optim.Adam(parameters, 2e-3, betas=(0.9, 0.98))
    for step in range(steps):
        done = step / steps
        rate = 2e-3 * min(1, (step + 1) / 20) * (0.05 + 0.475 * (1 + math.cos(math.pi * done)))
        adam.param_groups[0]["lr"] = rate
        wanted = crops(pictures, rng, 2 * CROPS, CROP)
        loss = (skeleton(vae, with_motion(codec.encode(wanted))) - wanted).pow(2).mean()
        adam.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        adam.step()
        project(vae)
        if step % 100 == 0:
            print(
                f"vae, linear start {step}/{steps}: {-10 * math.log10(float(loss.detach()) / 4):.2f} dB",
                flush=True,
            )
