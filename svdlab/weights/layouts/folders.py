"""A folder in diffusers layout: which files are loaded from it, and what its own configuration says.

Knows names of files and plain configuration; no tensor and no network. The hub's cache holds such folders, too.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from svdlab.errors import BadCheckpoint
from svdlab.recipes.checkpoint import Source

INDEX = "model_index.json"
CONFIGS = (
    "feature_extractor/preprocessor_config.json",
    "image_encoder/config.json",
    "scheduler/scheduler_config.json",
    "unet/config.json",
    "vae/config.json",
)
STEMS = {"unet": "diffusion_pytorch_model", "image_encoder": "model", "vae": "diffusion_pytorch_model"}


@dataclass(frozen=True)
class Layout:
    """What a diffusers folder's own configuration says, read without loading any weights."""

    size_step: int
    native_frames: int
    latent_channels: int
    vae_scale: int  # pixels per latent
    embedding: int = 1024  # values of a picture's embedding
    sample: tuple[int, int] = (96, 96)  # latents, columns and rows, the UNet is configured for


def read_layout(folder: Path) -> Layout:
    """Reads `unet/config.json` and `vae/config.json`. Raises `BadCheckpoint`."""
    try:
        unet = json.loads((folder / "unet" / "config.json").read_text(encoding="utf-8"))
        vae = json.loads((folder / "vae" / "config.json").read_text(encoding="utf-8"))
        vae_scale = 2 ** (len(vae["block_out_channels"]) - 1)
        levels = len(unet["block_out_channels"])
        sample = unet.get("sample_size") or 96
        rows, columns = (sample, sample) if isinstance(sample, int) else sample
        return Layout(
            size_step=vae_scale * 2 ** (levels - 1),
            native_frames=int(unet["num_frames"]),
            latent_channels=int(unet["out_channels"]),
            vae_scale=vae_scale,
            embedding=int(unet.get("cross_attention_dim") or 1024),
            sample=(int(columns), int(rows)),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadCheckpoint(f"{folder} is not a Stable Video Diffusion folder: {error}") from error


def weight_name(stem: str, variant: str | None) -> str:
    """The file name diffusers and transformers give weights of a variant."""
    return f"{stem}.{variant}.safetensors" if variant else f"{stem}.safetensors"


def weights_names(part: str, source: Source) -> list[str]:
    """Where in such a folder a component's weights may be, the wanted place first."""
    if part == "vae" and source.image_decoder_file:
        return [source.image_decoder_file]
    variants = dict.fromkeys((source.variant, None, "fp16"))
    return [f"{part}/{weight_name(STEMS[part], variant)}" for variant in variants]


def weights_file(folder: Path, part: str, source: Source) -> Path | None:
    """The file a component is loaded from; None if there is none."""
    return next((folder / name for name in weights_names(part, source) if (folder / name).is_file()), None)


def lacking(folder: Path, source: Source) -> str | None:
    """The first file that is loaded and is not there; None for a whole folder. A link to nothing is not there."""
    for name in (INDEX, *CONFIGS):
        if not (folder / name).is_file():
            return name
    for part in STEMS:
        if weights_file(folder, part, source) is None:
            return weights_names(part, source)[0]
    return None


def bytes_below(folder: Path) -> int:
    """Bytes of all files below a folder (links followed, as the hub's cache uses them)."""
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
