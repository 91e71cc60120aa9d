"""A transformer's feed-forward by so many rows at a time: the same numbers in a fraction of the memory.

At 1024×576 the widest feed-forward of SVD-XT's UNet makes eight times its input of half a million rows. A few thousand
rows keep any device busy; diffusers' own chunking cuts along the tokens and ends at chunks of one, six times slower.

Knows diffusers' feed-forward and tensors; nothing of how much memory there is.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers.models.attention import FeedForward
from torch import nn

from svdlab.engine.standing import Place, StandIns


class InRows(nn.Module):
    """A feed-forward layer (…, channels) → (…, channels) that takes its input's rows in pieces."""

    def __init__(self, layer: FeedForward, rows: int):
        super().__init__()
        self.layer, self.rows = layer, rows

    def forward(self, hidden: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        """As the layer."""
        flat = hidden.reshape(-1, hidden.shape[-1])
        if len(flat) <= self.rows:
            made: torch.Tensor = self.layer(hidden)
            return made
        out: torch.Tensor | None = None
        for start in range(0, len(flat), self.rows):
            piece = self.layer(flat[start : start + self.rows])
            if out is None:
                out = piece.new_empty(len(flat), piece.shape[-1])
            out[start : start + self.rows] = piece
        assert out is not None
        return out.view(*hidden.shape[:-1], out.shape[-1])


def feed_forward_in_rows(unet: nn.Module, rows: int) -> StandIns:
    """Every feed-forward of a UNet by `rows` rows at a time; 0 leaves them whole."""
    if not rows:
        return StandIns()
    places: list[Place] = [
        (module, name, InRows(layer, rows))
        for module in unet.modules()
        for name, layer in module.named_children()
        if isinstance(layer, FeedForward)
    ]
    return StandIns(tuple(places))
