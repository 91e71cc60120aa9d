"""What a component is built from, read off the names and shapes of its tensors, in either layout.

Knows how Stability's modules and diffusers' name their layers; no number is read and no model library is needed.
`names` is where a component's tensors stand in a file: its names without the prefix it has there.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from svdlab.errors import BadCheckpoint
from svdlab.weights.safetensors import Header

HEAD_WIDTH = 64  # of every attention layer of the UNet
CLIP_HEAD_WIDTH = 80  # ViT-H: 16 heads of 80
CONDITIONS = 3  # fps, motion bucket and augmentation strength, each embedded by itself
PICTURE = 224  # pixels along each side of what the image encoder sees
SCALING_FACTOR = 0.18215


class Names:
    """A file's tensors by name below a prefix, for reading a configuration off them."""

    def __init__(self, header: Header, name: str, prefix: str = "") -> None:
        self.tensors, self.name, self.prefix = header.tensors, name, prefix

    def has(self, key: str) -> bool:
        """Whether there is such a tensor."""
        return self.prefix + key in self.tensors

    def shape(self, key: str, dimensions: int) -> tuple[int, ...]:
        """The shape of a tensor that must be there. Raises `BadCheckpoint`."""
        key = self.prefix + key
        if key not in self.tensors:
            raise BadCheckpoint(f"{self.name} is not whole: it lacks {key}")
        shape = self.tensors[key].shape
        if len(shape) != dimensions or 0 in shape:
            raise BadCheckpoint(f"{key} in {self.name} has the shape {list(shape)}, which it cannot have")
        return shape

    def count(self, before: str) -> int:
        """How many blocks there are: numbers from 0 on that follow `before` in names. Raises `BadCheckpoint`."""
        before = self.prefix + before
        rest = (key[len(before) :].split(".", 1)[0] for key in self.tensors if key.startswith(before))
        numbers = {int(number) for number in rest if re.fullmatch(r"\d{1,4}", number)}
        for number in range(len(numbers)):
            if number not in numbers:
                raise BadCheckpoint(f"{self.name} is not whole: it lacks all of {before}{number}")
        return len(numbers)


def head_width(*widths: int) -> int:
    """64 as in every released file; in narrower models the largest divisor of 64 that divides all widths.

    A file does not say how many heads there are, only how wide they are together.
    """
    return math.gcd(HEAD_WIDTH, *widths)


# --- the UNet --------------------------------------------------------------------------------------------------------


def original_unet(names: Names, num_frames: int) -> dict[str, Any]:
    """Of `input_blocks`, `middle_block` and `output_blocks`. Raises `BadCheckpoint`."""
    levels: list[list[tuple[int, int]]] = [[]]  # per layer: width, and transformer blocks (0: no attention)
    for index in range(1, names.count("input_blocks.")):
        block = f"input_blocks.{index}."
        if names.has(block + "0.op.weight") or names.has(block + "0.op.bias"):
            levels.append([])
        else:
            width = names.shape(block + "0.in_layers.2.weight", 4)[0]
            levels[-1].append((width, names.count(block + "1.transformer_blocks.")))
    return _unet(
        names,
        num_frames,
        layers=[len(level) for level in levels],
        widths=[level[0][0] for level in levels if level],
        depths=[level[0][1] for level in levels if level],
        middle=names.count("middle_block.1.transformer_blocks."),
        first="input_blocks.0.0.weight",
        last="out.2.weight",
        conditions="label_emb.0.0.weight",
        context="middle_block.1.transformer_blocks.0.attn2.to_k.weight",
    )


def diffusers_unet(names: Names, num_frames: int) -> dict[str, Any]:
    """Of `down_blocks`, `mid_block` and `up_blocks`. Raises `BadCheckpoint`."""
    blocks = [f"down_blocks.{level}." for level in range(names.count("down_blocks."))]
    first_layer = "resnets.0.spatial_res_block.conv1.weight"
    return _unet(
        names,
        num_frames,
        layers=[names.count(block + "resnets.") for block in blocks],
        widths=[names.shape(block + first_layer, 4)[0] for block in blocks],
        depths=[names.count(block + "attentions.0.transformer_blocks.") for block in blocks],
        middle=names.count("mid_block.attentions.0.transformer_blocks."),
        first="conv_in.weight",
        last="conv_out.weight",
        conditions="add_embedding.linear_1.weight",
        context="mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight",
    )


