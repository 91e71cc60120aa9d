"""A single file in Stability's original layout → diffusers' and transformers' own classes, converted while it is read.

Knows the names and shapes of that layout; nothing of where files come from, of sampling or screens. Each component is
built without memory, then filled tensor by tensor from the file, so that loading takes the component's own size and one
tensor more. Nothing is written to disk unless a folder is asked for (`convert`).
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import BufferedReader
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import diffusers
import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderKLTemporalDecoder,
    EulerDiscreteScheduler,
    UNetSpatioTemporalConditionModel,
)
from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

from svdlab.errors import BadCheckpoint, BadInput
from svdlab.recipes.checkpoint import Decoder
from svdlab.weights.safetensors import Header, TensorInfo

PARTS = ("image_encoder", "unet", "vae")
PART_NAMES = {"image_encoder": "image encoder", "unet": "UNet", "vae": "autoencoder"}
DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}

UNET = "model.diffusion_model."
CLIP = "conditioner.embedders.0.open_clip.model.visual."
ENCODER = "conditioner.embedders.3.encoder."  # a whole autoencoder of its own, used for its encoder
DECODER = "first_stage_model."
PREFIXES = (UNET, CLIP, ENCODER, DECODER)

# What released files hold beside the components: known, and not used.
UNUSED = re.compile(
    r"conditioner\.embedders\.0\.open_clip\.(mean|std)"
    r"|conditioner\.embedders\.0\.open_clip\.model\."  # the text tower's leftovers
    r"(ln_final\.|logit_scale|positional_embedding|text_projection|token_embedding\.|transformer\.|attn_mask).*"
    r"|conditioner\.embedders\.3\.encoder\.(decoder|post_quant_conv|loss)\..*"
    r"|first_stage_model\.(encoder|quant_conv|post_quant_conv|loss)\..*"
    r"|(model_ema|loss_fn|denoiser|sampler)\..*"
    r"|(first_stage_model|conditioner\.embedders\.3\.encoder)\.model_ema\..*"
)
MOST_TENSORS = 10_000  # a real file has about 2,450
CHUNK_BYTES = 4_000_000  # read at once where only a hash is wanted
SHOWN = 3  # tensors named in a refusal

HEAD_WIDTH = 64  # of every attention layer of the UNet
CLIP_HEAD_WIDTH = 80  # ViT-H: 16 heads of 80
CONDITIONS = 3  # fps, motion bucket and augmentation strength, each embedded by itself
PICTURE = 224  # pixels along each side of what the image encoder sees
SCALING_FACTOR = 0.18215

How = Literal["as it is", "matrix", "transposed", "query", "key", "value"]
THIRDS: dict[How, int] = {"query": 0, "key": 1, "value": 2}  # rows of one packed projection


@dataclass(frozen=True)
class Target:
    """A parameter of a component, and how it is made from the tensor in the file."""

    name: str
    shape: tuple[int, ...]
    how: How


@dataclass(frozen=True)
class Piece:
    """A tensor in the file and what it becomes: one parameter, or three if it packs query, key and value."""

    source: str
    info: TensorInfo
    targets: tuple[Target, ...]


@dataclass(frozen=True)
class Original:
    """A recognised file: its components' configurations, and which tensor of the file goes where.

    `dtype` is what most of its numbers are stored as. `num_frames` is not in the file and comes from who knows it.
    """

    name: str
    decoder: Decoder
    dtype: torch.dtype
    num_frames: int
    configs: Mapping[str, Mapping[str, Any]]  # component → what its class is built from
    pieces: Mapping[str, tuple[Piece, ...]]  # component → its tensors, in the order they lie in the file
    file_bytes: int

    def values(self, part: str) -> int:
        """How many numbers a component has."""
        return sum(math.prod(target.shape) for piece in self.pieces[part] for target in piece.targets)

    def stored_dtype(self, part: str) -> torch.dtype:
        """What most of a component's numbers are stored as."""
        return _most_common(self.pieces[part])


def _most_common(pieces: tuple[Piece, ...]) -> torch.dtype:
    count: Counter[str] = Counter()
    for piece in pieces:
        count[piece.info.dtype] += math.prod(piece.info.shape)
    return DTYPES[count.most_common(1)[0][0]]


