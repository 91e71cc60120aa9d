"""Checkpoints of one's own: recognised by header, found in other programs' folders, registered, never run."""

from __future__ import annotations

import json
import math
import pickle
import shutil
import struct
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

import pytest
import torch

from svdlab.errors import BadCheckpoint, BadInput
from svdlab.weights.availability import availability, place
from svdlab.weights.catalogue import Catalogue
from svdlab.weights.register import Registry, found_in, read_checkpoint
from tests import original_layout, tiny

UNET = "model.diffusion_model."


def names(decoder: original_layout.Decoder = "temporal") -> dict[str, list[int]]:
    """Every name and shape of a released file."""
    return original_layout.full_size(decoder)


@cache
def small() -> dict[str, list[int]]:
    """The same of a network of two levels, 2 pixels per latent."""
    with torch.device("meta"):
        written = original_layout.to_original(original_layout.components())
    return {name: list(tensor.shape) for name, tensor in written.items()}


def write(path: Path, shapes: Mapping[str, Sequence[int]]) -> Path:
    """A safetensors file of these float16 tensors; its zeros take no room on the disk."""
    header, place = {}, 0
    for name, shape in shapes.items():
        size = 2 * math.prod(shape)
        header[name] = {"dtype": "F16", "shape": list(shape), "data_offsets": [place, place + size]}
        place += size
    text = json.dumps(header).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + place)
    return path


def test_a_released_file_is_known_by_its_name_and_header(tmp_path: Path) -> None:
    one = read_checkpoint(write(tmp_path / "svd.safetensors", names()))
    assert (one.native_frames, one.width, one.height, one.size_step) == (14, 1024, 576, 64)
    assert one.decoders == ("temporal",)
    image = read_checkpoint(write(tmp_path / "svd_xt_image_decoder.safetensors", names("image")))
    assert (image.native_frames, image.decoders, image.official["decoder"]) == (25, ("image",), "image")


def test_a_file_of_another_name_is_assumed_to_have_25_frames_unless_told(tmp_path: Path) -> None:
    path = write(tmp_path / "My Tune v2.safetensors", small())
    one = read_checkpoint(path)
    assert (one.id, one.native_frames, one.size_step) == ("my-tune-v2", 25, 4)
    assert one.trained_for == "the file does not say for how many frames; 25 assumed"
    assert read_checkpoint(path, num_frames=14).native_frames == 14


@pytest.mark.parametrize(
    ("shapes", "said"),
    [
        (
            {"cond_stage_model.transformer.x": [4], UNET + "out.2.bias": [4]},
            "looks like Stable Diffusion 1",
        ),
        ({"conditioner.embedders.1.model.x": [4]}, "looks like SDXL"),
        ({"down_blocks.0.motion_modules.0.x": [4]}, "looks like an AnimateDiff motion module"),
        ({"lora_unet_x.lora_up.weight": [4]}, "looks like a LoRA"),
        ({"a.weight": [4], "b.weight": [4]}, "none of its 2 tensors is one of a UNet for videos"),
        ({"a.weight": [4]}, "its one tensor is none of a UNet for videos"),
    ],
)
def test_other_models_are_refused_by_what_they_look_like(
    shapes: dict[str, list[int]], said: str, tmp_path: Path
) -> None:
    with pytest.raises(
        BadCheckpoint, match=f"x.safetensors is not a Stable Video Diffusion checkpoint: .*{said}"
    ):
        read_checkpoint(write(tmp_path / "x.safetensors", shapes))


def test_pickles_are_refused_unread(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> object:
            return (Path.touch, (tmp_path / "ran",))

    for name in ("svd.ckpt", "svd.safetensors"):
        (tmp_path / name).write_bytes(pickle.dumps(Bomb()))
        with pytest.raises(BadCheckpoint, match="pickle"):
            read_checkpoint(tmp_path / name)
    assert not (tmp_path / "ran").exists()


def test_a_folder_in_diffusers_layout_is_a_checkpoint_and_another_is_not(tmp_path: Path) -> None:
    tiny.pipeline().save_pretrained(tmp_path / "Tiny One")
    one = read_checkpoint(tmp_path / "Tiny One")
    assert (one.id, one.source.kind, one.native_frames) == ("tiny-one", "folder", 6)
    with pytest.raises(BadCheckpoint, match=r"has no model_index.json"):
        read_checkpoint(tmp_path)
    with pytest.raises(BadCheckpoint, match="there is no file or folder"):
        read_checkpoint(tmp_path / "nowhere")


@pytest.mark.parametrize("id", ["", "UPPER", "a/b", "../up", "x" * 64, "-first"])
def test_ids_are_plain(id: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="an id is up to 63 lower-case letters"):
        read_checkpoint(write(tmp_path / "svd.safetensors", names()), id)


# Folders of other programs


@pytest.fixture
def comfyui(tmp_path: Path) -> Path:
    """A models folder as ComfyUI has it, with other models beside."""
    models = tmp_path / "ComfyUI" / "models"
    write(models / "checkpoints" / "svd_xt_1_1.safetensors", names())
    write(models / "checkpoints" / "video" / "svd_xt-fp16.safetensors", names())
    write(models / "checkpoints" / "sd15.safetensors", {"cond_stage_model.x": [4]})
    write(models / "checkpoints" / "tuned.safetensors", small())
    (models / "checkpoints" / "notes.txt").write_text("hello")
    tiny.pipeline().save_pretrained(models / "diffusers" / "tiny")
    return models


def test_what_is_svd_is_found_and_the_rest_passed_over(comfyui: Path) -> None:
    assert sorted(c.name for c in found_in([comfyui])) == ["svd_xt-fp16", "svd_xt_1_1", "tiny", "tuned"]
    assert list(found_in([comfyui / "nowhere"])) == []


def test_released_files_stand_in_for_the_builtin_checkpoints(comfyui: Path, tmp_path: Path) -> None:
    registry = Registry(tmp_path / "data", [comfyui, tmp_path / "other"])
    catalogue = Catalogue(registry.checkpoints(Catalogue()))
    new = catalogue.get("svd-xt-1-1")
    assert new.name == "SVD-XT 1.1"
    assert availability(new).state == "on disk"
    assert new.source.location.endswith("svd_xt_1_1.safetensors")
    assert catalogue.get("svd-xt").source.location.endswith("svd_xt-fp16.safetensors")
    assert catalogue.get("tuned").native_frames == 25
    assert [c.id for c in catalogue][:3] == ["demo-1-0", "demo-1-1", "svd"]  # the order a person knows
    assert (catalogue.pair()[0].id, catalogue.pair()[1].id) == ("svd-xt", "svd-xt-1-1")


# Registered ones


def test_a_registered_checkpoint_stays_until_it_is_removed(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.safetensors", small())
    data = tmp_path / "data"
    assert Registry(data).add(path, num_frames=14).id == "mine"
    [again] = Registry(data).checkpoints(Catalogue())
    assert (again.id, again.native_frames, again.size_step) == ("mine", 14, 4)
    assert Registry(data).has("mine")
    assert Registry(data).remove("mine")
    assert not Registry(data).remove("mine")
    assert Registry(data).checkpoints(Catalogue()) == []
    assert path.is_file()


def test_a_registered_file_that_is_gone_is_said_to_be_missing(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.safetensors", small())
    Registry(tmp_path).add(path)
    before = Registry(tmp_path).checkpoints(Catalogue())[0]
    path.unlink()
    [gone] = Registry(tmp_path).checkpoints(Catalogue())
    assert gone.id == "mine"
    assert availability(gone).state == "missing"
    assert availability(gone).sentence == f"It cannot be used: {path} is gone."
    assert availability(before).sentence == f"The file {path} is gone."


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda content: content[:-100], "mine.safetensors is cut off: "),
        (lambda content: b"", "mine.safetensors is empty"),
        (
            lambda content: b"<!DOCTYPE html>" + content,
            "mine.safetensors is not a safetensors file but a web page",
        ),
    ],
    ids=["cut", "empty", "a web page"],
)
def test_a_registered_file_that_broke_is_said_to_be_broken(
    harm: Callable[[bytes], bytes], said: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "mine.safetensors", small())
    Registry(tmp_path).add(path)
    before = Registry(tmp_path).checkpoints(Catalogue())[0]
    assert availability(before).ready
    path.write_bytes(harm(path.read_bytes()))
    [broken] = Registry(tmp_path).checkpoints(Catalogue())
    for one in (before, broken):  # known before it broke, and read after
        here = availability(one)
        assert here.state == "broken"
        assert here.sentence.startswith(f"It cannot be used: {said}")
        assert here.sentence.endswith(".")
    with pytest.raises(BadCheckpoint, match=f"mine: It cannot be used: {said}"):
        place(broken)


def test_ids_that_are_taken_are_refused(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    registry.add(write(tmp_path / "one.safetensors", names()), "mine")
    registry.add(tmp_path / "one.safetensors", "mine")  # the same file again is no conflict
    with pytest.raises(BadInput, match="there is a checkpoint mine already"):
        registry.add(write(tmp_path / "two.safetensors", names()), "mine")
    with pytest.raises(BadInput, match="demo-1-0 is the id of a built-in checkpoint"):
        registry.add(tmp_path / "two.safetensors", "demo-1-0")


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", "[1, null]", '[{"id": 3, "path": "x"}]', '[{"id": "a"}]']
)
def test_a_broken_register_is_an_empty_one(content: str, tmp_path: Path) -> None:
    (tmp_path / "checkpoints.json").write_text(content)
    assert Registry(tmp_path).checkpoints(Catalogue()) == []
    shutil.copy(tmp_path / "checkpoints.json", tmp_path / "before")
    assert (tmp_path / "before").read_text() == content
