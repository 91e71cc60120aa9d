"""LoRA files → changes of a UNet's weights, added once when it is loaded.

A UNet with LoRAs is a component of its own: the weights without are never touched, so taking a LoRA off leaves nothing
behind, and whatever is done with weights (kept elsewhere, streamed, compiled) is done with these as with any.

Knows the UNet's layers and tensors; which files there are is `svdlab.weights.loras`'.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import safetensors
import torch
from diffusers import UNetSpatioTemporalConditionModel
from torch import nn

from svdlab.engine.original_names import SOURCES
from svdlab.engine.single_file import too_large
from svdlab.errors import BadCheckpoint
from svdlab.recipes.loras import AddedLora
from svdlab.weights.layouts.loras import LayerChange, read_lora
from svdlab.weights.layouts.single_files import UNET
from svdlab.words import counted

LAYERS = (nn.Linear, nn.Conv2d, nn.Conv3d)
Place = tuple[str, torch.Tensor]  # a layer's name and its weight


@torch.no_grad()
def add_to(unet: UNetSpatioTemporalConditionModel, loras: Sequence[AddedLora], model: str) -> None:
    """Adds LoRAs to the weights of a UNet that was just loaded, summed in float32 and rounded once.

    `model` is what it is called. All files are looked at before any weight changes. Raises `BadCheckpoint` if one is
    for another model or broken: then the UNet is not to be used.
    """
    layers = layers_of(unet)
    weights = dict(layers.values())
    plan: dict[str, list[tuple[AddedLora, LayerChange]]] = {}
    for lora in loras:
        for change, name in _plan(lora, layers, model):
            plan.setdefault(name, []).append((lora, change))
    with ExitStack() as opened:
        files = {lora: opened.enter_context(_open(lora)) for lora in loras}
        for name, changes in plan.items():
            own = weights[name]
            weight = own.float()
            for lora, change in changes:
                product = _product(files[lora], change, Path(lora.file.path).name)
                weight = weight + lora.strength * product.view(weight.shape)
            narrowed = weight.to(own.dtype)
            if not narrowed.isfinite().all():
                names = " and ".join(Path(lora.file.path).name for lora, _ in changes)
                raise BadCheckpoint(too_large(f"{name} with its changes", names))
            own.copy_(narrowed)


def _open(lora: AddedLora) -> Any:
    path = Path(lora.file.path)
    try:
        return safetensors.safe_open(path, framework="pt")
    except (OSError, safetensors.SafetensorError) as error:
        raise BadCheckpoint(f"{path.name} cannot be read: {str(error).splitlines()[0][:200]}") from error


def layers_of(unet: UNetSpatioTemporalConditionModel) -> dict[str, Place]:
    """Flat name → layer: under diffusers' names and under Stability's."""
    found: dict[str, Place] = {}
    for name, module in unet.named_modules():
        if isinstance(module, LAYERS):
            source, _ = SOURCES["unet"](f"{name}.weight", unet.config)
            for called in (source.removeprefix(UNET).removesuffix(".weight"), name):
                found[called.replace(".", "_")] = (name, module.weight)
    return found


def _plan(lora: AddedLora, layers: dict[str, Place], model: str) -> list[tuple[LayerChange, str]]:
    """A file's changes with the names of the layers they are for."""
    path = Path(lora.file.path)
    changes = read_lora(path)
    strange = [change.layer for change in changes if change.layer not in layers]
    if strange:
        how_many = "none" if len(strange) == len(changes) else f"{len(changes) - len(strange)}"
        raise BadCheckpoint(
            f"{path.name} is a LoRA for another model: {how_many} of the {counted(len(changes), 'layer')} it changes "
            f"{'is' if how_many in ('none', '1') else 'are'} in the UNet of {model}, which has no {strange[0][:120]}"
        )
    with _open(lora) as file:
        for change in changes:
            _check_shapes(file, change, layers[change.layer], path.name, model)
    return [(change, layers[change.layer][0]) for change in changes]


def _check_shapes(file: Any, change: LayerChange, place: Place, name: str, model: str) -> None:
    layer, weight = place
    down, up = (tuple(file.get_slice(key).get_shape()) for key in (change.down, change.up))
    # A linear layer's factors may be stored as those of a 1×1 convolution, and the other way round.
    inner = down[1:] + (1,) * (weight.ndim - len(down))
    fits = inner[: weight.ndim - 1] == tuple(weight.shape[1:]) and set(inner[weight.ndim - 1 :]) <= {1}
    if up[0] != weight.shape[0] or not fits:
        raise BadCheckpoint(
            f"{name} is a LoRA for another model: it changes {[up[0], *down[1:]]} values of {layer}, "
            f"which has {list(weight.shape)} in {model}"
        )


def _product(file: Any, change: LayerChange, name: str) -> torch.Tensor:
    """up·down with its scale, (out, in·…), float32."""
    down, up = (file.get_tensor(key).float().flatten(1) for key in (change.down, change.up))
    scale = change.scale
    if change.alpha is not None:
        scale = float(file.get_tensor(change.alpha)) / change.rank
    for key, tensor in ((change.down, down), (change.up, up)):
        if not tensor.isfinite().all():
            raise BadCheckpoint(f"{key[:120]} in {name} holds numbers that are not finite")
    if not math.isfinite(scale):
        raise BadCheckpoint(f"{change.alpha} in {name} is not a finite number")
    return scale * (up @ down)