def recognise(header: Header, name: str, num_frames: int = 25) -> Original:
    """What a file of that header is. Raises `BadCheckpoint` with `name` and the defect if it is not a whole SVD."""
    if len(header.tensors) > MOST_TENSORS:
        raise BadCheckpoint(
            f"{name} is not a Stable Video Diffusion checkpoint: it has {len(header.tensors)} tensors"
        )
    if not any(key.startswith(UNET) and ".time_stack." in key for key in header.tensors):
        raise BadCheckpoint(f"{name} is not a Stable Video Diffusion checkpoint: {_looks_like(header)}")
    for prefix, what in (
        (CLIP, "image encoder"),
        (ENCODER + "encoder.", "encoder of the conditioning picture"),
        (DECODER + "decoder.", "decoder"),
    ):
        if not any(key.startswith(prefix) for key in header.tensors):
            raise BadCheckpoint(
                f"{name} is not a whole checkpoint: it has no {what} (no tensor's name begins with {prefix})"
            )
    names = _Names(header, name)
    temporal = any(
        key.startswith(DECODER + "decoder.") and ("mix_factor" in key or ".time_stack." in key)
        for key in header.tensors
    )
    decoder: Decoder = "temporal" if temporal else "image"
    configs = {
        "image_encoder": _clip_config(names),
        "unet": _unet_config(names, num_frames),
        "vae": _vae_config(names),
    }
    _check_fit(configs, name)
    pieces = {part: _pieces(part, configs[part], decoder, names) for part in PARTS}
    _check_rest({piece.source for own in pieces.values() for piece in own}, header, name)
    return Original(
        name=name,
        decoder=decoder,
        dtype=_most_common(tuple(piece for own in pieces.values() for piece in own)),
        num_frames=num_frames,
        configs=MappingProxyType({part: MappingProxyType(config) for part, config in configs.items()}),
        pieces=MappingProxyType(pieces),
        file_bytes=header.file_bytes,
    )


LOOKS: tuple[
    tuple[str, str], ...
] = (  # part of a tensor's name → what such files are; the first that fits counts
    (r"motion_modules\.", "an AnimateDiff motion module"),
    (r"lora_(up|down|A|B|unet|te)|\.lora[._]|hada_w1", "a LoRA, which changes a model and is none"),
    (r"^control_model\.|controlnet_|input_hint_block|zero_convs\.", "a ControlNet"),
    (r"^conditioner\.embedders\.(0\.transformer\.text_model|1\.model)\.", "SDXL"),
    (r"^cond_stage_model\.transformer\.", "Stable Diffusion 1"),
    (r"^cond_stage_model\.model\.", "Stable Diffusion 2"),
    (r"double_blocks\.|joint_blocks\.", "another kind of model, a diffusion transformer"),
    (r"^(down_blocks|up_blocks|mid_block)\.", "a UNet in diffusers layout; name its folder instead"),
    (r"^(vision_model|text_model)\.", "a CLIP model alone"),
    (r"^model\.diffusion_model\.", "an image model: its UNet has no temporal layers"),
    (r"^((first_stage_model\.)?(encoder|decoder)\.)", "an autoencoder alone"),
)


def _looks_like(header: Header) -> str:
    for pattern, what in LOOKS:
        if any(re.search(pattern, key) for key in header.tensors):
            return f"it looks like {what}"
    if not header.tensors:
        return "it holds no tensors"
    return f"none of its {len(header.tensors)} tensors is one of its temporal layers"


