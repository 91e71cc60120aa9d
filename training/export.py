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

from training.pictures import PictureMaker
from training.runs import load_state, save_state
from training.unet import PROJECTION, unet_trainer
from training.vae import LATENTS, MOTION, PATCH, encode_linearly, patches_of, vae_trainer

SIGMA_MIN, SIGMA_MAX = (
    0.1,
    160.0,
)  # the noise levels it was trained between; sampling ends with the last predicted x0


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


def preview_matrix(patches: torch.Tensor, scaling: float) -> dict[str, list]:
    """Least squares from scaled latents to the mean colour of their patch, over made-up pictures."""
    maker = PictureMaker(np.random.default_rng(0))
    pictures = torch.from_numpy(np.stack([maker() for _ in range(24)])).permute(0, 3, 1, 2)
    latents = encode_linearly(pictures * 2 - 1, patches) * scaling
    x = latents.permute(0, 2, 3, 1).reshape(-1, LATENTS)
    y = F.avg_pool2d(pictures, PATCH).permute(0, 2, 3, 1).reshape(-1, 3)
    found = torch.linalg.lstsq(torch.cat([x, torch.ones(len(x), 1)], dim=1), y).solution
    rows = [[round(float(v), 5) for v in row] for row in found]
    return {"weight": rows[:-1] + [[0.0] * 3] * MOTION, "bias": rows[-1]}


def export(work: Path, name: str, folder: Path, card: str) -> None:
    """Writes `work/vae` and `work/<name>` to `folder`, replacing it whole."""
    vae_state, state = load_state(work / "vae"), load_state(work / name)
    if vae_state is None or state is None:
        raise SystemExit(f"{work} holds no trained vae and {name}")
    vae = AutoencoderKLTemporalDecoder.from_pretrained(work / "vae")
    vae.register_to_config(scaling_factor=vae_state["scaling"])
    pipe = StableVideoDiffusionPipeline(
        vae=vae,
        image_encoder=image_encoder(),
        unet=UNetSpatioTemporalConditionModel.from_pretrained(work / name),
        scheduler=scheduler(),
        feature_extractor=CLIPImageProcessor(size=224, crop_size=224),
    )
    for part in (pipe.vae, pipe.unet, pipe.image_encoder):
        part.to(torch.float16)
    temporary = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(temporary, ignore_errors=True)
    pipe.save_pretrained(temporary)
    for config in temporary.glob("*/config.json"):
        said = json.loads(config.read_text(encoding="utf-8"))
        said.pop("_name_or_path", None)  # where it was trained is of no use to anybody
        config.write_text(json.dumps(said, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    matrix = preview_matrix(vae_state["patches"], vae_state["scaling"])
    (temporary / "latent_rgb.json").write_text(json.dumps(matrix, indent=1) + "\n", encoding="utf-8")
    (temporary / "README.md").write_text(card, encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)


def adopt(folder: Path, work: Path, name: str) -> None:
    """The reverse: makes an exported checkpoint the state that training goes on from, with fresh momentum."""
    vae = AutoencoderKLTemporalDecoder.from_pretrained(folder / "vae", dtype=torch.float32)
    unet = UNetSpatioTemporalConditionModel.from_pretrained(folder / "unet", dtype=torch.float32)
    scaling = float(vae.config.scaling_factor)
    save_state(
        work / "vae", vae, trainer=vae_trainer(vae).state_dict(), patches=patches_of(vae), scaling=scaling
    )
    save_state(work / name, unet, trainer=unet_trainer(unet).state_dict())
