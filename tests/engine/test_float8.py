"""Weights stored in 8 bits load as any number format, with the scales that stand beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from svdlab.engine import examine
from svdlab.engine.loading import open_weights
from svdlab.engine.residency import Residency
from svdlab.errors import BadCheckpoint
from svdlab.weights.register import read_checkpoint
from tests import original_layout, tiny

Tensors = dict[str, torch.Tensor]
LARGEST = torch.finfo(torch.float8_e4m3fn).max


@pytest.fixture(scope="module")
def parts() -> dict[str, Any]:
    return original_layout.components()


@pytest.fixture(scope="module")
def whole(parts: dict[str, Any]) -> Tensors:
    return original_layout.to_original(parts)


def eighths(tensors: Tensors, how: str) -> Tensors:
    """Every matrix in float8, as people write them: bare, with one scale each, or with one a row."""
    found: Tensors = {}
    for name, tensor in tensors.items():
        if tensor.ndim < 2 or not name.endswith(".weight") or not tensor.is_floating_point():
            found[name] = tensor
        elif how in ("bare", "E5M2"):
            found[name] = tensor.to(torch.float8_e5m2 if how == "E5M2" else torch.float8_e4m3fn)
        else:
            over = tensor.abs().flatten(1).amax(1) if how == "a scale a row" else tensor.abs().max()
            scale = (over / LARGEST).clamp(min=1e-6).float()
            each = scale.view(-1, *(1 for _ in tensor.shape[1:]))
            found[name] = (tensor.float() / each).to(torch.float8_e4m3fn)
            layer = name.removesuffix(".weight")
            if how == "as ComfyUI writes them now":
                found |= {f"{layer}.weight_scale": scale, f"{layer}.input_scale": torch.ones(())}
                found[f"{layer}.comfy_quant"] = torch.tensor(
                    list(b'{"format": "float8_e4m3fn"}'), dtype=torch.uint8
                )
            else:
                found |= {f"{layer}.scale_weight": scale, f"{layer}.scale_input": torch.ones(1)}
    if how == "a scale each":
        found["model.diffusion_model.scaled_fp8"] = torch.zeros(2, dtype=torch.float8_e4m3fn)
    return found


HOWS = ("bare", "E5M2", "a scale each", "a scale a row", "as ComfyUI writes them now")


def write(tensors: Tensors, path: Path) -> Path:
    safetensors.torch.save_file({n: t.contiguous() for n, t in tensors.items()}, path)
    return path


def meant(tensors: Tensors) -> Tensors:
    """What the numbers in float8 stand for, without any code of ours."""
    found = {}
    for name, tensor in tensors.items():
        if tensor.dtype in (torch.float8_e4m3fn, torch.float8_e5m2) and name.endswith(".weight"):
            layer = name.removesuffix(".weight")
            scale = tensors.get(f"{layer}.scale_weight", tensors.get(f"{layer}.weight_scale", torch.ones(())))
            rows = scale.reshape(-1, *(1 for _ in tensor.shape[1:]))
            found[name] = tensor.to(torch.float32) * rows
        elif "scale" not in name.rsplit(".", 1)[-1] and not name.endswith(("scaled_fp8", "comfy_quant")):
            found[name] = tensor
    return found


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("how", HOWS)
def test_a_single_file_in_float8_is_what_its_numbers_and_scales_say(
    how: str, dtype: torch.dtype, whole: Tensors, tmp_path: Path
) -> None:
    narrow = eighths(whole, how)
    coarse = open_weights(read_checkpoint(write(narrow, tmp_path / "coarse.safetensors")))
    same = open_weights(read_checkpoint(write(meant(narrow), tmp_path / "same.safetensors")))
    assert "in float8: coarser than they were published" in coarse.checkpoint.summary
    assert "float8" not in same.checkpoint.summary
    for part in ("unet", "vae", "image_encoder"):
        ours, theirs = coarse.load(part, dtype).state_dict(), same.load(part, dtype).state_dict()
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs), part
        assert {t.dtype for t in ours.values() if t.is_floating_point()} == {dtype}
        assert coarse.stored_dtype(part) == torch.float16
        assert coarse.values(part) == same.values(part)


def test_it_is_checked_hashed_and_converted_like_any_other(whole: Tensors, tmp_path: Path) -> None:
    one = read_checkpoint(write(eighths(whole, "a scale each"), tmp_path / "one.safetensors"))
    lines = list(examine.verify(one))
    assert lines[0].startswith("unet: UNetSpatioTemporalConditionModel")
    louder = eighths(whole, "a scale each")
    name = next(name for name in louder if name.endswith(".scale_weight"))
    louder[name] = louder[name] * 2
    other = read_checkpoint(write(louder, tmp_path / "other.safetensors"))
    keys = [open_weights(checkpoint).keys(torch.float32) for checkpoint in (one, other)]
    assert keys[0] != keys[1]
    folder = examine.convert(one, tmp_path / "folder")
    there = open_weights(read_checkpoint(folder)).load("unet", torch.float32).state_dict()
    here = open_weights(one).load("unet", torch.float16).float().state_dict()
    assert all(torch.equal(there[name], here[name]) for name in here)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights") / "tiny"
    tiny.pipeline().save_pretrained(folder)
    return folder


@pytest.mark.parametrize("how", HOWS[:4])
def test_a_folder_in_float8_is_what_its_numbers_and_scales_say(how: str, saved: Path, tmp_path: Path) -> None:
    folder = tmp_path / "coarse"
    (folder / "unet").mkdir(parents=True)
    for path in saved.rglob("*"):
        if path.is_file():
            (folder / path.relative_to(saved)).parent.mkdir(exist_ok=True)
            (folder / path.relative_to(saved)).write_bytes(path.read_bytes())
    expected: dict[str, Tensors] = {}
    for part, name in (
        ("unet", "diffusion_pytorch_model"),
        ("image_encoder", "model"),
        ("vae", "diffusion_pytorch_model"),
    ):
        path = folder / part / f"{name}.safetensors"
        narrow = {
            n: t for n, t in eighths(safetensors.torch.load_file(path), how).items() if "scaled_fp8" not in n
        }
        write(narrow, path)
        expected[part] = meant(narrow)
    parts = Residency("cpu", "float32").get(read_checkpoint(folder))
    for part, tensors in expected.items():
        ours = getattr(parts, part).state_dict()
        assert all(torch.equal(ours[name], tensor.float()) for name, tensor in tensors.items()), part


def unknown(whole: Tensors, key: str, scale: torch.Tensor) -> Tensors:
    layer = "model.diffusion_model.input_blocks.1.0.in_layers.2"
    return eighths(whole, "bare") | {f"{layer}.{key}": scale}


@pytest.mark.parametrize(
    ("key", "scale"),
    [
        ("scale_weight", torch.ones(3)),
        ("scale_weight", torch.ones(2, 2)),
        ("scale_weight", torch.ones(1, dtype=torch.uint8)),
        ("weight_scale_2", torch.ones(())),
        ("scale_inv", torch.ones(())),
    ],
)
def test_scales_that_are_not_known_are_one_sentence(
    key: str, scale: torch.Tensor, whole: Tensors, tmp_path: Path
) -> None:
    path = write(unknown(whole, key, scale), tmp_path / "odd.safetensors")
    with pytest.raises(BadCheckpoint) as refused:
        read_checkpoint(path)
    said = "odd.safetensors scales its weights in a way that is not known: model.diffusion_model.input_blocks.1.0"
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_scales_beside_weights_that_are_not_float8_are_not_known(whole: Tensors, tmp_path: Path) -> None:
    layer = "model.diffusion_model.input_blocks.1.0.in_layers.2"
    path = write(whole | {f"{layer}.scale_weight": torch.ones(())}, tmp_path / "odd.safetensors")
    with pytest.raises(BadCheckpoint, match="scales its weights in a way that is not known"):
        read_checkpoint(path)
