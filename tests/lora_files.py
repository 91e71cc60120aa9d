"""LoRA files with random factors for a UNet's layers, named as each trainer names them, and what they add."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn

from svdlab.engine.loading import open_weights
from svdlab.engine.original_names import SOURCES
from svdlab.weights.catalogue import Catalogue

RANK, ALPHA = 4, 6.0
Factors = dict[str, tuple[torch.Tensor, torch.Tensor]]  # layer → down and up


def factors(unet: nn.Module, wanted: Callable[[str], bool], seed: int = 0, rank: int = RANK) -> Factors:
    """Down and up for each layer whose name is wanted, large enough to show."""
    rng = torch.Generator().manual_seed(seed)
    found: Factors = {}
    for name, module in unet.named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.Conv3d) and wanted(name):
            shape = module.weight.shape
            down = torch.randn(rank, *shape[1:], generator=rng) / shape[1:].numel() ** 0.5
            up = torch.randn(shape[0], rank, *(1 for _ in shape[2:]), generator=rng) / rank**0.5
            found[name] = (down, up)
    assert found
    return found


def _processor(name: str) -> str:
    attention, layer = name.removesuffix(".0").rsplit(".", 1)
    return f"{attention}.processor.{layer}_lora"


def _stability(name: str, config: Mapping[str, Any]) -> str:
    source = SOURCES["unet"](f"{name}.weight", config)[0]
    return source.removeprefix("model.diffusion_model.").removesuffix(".weight")


NAMES: dict[str, Callable[[str, Mapping[str, Any]], tuple[str, str, str | None]]] = {
    "PEFT": lambda n, _: (f"unet.{n}.lora_A.weight", f"unet.{n}.lora_B.weight", None),
    "PEFT's own": lambda n, _: (
        f"base_model.model.{n}.lora_A.default.weight",
        f"base_model.model.{n}.lora_B.default.weight",
        None,
    ),
    "diffusers": lambda n, _: (f"unet.{n}.lora.down.weight", f"unet.{n}.lora.up.weight", None),
    "diffusers, with alpha": lambda n, _: (f"{n}.lora_down.weight", f"{n}.lora_up.weight", f"{n}.alpha"),
    "kohya": lambda n, _: _kohya(n),
    "kohya, Stability's names": lambda n, config: _kohya(_stability(n, config)),
    "ComfyUI": lambda n, config: (
        f"diffusion_model.{_stability(n, config)}.lora_down.weight",
        f"diffusion_model.{_stability(n, config)}.lora_up.weight",
        None,
    ),
    "processors": lambda n, _: (f"{_processor(n)}.down.weight", f"{_processor(n)}.up.weight", None),
}


def _kohya(name: str) -> tuple[str, str, str]:
    flat = "lora_unet_" + name.replace(".", "_")
    return f"{flat}.lora_down.weight", f"{flat}.lora_up.weight", f"{flat}.alpha"


def save(
    path: Path,
    made: Factors,
    how: str = "PEFT",
    config: Mapping[str, Any] | None = None,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """A file of those factors, named as `how` says."""
    tensors: dict[str, torch.Tensor] = {}
    for layer, (down, up) in made.items():
        first, second, alpha = NAMES[how](layer, config or {})
        tensors |= {first: down.contiguous(), second: up.contiguous()}
        if alpha is not None:
            tensors[alpha] = torch.tensor(ALPHA)
    safetensors.torch.save_file(tensors, path, dict(metadata or {}))
    return path


def demo_lora(path: Path, layer: str, how: str = "PEFT", checkpoint: str = "demo-1-1") -> Path:
    """A LoRA file for the layers of a demo checkpoint's UNet whose names end so."""
    unet = open_weights(Catalogue().get(checkpoint)).load("unet", torch.float32)
    return save(path, factors(unet, lambda name: name.endswith(layer)), how)


def scale_of(how: str) -> float:
    """What the product of the factors is multiplied by at strength 1, named as `how` says."""
    return ALPHA / RANK if NAMES[how]("mid_block.attentions.0.proj_in", {"layers_per_block": 1})[2] else 1.0
