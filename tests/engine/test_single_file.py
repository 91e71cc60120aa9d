"""Original single files: every tensor finds its place, what comes out computes what Stability's modules compute."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderKLTemporalDecoder,
    StableVideoDiffusionPipeline,
    UNetSpatioTemporalConditionModel,
)
from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from svdlab.engine import examine, single_file
from svdlab.engine.loading import open_weights
from svdlab.engine.residency import Residency
from svdlab.engine.single_file import Original, recognise
from svdlab.engine.writing import write_folder
from svdlab.errors import BadCheckpoint, BadInput
from svdlab.weights.content import Hashes
from svdlab.weights.layouts.single_files import PARTS, UNUSED
from svdlab.weights.register import read_checkpoint
from svdlab.weights.safetensors import Header, TensorInfo, read_header
from svdlab.weights.sources.folder import local_checkpoint
from tests import original_layout, real_size, tiny
from tests.original_layout import CLIP, COPY, FIRST_STAGE, UNET, Decoder, Reference, Tensors

DECODERS: tuple[Decoder, ...] = ("temporal", "image")
DTYPES = (torch.float32, torch.float16, torch.bfloat16)
FULL_CLIP = {
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "projection_dim": 1024,
    "num_hidden_layers": 32,
    "num_attention_heads": 16,
    "image_size": 224,
    "patch_size": 14,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-5,
}
FULL_VAE = {
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 4,
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
    "sample_size": 768,
    "scaling_factor": 0.18215,
    "force_upcast": True,
}
HEAD = 32  # of the small UNets' attention: the widest divisor of 64 that divides 64 and 96
SPREAD = 61  # every so many tensors are left out or reshaped: all of them would take minutes
# Relative; diffusers' levels with attention normalise with another epsilon than the original.
TOLERANCE = 1e-4


def header_of(shapes: Mapping[str, Iterable[int]], dtype: str = "F16") -> Header:
    place, tensors = 0, {}
    for name, shape in shapes.items():
        end = place + 2 * math.prod(shape)
        tensors[name] = TensorInfo(dtype, tuple(shape), place, end)
        place = end
    return Header(tensors, {}, place)


def full_components(decoder: Decoder) -> dict[str, Any]:
    """SVD at its real size, without memory: the UNet's defaults in diffusers are SVD's."""
    with torch.device("meta"):
        down = ("DownEncoderBlock2D",) * 4
        return {
            "image_encoder": CLIPVisionModelWithProjection(CLIPVisionConfig(**FULL_CLIP)),
            "unet": UNetSpatioTemporalConditionModel(),
            "vae": AutoencoderKLTemporalDecoder(**FULL_VAE, down_block_types=down)
            if decoder == "temporal"
            else AutoencoderKL(**FULL_VAE, down_block_types=down, up_block_types=("UpDecoderBlock2D",) * 4),
        }


@pytest.fixture(scope="module", params=DECODERS)
def decoder(request: pytest.FixtureRequest) -> Decoder:
    return request.param


@pytest.fixture(scope="module")
def parts(decoder: Decoder) -> dict[str, Any]:
    return original_layout.components(decoder)


@pytest.fixture(scope="module")
def tensors(parts: dict[str, Any]) -> Tensors:
    return original_layout.to_original(parts)


@pytest.fixture(scope="module")
def temporal() -> Tensors:
    """The tensors of a small file with a temporal decoder."""
    return original_layout.to_original(original_layout.components())


@pytest.fixture(scope="module")
def shapes(temporal: Tensors) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in temporal.items()}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "svd_xt.safetensors"


def save(tensors: Tensors, file: Path) -> Original:
    safetensors.torch.save_file(tensors, file, {"format": "pt"})
    return recognise(read_header(file), file.name, 14)


def part_keys(file: Path, dtype: str | None = None) -> dict[str, str]:
    """Component → hash, remembering nothing."""
    hashes = Hashes()
    return {part: str(hashes.of_part(file, part, dtype)) for part in PARTS}


def load(file: Path, original: Original, dtype: torch.dtype = torch.float32) -> dict[str, Any]:
    return {part: single_file.load_part(file, original, part, dtype) for part in original.pieces}


def state(module: Any) -> Tensors:
    return dict(module.state_dict())


def same(one: Any, other: Any) -> bool:
    """Whether two modules hold the same numbers."""
    ours, theirs = state(one), state(other)
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


# --- real sizes, without memory --------------------------------------------------------------------------------------


def test_a_released_files_configuration_is_read_off_it(decoder: Decoder) -> None:
    original = recognise(header_of(original_layout.full_size(decoder)), "svd_xt.safetensors")
    assert original.decoder == decoder
    assert original.dtype == torch.float16
    assert original.configs["image_encoder"] == FULL_CLIP
    assert original.configs["vae"] == FULL_VAE
    real = full_components(decoder)["unet"].config
    assert {key: real[key] for key in original.configs["unet"] if key != "sample_size"} == {
        key: value for key, value in original.configs["unet"].items() if key != "sample_size"
    }
    assert {part: round(original.values(part) / 1e6, 1) for part in PARTS} == {
        "image_encoder": 632.1,
        "unet": 1524.6,
        "vae": 97.7 if decoder == "temporal" else 83.7,
    }


def test_every_parameter_of_the_real_components_is_filled_in_its_shape(decoder: Decoder) -> None:
    original = recognise(header_of(original_layout.full_size(decoder)), "svd_xt.safetensors")
    for part, module in full_components(decoder).items():
        filled = [target for piece in original.pieces[part] for target in piece.targets]
        assert len(filled) == len({target.name for target in filled})
        assert {target.name: target.shape for target in filled} == {
            name: tuple(tensor.shape) for name, tensor in module.state_dict().items()
        }


def test_every_tensor_of_a_released_file_is_used_or_known_to_be_unused(decoder: Decoder) -> None:
    layout = original_layout.full_size(decoder)
    original = recognise(header_of(layout), "svd_xt.safetensors")
    used = [piece.source for part in PARTS for piece in original.pieces[part]]
    assert len(used) == len(set(used))
    rest = layout.keys() - set(used)
    assert all(UNUSED.fullmatch(name) for name in rest)
    pattern = rf"(?:{FIRST_STAGE}|{re.escape(COPY)})\.(\w+)\..*"
    copies = {f"{m[0][: m.end(1)]}" for name in rest if (m := re.fullmatch(pattern, name))}
    assert copies == {f"{COPY}.decoder", f"{COPY}.post_quant_conv", f"{FIRST_STAGE}.encoder"} | (
        {f"{FIRST_STAGE}.quant_conv"} if decoder == "image" else set()
    )
    assert sum(CLIP in name for name in rest) == 6  # of the text tower


def test_the_tests_own_writer_writes_the_released_layout(decoder: Decoder) -> None:
    written = original_layout.to_original(full_components(decoder))
    token = f"{CLIP}.token_embedding.weight"  # the vocabulary is left out of small files
    assert {name: list(tensor.shape) for name, tensor in written.items() if name != token} == {
        name: shape for name, shape in original_layout.full_size(decoder).items() if name != token
    }


# --- small files, whole ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_components_come_back_bit_for_bit(
    parts: dict[str, Any], tensors: Tensors, decoder: Decoder, file: Path, dtype: torch.dtype
) -> None:
    original = save({name: tensor.to(dtype) for name, tensor in tensors.items()}, file)
    assert original.decoder == decoder
    assert original.dtype == original.stored_dtype("vae") == dtype
    assert original.num_frames == 14
    for part, module in load(file, original, dtype).items():
        expected = state(parts[part])
        got = state(module)
        assert type(module) is type(parts[part])
        assert got.keys() == expected.keys()
        for name, tensor in got.items():
            assert tensor.dtype == dtype
            assert torch.equal(tensor, expected[name].to(dtype)), name
        assert original.values(part) == sum(tensor.numel() for tensor in expected.values())


def test_configurations_come_back(parts: dict[str, Any], tensors: Tensors, file: Path) -> None:
    loaded = load(file, save(tensors, file))
    for part in ("unet", "vae"):
        ours, theirs = loaded[part].config, parts[part].config
        assert {k: ours[k] for k in theirs if k[0] != "_"} == {k: theirs[k] for k in theirs if k[0] != "_"}
    own = parts["image_encoder"].config.to_dict()
    assert loaded["image_encoder"].config.to_dict() == own


@pytest.mark.parametrize("stored", DTYPES, ids=str)
@pytest.mark.parametrize("wanted", DTYPES, ids=str)
def test_any_stored_type_is_loaded_as_any_wanted_one(
    temporal: Tensors, file: Path, stored: torch.dtype, wanted: torch.dtype
) -> None:
    rounded = {name: tensor.to(stored) for name, tensor in temporal.items()}
    original = save(rounded, file)
    clip = load(file, original, wanted)["image_encoder"]
    name = f"{CLIP}.visual.transformer.resblocks.1.mlp.c_fc.weight"
    assert clip.dtype == wanted
    assert torch.equal(clip.vision_model.encoder.layers[1].mlp.fc1.weight, rounded[name].to(wanted))


def test_a_file_of_mixed_types_is_loaded(temporal: Tensors, file: Path) -> None:
    mixed = {n: t.half() if n.startswith(UNET) else t for n, t in temporal.items()}
    original = save(mixed, file)
    assert original.dtype == torch.float16
    assert original.stored_dtype("vae") == torch.float32
    assert {module.dtype for module in load(file, original, torch.float16).values()} == {torch.float16}


def test_loaded_components_are_ready_and_whole(tensors: Tensors, file: Path) -> None:
    before = torch.get_rng_state()
    for module in load(file, save(tensors, file)).values():
        places = set()
        for tensor in (*module.parameters(), *module.buffers()):
            assert tensor.device.type == "cpu"
            assert (
                tensor.is_contiguous() or tensor.ndim == 2
            )  # position_ids are expanded, as transformers' own
            assert not tensor.requires_grad
            places.add(tensor.untyped_storage().data_ptr())
        assert len(places) == len(
            [*module.parameters(), *module.buffers()]
        )  # none shares another one's memory
        assert not module.training
    assert torch.equal(torch.get_rng_state(), before)
    clip = load(file, save(tensors, file))["image_encoder"]
    assert clip.vision_model.embeddings.position_ids.tolist() == [list(range(50))]


def test_a_deeper_transformer_is_recognised(file: Path) -> None:
    parts = original_layout.components(depth=2)
    loaded = load(file, save(original_layout.to_original(parts), file))["unet"]
    assert loaded.config.transformer_layers_per_block == 2
    assert same(loaded, parts["unet"])


@pytest.mark.parametrize(
    ("widths", "heads"), [((64, 96), (2, 3)), ((64, 128), (1, 2)), ((32, 64), (1, 2)), ((320, 640), (5, 10))]
)
def test_heads_are_64_wide_or_as_wide_as_divides_all_widths(
    shapes: dict[str, tuple[int, ...]], widths: tuple[int, int], heads: tuple[int, int]
) -> None:
    with torch.device("meta"):
        written = original_layout.to_original(original_layout.components(widths=widths))
    original = recognise(header_of({name: tensor.shape for name, tensor in written.items()}), "x")
    assert original.configs["unet"]["block_out_channels"] == widths
    assert original.configs["unet"]["num_attention_heads"] == heads


def test_the_whole_pipeline_of_other_tests_loads(file: Path) -> None:
    pipe = tiny.pipeline(image_decoder=True, seed=3)
    parts = {part: getattr(pipe, part) for part in PARTS}
    loaded = load(file, save(original_layout.to_original(parts), file))
    assert all(
        torch.equal(t, state(parts[part])[n]) for part in PARTS for n, t in state(loaded[part]).items()
    )


def test_diffusers_own_conversion_of_the_frame_wise_autoencoder_agrees(file: Path) -> None:
    parts = original_layout.components("image", seed=4)
    tensors = original_layout.to_original(parts)
    ldm = {
        name.replace(COPY, FIRST_STAGE): tensor
        for name, tensor in tensors.items()
        if name.startswith((f"{COPY}.encoder.", f"{COPY}.quant_conv."))
    }
    ldm |= {
        name: tensor
        for name, tensor in tensors.items()
        if name.startswith((f"{FIRST_STAGE}.decoder.", f"{FIRST_STAGE}.post_quant_conv."))
    }
    expected = convert_ldm_vae_checkpoint(ldm, parts["vae"].config)
    got = state(load(file, save(tensors, file))["vae"])
    assert got.keys() == expected.keys()
    assert all(torch.equal(got[name], expected[name]) for name in got)


# --- what they compute -----------------------------------------------------------------------------------------------


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def apart(one: torch.Tensor, other: torch.Tensor) -> float:
    """The largest difference, relative to the largest value."""
    assert one.shape == other.shape
    return float((one - other).abs().max() / other.abs().max())


@torch.no_grad()
def unet_apart(loaded: dict[str, Any], reference: Reference) -> float:
    """Two clips of 3 frames, contexts of 2 tokens: with the one token of SVD, queries and keys would not matter."""
    sample, context = noise(2, 3, 8, 8, 8), noise(2, 2, 48, seed=1)
    timestep, ids = torch.tensor(1.3), torch.tensor([[6.0, 127.0, 0.02], [12.0, 30.0, 0.1]])
    ours = loaded["unet"](sample, timestep, context, ids).sample
    return apart(ours, reference.unet(sample, timestep, context, ids))


@torch.no_grad()
def encoder_apart(loaded: dict[str, Any], reference: Reference) -> float:
    picture = noise(2, 3, 16, 24)
    return apart(loaded["vae"].encode(picture).latent_dist.parameters, reference.encode(picture))


@torch.no_grad()
def decoder_apart(loaded: dict[str, Any], reference: Reference) -> float:
    latents, vae = noise(6, 4, 8, 12), loaded["vae"]
    if isinstance(vae, AutoencoderKL):
        return apart(vae.decode(latents).sample, reference.decode(latents))
    return apart(vae.decode(latents, num_frames=3).sample, reference.decode(latents, 3))


@torch.no_grad()
def clip_apart(loaded: dict[str, Any], reference: Reference) -> float:
    picture = noise(2, 3, 224, 224)
    return apart(loaded["image_encoder"](picture).image_embeds, reference.clip(picture, heads=2))


@pytest.mark.parametrize("measure", [unet_apart, encoder_apart, decoder_apart, clip_apart])
@pytest.mark.parametrize("stored", [torch.float32, torch.float16], ids=str)
def test_outputs_are_those_of_the_original_modules(
    tensors: Tensors,
    file: Path,
    stored: torch.dtype,
    measure: Callable[[dict[str, Any], Reference], float],
) -> None:
    tensors = {name: tensor.to(stored) for name, tensor in tensors.items()}
    assert measure(load(file, save(tensors, file)), Reference(tensors, HEAD)) < TOLERANCE


SWAPS = [
    (unet_apart, f"{UNET}.{one}", f"{UNET}.{other}")
    for one, other in (
        ("input_blocks.1.1.transformer_blocks.0.attn1.to_q.weight", ".attn1.to_k.weight"),
        ("input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight", ".attn2.to_v.weight"),
        ("input_blocks.1.1.transformer_blocks.0.norm1.weight", ".norm2.weight"),
        ("input_blocks.1.1.transformer_blocks.0.norm2.bias", ".norm3.bias"),
        ("input_blocks.1.1.time_stack.0.attn1.to_q.weight", ".attn1.to_k.weight"),
        ("input_blocks.1.1.time_stack.0.attn2.to_k.weight", ".attn2.to_v.weight"),
        ("input_blocks.1.1.time_stack.0.norm_in.weight", ".norm1.weight"),
        ("input_blocks.1.1.time_stack.0.ff_in.net.2.weight", ".ff.net.2.weight"),
        ("input_blocks.1.1.proj_in.weight", "input_blocks.1.1.proj_out.weight"),
        (
            "input_blocks.1.1.time_stack.0.attn1.to_v.weight",
            "input_blocks.1.1.transformer_blocks.0.attn1.to_v.weight",
        ),
        ("input_blocks.1.0.time_mixer.mix_factor", "input_blocks.1.1.time_mixer.mix_factor"),
        ("input_blocks.1.0.in_layers.0.weight", "input_blocks.1.0.out_layers.0.weight"),
        ("input_blocks.1.0.in_layers.2.weight", "input_blocks.1.0.out_layers.3.weight"),
        ("input_blocks.1.0.emb_layers.1.weight", "input_blocks.1.0.time_stack.emb_layers.1.weight"),
        (
            "input_blocks.1.0.time_stack.in_layers.2.weight",
            "input_blocks.1.0.time_stack.out_layers.3.weight",
        ),
        ("input_blocks.1.0.out_layers.3.weight", "input_blocks.2.0.out_layers.3.weight"),
        ("middle_block.0.in_layers.2.weight", "middle_block.2.in_layers.2.weight"),
        ("output_blocks.0.0.out_layers.3.weight", "output_blocks.1.0.out_layers.3.weight"),
        ("output_blocks.3.1.proj_in.weight", "output_blocks.5.1.proj_in.weight"),
        ("time_embed.2.weight", "label_emb.0.2.weight"),
    )
    for other in [one.split(".0.")[0] + ".0" + other if other.startswith(".") else other]
]
SWAPS += [
    (encoder_apart, f"{COPY}.encoder.{one}", f"{COPY}.encoder.{other}")
    for one, other in (
        ("down.0.block.0.conv1.weight", "down.0.block.0.conv2.weight"),
        ("down.0.block.0.norm1.weight", "down.0.block.0.norm2.weight"),
        ("down.0.block.0.conv1.weight", "down.0.block.1.conv1.weight"),
        ("mid.block_1.conv1.weight", "mid.block_2.conv1.weight"),
        ("mid.attn_1.q.weight", "mid.attn_1.k.weight"),
        ("mid.attn_1.v.weight", "mid.attn_1.proj_out.weight"),
    )
]
SWAPS += [
    (decoder_apart, f"{FIRST_STAGE}.decoder.{one}", f"{FIRST_STAGE}.decoder.{other}")
    for one, other in (
        ("mid.block_1.mix_factor", "mid.block_2.mix_factor"),
        ("mid.block_1.time_stack.in_layers.2.weight", "mid.block_1.time_stack.out_layers.3.weight"),
        ("mid.block_1.norm1.weight", "mid.block_1.time_stack.in_layers.0.weight"),
        ("mid.attn_1.q.bias", "mid.attn_1.k.bias"),
        ("up.1.block.0.conv1.weight", "up.1.block.1.conv1.weight"),
        ("up.0.block.1.mix_factor", "up.0.block.2.mix_factor"),
        ("conv_out.bias", "conv_out.time_mix_conv.bias"),
    )
]
SWAPS += [
    (clip_apart, f"{CLIP}.visual.{one}", f"{CLIP}.visual.{other}")
    for one, other in (
        ("ln_pre.weight", "ln_post.weight"),
        ("transformer.resblocks.0.ln_1.weight", "transformer.resblocks.0.ln_2.weight"),
        ("transformer.resblocks.0.attn.out_proj.weight", "transformer.resblocks.1.attn.out_proj.weight"),
        ("transformer.resblocks.0.attn.in_proj_weight", "transformer.resblocks.1.attn.in_proj_weight"),
    )
]


@pytest.mark.parametrize(
    ("measure", "one", "other"), SWAPS, ids=[f"{one}-{other}" for _, one, other in SWAPS]
)
def test_two_tensors_in_each_others_place_would_be_noticed(
    temporal: Tensors,
    file: Path,
    measure: Callable[[dict[str, Any], Reference], float],
    one: str,
    other: str,
) -> None:
    assert temporal[one].shape == temporal[other].shape  # the shapes would not tell
    wrong = {**temporal, one: temporal[other], other: temporal[one]}
    assert measure(load(file, save(wrong, file)), Reference(temporal, HEAD)) > 3 * TOLERANCE


def test_queries_in_the_place_of_keys_would_be_noticed(temporal: Tensors, file: Path) -> None:
    name = f"{CLIP}.visual.transformer.resblocks.0.attn.in_proj_weight"
    q, k, v = temporal[name].chunk(3)
    wrong = {**temporal, name: torch.cat([k, q, v])}
    assert clip_apart(load(file, save(wrong, file)), Reference(temporal, HEAD)) > 3 * TOLERANCE


# --- what is refused -------------------------------------------------------------------------------------------------


def refused(shapes: Mapping[str, Iterable[int]], dtype: str = "F16") -> str:
    with pytest.raises(BadCheckpoint) as caught:
        recognise(header_of(shapes, dtype), "some.safetensors")
    sentence = str(caught.value)
    assert "some.safetensors" in sentence
    assert "\n" not in sentence
    assert len(sentence) < 600
    return sentence


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (
            [f"{UNET}.input_blocks.0.0.weight", "cond_stage_model.transformer.text_model.x"],
            "Stable Diffusion 1",
        ),
        ([f"{UNET}.input_blocks.0.0.weight", "cond_stage_model.model.ln_final.bias"], "Stable Diffusion 2"),
        ([f"{UNET}.input_blocks.0.0.weight", "conditioner.embedders.1.model.ln_final.bias"], "SDXL"),
        (["down_blocks.0.motion_modules.0.temporal_transformer.norm.bias"], "an AnimateDiff motion module"),
        (["control_model.input_blocks.0.0.weight"], "a ControlNet"),
        (["controlnet_cond_embedding.conv_in.bias"], "a ControlNet"),
        (["lora_unet_down_blocks_0.lora_up.weight"], "a LoRA"),
        (["unet.down_blocks.0.attn1.to_q.lora_A.weight"], "a LoRA"),
        (["down_blocks.0.resnets.0.conv1.weight"], "an image model's UNet: it has no temporal layers"),
        (["unet.down_blocks.0.resnets.0.conv1.weight"], "an image model: its UNet has no temporal layers"),
        (["down_blocks.0.resnets.0.temporal_res_block.x", "controlnet_down_blocks.0.weight"], "a ControlNet"),
        (["vision_model.embeddings.class_embedding"], "a CLIP model alone"),
        (["first_stage_model.decoder.conv_in.weight"], "an autoencoder alone"),
        (["decoder.conv_in.weight"], "an autoencoder alone"),
        (["double_blocks.0.img_attn.qkv.weight"], "a diffusion transformer"),
        ([f"{UNET}.input_blocks.0.0.weight"], "its UNet has no temporal layers"),
        (["a", "b"], "none of its 2 tensors is one of a UNet for videos"),
        (["a"], "its one tensor is none of a UNet for videos"),
        ([], "it holds no tensors"),
    ],
)
def test_other_models_are_refused_by_what_they_look_like(names: list[str], said: str) -> None:
    sentence = refused(dict.fromkeys(names, (1,)))
    assert "is not a Stable Video Diffusion checkpoint" in sentence
    assert said in sentence


@pytest.mark.parametrize(
    ("prefix", "said"),
    [
        (f"{COPY}.encoder.", "it has no encoder of the conditioning picture"),
        (f"{FIRST_STAGE}.decoder.", "it has no decoder"),
    ],
)
def test_a_file_without_a_component_is_refused(shapes: dict[str, Any], prefix: str, said: str) -> None:
    assert said in refused({name: shape for name, shape in shapes.items() if not name.startswith(prefix)})


def test_missing_tensors_are_counted_and_the_first_named(shapes: dict[str, Any]) -> None:
    left_out = [name for name in shapes if ".middle_block.1.time_stack.0.attn" in name]
    sentence = refused({name: shape for name, shape in shapes.items() if name not in left_out})
    assert (
        "is not whole: its UNet lacks 10 tensors (model.diffusion_model.middle_block.1.time_stack" in sentence
    )
    assert sentence.count("model.diffusion_model.") == 3


def test_any_missing_tensor_is_named(tensors: Tensors, decoder: Decoder) -> None:
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    original = recognise(header_of(shapes), "some.safetensors")
    used = {piece.source for part in PARTS for piece in original.pieces[part]}
    for name in sorted(used)[::SPREAD]:
        sentence = refused({other: shape for other, shape in shapes.items() if other != name})
        assert name in sentence, sentence
    for name in sorted(shapes.keys() - used)[::SPREAD]:
        recognise(header_of({other: s for other, s in shapes.items() if other != name}), "some.safetensors")


def test_any_wrong_shape_is_refused(tensors: Tensors, decoder: Decoder) -> None:
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    original = recognise(header_of(shapes), "some.safetensors")
    for name in sorted(piece.source for part in PARTS for piece in original.pieces[part])[::SPREAD]:
        assert refused({**shapes, name: (*shapes[name][:-1], shapes[name][-1] + 1)})
        assert refused({**shapes, name: (*shapes[name], 1)})


def test_a_wrong_shape_is_named_with_the_right_one(shapes: dict[str, Any]) -> None:
    name = f"{UNET}.input_blocks.1.1.time_stack.0.attn2.to_k.weight"
    assert f"{name} in some.safetensors has the shape [48, 64], expected [64, 48]" in refused(
        {**shapes, name: (48, 64)}
    )


def test_an_empty_tensor_is_refused(shapes: dict[str, Any]) -> None:
    assert "which it cannot have" in refused({**shapes, f"{UNET}.input_blocks.0.0.weight": (64, 8, 0, 3)})


def test_tensors_of_another_network_are_refused(shapes: dict[str, Any]) -> None:
    extra = {f"{UNET}.input_blocks.1.2.norm.weight": (64,), "motion_adapter.x": (3,)}
    assert (
        "has 2 tensors (model.diffusion_model.input_blocks.1.2.norm.weight, motion_adapter.x) "
        "that Stable Video Diffusion does not have" in refused({**shapes, **extra})
    )


@pytest.mark.parametrize(
    "name",
    [
        "model_ema.diffusion_modelinput_blocks00weight",
        f"{CLIP}.transformer.resblocks.0.ln_1.weight",
        f"{CLIP}.attn_mask",
        f"{FIRST_STAGE}.loss.logvar",
        "denoiser.sigmas",
    ],
)
def test_what_training_leaves_behind_is_passed_over(shapes: dict[str, Any], name: str) -> None:
    assert recognise(header_of({**shapes, name: (3,)}), "some.safetensors").decoder == "temporal"


@pytest.mark.parametrize("dtype", ["F64", "I8", "F8_E8M0"])
def test_other_number_types_are_refused(shapes: dict[str, Any], dtype: str) -> None:
    assert f"is stored as {dtype}; F32, F16, BF16, F8_E4M3, F8_E5M2 are read" in refused(shapes, dtype)


def test_relatives_with_other_conditions_are_refused(shapes: dict[str, Any]) -> None:
    name = f"{UNET}.label_emb.0.0.weight"
    assert "its conditions are 256 wide" in refused({**shapes, name: (256, 256)})


def test_a_unet_for_other_latents_is_refused(shapes: dict[str, Any]) -> None:
    name = f"{UNET}.input_blocks.0.0.weight"
    assert "its UNet takes 4 channels and gives 4, expected 8 and 4" in refused(
        {**shapes, name: (64, 4, 3, 3)}
    )


def test_components_that_do_not_fit_each_other_are_refused(shapes: dict[str, Any]) -> None:
    wider = {f"{CLIP}.visual.proj": (160, 64)}
    assert "its image encoder gives 64 values and its UNet takes 48" in refused({**shapes, **wider})
    grey = {f"{COPY}.encoder.conv_in.weight": (32, 1, 3, 3)}
    assert "its autoencoder takes 1 colours and gives 3, expected 3" in refused({**shapes, **grey})


def test_levels_of_unequal_depth_are_refused(shapes: dict[str, Any]) -> None:
    fewer = {name: shape for name, shape in shapes.items() if f"{UNET}.input_blocks.5." not in name}
    assert "has [2, 1] layers per level" in refused(fewer)


def test_a_gap_in_the_blocks_is_named(shapes: dict[str, Any]) -> None:
    fewer = {name: shape for name, shape in shapes.items() if f"{UNET}.input_blocks.2." not in name}
    assert f"lacks all of {UNET}.input_blocks.2" in refused(fewer)


def test_an_image_encoder_for_other_pictures_is_refused(shapes: dict[str, Any]) -> None:
    name = f"{CLIP}.visual.positional_embedding"
    assert "do not make a picture of 224×224" in refused({**shapes, name: (65, 160)})


def test_widths_that_no_unet_can_have_are_refused(shapes: dict[str, Any]) -> None:
    odd = {name: tuple(65 if side == 64 else side for side in shape) for name, shape in shapes.items()}
    assert "is none of Stable Video Diffusion" in refused(odd)


def test_far_too_many_tensors_are_refused_at_once(shapes: dict[str, Any]) -> None:
    many = {f"{UNET}.input_blocks.{n}.0.time_stack.x": (1,) for n in range(11_000)}
    assert "it has 12046 tensors" in refused({**shapes, **many})


# --- reading ---------------------------------------------------------------------------------------------------------


def flip(file: Path, original: Original, part: str, place: int = 0) -> None:
    """Changes one number of a component in the file; its size and times stay."""
    times, start = file.stat(), original.pieces[part][place].info.start
    with file.open("r+b") as content:
        content.seek(start)
        byte = content.read(1)
        content.seek(start)
        content.write(bytes([byte[0] ^ 1]))
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_components_with_the_same_tensors_have_the_same_key(temporal: Tensors, tmp_path: Path) -> None:
    first, second = tmp_path / "svd_xt.safetensors", tmp_path / "svd_xt_1_1.safetensors"
    save(temporal, first)
    one = part_keys(first)
    tuned = {name: t + 1e-3 if name.startswith(UNET) else t for name, t in reversed(temporal.items())}
    tuned[f"{CLIP}.logit_scale"] = torch.tensor(3.0)  # not used, so it makes no difference
    tuned[f"{COPY}.decoder.conv_in.bias"] = torch.zeros(64)
    save(tuned, second)
    two = part_keys(second)
    assert one.keys() == {"image_encoder", "unet", "vae"}
    assert (one["image_encoder"], one["vae"]) == (two["image_encoder"], two["vae"])
    assert one["unet"] != two["unet"]
    assert all(re.fullmatch("[0-9a-f]{64}", key) for key in (*one.values(), *two.values()))


def test_a_key_changes_with_any_number_name_type_or_shape(temporal: Tensors, tmp_path: Path) -> None:
    keys = []
    q, k = (f"{UNET}.middle_block.1.transformer_blocks.0.attn1.to_{name}.weight" for name in "qk")
    for number, tensors in enumerate(
        (
            temporal,
            {**temporal, q: temporal[k], k: temporal[q]},
            {name: tensor.half() for name, tensor in temporal.items()},
        )
    ):
        file = tmp_path / f"{number}.safetensors"
        original = save(tensors, file)
        keys.append(part_keys(file)["unet"])
        flip(file, original, "unet", 7)
        moved = file.rename(tmp_path / f"{number}-changed.safetensors")
        keys.append(part_keys(moved)["unet"])
    assert len(set(keys)) == len(keys)


def test_numbers_too_large_for_half_precision_are_not_made_infinite(temporal: Tensors, file: Path) -> None:
    name = f"{UNET}.out.2.bias"
    original = save({**temporal, name: torch.full_like(temporal[name], 1e6)}, file)
    with pytest.raises(
        BadCheckpoint, match=f"{name} in svd_xt.safetensors holds numbers that float16 cannot"
    ):
        load(file, original, torch.float16)
    assert load(file, original, torch.bfloat16)["unet"].conv_out.bias.isfinite().all()


def test_a_file_that_changed_or_went_is_refused(temporal: Tensors, file: Path) -> None:
    original = save(temporal, file)
    with file.open("ab") as content:
        content.write(b"\0")
    with pytest.raises(BadCheckpoint, match=r"svd_xt.safetensors has changed since it was looked at"):
        load(file, original)
    file.unlink()
    for read in (lambda: load(file, original), lambda: part_keys(file)):
        with pytest.raises(BadCheckpoint, match=r"svd_xt.safetensors cannot be read: No such file"):
            read()


PEAK = """
import os, sys, torch, psutil
from pathlib import Path
from svdlab.engine import single_file
from svdlab.weights.safetensors import read_header
path = Path(sys.argv[1])
original = single_file.recognise(read_header(path), path.name)
for dtype in sys.argv[2:]:
    if child := os.fork():  # a peak of its own
        os.waitpid(child, 0)
        continue
    before = psutil.Process().memory_info().rss
    module = single_file.load_part(path, original, "unet", getattr(torch, dtype))
    peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    size = sum(p.numel() * p.element_size() for p in module.parameters())
    print(dtype, size, int(peak.split()[1]) * 1024 - before, flush=True)
    os._exit(0)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads a process's highest memory from /proc")
