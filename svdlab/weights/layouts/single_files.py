"""What single files of weights hold, told by the names and shapes of their tensors."""

from __future__ import annotations

import re

from svdlab.recipes.checkpoint import Decoder
from svdlab.weights.layouts.folders import Layout
from svdlab.weights.safetensors import Header

UNET = "model.diffusion_model."


def original_layout(header: Header) -> Layout | None:
    """What the tensors' names and shapes of an original-layout file say; None if it is not Stable Video Diffusion."""
    tensors = header.tensors
    first = tensors.get(UNET + "input_blocks.0.0.weight")
    latents = tensors.get("first_stage_model.decoder.conv_in.weight")
    temporal = any(".time_stack." in name for name in tensors)
    if first is None or latents is None or not temporal or len(first.shape) != 4:
        return None
    if first.shape[1] != 2 * latents.shape[1]:
        return None
    vae_levels = len(
        {name.split(".")[3] for name in tensors if name.startswith("first_stage_model.decoder.up.")}
    )
    halvings = sum(
        1
        for name in tensors
        if re.fullmatch(r"model\.diffusion_model\.input_blocks\.\d+\.0\.op\.weight", name)
    )
    scale = 2 ** (vae_levels - 1)
    return Layout(
        size_step=scale * 2**halvings,
        native_frames=25,
        latent_channels=int(latents.shape[1]),
        vae_scale=scale,
    )


def decoder_of(header: Header) -> Decoder:
    """Which decoder an original-layout file carries."""
    return "temporal" if "first_stage_model.decoder.mid.block_1.mix_factor" in header.tensors else "image"


def looks_like(header: Header) -> str:
    names = header.tensors
    if any("motion_modules" in name for name in names):
        return "it looks like an AnimateDiff motion module"
    if any("lora" in name for name in names):
        return "it looks like a LoRA"
    if any(name.startswith("conditioner.embedders.1.") for name in names):
        return "it looks like SDXL"
    if any(name.startswith("cond_stage_model.") for name in names):
        return "it looks like Stable Diffusion 1 or 2"
    return f"it has {len(names)} tensors, but none of the temporal layers"
