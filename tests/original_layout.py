"""Stability's original layout, written and computed without the product's table of names.

Two independent accounts of the layout: the writer takes diffusers' components apart by their attributes, and the
`Reference` computes with the file's tensors alone, as generative-models (sgm) and OpenCLIP define the modules. A name
that the loader maps wrongly disagrees with at least one of them.
"""

from __future__ import annotations

import gzip
import json
import math
import struct
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, AutoencoderKLTemporalDecoder, UNetSpatioTemporalConditionModel
from torch import Tensor
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

Decoder = Literal["temporal", "image"]
Tensors = dict[str, Tensor]
UNET = "model.diffusion_model"
CLIP = "conditioner.embedders.0.open_clip.model"
COPY = "conditioner.embedders.3.encoder"
FIRST_STAGE = "first_stage_model"
DTYPE_NAMES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}


def full_size(decoder: Decoder) -> dict[str, list[int]]:
    """Every name and shape of a released file, as the reference implementation's modules have them."""
    path = Path(__file__).parent / "engine" / "layouts" / f"svd_{decoder}_decoder.json.gz"
    return json.loads(gzip.decompress(path.read_bytes()))


# --- small components of the real classes ----------------------------------------------------------------------------


def components(
    decoder: Decoder = "temporal", seed: int = 0, widths: tuple[int, int] = (64, 96), depth: int = 1
) -> dict[str, Any]:
    """A UNet, autoencoder and image encoder with random numbers everywhere, 4 pixels per step of their size.

    Heads are as the loader infers them: 32 wide in the UNet, 80 wide in the image encoder.
    """
    torch.manual_seed(seed)
    unet = UNetSpatioTemporalConditionModel(
        sample_size=96,
        in_channels=8,
        out_channels=4,
        block_out_channels=widths,
        down_block_types=("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
        up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
        addition_time_embed_dim=32,
        projection_class_embeddings_input_dim=96,
        layers_per_block=2,
        transformer_layers_per_block=depth,
        cross_attention_dim=48,
        num_attention_heads=(widths[0] // 32, widths[1] // 32),
        num_frames=14,
    )
    shared = {
        "block_out_channels": (32, 64),
        "layers_per_block": 2,
        "latent_channels": 4,
        "sample_size": 768,
        "scaling_factor": 0.18215,
        "force_upcast": True,
        "down_block_types": ("DownEncoderBlock2D",) * 2,
    }
    vae = (
        AutoencoderKLTemporalDecoder(**shared)
        if decoder == "temporal"
        else AutoencoderKL(**shared, up_block_types=("UpDecoderBlock2D",) * 2)
    )
    clip = CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            hidden_size=160,
            intermediate_size=320,
            projection_dim=48,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=224,
            patch_size=32,
            hidden_act="gelu",
            layer_norm_eps=1e-5,
        )
    )
    parts = {"image_encoder": clip, "unet": unet, "vae": vae}
    for module in parts.values():
        module.eval().requires_grad_(False)
        for tensor in module.parameters():  # no norm is 1 and no bias 0, or a swap of two would not show
            tensor.add_(torch.randn_like(tensor) * (0.3 if tensor.ndim < 2 else 0.02))
    return parts


# --- the writer ------------------------------------------------------------------------------------------------------


def to_original(parts: Mapping[str, Any]) -> Tensors:
    """The components' tensors under the names of an original file, with what such a file holds beside them.

    Raises AssertionError if a parameter of theirs is forgotten or written twice.
    """
    out: Tensors = {}
    _write_unet(out, parts["unet"])
    _write_clip(out, parts["image_encoder"])
    _write_vae(out, parts["vae"])
    numbers = sum(p.numel() for module in parts.values() for p in module.parameters())
    assert sum(t.numel() for t in out.values()) == numbers
    out.update(_leftovers(out, parts))
    return {name: tensor.detach().contiguous() for name, tensor in out.items()}


