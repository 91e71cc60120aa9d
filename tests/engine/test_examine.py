"""Weights read whole: what is broken is named, what is wide is a remark, what is good is accepted."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
import safetensors.torch
import torch

from svdlab.engine import examine
from svdlab.engine.loading import open_weights
from svdlab.engine.residency import Residency
from svdlab.engine.sampler import denoise, draw_noise, encode
from svdlab.errors import BadCheckpoint, RenderFailed
from svdlab.recipes import limits
from svdlab.recipes.checkpoint import Checkpoint
from svdlab.weights.catalogue import Catalogue
from svdlab.weights.register import Registry, read_checkpoint
from svdlab.weights.sources.folder import local_checkpoint
from tests import original_layout, tiny
from tests.original_layout import CLIP, COPY, FIRST_STAGE, UNET

Tensors = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def tensors() -> Tensors:
    return original_layout.to_original(original_layout.components())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "svd_xt.safetensors"


def save(tensors: Tensors, file: Path) -> Checkpoint:
    safetensors.torch.save_file(tensors, file, {"format": "pt"})
    return read_checkpoint(file)


def test_a_whole_file_is_described_part_by_part(tensors: Tensors, file: Path) -> None:
    lines = list(examine.verify(save(tensors, file)))
    assert [line.partition(",")[0] for line in lines] == [
        "unet: UNetSpatioTemporalConditionModel",
        "image_encoder: CLIPVisionModelWithProjection",
        "vae: AutoencoderKLTemporalDecoder",
    ]


@pytest.mark.parametrize(
    ("name", "number", "dtype"),
    [
        (f"{UNET}.output_blocks.4.1.time_stack.0.ff.net.2.weight", math.nan, torch.float16),
        (f"{UNET}.time_embed.0.bias", -math.inf, torch.bfloat16),
        (f"{CLIP}.visual.proj", math.inf, torch.float32),
        (f"{COPY}.quant_conv.bias", math.nan, torch.bfloat16),
        (f"{FIRST_STAGE}.decoder.conv_out.time_mix_conv.weight", math.inf, torch.float16),
    ],
)
def test_numbers_that_are_not_finite_are_named(
    tensors: Tensors, file: Path, name: str, number: float, dtype: torch.dtype
) -> None:
    broken = {key: tensor.to(dtype) for key, tensor in tensors.items()}
    broken[name] = broken[name].clone()
    broken[name].view(-1)[1] = number
    own = save(broken, file)
    said = rf"{re.escape(name)} in svd_xt\.safetensors holds 1 number of \d+ that is not finite"
    with pytest.raises(BadCheckpoint, match=said):
        list(examine.verify(own))


def test_several_broken_numbers_are_counted(tensors: Tensors, file: Path) -> None:
    name = f"{UNET}.time_embed.0.bias"
    own = save({**tensors, name: torch.full_like(tensors[name], math.nan)}, file)
    count = tensors[name].numel()
    with pytest.raises(BadCheckpoint, match=f"holds {count} numbers of {count} that are not finite"):
        list(examine.verify(own))


def test_unused_tensors_may_hold_anything(tensors: Tensors, file: Path) -> None:
    assert list(examine.verify(save({**tensors, f"{CLIP}.logit_scale": torch.tensor(math.nan)}, file)))


@pytest.mark.parametrize("part", ["unet", "vae", "image encoder"])
def test_a_component_of_zeros_is_refused(part: str, tensors: Tensors, file: Path) -> None:
    begins = {"unet": UNET, "vae": (COPY, FIRST_STAGE), "image encoder": f"{CLIP}.visual"}[part]
    empty = {name: torch.zeros_like(t) if name.startswith(begins) else t for name, t in tensors.items()}
    names = {"unet": "UNet", "vae": "autoencoder", "image encoder": "image encoder"}
    said = rf"the {names[part]} in svd_xt\.safetensors is not whole: (\d+) of its \1 matrices hold nothing but zeros"
    with pytest.raises(BadCheckpoint, match=said):
        list(examine.verify(save(empty, file)))


def test_a_file_whose_second_half_was_never_written_is_refused(tensors: Tensors, file: Path) -> None:
    save(tensors, file)
    content = bytearray(file.read_bytes())
    content[len(content) // 4 :] = bytes(len(content) - len(content) // 4)
    file.write_bytes(content)
    with pytest.raises(BadCheckpoint, match="matrices hold nothing but zeros"):
        list(examine.verify(read_checkpoint(file)))


def test_the_few_zeros_of_good_weights_are_none_of_that() -> None:
    demo = Catalogue().get("demo-1-0")
    zeros = [n for n, t in open_weights(demo).tensors("vae") if t.ndim > 1 and not t.any()]
    assert zeros
    assert len(list(examine.verify(demo))) == 3


WIDE = "the UNet holds numbers above 65504, which float16 cannot: render with --dtype bfloat16 or float32"


@pytest.mark.parametrize("layout", ["file", "folder"])
def test_values_that_only_float16_cannot_hold_are_a_remark(
    layout: str, tensors: Tensors, file: Path, tmp_path: Path
) -> None:
    name = f"{UNET}.out.2.bias"
    own = save({**tensors, name: torch.full_like(tensors[name], 1e6)}, file)
    if layout == "folder":
        own = local_checkpoint(examine.convert(own, tmp_path / "folder"))
    assert list(examine.verify(own))[3:] == [WIDE]
    with pytest.raises(
        BadCheckpoint, match=r"holds numbers that float16 cannot; use bfloat16 or float32 \(--dtype\)"
    ):
        Residency("cpu", "float16").get(own)
    for dtype in ("bfloat16", "float32"):
        assert Residency("cpu", dtype).get(own).unet.conv_out.bias.isfinite().all()
    assert Registry(tmp_path / "data").add(Path(own.source.location)).id == own.id


def test_a_folder_of_other_shapes_than_its_configuration_is_refused(tmp_path: Path) -> None:
    tiny.pipeline().save_pretrained(tmp_path / "tiny")
    file = tmp_path / "tiny" / "unet" / "diffusion_pytorch_model.safetensors"
    content = safetensors.torch.load_file(file)
    content["conv_in.bias"] = torch.ones(33)
    safetensors.torch.save_file(content, file, {"format": "pt"})
    with pytest.raises(BadCheckpoint, match="the unet of tiny does not load"):
        list(examine.verify(local_checkpoint(tmp_path / "tiny")))


def test_numbers_that_are_not_finite_are_refused_by_the_tensors_name(tmp_path: Path) -> None:
    tiny.pipeline().save_pretrained(tmp_path / "nan")
    file = tmp_path / "nan" / "vae" / "diffusion_pytorch_model.safetensors"
    tensors = safetensors.torch.load_file(file)
    tensors["decoder.conv_in.bias"][0] = torch.nan
    safetensors.torch.save_file(tensors, file, {"format": "pt"})
    with pytest.raises(
        BadCheckpoint,
        match=r"decoder\.conv_in\.bias in diffusion_pytorch_model\.safetensors holds 1 number of 64 that is not finite",
    ):
        list(examine.verify(local_checkpoint(tmp_path / "nan")))


def test_weights_of_other_layers_are_not_compared(tmp_path: Path) -> None:
    tiny.pipeline().save_pretrained(tmp_path / "tiny")
    with pytest.raises(BadCheckpoint, match=r"have different layers, so their weights cannot be compared"):
        list(examine.diff(local_checkpoint(tmp_path / "tiny"), Catalogue().get("demo-1-0")))


# What is said when a model's numbers run away


def failing(tensors: Tensors, file: Path, dtype: str) -> str:
    parts = Residency("cpu", dtype).get(save(tensors, file))
    s = limits.defaults_for(read_checkpoint(file)).but(
        width=64, height=64, num_frames=2, num_inference_steps=1, seed=1
    )
    from PIL import Image

    noise = draw_noise(s, parts.latent_channels, parts.vae_scale)
    conditioning = encode(parts, Image.new("RGB", (64, 64), "teal"), noise, s)
    with pytest.raises(RenderFailed) as failed:
        list(denoise(parts, conditioning, noise, s))
    return str(failed.value)


def test_broken_weights_are_not_told_to_try_another_number_format(tensors: Tensors, file: Path) -> None:
    name = f"{UNET}.out.2.bias"
    said = failing({**tensors, name: torch.full_like(tensors[name], math.nan)}, file, "float32")
    assert said == (
        "the UNet's weights hold numbers that are not finite, so nothing can be rendered with them; "
        "svdlab checkpoints verify names the first"
    )


@pytest.mark.parametrize(
    ("dtype", "help"),
    [("bfloat16", "try float32 (--dtype) or other settings"), ("float32", "try other settings")],
)
def test_numbers_that_run_away_are_told_what_was_not_tried_yet(
    dtype: str, help: str, tensors: Tensors, file: Path
) -> None:
    name = f"{UNET}.out.2.weight"
    huge = {**tensors, name: torch.full_like(tensors[name], 3e38)}
    assert failing(huge, file, dtype) == f"the model's numbers ran away in {dtype}; {help}"
