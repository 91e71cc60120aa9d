"""Trained parts → the two checkpoints in diffusers layout, fp16, with the preview matrix and a card each."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import torch
from diffusers import (
    AutoencoderKLTemporalDecoder,
    EulerDiscreteScheduler,
    StableVideoDiffusionPipeline,
    UNetSpatioTemporalConditionModel,
)
from torch.nn import functional as F
from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

from training import pool
from training.codec import LATENTS, MOTION, PATCH, Codec
from training.courses import known_codec
from training.unet import PROJECTION

SIGMA_MIN, SIGMA_MAX = 0.1, 160.0  # of the noise levels trained at; sampling ends with the last predicted x0


def scheduler() -> EulerDiscreteScheduler:
    """Stability's configuration but for the range of noise levels."""
    return EulerDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        timestep_type="continuous",
        timestep_spacing="leading",
        steps_offset=1,
        use_karras_sigmas=True,
        sigma_min=SIGMA_MIN,
        sigma_max=SIGMA_MAX,
    )


def image_encoder() -> CLIPVisionModelWithProjection:
    """A CLIP tower whose projection is zero: the picture reaches this small network through its latents alone."""
    torch.manual_seed(7)
    config = CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=32,
        projection_dim=PROJECTION,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=224,
        patch_size=16,
    )
    model = CLIPVisionModelWithProjection(config)
    torch.nn.init.zeros_(model.visual_projection.weight)
    return model


def preview_matrix(codec: Codec, pictures: np.ndarray) -> dict[str, list]:
    """Least squares from scaled latents to the mean colour of their patch, over drawn pictures (n, h, w, 3) uint8."""
    colours = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
    latents = codec.encode(colours * 2 - 1) * codec.scaling
    x = latents.permute(0, 2, 3, 1).reshape(-1, LATENTS)
    y = F.avg_pool2d(colours, PATCH).permute(0, 2, 3, 1).reshape(-1, 3)
    found = torch.linalg.lstsq(torch.cat([x, torch.ones(len(x), 1)], dim=1), y).solution
    rows = [[round(float(v), 5) for v in row] for row in found]
    return {"weight": rows[:-1] + [[0.0] * 3] * MOTION, "bias": rows[-1]}


def best_of(work: Path, name: str) -> Path:
    """The folder of a stage's best weights; says what to run when there are none."""
    folder = work / name / "best"
    if not folder.is_dir():
        raise SystemExit(f"there is no trained {name} in {work}; run scripts/train_demo first")
    return folder


def export(work: Path, name: str, folder: Path, card: str) -> None:
    """Writes the best of `work/vae` and `work/<name>` to `folder`, replacing it whole.

    The UNet and the autoencoder are stored as float16; diffusers loads them as float32 unless told otherwise. The image
    encoder is stored as float32, because transformers loads it as it is stored: so all parts agree by default.
    """
    codec = known_codec(work)
    vae = AutoencoderKLTemporalDecoder.from_pretrained(best_of(work, "vae"))
    vae.register_to_config(scaling_factor=codec.scaling)
    pipe = StableVideoDiffusionPipeline(
        vae=vae.to(torch.float16),
        image_encoder=image_encoder(),
        unet=UNetSpatioTemporalConditionModel.from_pretrained(best_of(work, name)).to(torch.float16),
        scheduler=scheduler(),
        feature_extractor=CLIPImageProcessor(size=224, crop_size=224),
    )
    temporary = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(temporary, ignore_errors=True)
    pipe.save_pretrained(temporary)
    for config in temporary.glob("*/config.json"):
        said = json.loads(config.read_text(encoding="utf-8"))
        said.pop("_name_or_path", None)  # where it was trained is of no use to anybody
        config.write_text(json.dumps(said, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    matrix = preview_matrix(codec, pool.draw(0, 24))
    (temporary / "latent_rgb.json").write_text(json.dumps(matrix, indent=1) + "\n", encoding="utf-8")
    (temporary / "README.md").write_text(card, encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)