def _put(out: Tensors, name: str, layer: Any) -> None:
    """A layer's weight, and bias if it has one."""
    assert f"{name}.weight" not in out
    out[f"{name}.weight"] = layer.weight
    if layer.bias is not None:
        out[f"{name}.bias"] = layer.bias


def _put_all(out: Tensors, place: str, layers: Mapping[str, Any]) -> None:
    for name, layer in layers.items():
        _put(out, f"{place}.{name}", layer)


def _write_unet(out: Tensors, unet: Any) -> None:
    _put_all(
        out,
        UNET,
        {
            "time_embed.0": unet.time_embedding.linear_1,
            "time_embed.2": unet.time_embedding.linear_2,
            "label_emb.0.0": unet.add_embedding.linear_1,
            "label_emb.0.2": unet.add_embedding.linear_2,
            "input_blocks.0.0": unet.conv_in,
            "out.0": unet.conv_norm_out,
            "out.2": unet.conv_out,
        },
    )
    number = 1
    for block in unet.down_blocks:
        for place, resnet in enumerate(block.resnets):
            _write_block(out, f"{UNET}.input_blocks.{number}", resnet, _attention_at(block, place))
            number += 1
        for sampler in block.downsamplers or ():
            _put(out, f"{UNET}.input_blocks.{number}.0.op", sampler.conv)
            number += 1
    middle = unet.mid_block
    _write_residual(out, f"{UNET}.middle_block.0", middle.resnets[0])
    _write_transformer(out, f"{UNET}.middle_block.1", middle.attentions[0])
    _write_residual(out, f"{UNET}.middle_block.2", middle.resnets[1])
    number = 0
    for block in unet.up_blocks:
        for place, resnet in enumerate(block.resnets):
            attention = _attention_at(block, place)
            _write_block(out, f"{UNET}.output_blocks.{number}", resnet, attention)
            if place == len(block.resnets) - 1:  # the up-sampling belongs to the last layer of a level
                for sampler in block.upsamplers or ():
                    slot = 1 if attention is None else 2
                    _put(out, f"{UNET}.output_blocks.{number}.{slot}.conv", sampler.conv)
            number += 1


def _attention_at(block: Any, place: int) -> Any:
    return block.attentions[place] if hasattr(block, "attentions") else None


def _write_block(out: Tensors, place: str, resnet: Any, attention: Any) -> None:
    _write_residual(out, f"{place}.0", resnet)
    if attention is not None:
        _write_transformer(out, f"{place}.1", attention)


def _write_residual(out: Tensors, place: str, block: Any) -> None:
    for home, layers in ((place, block.spatial_res_block), (f"{place}.time_stack", block.temporal_res_block)):
        _put_all(
            out,
            home,
            {
                "in_layers.0": layers.norm1,
                "in_layers.2": layers.conv1,
                "emb_layers.1": layers.time_emb_proj,
                "out_layers.0": layers.norm2,
                "out_layers.3": layers.conv2,
            },
        )
        if getattr(layers, "conv_shortcut", None) is not None:
            _put(out, f"{home}.skip_connection", layers.conv_shortcut)
    out[f"{place}.time_mixer.mix_factor"] = block.time_mixer.mix_factor


def _write_transformer(out: Tensors, place: str, model: Any) -> None:
    _put_all(
        out,
        place,
        {
            "norm": model.norm,
            "proj_in": model.proj_in,
            "proj_out": model.proj_out,
            "time_pos_embed.0": model.time_pos_embed.linear_1,
            "time_pos_embed.2": model.time_pos_embed.linear_2,
        },
    )
    out[f"{place}.time_mixer.mix_factor"] = model.time_mixer.mix_factor
    for number, block in enumerate(model.transformer_blocks):
        _write_transformer_block(out, f"{place}.transformer_blocks.{number}", block)
    for number, block in enumerate(model.temporal_transformer_blocks):
        home = f"{place}.time_stack.{number}"
        _write_transformer_block(out, home, block)
        _put(out, f"{home}.norm_in", block.norm_in)
        _write_feed_forward(out, f"{home}.ff_in", block.ff_in)