class _Names:
    """The file's tensors by name, for reading a configuration off them."""

    def __init__(self, header: Header, name: str) -> None:
        self.tensors, self.name = header.tensors, name

    def has(self, key: str) -> bool:
        return key in self.tensors

    def shape(self, key: str, dimensions: int) -> tuple[int, ...]:
        """The shape of a tensor that must be there. Raises `BadCheckpoint`."""
        if key not in self.tensors:
            raise BadCheckpoint(f"{self.name} is not whole: it lacks {key}")
        shape = self.tensors[key].shape
        if len(shape) != dimensions or 0 in shape:
            raise BadCheckpoint(f"{key} in {self.name} has the shape {list(shape)}, which it cannot have")
        return shape

    def count(self, before: str) -> int:
        """How many blocks there are: numbers from 0 on that follow `before` in names. Raises `BadCheckpoint`."""
        rest = (key[len(before) :].split(".", 1)[0] for key in self.tensors if key.startswith(before))
        numbers = {int(number) for number in rest if re.fullmatch(r"\d{1,4}", number)}
        for number in range(len(numbers)):
            if number not in numbers:
                raise BadCheckpoint(f"{self.name} is not whole: it lacks all of {before}{number}")
        return len(numbers)


def _head_width(*widths: int) -> int:
    """64 as in every released file; in narrower models the largest divisor of 64 that divides all widths.

    A file does not say how many heads there are, only how wide they are together.
    """
    return math.gcd(HEAD_WIDTH, *widths)


