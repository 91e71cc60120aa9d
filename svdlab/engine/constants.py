"""What no step of a run changes, computed once for the run instead of once per step, frame and pixel.

SVD's UNet looks at one CLIP token, so the softmax of its cross-attention is over a single score, which is 1: what the
attention answers is `to_out(to_v(token))`, whatever it is asked. Its norm and its queries need not be computed, and in
the blocks over time, which ask once per pixel, the answer is the same for the whole clip. The embeddings of the time
ids and of the frames' places are constants of a run too. The frames are those of diffusers but for the order of some
sums; tests hold them together.

Knows diffusers' UNet and tensors; nothing of samplers, memory or files.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import UNetSpatioTemporalConditionModel
from diffusers.models.attention import BasicTransformerBlock, TemporalBasicTransformerBlock
from diffusers.models.transformers.transformer_temporal import TransformerSpatioTemporalModel
from torch import nn

Block = (BasicTransformerBlock, TemporalBasicTransformerBlock)


class Known(nn.Module):
    """A layer's place while its answer is known: gives the answer without the layer.

    `rows` are the answers for the branches of a call; what the layer is asked has a multiple of their number of rows,
    a branch's behind one another.
    """

    def __init__(self, rows: torch.Tensor):
        super().__init__()
        self.rows = rows

    def forward(self, asked: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        """(n·branches, …) → the rows, each n times: what is added to every place is told once."""
        return self.rows.repeat_interleave(len(asked) // len(self.rows), dim=0)


@dataclass(frozen=True)
class Constants:
    """Answers of layers that no step of one run changes, and how to put them where the layers are."""

    places: tuple[
        tuple[nn.Module, str, nn.Module], ...
    ]  # (module, name of its layer, what stands there instead)

    @contextmanager
    def standing_in(self) -> Iterator[None]:
        """Has the answers in the layers' places for a call of the UNet. Not for two threads at once."""
        layers = [(module, name, getattr(module, name)) for module, name, _ in self.places]
        try:
            for module, name, instead in self.places:
                setattr(module, name, instead)
            yield
        finally:
            for module, name, layer in layers:
                setattr(module, name, layer)


@torch.inference_mode()
def constants_of(
    unet: UNetSpatioTemporalConditionModel, embeds: torch.Tensor, time_ids: torch.Tensor, frames: int
) -> Constants:
    """The constants of a run, computed with the layers themselves.

    `embeds` (branches, 1, projection) of one CLIP token, `time_ids` (branches, 3), as the UNet is called with them.
    Raises `ValueError` if there is more than one token: then cross-attention is not constant.
    """
    if embeds.shape[1] != 1:
        raise ValueError(f"cross-attention to {embeds.shape[1]} tokens is not constant")
    places: list[tuple[nn.Module, str, nn.Module]] = [
        (unet, "add_embedding", _of_ids(unet, time_ids, embeds))
    ]
    for module in unet.modules():
        if isinstance(module, Block) and module.attn2 is not None:
            places += [(module, "attn2", _of_token(module, embeds)), (module, "norm2", nn.Identity())]
        elif isinstance(module, TransformerSpatioTemporalModel):
            places.append((module, "time_pos_embed", _of_places(module, frames, len(embeds), embeds)))
    return Constants(tuple(places))


def _of_token(block: nn.Module, embeds: torch.Tensor) -> Known:
    """What a block's cross-attention answers, (branches, 1, channels)."""
    attention: Any = block.attn2
    asked = embeds.new_zeros(len(embeds), 1, attention.query_dim)
    return Known(attention(asked, encoder_hidden_states=embeds))


def _of_ids(unet: UNetSpatioTemporalConditionModel, time_ids: torch.Tensor, embeds: torch.Tensor) -> Known:
    waves = unet.add_time_proj(time_ids.flatten()).reshape(len(time_ids), -1)
    return Known(unet.add_embedding(waves.to(embeds.dtype)))


def _of_places(
    module: TransformerSpatioTemporalModel, frames: int, branches: int, embeds: torch.Tensor
) -> Known:
    numbers = torch.arange(frames, device=embeds.device).repeat(branches)
    return Known(module.time_pos_embed(module.time_proj(numbers).to(embeds.dtype)))