def _write_transformer_block(out: Tensors, place: str, block: Any) -> None:
    for name in ("norm1", "norm2", "norm3"):
        _put(out, f"{place}.{name}", getattr(block, name))
    for name in ("attn1", "attn2"):
        attention = getattr(block, name)
        _put_all(
            out,
            f"{place}.{name}",
            {
                "to_q": attention.to_q,
                "to_k": attention.to_k,
                "to_v": attention.to_v,
                "to_out.0": attention.to_out[0],
            },
        )
    _write_feed_forward(out, f"{place}.ff", block.ff)


def _write_feed_forward(out: Tensors, place: str, layers: Any) -> None:
    _put(out, f"{place}.net.0.proj", layers.net[0].proj)
    _put(out, f"{place}.net.2", layers.net[2])


def _write_vae(out: Tensors, vae: Any) -> None:
    _put(out, f"{COPY}.quant_conv", vae.quant_conv)
    if getattr(vae, "post_quant_conv", None) is not None:
        _put(out, f"{FIRST_STAGE}.post_quant_conv", vae.post_quant_conv)
    home = f"{COPY}.encoder"
    _put(out, f"{home}.conv_in", vae.encoder.conv_in)
    for level, block in enumerate(vae.encoder.down_blocks):
        for number, resnet in enumerate(block.resnets):
            _write_vae_residual(out, f"{home}.down.{level}.block.{number}", resnet)
        for sampler in block.downsamplers or ():
            _put(out, f"{home}.down.{level}.downsample.conv", sampler.conv)
    _write_vae_end(out, home, vae.encoder)
    home = f"{FIRST_STAGE}.decoder"
    _put(out, f"{home}.conv_in", vae.decoder.conv_in)
    for level, block in enumerate(reversed(vae.decoder.up_blocks)):
        for number, resnet in enumerate(block.resnets):
            _write_vae_residual(out, f"{home}.up.{level}.block.{number}", resnet)
        for sampler in block.upsamplers or ():
            _put(out, f"{home}.up.{level}.upsample.conv", sampler.conv)
    _write_vae_end(out, home, vae.decoder)
    if hasattr(vae.decoder, "time_conv_out"):
        _put(out, f"{home}.conv_out.time_mix_conv", vae.decoder.time_conv_out)


def _write_vae_end(out: Tensors, home: str, half: Any) -> None:
    """What encoder and decoder share: the middle and the last layers."""
    _write_vae_residual(out, f"{home}.mid.block_1", half.mid_block.resnets[0])
    _write_vae_residual(out, f"{home}.mid.block_2", half.mid_block.resnets[1])
    attention = half.mid_block.attentions[0]
    _put(out, f"{home}.mid.attn_1.norm", attention.group_norm)
    for name, layer in (
        ("q", attention.to_q),
        ("k", attention.to_k),
        ("v", attention.to_v),
        ("proj_out", attention.to_out[0]),
    ):
        out[f"{home}.mid.attn_1.{name}.weight"] = layer.weight.reshape(*layer.weight.shape, 1, 1)
        out[f"{home}.mid.attn_1.{name}.bias"] = layer.bias
    _put(out, f"{home}.norm_out", half.conv_norm_out)
    _put(out, f"{home}.conv_out", half.conv_out)


def _write_vae_residual(out: Tensors, place: str, block: Any) -> None:
    spatial = getattr(block, "spatial_res_block", block)
    for name in ("norm1", "conv1", "norm2", "conv2"):
        _put(out, f"{place}.{name}", getattr(spatial, name))
    if spatial.conv_shortcut is not None:
        _put(out, f"{place}.nin_shortcut", spatial.conv_shortcut)
    if spatial is not block:
        temporal = block.temporal_res_block
        _put(out, f"{place}.time_stack.in_layers.0", temporal.norm1)
        _put(out, f"{place}.time_stack.in_layers.2", temporal.conv1)
        _put(out, f"{place}.time_stack.out_layers.0", temporal.norm2)
        _put(out, f"{place}.time_stack.out_layers.3", temporal.conv2)
        out[f"{place}.mix_factor"] = block.time_mixer.mix_factor


