"""The autoencoder: closed-form parts that are exact, constants that stay."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKLTemporalDecoder

from training import vae
from training.codec import CHANNELS, LATENTS, Codec, with_motion

ASSETS = Path(__file__).resolve().parents[2] / "assets"


@pytest.fixture(scope="module")
def model(fitted: Codec) -> AutoencoderKLTemporalDecoder:
    torch.manual_seed(0)
    made = vae.build().eval()
    vae.set_encoder(made, fitted)
    vae.set_decoder(made)
    return made


def test_the_encoder_is_the_matrix_product_it_was_set_to(
    model: AutoencoderKLTemporalDecoder, tensors: torch.Tensor, fitted: Codec
) -> None:
    pictures = tensors[:2, :, 40:104, 40:104]
    with torch.no_grad():
        real = model.encode(pictures).latent_dist.mode()
    assert torch.allclose(real, with_motion(fitted.encode(pictures)), atol=0.1)
    assert torch.allclose(vae.codec_of(model).matrix, fitted.matrix, atol=1e-5)


def test_the_matrix_of_the_shipped_encoder_can_be_read(tensors: torch.Tensor) -> None:
    shipped = AutoencoderKLTemporalDecoder.from_pretrained(ASSETS / "demo-1-0" / "vae", dtype=torch.float32)
    codec = vae.codec_of(shipped)
    with torch.no_grad():
        real = shipped.encode(tensors[:1, :, :64, :64]).latent_dist.mode()
    assert torch.allclose(real, with_motion(codec.encode(tensors[:1, :, :64, :64]), codec.motion), atol=0.1)


def test_the_untrained_decoder_is_its_skeleton_and_keeps_its_constants(
    model: AutoencoderKLTemporalDecoder,
) -> None:
    latents = torch.randn(1, CHANNELS, 8, 8)
    with torch.no_grad():
        made = model.decode(latents, num_frames=1).sample
        assert torch.allclose(made, vae.skeleton(model, latents), atol=1e-3)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    vae.project(model)
    assert all(torch.allclose(before[name], tensor, atol=1e-6) for name, tensor in model.state_dict().items())


def test_the_decoder_does_not_read_the_motion_channels(model: AutoencoderKLTemporalDecoder) -> None:
    latents = torch.randn(1, CHANNELS, 4, 4)
    other = latents.clone()
    other[:, LATENTS:] += 3
    with torch.no_grad():
        one, two = (model.decode(z, num_frames=1).sample for z in (latents, other))
    assert torch.equal(one, two)


def test_a_blurred_picture_costs_more_than_a_darker_one_of_the_same_error() -> None:
    wanted = torch.zeros(1, 3, 8, 8)
    darker, grain = wanted - 0.1, wanted + 0.1 * (torch.arange(8) % 2 * 2 - 1)
    assert vae.reconstruction_loss(wanted, wanted) == 0
    assert vae.reconstruction_loss(grain, wanted) > vae.reconstruction_loss(darker, wanted)
