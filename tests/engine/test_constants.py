"""What no step changes, computed once: the same as diffusers computes again at every step."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from diffusers import UNetSpatioTemporalConditionModel
from diffusers.models.transformers.transformer_temporal import TransformerSpatioTemporalModel

from svdlab.clips.frames import read_frames_zip
from svdlab.engine.constants import constants_of
from svdlab.engine.renderer import Renderer
from svdlab.engine.residency import Residency
from svdlab.lab.lab import Lab
from svdlab.recipes.records import Run
from svdlab.weights.catalogue import Catalogue
from svdlab.workers import InProcess
from tests import original_layout, tiny
from tests.made import picture_of

FRAMES = 3


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with Lab(tmp_path / "data") as lab:
        yield lab


def demo(id: str) -> UNetSpatioTemporalConditionModel:
    return Residency("cpu", "float32").get(Catalogue().get(id)).unet


NETWORKS = {
    "demo-1-0": lambda: demo("demo-1-0"),
    "demo-1-1": lambda: demo("demo-1-1"),
    "diffusers layout": lambda: tiny.pipeline().unet,
    "Stability's layout": lambda: original_layout.components()["unet"],
}


def asked(unet: UNetSpatioTemporalConditionModel, branches: int) -> dict[str, torch.Tensor]:
    rng = torch.Generator().manual_seed(5)
    config = unet.config
    return {
        "sample": torch.randn(branches, FRAMES, config.in_channels, 8, 12, generator=rng),
        "timestep": torch.tensor(0.7),
        "encoder_hidden_states": torch.randn(branches, 1, config.cross_attention_dim, generator=rng),
        "added_time_ids": torch.tensor([[5.0, 127.0, 0.02]] * branches),
    }


@pytest.mark.parametrize("branches", [1, 2])
@pytest.mark.parametrize("network", NETWORKS)
@torch.inference_mode()
def test_the_unet_predicts_the_same(network: str, branches: int) -> None:
    """In float64, where the order of sums hardly shows: float32's own rounding is 1e-6 of a small network's answer."""
    unet = NETWORKS[network]().eval().double()
    call = {name: given.double() for name, given in asked(unet, branches).items()}
    before = unet(**call).sample
    known = constants_of(unet, call["encoder_hidden_states"], call["added_time_ids"], FRAMES)
    with known.in_place():
        made = unet(**call).sample
    assert float((made - before).norm() / before.norm()) <= 1e-13
    assert torch.equal(unet(**call).sample, before)  # every layer is back in its place


@torch.inference_mode()
def test_a_transformer_of_the_full_size_answers_the_same() -> None:
    torch.manual_seed(3)
    block = TransformerSpatioTemporalModel(5, 64, 320, num_layers=1, cross_attention_dim=1024).eval()
    unet = tiny.pipeline().unet.eval()
    unet.mid_block.attentions[0] = block  # so that the constants of the block are found
    frames, token = 3, torch.randn(2, 1, 1024)
    hidden = torch.randn(2 * frames, 320, 18, 32)
    indicator = torch.zeros(2, frames)
    context = token.repeat_interleave(frames, dim=0)
    before = block(hidden, context, indicator, return_dict=False)[0]
    outside = [module for module in unet.modules() if isinstance(module, TransformerSpatioTemporalModel)]
    for module in outside:
        if module is not block:  # these are made for another token
            module.transformer_blocks, module.temporal_transformer_blocks = (torch.nn.ModuleList(),) * 2
    known = constants_of(unet, token, torch.tensor([[6.0, 127.0, 0.02]] * 2), frames)
    with known.in_place():
        made = block(hidden, context, indicator, return_dict=False)[0]
    assert float((made - before).norm() / before.norm()) <= 1e-6


def test_more_than_one_token_is_not_constant() -> None:
    unet = tiny.pipeline().unet
    with pytest.raises(ValueError, match="to 77 tokens is not constant"):
        constants_of(unet, torch.zeros(1, 77, 32), torch.zeros(1, 3), FRAMES)


def rendered(lab: Lab, renderer: Renderer, guidance: float) -> Run:
    small = {"width": 64, "height": 64, "num_frames": 4, "num_inference_steps": 3}
    settings = lab.settings("demo-1-0", {**small, "max_guidance_scale": guidance}, seed=4)
    recipe = lab.recipe("demo-1-0", lab.add_picture(picture_of(0)), settings)
    with InProcess(lab, renderer.render):
        run = lab.submit(recipe)
    return lab.history.get(run.id)


@pytest.mark.parametrize("guidance", [1.0, 2.5])
def test_a_run_says_how_it_was_rendered_and_looks_the_same(guidance: float, lab: Lab) -> None:
    plain, exact = Renderer("cpu", "float32"), Renderer("cpu", "float32", acceleration="exact")
    assert plain.acceleration == "off"  # on a CPU runs are bit-equal to diffusers
    one, two = (rendered(lab, renderer, guidance) for renderer in (plain, exact))
    assert "acceleration" not in one.recipe.versions
    assert two.recipe.versions["acceleration"] == "exact"
    before, now = (read_frames_zip(run.frames_zip).astype(int) for run in (one, two))
    assert abs(before - now).max() <= 1