def _write_clip(out: Tensors, clip: Any) -> None:
    home, model = f"{CLIP}.visual", clip.vision_model
    out[f"{home}.class_embedding"] = model.embeddings.class_embedding
    out[f"{home}.positional_embedding"] = model.embeddings.position_embedding.weight
    out[f"{home}.conv1.weight"] = model.embeddings.patch_embedding.weight
    _put(out, f"{home}.ln_pre", model.pre_layrnorm)
    _put(out, f"{home}.ln_post", model.post_layernorm)
    out[f"{home}.proj"] = clip.visual_projection.weight.T
    for number, layer in enumerate(model.encoder.layers):
        place, own = f"{home}.transformer.resblocks.{number}", layer.self_attn
        packed = (own.q_proj, own.k_proj, own.v_proj)
        out[f"{place}.attn.in_proj_weight"] = torch.cat([p.weight for p in packed])
        out[f"{place}.attn.in_proj_bias"] = torch.cat([p.bias for p in packed])
        _put_all(
            out,
            place,
            {
                "attn.out_proj": own.out_proj,
                "ln_1": layer.layer_norm1,
                "ln_2": layer.layer_norm2,
                "mlp.c_fc": layer.mlp.fc1,
                "mlp.c_proj": layer.mlp.fc2,
            },
        )


def _leftovers(out: Tensors, parts: Mapping[str, Any]) -> Tensors:
    """What released files hold beside the components; its numbers are other ones than the components'."""
    like = out[f"{UNET}.out.2.bias"]
    width = parts["image_encoder"].config.projection_dim

    def new(*shape: int) -> Tensor:
        return torch.full(shape, 0.5, dtype=like.dtype, device=like.device)

    rest = {
        f"{CLIP}.logit_scale": new(),
        f"{CLIP}.ln_final.weight": new(width),
        f"{CLIP}.ln_final.bias": new(width),
        f"{CLIP}.positional_embedding": new(77, width),
        f"{CLIP}.text_projection": new(width, width),
        f"{CLIP}.token_embedding.weight": new(100, width),
        f"{COPY}.post_quant_conv.weight": new(4, 4, 1, 1),
        f"{COPY}.post_quant_conv.bias": new(4),
    }
    for name, tensor in out.items():
        if name.startswith(f"{COPY}.encoder."):
            rest[name.replace(COPY, FIRST_STAGE, 1)] = new(*tensor.shape)
        if name.startswith(f"{FIRST_STAGE}.decoder.") and not _is_temporal(name):
            rest[name.replace(FIRST_STAGE, COPY, 1)] = new(*tensor.shape)
    if isinstance(parts["vae"], AutoencoderKL):
        rest[f"{FIRST_STAGE}.quant_conv.weight"] = new(8, 8, 1, 1)
        rest[f"{FIRST_STAGE}.quant_conv.bias"] = new(8)
    return rest


def _is_temporal(name: str) -> bool:
    return any(mark in name for mark in ("time_stack", "mix_factor", "time_mix_conv"))


def write_header(entries: Mapping[str, Any]) -> bytes:
    """The first bytes of a safetensors file."""
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text


def stream(
    path: Path,
    shapes: Mapping[str, Iterable[int]],
    fill: Callable[[str, tuple[int, ...]], Tensor],
    dtype: torch.dtype = torch.float16,
) -> int:
    """Writes a file of those shapes tensor by tensor, each as `fill(name, shape)` gives it; returns its bytes."""
    place, entries, size = 0, {}, torch.empty(0, dtype=dtype).element_size()
    for name, shape in shapes.items():
        end = place + math.prod(shape) * size
        entries[name] = {"dtype": DTYPE_NAMES[dtype], "shape": list(shape), "data_offsets": [place, end]}
        place = end
    with path.open("wb") as file:
        file.write(write_header(entries))
        for name, shape in shapes.items():
            tensor = fill(name, tuple(shape)).to(dtype).contiguous()
            assert tensor.shape == tuple(shape), name
            file.write(memoryview(tensor.reshape(-1).view(torch.uint8).numpy()))
        return file.tell()