def _unet_config(names: _Names, num_frames: int) -> dict[str, Any]:
    levels: list[list[tuple[int, int]]] = [[]]  # per layer: width, and transformer blocks (0: no attention)
    for index in range(1, names.count(UNET + "input_blocks.")):
        block = f"{UNET}input_blocks.{index}."
        if names.has(block + "0.op.weight") or names.has(block + "0.op.bias"):
            levels.append([])
        else:
            width = names.shape(block + "0.in_layers.2.weight", 4)[0]
            levels[-1].append((width, names.count(block + "1.transformer_blocks.")))
    layers = [len(level) for level in levels]
    if 0 in layers or len(set(layers)) != 1:
        raise BadCheckpoint(
            f"the UNet in {names.name} has {layers} layers per level; SVD has as many in each"
        )
    widths = [level[0][0] for level in levels]
    depths = [level[0][1] for level in levels]
    middle = names.count(f"{UNET}middle_block.1.transformer_blocks.")
    head = _head_width(*widths)
    projected = names.shape(f"{UNET}label_emb.0.0.weight", 2)[1]
    if projected % CONDITIONS:
        raise BadCheckpoint(
            f"{names.name} is not Stable Video Diffusion: its conditions are {projected} wide, which is not "
            f"that of fps, motion bucket and augmentation; it looks like SV3D or another relative"
        )
    blocks = [("CrossAttn" if depth else "") for depth in depths]
    transformer_layers = [depth or middle for depth in depths]
    same = len(set(transformer_layers)) == 1
    return {
        "sample_size": 96,
        "in_channels": names.shape(f"{UNET}input_blocks.0.0.weight", 4)[1],
        "out_channels": names.shape(f"{UNET}out.2.weight", 4)[0],
        "down_block_types": tuple(f"{kind}DownBlockSpatioTemporal" for kind in blocks),
        "up_block_types": tuple(f"{kind}UpBlockSpatioTemporal" for kind in reversed(blocks)),
        "block_out_channels": tuple(widths),
        "addition_time_embed_dim": projected // CONDITIONS,
        "projection_class_embeddings_input_dim": projected,
        "layers_per_block": layers[0],
        "cross_attention_dim": names.shape(f"{UNET}middle_block.1.transformer_blocks.0.attn2.to_k.weight", 2)[
            1
        ],
        "transformer_layers_per_block": middle if same else tuple(transformer_layers),
        "num_attention_heads": tuple(width // head for width in widths),
        "num_frames": num_frames,
    }


def _vae_config(names: _Names) -> dict[str, Any]:
    encoder = ENCODER + "encoder."
    levels = names.count(encoder + "down.")
    widths = [names.shape(f"{encoder}down.{level}.block.0.conv1.weight", 4)[0] for level in range(levels)]
    return {
        "in_channels": names.shape(encoder + "conv_in.weight", 4)[1],
        "out_channels": names.shape(DECODER + "decoder.conv_out.weight", 4)[0],
        "latent_channels": names.shape(DECODER + "decoder.conv_in.weight", 4)[1],
        "block_out_channels": tuple(widths),
        "layers_per_block": names.count(encoder + "down.0.block."),
        "sample_size": 768,
        "scaling_factor": SCALING_FACTOR,
        "force_upcast": True,
    }


def _clip_config(names: _Names) -> dict[str, Any]:
    width, _, patch, _ = names.shape(CLIP + "conv1.weight", 4)
    places = names.shape(CLIP + "positional_embedding", 2)[0] - 1
    if patch * math.isqrt(places) != PICTURE or math.isqrt(places) ** 2 != places:
        raise BadCheckpoint(
            f"the image encoder in {names.name} has {places} patches of {patch} pixels, "
            f"which do not make a picture of {PICTURE}×{PICTURE}"
        )
    head = CLIP_HEAD_WIDTH if width % CLIP_HEAD_WIDTH == 0 else _head_width(width)
    return {
        "hidden_size": width,
        "intermediate_size": names.shape(CLIP + "transformer.resblocks.0.mlp.c_fc.weight", 2)[0],
        "projection_dim": names.shape(CLIP + "proj", 2)[1],
        "num_hidden_layers": names.count(CLIP + "transformer.resblocks."),
        "num_attention_heads": width // head,
        "image_size": PICTURE,
        "patch_size": patch,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-5,
    }


def _check_fit(configs: Mapping[str, Mapping[str, Any]], name: str) -> None:
    """The components fit each other: latents, colours and the picture's embedding are as wide on both sides."""
    unet, vae, clip = configs["unet"], configs["vae"], configs["image_encoder"]
    latents, taken, given = vae["latent_channels"], unet["in_channels"], unet["out_channels"]
    if taken != 2 * latents or given != latents:  # the noise and the picture's latents, side by side
        raise BadCheckpoint(
            f"{name} is not Stable Video Diffusion: its UNet takes {taken} channels and gives {given}, "
            f"expected {2 * latents} and {latents}"
        )
    if clip["projection_dim"] != unet["cross_attention_dim"]:
        raise BadCheckpoint(
            f"{name} is not Stable Video Diffusion: its image encoder gives {clip['projection_dim']} values "
            f"and its UNet takes {unet['cross_attention_dim']}"
        )
    if (vae["in_channels"], vae["out_channels"]) != (3, 3):
        raise BadCheckpoint(
            f"{name} is not Stable Video Diffusion: its autoencoder takes {vae['in_channels']} colours "
            f"and gives {vae['out_channels']}, expected 3"
        )


def _empty(part: str, config: Mapping[str, Any], decoder: Decoder) -> Any:
    """A component without memory, on the meta device."""
    with torch.device("meta"):
        if part == "unet":
            return UNetSpatioTemporalConditionModel(**config)
        if part == "image_encoder":
            return CLIPVisionModelWithProjection(CLIPVisionConfig(**config))
        levels = len(config["block_out_channels"])
        down = ("DownEncoderBlock2D",) * levels
        if decoder == "temporal":
            return AutoencoderKLTemporalDecoder(**config, down_block_types=down)
        return AutoencoderKL(**config, down_block_types=down, up_block_types=("UpDecoderBlock2D",) * levels)


# --- names: diffusers' and transformers' → the file's ----------------------------------------------------------------

UNET_ENDS = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
UNET_RESIDUAL = {  # also the temporal layers of the decoder
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
UNET_TRANSFORMER = (
    ("temporal_transformer_blocks.", "time_stack."),
    ("time_pos_embed.linear_1.", "time_pos_embed.0."),
    ("time_pos_embed.linear_2.", "time_pos_embed.2."),
)
VAE_ENDS = {
    "conv_in": "conv_in",
    "conv_norm_out": "norm_out",
    "conv_out": "conv_out",
    "time_conv_out": "conv_out.time_mix_conv",
}
VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
CLIP_ENDS = {
    "vision_model.embeddings.class_embedding": "class_embedding",
    "vision_model.embeddings.patch_embedding.weight": "conv1.weight",
    "vision_model.embeddings.position_embedding.weight": "positional_embedding",
    "vision_model.pre_layrnorm.weight": "ln_pre.weight",
    "vision_model.pre_layrnorm.bias": "ln_pre.bias",
    "vision_model.post_layernorm.weight": "ln_post.weight",
    "vision_model.post_layernorm.bias": "ln_post.bias",
}
CLIP_LAYER = {
    "self_attn.out_proj": "attn.out_proj",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}
CLIP_PACKED: dict[str, How] = {
    "self_attn.q_proj": "query",
    "self_attn.k_proj": "key",
    "self_attn.v_proj": "value",
}


def _unet_source(target: str, config: Mapping[str, Any]) -> tuple[str, How]:
    module, kind = target.rsplit(".", 1)
    if module in UNET_ENDS:
        return f"{UNET}{UNET_ENDS[module]}.{kind}", "as it is"
    if target.startswith("mid_block."):
        _, what, number, rest = target.split(".", 3)
        place = f"middle_block.{2 * int(number)}." if what == "resnets" else "middle_block.1."
    else:
        side, level, what, number, rest = target.split(".", 4)
        layers = config["layers_per_block"] + 1  # and a down-sampling, or one layer more on the way up
        first = int(level) * layers
        if what == "downsamplers":
            return f"{UNET}input_blocks.{first + layers}.0.op.{kind}", "as it is"
        if what == "upsamplers":
            attends = config["up_block_types"][int(level)].startswith("CrossAttn")
            return f"{UNET}output_blocks.{first + layers - 1}.{2 if attends else 1}.conv.{kind}", "as it is"
        index = first + int(number)
        block = f"input_blocks.{index + 1}" if side == "down_blocks" else f"output_blocks.{index}"
        place = f"{block}.{0 if what == 'resnets' else 1}."
    within = _residual(rest) if what == "resnets" else _transformer(rest)
    return UNET + place + within, "as it is"


def _residual(rest: str) -> str:
    """Within a residual block of the UNet: the spatial layers bare, the temporal ones under `time_stack`."""
    which, _, own = rest.partition(".")
    if which == "time_mixer":
        return rest
    module, kind = own.rsplit(".", 1)
    stack = "time_stack." if which == "temporal_res_block" else ""
    return f"{stack}{UNET_RESIDUAL[module]}.{kind}"


def _transformer(rest: str) -> str:
    for new, old in UNET_TRANSFORMER:
        if rest.startswith(new):
            return old + rest.removeprefix(new)
    return rest


def _vae_source(target: str, config: Mapping[str, Any]) -> tuple[str, How]:
    if target.startswith("quant_conv."):
        return ENCODER + target, "as it is"
    if target.startswith("post_quant_conv."):
        return DECODER + target, "as it is"
    side, own = target.split(".", 1)
    home = f"{ENCODER}encoder." if side == "encoder" else f"{DECODER}decoder."
    module, kind = own.rsplit(".", 1)
    if module in VAE_ENDS:
        return f"{home}{VAE_ENDS[module]}.{kind}", "as it is"
    if own.startswith("mid_block.attentions.0."):
        layer = VAE_ATTENTION[module.removeprefix("mid_block.attentions.0.")]
        matrix = kind == "weight" and layer != "norm"  # a 1×1 convolution in the file
        return f"{home}mid.attn_1.{layer}.{kind}", "matrix" if matrix else "as it is"
    if own.startswith("mid_block.resnets."):
        number, rest = own.removeprefix("mid_block.resnets.").split(".", 1)
        return f"{home}mid.block_{int(number) + 1}.{_vae_residual(rest)}", "as it is"
    blocks, level, what, number, rest = own.split(".", 4)
    if blocks == "down_blocks":
        place = f"down.{level}."
    else:  # counted from the other end
        place = f"up.{len(config['block_out_channels']) - 1 - int(level)}."
    if what == "resnets":
        return f"{home}{place}block.{number}.{_vae_residual(rest)}", "as it is"
    sampling = {"downsamplers": "downsample", "upsamplers": "upsample"}[what]
    return f"{home}{place}{sampling}.{rest}", "as it is"


def _vae_residual(rest: str) -> str:
    if rest.startswith("temporal_res_block."):
        return _residual(rest)
    rest = rest.removeprefix("spatial_res_block.").removeprefix("time_mixer.")
    return rest.replace("conv_shortcut.", "nin_shortcut.")


def _clip_source(target: str, config: Mapping[str, Any]) -> tuple[str, How]:
    if target == "visual_projection.weight":
        return CLIP + "proj", "transposed"
    if target in CLIP_ENDS:
        return CLIP + CLIP_ENDS[target], "as it is"
    number, rest = target.removeprefix("vision_model.encoder.layers.").split(".", 1)
    module, kind = rest.rsplit(".", 1)
    layer = f"{CLIP}transformer.resblocks.{number}."
    if module in CLIP_PACKED:
        return f"{layer}attn.in_proj_{kind}", CLIP_PACKED[module]
    return f"{layer}{CLIP_LAYER[module]}.{kind}", "as it is"


SOURCES: dict[str, Callable[[str, Mapping[str, Any]], tuple[str, How]]] = {
    "image_encoder": _clip_source,
    "unet": _unet_source,
    "vae": _vae_source,
}


def _stored_shape(target: Target) -> tuple[int, ...]:
    """The shape a parameter's tensor has in the file."""
    if target.how == "matrix":
        return (*target.shape, 1, 1)
    if target.how == "transposed":
        return target.shape[::-1]
    if target.how in THIRDS:
        return (3 * target.shape[0], *target.shape[1:])
    return target.shape


def _pieces(part: str, config: Mapping[str, Any], decoder: Decoder, names: _Names) -> tuple[Piece, ...]:
    """Which tensor of the file each parameter of a component comes from. Raises `BadCheckpoint`."""
    try:
        parameters = _empty(part, config, decoder).state_dict()
    except (ValueError, TypeError, RuntimeError, ArithmeticError, IndexError) as error:
        reason = str(error).splitlines()[0][:200]
        raise BadCheckpoint(
            f"the {PART_NAMES[part]} in {names.name} is none of Stable Video Diffusion: {reason}"
        ) from error
    targets: dict[str, list[Target]] = {}
    for parameter, empty in parameters.items():
        source, how = SOURCES[part](parameter, config)
        targets.setdefault(source, []).append(Target(parameter, tuple(empty.shape), how))
    missing = [source for source in targets if not names.has(source)]
    if missing:
        raise BadCheckpoint(
            f"{names.name} is not whole: its {PART_NAMES[part]} lacks {_some(missing, 'tensor')}"
        )
    for source, own in targets.items():
        info, expected = names.tensors[source], _stored_shape(own[0])
        if info.shape != expected:
            raise BadCheckpoint(
                f"{source} in {names.name} has the shape {list(info.shape)}, expected {list(expected)}"
            )
        if info.dtype not in DTYPES:
            raise BadCheckpoint(
                f"{source} in {names.name} is stored as {info.dtype}; F32, F16 and BF16 are read"
            )
    pieces = (Piece(source, names.tensors[source], tuple(own)) for source, own in targets.items())
    return tuple(sorted(pieces, key=lambda piece: piece.info.start))


def _check_rest(used: set[str], header: Header, name: str) -> None:
    """Refuses tensors that a whole SVD does not have: whoever put them there meant another network."""
    rest = [key for key in header.tensors if key not in used and not UNUSED.fullmatch(key)]
    if rest:
        raise BadCheckpoint(f"{name} has {_some(rest, 'tensor')} that Stable Video Diffusion does not have")


def _some(keys: list[str], what: str) -> str:
    """'3 tensors (a, b, c)', the first few of more."""
    shown = ", ".join(key[:120] for key in keys[:SHOWN]) + (", …" if len(keys) > SHOWN else "")
    return f"{len(keys)} {what}{'' if len(keys) == 1 else 's'} ({shown})"


# --- reading ---------------------------------------------------------------------------------------------------------


@contextmanager
def _opened(path: Path, original: Original) -> Iterator[BufferedReader]:
    """The file, if it is still the one that was recognised. Raises `BadCheckpoint`."""
    try:
        with path.open("rb") as file:
            if file.seek(0, os.SEEK_END) != original.file_bytes:
                raise BadCheckpoint(f"{original.name} has changed since it was looked at")
            yield file
    except OSError as error:
        raise BadCheckpoint(f"{original.name} cannot be read: {error.strerror or error}") from error


def _read(file: BufferedReader, piece: Piece, name: str) -> torch.Tensor:
    """One tensor as it is stored, in memory of its own: a mapped file could change or vanish under a loaded model."""
    info = piece.info
    raw = torch.empty(info.end - info.start, dtype=torch.uint8)
    file.seek(info.start)
    if file.readinto(raw.numpy()) != len(raw):
        raise BadCheckpoint(f"{name} is cut off within {piece.source}")
    return raw.view(DTYPES[info.dtype]).view(info.shape)


def _convert(tensor: torch.Tensor, how: How, dtype: torch.dtype) -> torch.Tensor:
    """A stored tensor, or its share of it, as the parameter it becomes. Never shares memory with another one."""
    if how == "matrix":
        return tensor[:, :, 0, 0].to(dtype)
    if how == "transposed":
        return tensor.t().to(dtype, copy=True, memory_format=torch.contiguous_format)
    if how in THIRDS:
        return tensor.chunk(3)[THIRDS[how]].to(dtype, copy=True)
    return tensor.to(dtype)


def part_loaders(path: Path, original: Original, dtype: torch.dtype) -> dict[str, Callable[[], Any]]:
    """Component → what loads it, on the CPU in that dtype, in evaluation mode. Calling one raises `BadCheckpoint`.

    At most the component and one tensor of the file are in memory at once.
    """
    return {part: partial(_load, path, original, part, dtype) for part in PARTS}


def _load(path: Path, original: Original, part: str, dtype: torch.dtype) -> Any:
    module = _empty(part, original.configs[part], original.decoder)
    state: dict[str, torch.Tensor] = {}
    with _opened(path, original) as file:
        for piece in original.pieces[part]:
            stored = _read(file, piece, original.name)
            narrowed = dtype == torch.float16 and stored.dtype != dtype
            for target in piece.targets:
                state[target.name] = _convert(stored, target.how, dtype)
                if narrowed and not state[target.name].isfinite().all():
                    raise BadCheckpoint(
                        f"{piece.source} in {original.name} holds numbers that float16 cannot; "
                        f"use bfloat16 or float32"
                    )
    module.load_state_dict(state, strict=True, assign=True)
    if part == "image_encoder":  # the only buffer of the five classes, and in no file
        embeddings = module.vision_model.embeddings
        embeddings.position_ids = torch.arange(embeddings.position_ids.shape[-1]).expand((1, -1))
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        if tensor.is_meta:
            raise BadCheckpoint(f"the {PART_NAMES[part]} in {original.name} has no values for {name}")
    return module.eval().requires_grad_(False)


def part_keys(path: Path, original: Original, dtype: torch.dtype | None = None) -> dict[str, str]:
    """Component → SHA-256 over its tensors (names without prefix, types, shapes, bytes).

    Two files with the same tensors for a component have the same key for it, whatever else they hold. With a `dtype`
    narrower than what is stored, over what they become in it: 1.0 as it is published is float32 and 1.1 float16, and
    loaded as float16 their autoencoders are the same. Raises `BadCheckpoint`.
    """
    try:
        real = path.resolve()
        stat = real.stat()
    except OSError as error:
        raise BadCheckpoint(f"{original.name} cannot be read: {error.strerror or error}") from error
    identity = (str(real), stat.st_size, stat.st_mtime_ns)
    keys = {}
    for part in PARTS:
        named = (*identity, part, str(dtype))
        key = _KEYS.get(named)
        if key is None:
            key = _KEYS[named] = _content_key(real, original, part, dtype)
        keys[part] = key
    return keys


_KEYS: dict[tuple[str, int, int, str, str], str] = {}
HALVES = {torch.float16: "F16", torch.bfloat16: "BF16"}


def _content_key(path: Path, original: Original, part: str, dtype: torch.dtype | None) -> str:
    digest = hashlib.sha256()
    half = HALVES.get(dtype) if dtype else None
    with _opened(path, original) as file:
        for piece in sorted(original.pieces[part], key=lambda piece: _bare(piece.source)):
            narrowed = half is not None and piece.info.dtype == "F32"
            described = [_bare(piece.source), half if narrowed else piece.info.dtype, list(piece.info.shape)]
            digest.update(json.dumps(described).encode())
            if narrowed:
                tensor = _read(file, piece, original.name).to(dtype).contiguous()
                digest.update(memoryview(tensor.reshape(-1).view(torch.uint8).numpy()))
                continue
            file.seek(piece.info.start)
            left = piece.info.end - piece.info.start
            while left:
                chunk = file.read(min(left, CHUNK_BYTES))
                if not chunk:
                    raise BadCheckpoint(f"{original.name} is cut off within {piece.source}")
                digest.update(chunk)
                left -= len(chunk)
    return digest.hexdigest()


def _bare(source: str) -> str:
    """A tensor's name without the place its component has in the file."""
    for prefix in PREFIXES:
        if source.startswith(prefix):
            return source.removeprefix(prefix)
    return source


def check_numbers(path: Path, original: Original) -> None:
    """Reads every tensor that is used. Raises `BadCheckpoint` with the name of the first that is not all finite."""
    with _opened(path, original) as file:
        for part in PARTS:
            for piece in original.pieces[part]:
                tensor = _read(file, piece, original.name)
                broken = tensor.numel() - int(torch.isfinite(tensor).sum())
                if broken:
                    raise BadCheckpoint(
                        f"{piece.source} in {original.name} holds {broken} numbers that are not finite "
                        f"(of {tensor.numel()})"
                    )


# --- what is the same for every file ---------------------------------------------------------------------------------


def scheduler() -> EulerDiscreteScheduler:
    """Stability's sampler: v-prediction, Karras' sigmas from 0.002 to 700."""
    return EulerDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        timestep_type="continuous",
        timestep_spacing="leading",
        steps_offset=1,
        use_karras_sigmas=True,
        sigma_min=0.002,
        sigma_max=700.0,
    )


def feature_extractor() -> CLIPImageProcessor:
    """The picture as CLIP was trained on it: 224×224, OpenAI's mean and standard deviation."""
    return CLIPImageProcessor(
        size={"shortest_edge": PICTURE},
        crop_size={"height": PICTURE, "width": PICTURE},
        image_mean=[0.48145466, 0.4578275, 0.40821073],
        image_std=[0.26862954, 0.26130258, 0.27577711],
    )


def convert(path: Path, folder: Path, original: Original, dtype: torch.dtype | None = None) -> None:
    """Writes a folder in diffusers layout, whole or not at all; each component as it is stored unless `dtype` is given.

    Raises `BadInput` if the folder holds something already or cannot be written, `BadCheckpoint`.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadInput(f"{folder} is there already and not empty; choose another folder")
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.new")
    try:
        temporary.mkdir(parents=True)
        _write_folder(path, temporary, original, dtype)
        if folder.exists():
            folder.rmdir()
        temporary.rename(folder)
    except OSError as error:
        raise BadInput(f"{folder} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write_folder(path: Path, folder: Path, original: Original, dtype: torch.dtype | None) -> None:
    index: dict[str, Any] = {
        "_class_name": "StableVideoDiffusionPipeline",
        "_diffusers_version": diffusers.__version__,
        "feature_extractor": ["transformers", "CLIPImageProcessor"],
        "image_encoder": ["transformers", "CLIPVisionModelWithProjection"],
        "scheduler": ["diffusers", "EulerDiscreteScheduler"],
    }
    for part in PARTS:
        module = _load(path, original, part, dtype or original.stored_dtype(part))
        index.setdefault(part, ["diffusers", type(module).__name__])
        module.save_pretrained(folder / part, max_shard_size="100GB")  # one file, as the lab reads it
        del module
    scheduler().save_pretrained(folder / "scheduler")
    feature_extractor().save_pretrained(folder / "feature_extractor")
    text = json.dumps(index, indent=2, sort_keys=True) + "\n"
    (folder / "model_index.json").write_text(text, encoding="utf-8")
