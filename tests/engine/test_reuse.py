"""Deep features used again: the outermost layers on what a whole call kept, and exact where nothing is kept."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import UNetSpatioTemporalConditionModel
from torch import nn

from svdlab.engine import sampler
from svdlab.engine.constants import constants_of
from svdlab.engine.residency import Residency
from svdlab.engine.reuse import DeepFeatures, kept_bytes
from svdlab.engine.standing import StandIns
from svdlab.engine.ways import Way
from svdlab.weights.catalogue import Catalogue
from tests import original_layout, tiny
from tests.engine.test_sampler import components_of, picture, settings

FRAMES = 3
NETWORKS = {
    "demo": lambda: Residency("cpu", "float32").get(Catalogue().get("demo-1-0")).unet,
    "one layer a block": lambda: tiny.pipeline().unet,
    "two, as SVD": lambda: original_layout.components()["unet"],
}


@pytest.fixture(scope="module", params=NETWORKS)
def unet(request: pytest.FixtureRequest) -> UNetSpatioTemporalConditionModel:
    return NETWORKS[request.param]()


def asked(unet: UNetSpatioTemporalConditionModel, seed: int, t: float) -> dict[str, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    config = unet.config
    side = 2 ** len(config.block_out_channels)
    return {
        "sample": torch.randn(2, FRAMES, config.in_channels, side, 2 * side, generator=rng),
        "timestep": torch.tensor(t),
        "encoder_hidden_states": torch.ones(2, 1, config.cross_attention_dim) / 3,
        "added_time_ids": torch.tensor([[5.0, 127.0, 0.02]] * 2),
    }


def answer(unet: nn.Module, layers: StandIns, given: dict[str, torch.Tensor]) -> torch.Tensor:
    with torch.inference_mode(), layers.in_place():
        return unet(**given).sample


def written_out(unet: Any, whole: dict[str, torch.Tensor], later: dict[str, torch.Tensor]) -> torch.Tensor:
    """The shallow call, layer by layer: after `whole`, for what `later` asks."""
    last, first = unet.up_blocks[-1], unet.down_blocks[0]
    kept: list[torch.Tensor] = []
    inner = last.attentions[0] if hasattr(last, "attentions") else last.resnets[0]
    handle = inner.register_forward_hook(
        lambda _, __, out: kept.append(out[0] if isinstance(out, tuple) else out)
    )
    with torch.no_grad():
        unet(**whole)
    handle.remove()
    count = len(first.resnets)
    still = torch.zeros(2, FRAMES)

    with torch.no_grad():
        ids = unet.add_time_proj(later["added_time_ids"].flatten()).reshape(2, -1)
        time = unet.time_embedding(unet.time_proj(later["timestep"].expand(2))) + unet.add_embedding(ids)
        time = time.repeat_interleave(FRAMES, 0)
        token = later["encoder_hidden_states"].repeat_interleave(FRAMES, 0)

        def layer(block: Any, number: int, x: torch.Tensor) -> torch.Tensor:
            x = block.resnets[number](x, time, image_only_indicator=still)
            if hasattr(block, "attentions"):
                x = block.attentions[number](x, token, image_only_indicator=still, return_dict=False)[0]
            return x

        skips = [unet.conv_in(later["sample"].flatten(0, 1))]
        for number in range(count - 1):
            skips.append(layer(first, number, skips[-1]))
        x = kept[0]
        for number in range(1, count + 1):
            x = layer(last, number, torch.cat([x, skips.pop()], 1))
        assert not skips
        x = unet.conv_out(unet.conv_act(unet.conv_norm_out(x)))
    return x.reshape(2, FRAMES, *x.shape[1:])


def test_a_shallow_call_is_the_outermost_layers_on_what_was_kept(
    unet: UNetSpatioTemporalConditionModel,
) -> None:
    first, second = asked(unet, 1, 0.9), asked(unet, 2, 0.4)
    features = DeepFeatures(unet)
    whole = answer(unet, features.for_step(1, 2), first)
    shallow = answer(unet, features.for_step(2, 2), second)
    assert torch.equal(whole, answer(unet, StandIns(), first))
    assert torch.allclose(shallow, written_out(unet, first, second), rtol=1e-5, atol=1e-5)
    assert not torch.allclose(shallow, answer(unet, StandIns(), second), atol=1e-3)


def test_asked_the_same_again_a_shallow_call_answers_the_same(unet: UNetSpatioTemporalConditionModel) -> None:
    given = asked(unet, 1, 0.9)
    features = DeepFeatures(unet)
    constants = constants_of(unet, given["encoder_hidden_states"], given["added_time_ids"], FRAMES)
    for layers in (StandIns(), constants):
        whole = answer(unet, layers + features.for_step(1, 3), given)
        for step in (2, 3):
            assert torch.equal(answer(unet, layers + features.for_step(step, 3), given), whole)


def test_the_network_is_left_as_it_was(unet: UNetSpatioTemporalConditionModel) -> None:
    before = {name: id(module) for name, module in unet.named_modules()}
    features = DeepFeatures(unet)
    given = asked(unet, 1, 0.9)
    for step in (1, 2):
        answer(unet, features.for_step(step, 2), given)
    with (
        pytest.raises(RuntimeError, match=r"shape|size|Expected|channels"),
        features.for_step(2, 2).in_place(),
    ):
        unet(**{**given, "sample": given["sample"][:, :, :2]})
    assert {name: id(module) for name, module in unet.named_modules()} == before


def test_nothing_is_used_again_before_there_is_anything(unet: UNetSpatioTemporalConditionModel) -> None:
    with pytest.raises(RuntimeError, match="before a whole call"):
        answer(unet, DeepFeatures(unet).for_step(2, 2), asked(unet, 1, 0.9))


def test_what_is_kept_is_as_large_as_is_said(unet: UNetSpatioTemporalConditionModel) -> None:
    given, features = asked(unet, 1, 0.9), DeepFeatures(unet)
    answer(unet, features.for_step(1, 2), given)
    positions = given["sample"].shape[-1] * given["sample"].shape[-2]
    assert features.give().nbytes == kept_bytes(unet, 2, FRAMES, positions)


# In the sampler


@pytest.mark.parametrize(("every", "whole"), [(1, 5), (2, 3), (3, 2), (10, 1)])
def test_one_step_in_so_many_is_whole(every: int, whole: int) -> None:
    parts = components_of(tiny.pipeline())
    s = settings(
        width=64, height=64, num_inference_steps=5, max_guidance_scale=3.0, feature_reuse=every, num_frames=3
    )
    calls: list[int] = []
    handle = parts.unet.mid_block.register_forward_hook(lambda *_: calls.append(1))
    noise = sampler.draw_noise(s, parts.latent_channels, parts.vae_scale)
    conditioning = sampler.encode(parts, picture(s.width, s.height), noise, s)
    *_, last = sampler.denoise(parts, conditioning, noise, s)
    handle.remove()
    assert len(calls) == whole
    exact = s.but(feature_reuse=1)
    *_, same = sampler.denoise(parts, conditioning, noise, exact)
    assert torch.equal(last.latents, same.latents) == (every == 1)


def test_branches_one_after_the_other_each_use_their_own_features() -> None:
    parts = components_of(tiny.pipeline())
    s = settings(
        width=64, height=64, num_inference_steps=4, max_guidance_scale=3.0, feature_reuse=2, num_frames=3
    )
    noise = sampler.draw_noise(s, parts.latent_channels, parts.vae_scale)
    conditioning = sampler.encode(parts, picture(s.width, s.height), noise, s)
    ends = []
    for together in (True, False):
        *_, last = sampler.denoise(parts, conditioning, noise, s, way=Way(together=together))
        ends.append(last.latents)
    assert torch.allclose(*ends, rtol=1e-4, atol=1e-4)