def _unet(
    names: Names,
    num_frames: int,
    *,
    layers: list[int],
    widths: list[int],
    depths: list[int],
    middle: int,
    first: str,
    last: str,
    conditions: str,
    context: str,
) -> dict[str, Any]:
    if 0 in layers or len(set(layers)) != 1:
        raise BadCheckpoint(
            f"the UNet in {names.name} has {layers} layers per level; SVD has as many in each"
        )
    projected = names.shape(conditions, 2)[1]
    if projected % CONDITIONS:
        raise BadCheckpoint(
            f"{names.name} is not Stable Video Diffusion: its conditions are {projected} wide, which is not "
            f"that of fps, motion bucket and augmentation; it looks like SV3D or another relative"
        )
    blocks = [("CrossAttn" if depth else "") for depth in depths]
    transformer_layers = [depth or middle for depth in depths]
    head = head_width(*widths)
    return {
        "sample_size": 96,
        "in_channels": names.shape(first, 4)[1],
        "out_channels": names.shape(last, 4)[0],
        "down_block_types": tuple(f"{kind}DownBlockSpatioTemporal" for kind in blocks),
        "up_block_types": tuple(f"{kind}UpBlockSpatioTemporal" for kind in reversed(blocks)),
        "block_out_channels": tuple(widths),
        "addition_time_embed_dim": projected // CONDITIONS,
        "projection_class_embeddings_input_dim": projected,
        "layers_per_block": layers[0],
        "cross_attention_dim": names.shape(context, 2)[1],
        "transformer_layers_per_block": middle
        if len(set(transformer_layers)) == 1
        else tuple(transformer_layers),
        "num_attention_heads": tuple(width // head for width in widths),
        "num_frames": num_frames,
    }


# --- the autoencoder -------------------------------------------------------------------------------------------------


def original_vae(encoder: Names, decoder: Names) -> dict[str, Any]:
    """Of an encoder and a decoder, which may stand in different places of a file. Raises `BadCheckpoint`."""
    return _vae(encoder, decoder, "encoder.down.{}.block.", "encoder.down.")


def diffusers_vae(names: Names) -> dict[str, Any]:
    """Of `encoder` and `decoder`. Raises `BadCheckpoint`."""
    return _vae(names, names, "encoder.down_blocks.{}.resnets.", "encoder.down_blocks.")


def _vae(encoder: Names, decoder: Names, layers: str, levels: str) -> dict[str, Any]:
    widths = [
        encoder.shape(f"{layers.format(level)}0.conv1.weight", 4)[0] for level in range(encoder.count(levels))
    ]
    return {
        "in_channels": encoder.shape("encoder.conv_in.weight", 4)[1],
        "out_channels": decoder.shape("decoder.conv_out.weight", 4)[0],
        "latent_channels": decoder.shape("decoder.conv_in.weight", 4)[1],
        "block_out_channels": tuple(widths),
        "layers_per_block": encoder.count(layers.format(0)),
        "sample_size": 768,
        "scaling_factor": SCALING_FACTOR,
        "force_upcast": True,
    }


# --- the image encoder -----------------------------------------------------------------------------------------------


def original_clip(names: Names) -> dict[str, Any]:
    """Of OpenCLIP's visual tower. Raises `BadCheckpoint`."""
    return _clip(
        names,
        patches=names.shape("conv1.weight", 4),
        places=names.shape("positional_embedding", 2)[0] - 1,
        wide=names.shape("transformer.resblocks.0.mlp.c_fc.weight", 2)[0],
        projection=names.shape("proj", 2)[1],
        layers=names.count("transformer.resblocks."),
    )


def diffusers_clip(names: Names) -> dict[str, Any]:
    """Of transformers' vision model. Raises `BadCheckpoint`."""
    return _clip(
        names,
        patches=names.shape("vision_model.embeddings.patch_embedding.weight", 4),
        places=names.shape("vision_model.embeddings.position_embedding.weight", 2)[0] - 1,
        wide=names.shape("vision_model.encoder.layers.0.mlp.fc1.weight", 2)[0],
        projection=names.shape("visual_projection.weight", 2)[0],
        layers=names.count("vision_model.encoder.layers."),
    )


def _clip(
    names: Names, *, patches: tuple[int, ...], places: int, wide: int, projection: int, layers: int
) -> dict[str, Any]:
    width, _, patch, _ = patches
    if patch * math.isqrt(places) != PICTURE or math.isqrt(places) ** 2 != places:
        raise BadCheckpoint(
            f"the image encoder in {names.name} has {places} patches of {patch} pixels, "
            f"which do not make a picture of {PICTURE}×{PICTURE}"
        )
    head = CLIP_HEAD_WIDTH if width % CLIP_HEAD_WIDTH == 0 else head_width(width)
    return {
        "hidden_size": width,
        "intermediate_size": wide,
        "projection_dim": projection,
        "num_hidden_layers": layers,
        "num_attention_heads": width // head,
        "image_size": PICTURE,
        "patch_size": patch,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-5,
    }


# --- together --------------------------------------------------------------------------------------------------------


def check_fit(configs: Mapping[str, Mapping[str, Any]], name: str) -> None:
    """The components there are fit each other: latents, colours and the picture's embedding are as wide on both sides.

    Raises `BadCheckpoint`.
    """
    unet, vae, clip = (configs.get(part) for part in ("unet", "vae", "image_encoder"))
    if unet is not None:
        taken, given = unet["in_channels"], unet["out_channels"]
        latents = vae["latent_channels"] if vae is not None else given
        if taken != 2 * latents or given != latents:  # the noise and the picture's latents, side by side
            raise BadCheckpoint(
                f"{name} is not Stable Video Diffusion: its UNet takes {taken} channels and gives {given}, "
                f"expected {2 * latents} and {latents}"
            )
        if clip is not None and clip["projection_dim"] != unet["cross_attention_dim"]:
            raise BadCheckpoint(
                f"{name} is not Stable Video Diffusion: its image encoder gives {clip['projection_dim']} values "
                f"and its UNet takes {unet['cross_attention_dim']}"
            )
    if vae is not None and (vae["in_channels"], vae["out_channels"]) != (3, 3):
        raise BadCheckpoint(
            f"{name} is not Stable Video Diffusion: its autoencoder takes {vae['in_channels']} colours "
            f"and gives {vae['out_channels']}, expected 3"
        )
