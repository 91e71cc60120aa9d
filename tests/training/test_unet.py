"""What the denoiser is shown, and what counts as wrong."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from training import codec, unet
from training.clips import ClipMaker
from training.codec import CHANNELS, LATENTS, Codec
from training.unet import Batch

EVEN = torch.ones(LATENTS)
LOUD = torch.tensor([9.0])  # σ


class Oracle(torch.nn.Module):
    """Answers the true v, from the clean latents it was given, but for an error."""

    def __init__(self, latents: torch.Tensor, off: float):
        super().__init__()
        self.latents, self.off = latents, off

    def forward(self, x, t, encoder_hidden_states, added_time_ids):
        sigma = torch.exp(4 * t).view(-1, 1, 1, 1, 1)
        scale = (sigma**2 + 1).sqrt()
        noise = (x[:, :, :CHANNELS] * scale - self.latents) / sigma
        return type("Out", (), {"sample": (noise - sigma * self.latents) / scale + self.off})


def test_batches_are_what_the_denoiser_is_trained_on(pictures: np.ndarray, fitted: Codec) -> None:
    still = ClipMaker(pictures, 2, moves=("left",), restless=0.0, fixed=(30, 1))  # 0.001 px per frame
    batch = unet.batch_of(still(3, 4, (128, 96)), fitted)
    assert batch.latents.shape == (3, 4, CHANNELS, 12, 16)
    assert batch.given.shape == (3, CHANNELS, 12, 16)
    assert (
        batch.ids.tolist() == [[29.0, 1.0, pytest.approx(unet.AUGMENTATION)]] * 3
    )  # as diffusers tells them
    assert not batch.given[:, LATENTS:].any()
    assert torch.allclose(
        batch.latents[:, :, LATENTS:], codec.motion_code(torch.zeros(3, 4, 2, 12, 16)), atol=0.01
    )
    # The conditioning is the first frame, hardly noisy, and not scaled.
    apart = batch.latents[:, 0] / fitted.scaling - batch.given
    assert float(apart[:, :LATENTS].abs().mean()) < 0.05
    wild = unet.batch_of(still(8, 2, (128, 96)), fitted, wild=1.0)
    assert float(wild.ids[:, 2].max()) > 2 * unet.AUGMENTATION
    assert [part.latents.shape[0] for part in wild.split(3)] == [3, 3, 2]


def test_the_loss_is_least_for_the_right_answer() -> None:
    latents, noise = (torch.randn(2, 3, CHANNELS, 4, 4) for _ in range(2))
    batch = Batch(latents, torch.zeros(2, CHANNELS, 4, 4), torch.zeros(2, 3))
    levels = torch.tensor([0.5, 8.0])
    right, wrong = (
        unet.loss(unet.residuals(Oracle(latents, off), batch, levels, noise), levels, EVEN)
        for off in (0, 0.5)
    )
    assert float(right) < 1e-6
    share = float((levels**2 / (levels**2 + unet.SMALL_NOISE**2)).mean())  # small noise counts less
    wanted = 0.25 * share * (1 + unet.MOTION_WEIGHT + unet.WAVES_WEIGHT)
    assert float(wrong) == pytest.approx(wanted, rel=0.01)


def test_a_step_down_is_eulers() -> None:
    latents, noise = (torch.randn(2, 3, CHANNELS, 4, 4) for _ in range(2))
    batch = Batch(latents, torch.zeros(2, CHANNELS, 4, 4), torch.zeros(2, 3))
    above, below = torch.tensor([8.0, 3.0]), torch.tensor([2.0, 0.5])
    off = unet.residuals(Oracle(latents, 0.3), batch, above, noise)
    clean = latents + unet.clean_error(off, above)
    high, low = (levels.view(-1, 1, 1, 1, 1) for levels in (above, below))
    sample = latents + high * noise
    stepped = sample + (sample - clean) / high * (low - high)  # along the derivative
    found = unet.stepped(unet.clean_error(off, above), noise, above, below)
    assert torch.allclose(latents + low * found, stepped, atol=1e-4)


def test_what_sampling_brings_has_the_networks_own_errors_in_it() -> None:
    latents, noise = (torch.randn(2, 3, CHANNELS, 4, 4) for _ in range(2))
    batch = Batch(latents, torch.zeros(2, CHANNELS, 4, 4), torch.zeros(2, 3))
    levels = torch.tensor([0.5, 2.0])
    right, once, thrice = (
        (unet.drifted(Oracle(latents, off), batch, levels, noise, steps) - noise).abs().mean()
        for off, steps in ((0.0, 2), (0.3, 1), (0.3, 3))
    )
    assert right < 1e-4
    assert thrice > once > 0.05


def test_an_error_that_shows_in_pixels_counts_more() -> None:
    weights = torch.linspace(1.9, 0.1, LATENTS)
    first, last = (torch.zeros(1, 3, CHANNELS, 4, 4) for _ in range(2))
    first[:, :, 0], last[:, :, LATENTS - 1] = 1, 1
    assert unet.loss(first, LOUD, weights) > 2 * unet.loss(last, LOUD, weights) > 0


def test_what_shakes_counts_more_than_what_drifts() -> None:
    still = torch.zeros(1, 6, CHANNELS, 4, 4)
    drift, wave = still.clone(), still.clone()
    drift[:, :, LATENTS] = torch.arange(6.0).view(1, 6, 1, 1)
    wave[:, :, LATENTS] = torch.tensor([1.0, -1.0] * 3).view(1, 6, 1, 1)
    assert float(unet.shake(drift).abs().max()) < 1e-5
    assert torch.allclose(unet.shake(wave)[0, :, 0].abs(), torch.full((4,), 4.0))
    grain = torch.ones(4, 4).triu() - torch.ones(4, 4).tril()  # of mean 0: no camera does that
    assert float(unet.shake(wave * grain).abs().max()) < 1e-5
    assert float(unet.loss(wave, LOUD, EVEN)) > 10 * float(unet.loss(wave * grain, LOUD, EVEN))


def test_noise_levels_cover_what_is_sampled_at() -> None:
    torch.manual_seed(0)
    levels = unet.draw_levels(4000, 0.35)
    assert levels.min() >= unet.SIGMAS[0]
    assert levels.max() <= unet.SIGMAS[1]
    assert 0.2 < float((levels > 20).float().mean()) < 0.4
    assert float((levels < 0.5).float().mean()) > 0.08
