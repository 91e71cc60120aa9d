"""What a node is for, told by the names of its inputs, since a dozen packs have a sampler, a loader and a saver each.

Knows names of inputs; nothing of knobs or sentences.
"""

from __future__ import annotations

from typing import Any

from svdlab.exchange.comfyui.graph import REROUTES, Graph, Link, Node, is_number

CONDITIONING = "SVD_img2vid_Conditioning"
CUSTOM = ("SamplerCustom", "SamplerCustomAdvanced")
FILES = (
    "ckpt_name",
    "ckpt",
    "checkpoint",
    "checkpoint_name",
    "unet_name",
    "model_name",
    "model_path",
    "model",
)
LATENTS = ("latent_image", "latent", "latents", "samples", "pipe", "basic_pipe")
SEEDS = ("noise_seed", "seed")
STEPS = ("steps", "num_steps", "num_inference_steps")
CFG = ("cfg", "cfg_scale", "guidance_scale")
FRAMES = ("video_frames", "num_frames", "frames")
BUCKETS = ("motion_bucket_id", "motion_bucket")
RATES = ("frame_rate", "fps", "framerate")
BETWEEN = ("multiplier", "interpolation_factor", "interpolation_multiplier", "multi")  # frames made of each
SKIPPED = ("select_every_nth",)
MADE_OF = ("images", "image", "frames", "video", "samples", "input")
QUIET = (
    *("SaveVideo", "SaveImage", "PreviewImage", "Note", "MarkdownNote", "PreviewAny", "Label (rgthree)"),
    *("Bookmark (rgthree)", "Fast Groups Bypasser (rgthree)", "Fast Groups Muter (rgthree)", *REROUTES),
    *("Fast Bypasser (rgthree)", "Fast Muter (rgthree)", "Anything Everywhere", "Anything Everywhere?"),
    *("Anything Everywhere3", "Prompts Everywhere", "Seed Everywhere"),
)


def conditions(node: Node) -> bool:
    """Whether it makes Stable Video Diffusion's conditioning."""
    known = node.type == CONDITIONING or bool(node.first(*BUCKETS) and node.first(*FRAMES))
    return known and not node.bypassed


def samples(node: Node) -> bool:
    """Whether it denoises latents."""
    if node.bypassed or not _taken(node) & {*LATENTS}:
        return False
    if node.type in CUSTOM or node.has("guider", "sigmas"):
        return True
    return sum(node.first(*names) is not None for names in (SEEDS, STEPS, CFG)) >= 2  # one may be cut off


def decodes(node: Node) -> bool:
    """Whether it turns latents into pictures."""
    return {"samples", "vae"} <= _taken(node) and node.first(*SEEDS) is None and not node.bypassed


def _taken(node: Node) -> set[str]:
    """The names of all it can be given, linked or not."""
    return {*node.inputs, *(name for name, _ in node.sockets)}


def loads(node: Node) -> bool:
    """Whether it loads a checkpoint."""
    return file_input(node) is not None and node.first("model", "samples", "frames", "image", *SEEDS) in (
        None,
        "model",
    )


def file_input(node: Node) -> str | None:
    """The input that names a checkpoint's file."""
    for name in FILES:
        value = node.inputs.get(name)
        if name != "model" and value is not None:
            return name
        if isinstance(value, str):
            return name
    return None


def guides(node: Node) -> bool:
    """Whether it lets guidance grow from frame to frame."""
    return "min_cfg" in node.inputs and "motion_bucket_id" not in node.inputs and node.first(*SEEDS) is None


def saves(node: Node) -> bool:
    """Whether it writes a clip, or makes one that is written as it is."""
    linked = any(isinstance(node.inputs.get(name), Link) for name in MADE_OF)
    return linked and node.first(*RATES) is not None and not node.bypassed and not conditions(node)


def frames_made(graph: Graph, node: Node) -> float | None:
    """How many frames a node makes of each that it is given; None if that cannot be read."""
    many, few = node.first(*BETWEEN), node.first(*SKIPPED)
    if node.inputs.get("enable_interpolation") is False:
        return 1.0
    if many is None and few is None:
        return None if node.type.endswith("VFI") else 1.0
    value: Any = graph.source(node.inputs[many or few or ""], "value")
    if not is_number(value) or not 0 < value <= 1000:
        return None
    return float(value) if many else 1.0 / float(value)
