"""What a LoRA file holds, told by the names and shapes of its tensors: which layers it changes, and by what.

Knows the ways in which trainers name them (PEFT, diffusers old and new, kohya); no number is read, and which layers a
model has is the engine's to know. A layer is named flat, with `_` between its parts, since kohya's names have nothing
else. What is no plain LoRA (LoHa, LoKr, DoRA, one for a text encoder) is refused by what it is.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from svdlab.errors import BadCheckpoint
from svdlab.weights.safetensors import Header, read_header
from svdlab.words import counted

MOST_TENSORS = 20_000  # of a LoRA on every layer of SVD: about 3,600
MOST_RANK = 4096
NUMBERS = ("F32", "F16", "BF16")

Role = Literal["down", "up", "alpha"]

PREFIX = re.compile(r"^(?:base_model\.model\.|model\.diffusion_model\.|diffusion_model\.|unet\.)+")
ROLES: tuple[tuple[re.Pattern[str], Role], ...] = (
    (re.compile(r"\.(?:lora_A(?:\.[\w-]+)?|lora_down|lora\.down|lora_linear_layer\.down)\.weight$"), "down"),
    (re.compile(r"\.(?:lora_B(?:\.[\w-]+)?|lora_up|lora\.up|lora_linear_layer\.up)\.weight$"), "up"),
    (re.compile(r"\.alpha$"), "alpha"),
)
PROCESSOR = re.compile(
    r"\.processor\.(to_q|to_k|to_v|to_out)_lora\.(down|up)\.weight$"
)  # diffusers before 0.17
KOHYA = "lora_unet_"

# Part of a tensor's name → what such files are.
OTHERS: tuple[tuple[str, str], ...] = (
    (r"\.hada_|\.lokr_|\.oft_|\.glora|\.b1\.weight$", "a LyCORIS of another kind (LoHa, LoKr …)"),
    (r"dora_scale|lora_magnitude_vector", "a DoRA, which also scales the layers"),
    (r"\.lora_mid\.", "a LoRA of three factors (CP), which is not read"),
    (r"^lora_te\d?_|^text_encoder", "a LoRA for a text encoder, and Stable Video Diffusion has none"),
    (r"\.diff(_b)?$", "whole changes of layers, not a LoRA"),
)


@dataclass(frozen=True)
class LayerChange:
    """A layer's change: the tensors `up`·`down`, times `scale`, or times the tensor `alpha` by the rank."""

    layer: str  # flat
    down: str  # (rank, in, …)
    up: str  # (out, rank, …)
    rank: int
    alpha: str | None
    scale: float


def recognise_lora(header: Header, name: str) -> tuple[LayerChange, ...]:
    """The layers that a file changes, by name. Raises `BadCheckpoint` with `name` and the defect if it is no LoRA."""
    if not header.tensors:
        raise BadCheckpoint(f"{name} is no LoRA: it holds no tensors")
    if len(header.tensors) > MOST_TENSORS:
        raise BadCheckpoint(f"{name} is no LoRA: it has {counted(len(header.tensors), 'tensor')}")
    for pattern, what in OTHERS:
        if any(re.search(pattern, key) for key in header.tensors):
            raise BadCheckpoint(f"{name} cannot be used: it holds {what}")
    layers: dict[str, dict[Role, str]] = {}
    for key in header.tensors:
        place = _place(key)
        if place is None:
            raise BadCheckpoint(
                f"{name} is no LoRA: it has {key[:120]}, which is no factor of a layer's change"
            )
        layer, role = place
        if role in layers.setdefault(layer, {}):
            raise BadCheckpoint(f"{name} is broken: it changes {layer[:120]} twice")
        layers[layer][role] = key
    scales = _scales(header, name)
    return tuple(_change(layer, found, header, name, scales) for layer, found in sorted(layers.items()))


def read_lora(path: Path) -> tuple[LayerChange, ...]:
    """The same of a file. Raises `BadCheckpoint`."""
    return recognise_lora(read_header(path), path.name)


def _place(key: str) -> tuple[str, Role] | None:
    """A tensor's layer and role; None if it has none."""
    bare = PREFIX.sub("", key)
    old = PROCESSOR.search(bare)
    if old:
        layer = "to_out.0" if old[1] == "to_out" else old[1]
        return _flat(f"{bare[: old.start()]}.{layer}"), "down" if old[2] == "down" else "up"
    for pattern, role in ROLES:
        found = pattern.search(bare)
        if found:
            return _flat(bare[: found.start()].removeprefix(KOHYA)), role
    return None


def _flat(layer: str) -> str:
    return layer.replace(".", "_")


def _change(layer: str, found: Mapping[Role, str], header: Header, name: str, scales: _Scales) -> LayerChange:
    for role, called in (("down", "first"), ("up", "second")):
        if role not in found:
            raise BadCheckpoint(f"{name} is not whole: it lacks the {called} factor of {layer[:120]}")
    down, up = (header.tensors[found[role]] for role in ("down", "up"))
    for role in found:
        info = header.tensors[found[role]]
        if info.dtype not in NUMBERS:
            raise BadCheckpoint(
                f"{found[role][:120]} in {name} is stored as {info.dtype}; {', '.join(NUMBERS)} are read"
            )
    fits = len(down.shape) >= 2 <= len(up.shape) and up.shape[1] == down.shape[0] and set(up.shape[2:]) <= {1}
    if not fits or not 1 <= down.shape[0] <= MOST_RANK:
        shapes = f"{list(down.shape)} and {list(up.shape)}"
        raise BadCheckpoint(f"{name} is broken: the factors of {layer[:120]} have the shapes {shapes}")
    alpha = found.get("alpha")
    if alpha is not None and math.prod(header.tensors[alpha].shape) != 1:
        raise BadCheckpoint(f"{name} is broken: {alpha[:120]} is not one number")
    rank = down.shape[0]
    return LayerChange(layer, found["down"], found["up"], rank, alpha, scales.of(layer, rank))


@dataclass(frozen=True)
class _Scales:
    """What diffusers notes beside the tensors: the alpha of all layers, and those of some."""

    alpha: float | None = None
    of_layers: tuple[tuple[str, float], ...] = ()

    def of(self, layer: str, rank: int) -> float:
        for own, alpha in self.of_layers:
            if layer == own or layer.endswith(f"_{own}"):
                return alpha / rank
        return 1.0 if self.alpha is None else self.alpha / rank


def _scales(header: Header, name: str) -> _Scales:
    """From `lora_adapter_metadata`. Raises `BadCheckpoint` on one that is not understood."""
    text = header.metadata.get("lora_adapter_metadata")
    if text is None:
        return _Scales()
    try:
        noted = json.loads(text)
        noted = {PREFIX.sub("", key): value for key, value in noted.items()}
        if noted.get("use_dora") or noted.get("use_rslora"):
            raise BadCheckpoint(
                f"{name} cannot be used: it is a LoRA of a kind that is not read (DoRA or rsLoRA)"
            )
        alpha = noted.get("lora_alpha")
        return _Scales(
            None if alpha is None else _number(alpha),
            tuple(_patterns(noted.get("alpha_pattern") or {})),
        )
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise BadCheckpoint(f"{name} has scales beside its tensors that are not understood") from error


def _patterns(found: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for layer, alpha in found.items():
        yield _flat(layer), _number(alpha)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not math.isfinite(float(value)):
        raise ValueError("not a number")
    return float(value)
