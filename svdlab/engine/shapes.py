"""Networks with shapes and no numbers, for asking what they do without doing it.

They are built on PyTorch's meta device from a network's configuration, in a moment and in no memory. Knows diffusers'
and transformers' classes; nothing of what is asked, of devices, checkpoints or runs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import torch
from diffusers import AutoencoderKL, AutoencoderKLTemporalDecoder, UNetSpatioTemporalConditionModel

Autoencoder = AutoencoderKL | AutoencoderKLTemporalDecoder
CLASSES = {one.__name__: one for one in (UNetSpatioTemporalConditionModel, *Autoencoder.__args__)}


def config_of(network: Any) -> str:
    """What a network of diffusers' is built from, its class's name with it, as one line of text."""
    return written(type(network).__name__, network.config)


def written(name: str, config: Mapping[str, Any]) -> str:
    """The same of a class by name and its configuration."""
    known = {key: value for key, value in config.items() if not key.startswith("_")}
    return json.dumps({**known, "_class_name": name}, sort_keys=True, default=str)


# Stability's released models: one shape, whatever the version and however many frames.
OFFICIAL_UNET = written(  # what is not named is diffusers' own default
    "UNetSpatioTemporalConditionModel", {"block_out_channels": (320, 640, 1280, 1280)}
)
OFFICIAL_VAE = written(
    "AutoencoderKLTemporalDecoder",
    {
        "block_out_channels": (128, 256, 512, 512),
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "layers_per_block": 2,
        "force_upcast": True,
    },
)
OFFICIAL_NUMBERS = {"unet": 1_524_623_082, "vae": 97_742_847, "image_encoder": 632_076_800}


@lru_cache(maxsize=4)
def without_numbers(config: str, dtype: torch.dtype) -> Any:
    """The network of that configuration on the meta device; the same object each time it is asked for."""
    content = json.loads(config)
    with torch.device("meta"):
        network = CLASSES[content["_class_name"]].from_config(content).eval().requires_grad_(False)
    torch.nn.Module.to(network, "meta", dtype)  # some parameters are made on the CPU whatever is asked
    return network
