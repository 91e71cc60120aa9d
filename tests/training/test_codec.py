"""The linear codec: what it keeps, what its latents look like, what an error in them costs."""

from __future__ import annotations

import pytest
import torch

from training import codec


def test_there_and_back_keeps_what_matters(tensors: torch.Tensor, fitted: codec.Codec) -> None:
    made = fitted.decode(fitted.encode(tensors))
    assert made.shape == tensors.shape
    assert float((made - tensors).pow(2).mean()) < 0.02 * float(tensors.pow(2).mean())
    assert torch.allclose(fitted.encode(made), fitted.encode(tensors), atol=1e-3)


def test_scaled_latents_have_unit_variance(tensors: torch.Tensor, fitted: codec.Codec) -> None:
    assert abs(float((fitted.encode(tensors) * fitted.scaling).std()) - 1) < 0.01
    assert fitted.patch == codec.PATCH


def test_pixel_weights_say_what_an_error_costs(fitted: codec.Codec) -> None:
    weights, errors = fitted.pixel_weights(), torch.eye(codec.LATENTS)[..., None, None]
    costs = fitted.decode(errors).pow(2).mean((1, 2, 3))
    assert torch.allclose(costs / costs.mean(), weights, atol=1e-3)
    assert weights[0] > 3 * weights[-1]  # brightness counts more than the finest texture


def test_a_still_picture_says_that_nothing_has_moved() -> None:
    made = codec.with_motion(torch.ones(2, codec.LATENTS, 3, 4))
    assert made.shape == (2, codec.CHANNELS, 3, 4)
    assert not made[:, codec.LATENTS :].any()


def test_displacements_are_told_as_they_are_and_as_waves() -> None:
    sources = torch.zeros(2, 2, 3, 4)
    sources[1, 0] = codec.PERIODS[0] / 4  # across, a quarter of the first period and an eighth of the second
    still, moved = codec.motion_code(sources)
    assert still.shape == (codec.MOTION, 3, 4)
    root = 2**0.5
    assert still[:, 0, 0].tolist() == pytest.approx([0, 0, root, root, 0, 0, root, root, 0, 0])
    assert moved[:, 0, 0].tolist() == pytest.approx(
        [2 / codec.MOTION_UNIT, 0, 0, root, root, 0, 1, root, 1, 0], abs=1e-6
    )
