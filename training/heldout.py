"""Two dozen clips that no design is trained on, and how well a denoiser carries the picture over them, in dB.

The clips are made from fixed seeds of their own, so every design is measured on the same frames. What is measured is
the predicted clean frame at one noise level: its error in latents, taken to pixels by the linear codec, so that designs
with different latents compare. The loss of the codec itself is not in it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from diffusers import UNetSpatioTemporalConditionModel

from training.clips import MOVES, RESTLESS, STEADY, ClipMaker, Clips
from training.codec import Codec
from training.pool import HELD_OUT, draw
from training.unet import Batch, batch_of, clean_error, residuals, stepped

SIGMAS = (0.5, 1.5, 5.0, 30.0)
LADDER = (6.15, 2.0, 0.52, 0.1)  # the last four of a sampler's eight steps, where the move is known
FRAMES = 14
OF_A_MOVE = {RESTLESS: 2, STEADY: 1}  # clips of each move: two of a restless camera, one of a steady one


@cache
def _pictures() -> np.ndarray:
    return np.concatenate([draw(HELD_OUT + i, 12) for i in range(4)])


def clips(
    step: int,
    moves: tuple[str, ...] = tuple(MOVES),
    of_a_move: Mapping[float, int] = OF_A_MOVE,
    fixed: tuple[int, int] | None = None,
) -> Clips:
    """Three clips of each move; all eight make 24. `step` is the pixels of a cell and changes nothing else.

    `of_a_move` says how many clips a move has of a camera so restless, `fixed` their (fps, bucket).
    """
    pictures = _pictures()
    made = [
        ClipMaker(pictures, 1000 * place + 7, moves=(move,), restless=restless, fixed=fixed, step=step)(
            count, FRAMES
        )
        for place, move in enumerate(MOVES)
        for restless, count in of_a_move.items()
        if move in moves
    ]
    parts = ("frames", "sources", "fps", "bucket")
    return Clips(*(torch.cat([getattr(part, name) for part in made]) for name in parts))


@dataclass(frozen=True)
class Carried:
    """dB of pixels of the predicted clean frames, over all frames and over the later half, after one noise level or
    several in turn.
    """

    ladder: tuple[float, ...]
    all: float
    later: float
    motion: float  # mean square of what the displacement's prediction is off by

    def __str__(self) -> str:
        levels = " → ".join(f"{sigma:g}" for sigma in self.ladder)
        return f"σ {levels}: {self.all:.2f} dB (later half {self.later:.2f}), motion {self.motion:.3f}"


@torch.no_grad()
def carried(
    unet: UNetSpatioTemporalConditionModel, codec: Codec, batch: Batch, ladder: tuple[float, ...]
) -> Carried:
    """How well a denoiser carries the picture: in the end, sampled down these levels from a true clip at the first.

    One level is one prediction. One clip at a time.
    """
    generator = torch.Generator().manual_seed(1)
    squares, motion, latents = [], [], codec.matrix.shape[1]
    for one in batch.split(1):
        noise = torch.randn(one.latents.shape, generator=generator).to(one.latents)
        levels = [torch.full((1,), sigma, device=noise.device) for sigma in ladder]
        for place, level in enumerate(levels):
            off = residuals(unet, one, level, noise)
            error = clean_error(off, level)
            if place + 1 < len(levels):
                noise = stepped(error, noise, level, levels[place + 1])
        pixels = codec.decode(error[0, :, :latents] / codec.scaling) / 2
        squares.append(pixels.pow(2).mean((1, 2, 3)))
        motion.append(float(off[0, :, latents : latents + 2].pow(2).mean()))
    square = torch.stack(squares)
    later = square[:, FRAMES // 2 :]
    return Carried(ladder, _decibels(square), _decibels(later), float(np.mean(motion)))


def _decibels(squares: torch.Tensor) -> float:
    return -10 * math.log10(float(squares.mean()))


def batch(clips: Clips, codec: Codec) -> Batch:
    """Held-out clips as a denoiser is given them, with the same grain on the conditioning picture every time."""
    return batch_of(clips, codec, torch.Generator().manual_seed(2))
