"""A UNet's layers by so many rows at a time, a row being a place of a frame: the same numbers in less memory.

At 1024×576 the widest feed-forward of SVD-XT's UNet makes eight times its input of half a million rows, and attention
four times. A few thousand rows keep any device busy; diffusers' own chunking cuts along the tokens and ends at chunks
of one, six times slower.

A row is told apart from its neighbours by no layer but attention, which is among the places of one frame, or among the
frames at one place, and the convolutions of one frame. Knows diffusers' layers and tensors; nothing of how much memory
there is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from diffusers.models.attention import FeedForward
from diffusers.models.attention_processor import Attention
from diffusers.models.resnet import ResnetBlock2D
from torch import nn

from svdlab.engine.standing import Place, StandIns


class InRows(nn.Module):
    """A layer (…, channels) → (…, channels) that takes its input's rows in pieces.

    It stops after `most` pieces if that is given, for whoever counts and does not compute.
    """

    def __init__(self, layer: nn.Module, rows: int, most: int | None = None):
        super().__init__()
        self.layer, self.rows, self.most = layer, rows, most

    def _pieces(self, length: int, rows: int) -> Iterator[slice]:
        for start in range(0, length, rows)[: self.most]:
            yield slice(start, start + rows)


class FeedForwardInRows(InRows):
    """Feed-forward knows nothing of its neighbours: any rows at a time."""

    def forward(self, hidden: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        """As the layer."""
        flat = hidden.reshape(-1, hidden.shape[-1])
        if len(flat) <= self.rows:
            whole: torch.Tensor = self.layer(hidden)
            return whole
        out = torch.empty_like(flat)
        for piece in self._pieces(len(flat), self.rows):
            out[piece] = self.layer(flat[piece])
        return out.view(hidden.shape)


class AttentionInRows(InRows):
    """Attention is among the tokens of one entry: as many entries at a time as have so many rows."""

    def forward(
        self, hidden: torch.Tensor, encoder_hidden_states: torch.Tensor | None = None, **rest: Any
    ) -> torch.Tensor:
        """As the layer, of (entries, tokens, channels)."""
        out = torch.empty_like(hidden)
        for piece in self._pieces(len(hidden), max(1, self.rows // hidden.shape[1])):
            other = None if encoder_hidden_states is None else encoder_hidden_states[piece]
            out[piece] = self.layer(hidden[piece], encoder_hidden_states=other, **rest)
        return out


class ResidualInRows(InRows):
    """A frame's residual block knows nothing of other frames: as many frames at a time as have so many places."""

    def forward(self, hidden: torch.Tensor, emb: torch.Tensor) -> torch.Tensor:
        """As the layer, of (frames, channels, height, width) and (frames, width of the embedding)."""
        frames, _, height, width = hidden.shape
        out = hidden.new_empty(frames, self.layer.out_channels, height, width)
        for piece in self._pieces(frames, max(1, self.rows // (height * width))):
            out[piece] = self.layer(hidden[piece], emb[piece])
        return out


KINDS: dict[type[nn.Module], type[InRows]] = {
    FeedForward: FeedForwardInRows,
    Attention: AttentionInRows,
    ResnetBlock2D: ResidualInRows,
}
IN_ROWS = tuple(KINDS)  # what is called once for each piece of rows


def in_rows(unet: nn.Module, rows: int, most: int | None = None) -> StandIns:
    """Every feed-forward, attention and residual block of frames by `rows` rows at a time; 0 leaves them whole."""
    if not rows:
        return StandIns()
    places: list[Place] = [
        (module, name, KINDS[type(layer)](layer, rows, most))
        for module in unet.modules()
        for name, layer in module.named_children()
        if type(layer) in KINDS
    ]
    return StandIns(tuple(places))
