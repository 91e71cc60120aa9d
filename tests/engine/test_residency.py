"""What is in memory goes by its content: an id with other weights, or a file that was written over, is read again."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from svdlab.clips.frames import read_frames_zip
from svdlab.engine import examine
from svdlab.engine.residency import Residency
from svdlab.errors import CheckpointUnavailable
from svdlab.lab.lab import Lab
from svdlab.weights.catalogue import Catalogue
from svdlab.weights.register import read_checkpoint
from svdlab.weights.sources.folder import local_checkpoint
from svdlab.workers import Compute, LocalWorker
from tests import original_layout, tiny


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


def single_file(path: Path, parts: dict[str, Any]) -> Path:
    """Small components as one file in Stability's original layout."""
    safetensors.torch.save_file(original_layout.to_original(parts), path, {"format": "pt"})
    return path


def test_two_files_that_differ_in_the_unet_share_the_rest_in_memory(tmp_path: Path) -> None:
    parts = original_layout.components()
    one = single_file(tmp_path / "svd.safetensors", parts)
    with torch.no_grad():
        parts["unet"].conv_in.bias.add_(1)
    two = single_file(tmp_path / "svd_xt.safetensors", parts)
    residency = Residency("cpu")
    a, b = residency.get(read_checkpoint(one)), residency.get(read_checkpoint(two))
    assert a.vae is b.vae
    assert a.image_encoder is b.image_encoder
    assert a.unet is not b.unet
    assert residency.loads == 4


def test_a_folder_and_a_single_file_of_the_same_numbers_are_the_same(tmp_path: Path) -> None:
    file = single_file(tmp_path / "svd.safetensors", original_layout.components())
    examine.convert(read_checkpoint(file), tmp_path / "folder")
    one, two = (Residency("cpu").get(read_checkpoint(p)) for p in (tmp_path / "folder", file))
    for part in ("unet", "vae", "image_encoder"):
        a, b = getattr(one, part).state_dict(), getattr(two, part).state_dict()
        assert set(a) == set(b)
        assert all(np.array_equal(a[name].numpy(), b[name].numpy()) for name in a), part


def test_a_clip_is_decoded_again_with_the_decoder_another_checkpoint_lends(
    tmp_path: Path, example_picture: Path
) -> None:
    own = read_checkpoint(single_file(tmp_path / "own.safetensors", original_layout.components()))
    frame_wise = original_layout.components("image", seed=3)
    lender = read_checkpoint(single_file(tmp_path / "lender.safetensors", frame_wise))
    catalogue = Catalogue([replace(own, lenders={"image": "lender"}), lender])
    small = {"width": 64, "height": 64, "num_frames": 3, "num_inference_steps": 1}
    with Lab(tmp_path / "data", catalogue) as lab:
        worker = LocalWorker(lab, Compute("cpu")).start()
        run = lab.generate(example_picture, "own", seed=1, **small)
        assert lab.decoders("own") == ("temporal", "image")
        assert lab.decoders("lender") == ("image",)
        pair = lab.decode_again(run.id, "image")
        again = lab.wait(pair.b.id)[0]
        assert [one.part for one in worker.renderer.residency.resident()].count(
            "unet"
        ) == 1  # the lender's stays away
    versions = run.recipe.versions["vae_sha256"], again.recipe.versions["vae_sha256"]
    assert versions[0] != versions[1]
    latents = safetensors.torch.load_file(run.latents)["latents"]
    vae = frame_wise["vae"]
    with torch.no_grad():
        wanted = vae.decode(latents[0] / vae.config.scaling_factor).sample
    pixels = ((wanted / 2 + 0.5).clamp(0, 1) * 255).round().permute(0, 2, 3, 1).numpy()
    assert np.abs(read_frames_zip(again.frames_zip) - pixels).max() <= 1
