"""Deep features of a UNet, kept from one step for the next ones, which then run its outermost layers alone.

From one denoising step to the next the coarse features hardly change, and they are most of the work. So a step
in so many runs whole and keeps what enters the last up block's second layer; those in between run what is before and
after: on SVD the first convolution, one layer of the first down block and two of the last up block, a quarter of the
operations. Lossy: another clip comes out than without, close to it.

The shallow call is diffusers' own forward on shortened lists of blocks, so what the UNet does with its input, its
embeddings and its answer is what it always does. Source of the idea: Ma, Fang, Wang 2024, DeepCache (arXiv 2312.00858).

Knows diffusers' UNet; nothing of samplers, memory or files.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers import UNetSpatioTemporalConditionModel
from torch import nn

from svdlab.engine.standing import Place, StandIns


class _Noting(nn.Module):
    """A layer's place while what it answers is kept."""

    def __init__(self, layer: nn.Module, features: DeepFeatures):
        super().__init__()
        self.layer = layer
        self._keep = features.keep

    def forward(self, *asked: Any, **more: Any) -> Any:
        """As the layer."""
        made = self.layer(*asked, **more)
        self._keep(made[0] if isinstance(made, tuple) else made)
        return made


class _Kept(nn.Module):
    """The place of all that is left out: gives what was kept."""

    def __init__(self, features: DeepFeatures):
        super().__init__()
        self._give = features.give

    def forward(self, *_: Any, **__: Any) -> torch.Tensor:
        """(branches·frames, channels, rows, columns), whatever is asked."""
        return self._give()


class DeepFeatures:
    """What a UNet's whole call keeps for its shallow ones, and the layers that stand in for either.

    One per way of calling it: each branch of guidance that is called by itself has features of its own.
    """

    def __init__(self, unet: UNetSpatioTemporalConditionModel) -> None:
        self._kept: torch.Tensor | None = None
        self._whole, self._shallow = self._noting(unet), self._shortened(unet)

    def keep(self, features: torch.Tensor) -> None:
        """Takes what the next shallow calls are to use."""
        self._kept = features

    def give(self) -> torch.Tensor:
        """What was kept. Raises `RuntimeError` before any whole call."""
        if self._kept is None:
            raise RuntimeError("there are no deep features before a whole call of the UNet")
        return self._kept

    def for_step(self, index: int, every: int) -> StandIns:
        """What stands in for step `index` (from 1 on) where one in `every` is whole, the first among them."""
        return self._whole if (index - 1) % every == 0 else self._shallow

    def _noting(self, unet: UNetSpatioTemporalConditionModel) -> StandIns:
        last: Any = unet.up_blocks[-1]
        layers = last.attentions if _attends(last) else last.resnets
        return StandIns(((layers, "0", _Noting(layers[0], self)),))

    def _shortened(self, unet: UNetSpatioTemporalConditionModel) -> StandIns:
        first: Any = unet.down_blocks[0]
        last: Any = unet.up_blocks[-1]
        # The last up block's layers after its first take the answers of all of the first down block's but its last.
        places: list[Place] = [
            (unet, "down_blocks", nn.ModuleList([first])),
            (unet, "mid_block", _Kept(self)),
            (unet, "up_blocks", nn.ModuleList([last])),
            *((first, name, layers[:-1]) for name, layers in _lists(first)),
            *((last, name, layers[1:]) for name, layers in _lists(last)),
        ]
        if first.downsamplers is not None:
            places.append((first, "downsamplers", None))
        return StandIns(tuple(places))


def kept_bytes(unet: UNetSpatioTemporalConditionModel, branches: int, frames: int, positions: int) -> int:
    """What is kept between steps, in bytes, at so many latent positions a frame."""
    channels: int = unet.config.block_out_channels[0]
    return branches * frames * positions * channels * unet.dtype.itemsize


def _attends(block: Any) -> bool:
    return bool(getattr(block, "has_cross_attention", False))


def _lists(block: Any) -> list[tuple[str, nn.ModuleList]]:
    """A block's layers: its residual ones and, where it has them, its transformers."""
    names = ("resnets", "attentions") if _attends(block) else ("resnets",)
    return [(name, getattr(block, name)) for name in names]