def test_loading_takes_little_more_memory_than_the_component(file: Path) -> None:
    with torch.device("meta"):
        written = original_layout.to_original(original_layout.components(widths=(192, 288)))
    shapes = {name: tensor.shape for name, tensor in written.items()}
    size = original_layout.stream(file, shapes, lambda _, shape: torch.ones(shape), torch.float32)
    assert size > 180e6
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(file), "float32", "float16"],
        capture_output=True,
        text=True,
        check=True,
    )
    measured = [line.split() for line in done.stdout.splitlines()]
    assert [dtype for dtype, *_ in measured] == ["float32", "float16"], done.stderr
    for dtype, size, peak in measured:
        assert 0.9 * int(size) < int(peak) < 1.3 * int(size), dtype


# --- as a folder -----------------------------------------------------------------------------------------------------


def test_a_converted_file_is_a_folder_that_diffusers_and_the_lab_load(
    parts: dict[str, Any], tensors: Tensors, file: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "new" / "converted"
    save(tensors, file)
    examine.convert(read_checkpoint(file, num_frames=14), folder)
    pipe = StableVideoDiffusionPipeline.from_pretrained(folder, local_files_only=True)
    ours = Residency("cpu", dtype="float32").get(local_checkpoint(folder))
    for part in PARTS:
        for module in (getattr(pipe, part), getattr(ours, part)):
            assert type(module) is type(parts[part])
            assert same(module, parts[part])
    wanted = tiny.scheduler().config
    assert {key: pipe.scheduler.config[key] for key in wanted if key[0] != "_"} == {
        key: wanted[key] for key in wanted if key[0] != "_"
    }
    assert pipe.unet.config.num_frames == 14
    assert sorted(p.name for p in tmp_path.iterdir()) == ["new", "svd_xt.safetensors"]
    assert sorted(p.name for p in folder.parent.iterdir()) == ["converted"]


@pytest.mark.parametrize("dtype", [None, "float16"])
def test_a_folder_is_written_as_stored_or_as_asked(
    temporal: Tensors, file: Path, tmp_path: Path, dtype: str | None
) -> None:
    (tmp_path / "empty").mkdir()
    brain = {name: tensor.bfloat16() for name, tensor in temporal.items()}
    save(brain, file)
    examine.convert(read_checkpoint(file), tmp_path / "empty", dtype)
    for name in ("unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model", "image_encoder/model"):
        header = read_header(tmp_path / "empty" / f"{name}.safetensors")
        assert {info.dtype for info in header.tensors.values()} == {"F16" if dtype else "BF16"}
    index = json.loads((tmp_path / "empty" / "model_index.json").read_text())
    assert index["_class_name"] == "StableVideoDiffusionPipeline"
    assert index["vae"] == ["diffusers", "AutoencoderKLTemporalDecoder"]


def test_nothing_is_written_over_and_nothing_half_is_left(
    temporal: Tensors, file: Path, tmp_path: Path
) -> None:
    save(temporal, file)
    weights = open_weights(read_checkpoint(file))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "keep.txt").write_text("mine")
    for taken in (tmp_path / "full", file):
        with pytest.raises(BadInput, match="is there already and not empty"):
            write_folder(weights, taken)
    with pytest.raises(BadInput, match="cannot be written"):
        write_folder(weights, file / "below")
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(BadCheckpoint, match="has changed"):
        write_folder(weights, tmp_path / "new")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["full", "svd_xt.safetensors"]
    assert (tmp_path / "full" / "keep.txt").read_text() == "mine"


