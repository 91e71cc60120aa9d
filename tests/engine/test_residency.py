"""What is in memory goes by its content: an id with other weights, or a file that was written over, is read again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import safetensors.torch
import torch

from svdlab.engine.residency import Residency
from svdlab.errors import CheckpointUnavailable
from svdlab.weights.sources.folder import local_checkpoint
from tests import tiny


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoints") / "tiny"
    tiny.pipeline().save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "tiny"))


def change(folder: Path, part: str = "unet", name: str = "conv_in.bias") -> None:
    """Adds 1 to a tensor of a component's file, in place."""
    file = folder / part / "diffusion_pytorch_model.safetensors"
    tensors = safetensors.torch.load_file(file)
    tensors[name] = tensors[name] + 1
    safetensors.torch.save_file(tensors, file, {"format": "pt"})


def test_a_file_that_was_written_over_is_read_again_and_the_rest_is_kept(folder: Path) -> None:
    own, residency = local_checkpoint(folder), Residency("cpu")
    before = residency.get(own)
    assert residency.holds(own)
    assert residency.get(own) is before
    change(folder)
    assert not residency.holds(own)
    now = residency.get(own)
    assert torch.equal(now.unet.conv_in.bias, before.unet.conv_in.bias + 1)
    assert now.keys["unet"] != before.keys["unet"]
    assert (now.vae, now.image_encoder) == (before.vae, before.image_encoder)
    assert residency.loads == 4
    assert len(residency.resident()) == 3  # what was is not in memory any more


def test_an_id_that_means_other_weights_gets_those(saved: Path, folder: Path) -> None:
    change(folder)
    residency = Residency("cpu")
    one, two = (residency.get(local_checkpoint(path, "my")) for path in (saved, folder))
    assert not torch.equal(one.unet.conv_in.bias, two.unet.conv_in.bias)
    assert residency.get(local_checkpoint(saved, "my")).keys == one.keys


def test_a_file_that_was_only_touched_is_not_loaded_again(folder: Path) -> None:
    own, residency = local_checkpoint(folder), Residency("cpu")
    before = residency.get(own)
    (folder / "unet" / "diffusion_pytorch_model.safetensors").touch()
    assert residency.get(own).unet is before.unet
    assert residency.loads == 3


def test_another_configuration_is_another_component(folder: Path) -> None:
    own, residency = local_checkpoint(folder), Residency("cpu")
    before = residency.get(own)
    config = folder / "vae" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "scaling_factor": 0.5}))
    now = residency.get(own)
    assert now.vae.config.scaling_factor == 0.5
    assert now.keys == before.keys  # the same numbers
    assert now.stamps["vae"] != before.stamps["vae"]


def test_weights_that_are_gone_are_not_served_from_memory(folder: Path) -> None:
    own, residency = local_checkpoint(folder), Residency("cpu")
    residency.get(own)
    shutil.rmtree(folder)
    assert not residency.holds(own)
    with pytest.raises(CheckpointUnavailable, match="is gone"):
        residency.get(own)
