"""Tiny pipelines from diffusers' and transformers' real classes, with random weights, for layouts the
embedded demo pair does not have."""

from __future__ import annotations

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderKLTemporalDecoder,
    EulerDiscreteScheduler,
    StableVideoDiffusionPipeline,
    UNetSpatioTemporalConditionModel,
)
from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection


def scheduler() -> EulerDiscreteScheduler:
    """Stability's own configuration."""
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


def pipeline(image_decoder: bool = False, seed: int = 0) -> StableVideoDiffusionPipeline:
    """Two VAE levels (2 pixels per latent), two UNet levels: sizes are multiples of 4 pixels."""
    torch.manual_seed(seed)
    unet = UNetSpatioTemporalConditionModel(
        in_channels=8,
        out_channels=4,
        block_out_channels=(32, 64),
        down_block_types=("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
        up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
        addition_time_embed_dim=32,
        projection_class_embeddings_input_dim=96,
        layers_per_block=1,
        cross_attention_dim=32,
        num_attention_heads=(2, 4),
        num_frames=6,
        sample_size=16,
    )
    shared = {
        "block_out_channels": (32, 64),
        "layers_per_block": 1,
        "latent_channels": 4,
        "scaling_factor": 0.18215,
    }
    vae = (
        AutoencoderKL(
            **shared,
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
        )
        if image_decoder
        else AutoencoderKLTemporalDecoder(**shared, down_block_types=("DownEncoderBlock2D",) * 2)
    )
    clip = CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            hidden_size=32,
            intermediate_size=64,
            projection_dim=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            image_size=224,
            patch_size=32,
        )
    )
    pipe = StableVideoDiffusionPipeline(
        vae=vae.eval(),
        image_encoder=clip.eval(),
        unet=unet.eval(),
        scheduler=scheduler(),
        feature_extractor=CLIPImageProcessor(crop_size=224, size=224),
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe
