"""The held-out clips: the same for every design, and a measure that knows the right answer."""

from __future__ import annotations

import numpy as np
import torch

from training import heldout
from training.clips import MOVES
from training.codec import CHANNELS, Codec


class Static(torch.nn.Module):
    """Predicts that every frame is the given picture and nothing moves; or the truth, if it has been told."""

    def __init__(self, scaling: float, truth: torch.Tensor | None = None):
        super().__init__()
        self.scaling, self.truth = scaling, truth

    def forward(self, x, t, encoder_hidden_states, added_time_ids):
        sigma = torch.exp(4 * t).view(-1, 1, 1, 1, 1)
        scale = (sigma**2 + 1).sqrt()
        clean = x[:, :, CHANNELS:] * self.scaling if self.truth is None else self.truth
        noise = (x[:, :, :CHANNELS] * scale - clean) / sigma
        return type("Out", (), {"sample": (noise - sigma * clean) / scale})


def test_held_out_clips_are_the_same_whatever_the_design() -> None:
    fine, coarse = (heldout.clips(step, ("left",)) for step in (4, 8))
    assert torch.equal(fine.frames, coarse.frames)
    assert len(coarse.frames) * len(MOVES) == 24


def test_the_truth_scores_high_and_a_still_picture_by_how_far_the_clip_moves(fitted: Codec) -> None:
    batch = next(heldout.batch(heldout.clips(fitted.patch, ("left",)), fitted).split(1))
    still = [heldout.carried(Static(fitted.scaling), fitted, batch, (sigma,)) for sigma in (1.5, 30.0)]
    true = heldout.carried(Static(fitted.scaling, batch.latents), fitted, batch, (1.5,))
    assert true.all > 50 > still[0].all
    assert still[0].later < still[0].all
    assert still[0].ladder == (1.5,)
    assert np.isclose(still[0].all, still[1].all, atol=0.1)
    assert "σ 1.5" in str(still[0])


def test_sampling_ends_where_the_network_leads_whatever_it_saw_on_the_way(fitted: Codec) -> None:
    batch = next(heldout.batch(heldout.clips(fitted.patch, ("left",)), fitted).split(1))
    still, true = (
        heldout.carried(Static(fitted.scaling, truth), fitted, batch, (6.0, 1.0, 0.2))
        for truth in (None, batch.latents)
    )
    once = heldout.carried(Static(fitted.scaling), fitted, batch, (6.0,))
    assert true.all > 50
    assert np.isclose(still.all, once.all, atol=0.01)
    assert "σ 6 → 1 → 0.2: " in str(still)
