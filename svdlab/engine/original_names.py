"""The names of diffusers' and transformers' parameters → those of Stability's original layout.

Knows names alone; where in a file a component stands, and reading it, are `single_file`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from svdlab.weights.layouts.single_files import CLIP, DECODER, ENCODER, UNET

How = Literal["as it is", "matrix", "transposed", "query", "key", "value"]
THIRDS: dict[How, int] = {"query": 0, "key": 1, "value": 2}  # rows of one packed projection


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