def test_the_sampler_and_the_pictures_preparation_are_stabilitys() -> None:
    assert dict(single_file.scheduler().config) == dict(tiny.scheduler().config)
    ours, theirs = single_file.feature_extractor().to_dict(), tiny.pipeline().feature_extractor.to_dict()
    assert ours == theirs


# --- the files of the real-size run ----------------------------------------------------------------------------------


@torch.no_grad()
def test_the_generated_files_are_whole_share_all_but_the_unet_and_compute(
    shapes: dict[str, Any], tmp_path: Path
) -> None:
    files = real_size.build(tmp_path, shapes)
    originals = {name: recognise(read_header(path), path.name) for name, path in files.items()}
    keys = {name: part_keys(path) for name, path in files.items()}
    assert files.keys() == {"svd_xt", "svd_xt_1_1"}
    assert keys["svd_xt"]["unet"] != keys["svd_xt_1_1"]["unet"]
    assert keys["svd_xt"]["vae"] == keys["svd_xt_1_1"]["vae"]
    assert keys["svd_xt"]["image_encoder"] == keys["svd_xt_1_1"]["image_encoder"]
    for name, path in files.items():
        assert originals[name].dtype == torch.float16
        loaded = load(path, originals[name])
        reference = Reference(safetensors.torch.load_file(path), HEAD)
        measures = (unet_apart, encoder_apart, decoder_apart, clip_apart)
        assert all(
            measure(loaded, reference) < TOLERANCE for measure in measures
        )  # not, if one were not finite


def test_keys_are_of_what_the_numbers_become(tmp_path: Path) -> None:
    wide = original_layout.to_original(original_layout.components())
    half = {name: tensor.half() for name, tensor in wide.items()}
    keys = {}
    for name, tensors in (("wide", wide), ("half", half)):
        file = tmp_path / f"{name}.safetensors"
        safetensors.torch.save_file(tensors, file, {"format": "pt"})
        keys[name] = {dtype: part_keys(file, dtype) for dtype in ("float16", "float32")}
    assert keys["wide"]["float16"] == keys["half"]["float16"] == keys["half"]["float32"]
    assert keys["wide"]["float32"]["vae"] != keys["half"]["float32"]["vae"]