# --- the original modules, computed ----------------------------------------------------------------------------------


class Reference:
    """Computes with the tensors of an original file. `head` is the width of one head of the UNet's attention."""

    def __init__(self, tensors: Mapping[str, Tensor], head: int) -> None:
        self.tensors = {name: tensor.float() for name, tensor in tensors.items()}
        self.head = head

    def has(self, name: str) -> bool:
        return name in self.tensors

    def linear(self, place: str, x: Tensor) -> Tensor:
        return F.linear(x, self.tensors[f"{place}.weight"], self.tensors.get(f"{place}.bias"))

    def conv(self, place: str, x: Tensor, stride: int = 1, padding: int | None = None) -> Tensor:
        weight = self.tensors[f"{place}.weight"]
        convolve = F.conv3d if weight.ndim == 5 else F.conv2d
        around = [side // 2 for side in weight.shape[2:]] if padding is None else padding
        return convolve(x, weight, self.tensors.get(f"{place}.bias"), stride=stride, padding=around)

    def layer_norm(self, place: str, x: Tensor) -> Tensor:
        return F.layer_norm(
            x, x.shape[-1:], self.tensors[f"{place}.weight"], self.tensors[f"{place}.bias"], 1e-5
        )

    def group_norm(self, place: str, x: Tensor, eps: float) -> Tensor:
        return F.group_norm(x, 32, self.tensors[f"{place}.weight"], self.tensors[f"{place}.bias"], eps)

    def share(self, name: str) -> Tensor:
        return torch.sigmoid(self.tensors[name])

    # sgm.modules.diffusionmodules: openaimodel.ResBlock, video_model.VideoResBlock

    def residual(self, place: str, x: Tensor, emb: Tensor | None) -> Tensor:
        h = self.conv(f"{place}.in_layers.2", F.silu(self.group_norm(f"{place}.in_layers.0", x, 1e-5)))
        if emb is not None:
            h = h + emb
        h = self.conv(f"{place}.out_layers.3", F.silu(self.group_norm(f"{place}.out_layers.0", h, 1e-5)))
        skip = self.conv(f"{place}.skip_connection", x) if self.has(f"{place}.skip_connection.weight") else x
        return skip + h

    def video_residual(self, place: str, x: Tensor, emb: Tensor, frames: int) -> Tensor:
        """x (batch·frames, channels, height, width), emb (batch·frames, channels)."""
        own = self.linear(f"{place}.emb_layers.1", F.silu(emb))
        spatial = in_time(self.residual(place, x, own[:, :, None, None]), frames)
        own = self.linear(f"{place}.time_stack.emb_layers.1", F.silu(emb))
        own = own.unflatten(0, (-1, frames)).transpose(1, 2)[..., None, None]
        temporal = self.residual(f"{place}.time_stack", spatial, own)
        alpha = self.share(f"{place}.time_mixer.mix_factor")
        return out_of_time(alpha * spatial + (1 - alpha) * temporal)

    # sgm.modules: attention.BasicTransformerBlock, video_attention.VideoTransformerBlock, SpatialVideoTransformer

    def attention(self, place: str, x: Tensor, context: Tensor) -> Tensor:
        def heads(y: Tensor) -> Tensor:  # (batch, tokens, width) → (batch, heads, tokens, head)
            return y.unflatten(-1, (-1, self.head)).transpose(1, 2)

        q, k, v = (
            heads(self.linear(f"{place}.to_{name}", y))
            for name, y in zip("qkv", (x, context, context), strict=True)
        )
        weights = torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(self.head), dim=-1)
        return self.linear(f"{place}.to_out.0", (weights @ v).transpose(1, 2).flatten(2))

    def feed_forward(self, place: str, x: Tensor) -> Tensor:
        value, gate = self.linear(f"{place}.net.0.proj", x).chunk(2, dim=-1)
        return self.linear(f"{place}.net.2", value * F.gelu(gate))

    def transformer_block(self, place: str, x: Tensor, context: Tensor) -> Tensor:
        own = self.layer_norm(f"{place}.norm1", x)
        x = x + self.attention(f"{place}.attn1", own, own)
        x = x + self.attention(f"{place}.attn2", self.layer_norm(f"{place}.norm2", x), context)
        return x + self.feed_forward(f"{place}.ff", self.layer_norm(f"{place}.norm3", x))

    def video_transformer(self, place: str, x: Tensor, context: Tensor, frames: int) -> Tensor:
        """x (batch·frames, channels, height, width), context (batch·frames, tokens, width)."""
        height, width = x.shape[-2:]
        time_context = context[::frames].repeat_interleave(height * width, dim=0)
        tokens = self.group_norm(f"{place}.norm", x, 1e-6).flatten(2).transpose(1, 2)
        tokens = self.linear(f"{place}.proj_in", tokens)
        when = torch.arange(frames).repeat(x.shape[0] // frames)
        emb = self.embed(f"{place}.time_pos_embed", sinusoids(when, x.shape[1]))[:, None]
        alpha = self.share(f"{place}.time_mixer.mix_factor")
        number = 0
        while self.has(f"{place}.transformer_blocks.{number}.norm1.weight"):
            tokens = self.transformer_block(f"{place}.transformer_blocks.{number}", tokens, context)
            stack = f"{place}.time_stack.{number}"
            y = (tokens + emb).unflatten(0, (-1, frames)).transpose(1, 2)  # (batch, places, frames, channels)
            y = y.flatten(0, 1)
            y = y + self.feed_forward(f"{stack}.ff_in", self.layer_norm(f"{stack}.norm_in", y))
            y = self.transformer_block(stack, y, time_context)
            y = y.unflatten(0, (-1, height * width)).transpose(1, 2).flatten(0, 1)
            tokens = alpha * tokens + (1 - alpha) * y
            number += 1
        tokens = self.linear(f"{place}.proj_out", tokens)
        return x + tokens.transpose(1, 2).unflatten(2, (height, width))

    def embed(self, place: str, x: Tensor) -> Tensor:
        return self.linear(f"{place}.2", F.silu(self.linear(f"{place}.0", x)))

    # sgm.modules.diffusionmodules.video_model.VideoUNet

    def unet(self, sample: Tensor, timestep: Tensor, context: Tensor, ids: Tensor) -> Tensor:
        """sample (batch, frames, channels, height, width), context (batch, tokens, width), ids (batch, 3)."""
        frames, width = sample.shape[1], self.tensors[f"{UNET}.time_embed.0.weight"].shape[1]
        wide = self.tensors[f"{UNET}.label_emb.0.0.weight"].shape[1] // ids.shape[1]
        labels = torch.cat([sinusoids(ids[:, i], wide) for i in range(ids.shape[1])], dim=1)
        emb = self.embed(f"{UNET}.time_embed", sinusoids(timestep.expand(sample.shape[0]), width))
        emb = (emb + self.embed(f"{UNET}.label_emb.0", labels)).repeat_interleave(frames, dim=0)
        context = context.repeat_interleave(frames, dim=0)
        x, number, kept = sample.flatten(0, 1), 0, []
        while self.has(f"{UNET}.input_blocks.{number}.0.weight") or self._block(
            f"{UNET}.input_blocks.{number}"
        ):
            x = self.block(f"{UNET}.input_blocks.{number}", x, emb, context, frames)
            kept.append(x)
            number += 1
        x = self.block(f"{UNET}.middle_block", x, emb, context, frames)
        for number in range(len(kept)):
            x = torch.cat([x, kept.pop()], dim=1)
            x = self.block(f"{UNET}.output_blocks.{number}", x, emb, context, frames)
        x = self.conv(f"{UNET}.out.2", F.silu(self.group_norm(f"{UNET}.out.0", x, 1e-5)))
        return x.unflatten(0, (-1, frames))

    def _block(self, place: str) -> bool:
        return self.has(f"{place}.0.in_layers.0.weight") or self.has(f"{place}.0.op.weight")

    def block(self, place: str, x: Tensor, emb: Tensor, context: Tensor, frames: int) -> Tensor:
        """The layers of one block, each told by what it holds."""
        for slot in range(3):
            layer = f"{place}.{slot}"
            if self.has(f"{layer}.in_layers.0.weight"):
                x = self.video_residual(layer, x, emb, frames)
            elif self.has(f"{layer}.proj_in.weight"):
                x = self.video_transformer(layer, x, context, frames)
            elif self.has(f"{layer}.op.weight"):
                x = self.conv(f"{layer}.op", x, stride=2, padding=1)
            elif self.has(f"{layer}.conv.weight"):
                x = self.conv(f"{layer}.conv", F.interpolate(x, scale_factor=2.0))
            elif self.has(f"{layer}.weight"):
                x = self.conv(layer, x)
        return x

    # sgm.modules.diffusionmodules.model: Encoder, Decoder; sgm.modules.autoencoding.temporal_ae: VideoDecoder

    def encode(self, picture: Tensor) -> Tensor:
        """Mean and log variance (pictures, 2·latents, height, width) of pictures (pictures, 3, …)."""
        home = f"{COPY}.encoder"
        x, level = self.conv(f"{home}.conv_in", picture), 0
        while self.has(f"{home}.down.{level}.block.0.norm1.weight"):
            x = self._level(f"{home}.down.{level}", x, 0)
            if self.has(f"{home}.down.{level}.downsample.conv.weight"):
                x = self.conv(f"{home}.down.{level}.downsample.conv", F.pad(x, (0, 1, 0, 1)), 2, 0)
            level += 1
        return self.conv(f"{COPY}.quant_conv", self._ending(home, self._middle(home, x, 0)))

    def decode(self, latents: Tensor, frames: int = 0) -> Tensor:
        """Frames (batch·frames, 3, …) of latents; 0 frames is the decoder without time."""
        home = f"{FIRST_STAGE}.decoder"
        if not frames:
            latents = self.conv(f"{FIRST_STAGE}.post_quant_conv", latents)
        x = self._middle(home, self.conv(f"{home}.conv_in", latents), frames)
        levels = sum(self.has(f"{home}.up.{level}.block.0.norm1.weight") for level in range(9))
        for level in reversed(range(levels)):
            x = self._level(f"{home}.up.{level}", x, frames)
            if self.has(f"{home}.up.{level}.upsample.conv.weight"):
                x = self.conv(f"{home}.up.{level}.upsample.conv", F.interpolate(x, scale_factor=2.0))
        x = self._ending(home, x)
        if frames:
            x = out_of_time(self.conv(f"{home}.conv_out.time_mix_conv", in_time(x, frames)))
        return x

    def _level(self, place: str, x: Tensor, frames: int) -> Tensor:
        number = 0
        while self.has(f"{place}.block.{number}.norm1.weight"):
            x = self.vae_residual(f"{place}.block.{number}", x, frames)
            number += 1
        return x

    def _middle(self, home: str, x: Tensor, frames: int) -> Tensor:
        x = self.vae_residual(f"{home}.mid.block_1", x, frames)
        x = self.vae_attention(f"{home}.mid.attn_1", x)
        return self.vae_residual(f"{home}.mid.block_2", x, frames)

    def _ending(self, home: str, x: Tensor) -> Tensor:
        return self.conv(f"{home}.conv_out", F.silu(self.group_norm(f"{home}.norm_out", x, 1e-6)))

    def vae_residual(self, place: str, x: Tensor, frames: int) -> Tensor:
        h = self.conv(f"{place}.conv1", F.silu(self.group_norm(f"{place}.norm1", x, 1e-6)))
        h = self.conv(f"{place}.conv2", F.silu(self.group_norm(f"{place}.norm2", h, 1e-6)))
        x = h + (self.conv(f"{place}.nin_shortcut", x) if self.has(f"{place}.nin_shortcut.weight") else x)
        if not frames:
            return x
        spatial = in_time(x, frames)
        temporal = self.residual(f"{place}.time_stack", spatial, None)
        alpha = self.share(f"{place}.mix_factor")
        return out_of_time(alpha * temporal + (1 - alpha) * spatial)  # the other way round than in the UNet

    def vae_attention(self, place: str, x: Tensor) -> Tensor:
        normed = self.group_norm(f"{place}.norm", x, 1e-6)
        q, k, v = (self.conv(f"{place}.{name}", normed).flatten(2).transpose(1, 2) for name in "qkv")
        weights = torch.softmax(q @ k.transpose(1, 2) / math.sqrt(x.shape[1]), dim=-1)
        y = (weights @ v).transpose(1, 2).unflatten(2, x.shape[-2:])
        return x + self.conv(f"{place}.proj_out", y)

    # open_clip.transformer.VisionTransformer

    def clip(self, picture: Tensor, heads: int) -> Tensor:
        """Embeddings (pictures, width) of pictures (pictures, 3, 224, 224)."""
        home = f"{CLIP}.visual"
        patch = self.tensors[f"{home}.conv1.weight"].shape[-1]
        x = self.conv(f"{home}.conv1", picture, stride=patch, padding=0).flatten(2).transpose(1, 2)
        first = self.tensors[f"{home}.class_embedding"].expand(x.shape[0], 1, -1)
        x = torch.cat([first, x], dim=1) + self.tensors[f"{home}.positional_embedding"]
        x, number = self.layer_norm(f"{home}.ln_pre", x), 0
        while self.has(f"{home}.transformer.resblocks.{number}.ln_1.weight"):
            x = self.clip_block(f"{home}.transformer.resblocks.{number}", x, heads)
            number += 1
        return self.layer_norm(f"{home}.ln_post", x[:, 0]) @ self.tensors[f"{home}.proj"]

    def clip_block(self, place: str, x: Tensor, heads: int) -> Tensor:
        y = self.layer_norm(f"{place}.ln_1", x).transpose(0, 1)  # (tokens, pictures, width)
        attended, _ = F.multi_head_attention_forward(
            y,
            y,
            y,
            embed_dim_to_check=y.shape[-1],
            num_heads=heads,
            in_proj_weight=self.tensors[f"{place}.attn.in_proj_weight"],
            in_proj_bias=self.tensors[f"{place}.attn.in_proj_bias"],
            bias_k=None,
            bias_v=None,
            add_zero_attn=False,
            dropout_p=0.0,
            out_proj_weight=self.tensors[f"{place}.attn.out_proj.weight"],
            out_proj_bias=self.tensors[f"{place}.attn.out_proj.bias"],
            training=False,
            need_weights=False,
        )
        x = x + attended.transpose(0, 1)
        y = F.gelu(self.linear(f"{place}.mlp.c_fc", self.layer_norm(f"{place}.ln_2", x)))
        return x + self.linear(f"{place}.mlp.c_proj", y)


def sinusoids(when: Tensor, width: int) -> Tensor:
    """Cosines, then sines, of `width`/2 frequencies from 1 down to 1/10000."""
    frequencies = torch.exp(-math.log(10000) * torch.arange(width // 2) / (width // 2))
    angles = when.float()[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=1)


def in_time(x: Tensor, frames: int) -> Tensor:
    """(batch·frames, channels, height, width) → (batch, channels, frames, height, width)."""
    return x.unflatten(0, (-1, frames)).transpose(1, 2)


def out_of_time(x: Tensor) -> Tensor:
    """(batch, channels, frames, height, width) → (batch·frames, channels, height, width)."""
    return x.transpose(1, 2).flatten(0, 1)
