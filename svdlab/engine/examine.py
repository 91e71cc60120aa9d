"""Checks weights, compares them, writes them as diffusers folders. Knows loading; nothing of sampling or screens."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import torch

from svdlab.engine import loading
from svdlab.engine.loading import Weights
from svdlab.engine.writing import write_folder
from svdlab.errors import BadCheckpoint, BadInput
from svdlab.recipes.changes import Change
from svdlab.recipes.checkpoint import Checkpoint
from svdlab.weights.content import Hashes
from svdlab.weights.layouts.single_files import PART_NAMES
from svdlab.words import counted, listed

PARTS = ("unet", "image_encoder", "vae")  # the largest first

# What in a tensor's name says which kind of layer it belongs to; the first that fits counts.
KINDS = (
    ("temporal_res_block", "temporal convolution"),
    ("spatial_res_block", "spatial convolution"),
    ("temporal_transformer_blocks", "temporal attention"),
    ("transformer_blocks", "spatial attention"),
    ("attentions", "spatial attention"),
    ("resnets", "spatial convolution"),
    ("self_attn", "spatial attention"),
)


def verify(checkpoint: Checkpoint, hashes: Hashes | None = None) -> Iterator[str]:
    """Reads all weights and says of each part what it is. Raises `BadCheckpoint` with the defect named."""
    weights = loading.open_weights(checkpoint, hashes)
    too_large = {part: _check_numbers(weights, part) for part in PARTS}
    keys = weights.keys(torch.float32)
    for part in PARTS:
        yield (
            f"{part}: {weights.class_of(part)}, {weights.values(part) / 1e6:.1f} M values, sha256 {keys[part][:12]}"
        )
    names = [PART_NAMES[part] for part in PARTS if too_large[part]]
    if names:
        yield (
            f"the {listed(names)} {'holds' if len(names) == 1 else 'hold'} numbers above 65504, which float16 cannot: "
            "render with --dtype bfloat16 or float32"
        )


def _check_numbers(weights: Weights, part: str) -> bool:
    """Whether float16 is too narrow for a component. Raises `BadCheckpoint` if it is not finite or holds nothing."""
    matrices, empty, largest = 0, 0, 0.0
    file = weights.file(part).name
    for name, tensor in weights.tensors(part):
        if not tensor.is_floating_point() or not tensor.numel():
            continue
        low, high = (float(value) for value in torch.aminmax(tensor))
        if not (math.isfinite(low) and math.isfinite(high)):
            broken = tensor.numel() - int(torch.isfinite(tensor).sum())
            raise BadCheckpoint(
                f"{name} in {file} holds {counted(broken, 'number')} of {tensor.numel()} that "
                f"{'is' if broken == 1 else 'are'} not finite"
            )
        matrices += tensor.ndim > 1
        empty += tensor.ndim > 1 and low == high == 0
        largest = max(largest, -low, high)
    if 2 * empty > matrices:
        raise BadCheckpoint(
            f"the {PART_NAMES[part]} in {file} is not whole: {empty} of its {matrices} matrices hold nothing but zeros"
        )
    return largest > torch.finfo(torch.float16).max


DTYPES = {"float16": torch.float16, "float32": torch.float32}


def convert(checkpoint: Checkpoint, folder: Path, dtype: str | None = None) -> Path:
    """Writes a checkpoint as a folder in diffusers layout, whole or not at all; `dtype` None keeps what is stored.

    Raises `BadInput`, `BadCheckpoint`.
    """
    if dtype is not None and dtype not in DTYPES:
        raise BadInput(f"dtype must be float16 or float32, got {dtype!r}")
    write_folder(loading.open_weights(checkpoint), folder, DTYPES[dtype] if dtype else None)
    return folder


def diff(a: Checkpoint, b: Checkpoint, hashes: Hashes | None = None) -> Iterator[Change]:
    """What differs between two checkpoints' weights, by block. Raises `BadCheckpoint` if they cannot be compared."""
    hashes = hashes or Hashes()
    one, two = loading.open_weights(a, hashes), loading.open_weights(b, hashes)
    for part in PARTS:
        stored = {weights.stored_dtype(part) for weights in (one, two)}
        dtype = torch.float16 if torch.float16 in stored else stored.pop()  # rounding is no difference
        if one.keys(dtype)[part] == two.keys(dtype)[part]:
            yield Change(part, "", "identical", 0, 0, 0.0)
        else:
            yield from _changes(part, one, two, dtype)


def _changes(part: str, one: Weights, two: Weights, dtype: torch.dtype) -> Iterator[Change]:
    first, second = (weights.load(part, dtype).state_dict() for weights in (one, two))
    if {k: v.shape for k, v in first.items()} != {k: v.shape for k, v in second.items()}:
        raise BadCheckpoint(
            f"the {part} of {one.checkpoint.id} and of {two.checkpoint.id} have different layers, "
            f"so their weights cannot be compared"
        )
    sums: dict[tuple[str, str], list[float]] = {}
    for name, before in first.items():
        if not before.is_floating_point():
            continue
        x, y = before.double(), second[name].double()
        entry = sums.setdefault((block_of(name), kind_of(name)), [0, 0, 0.0, 0.0])
        moved = float((y - x).pow(2).sum())
        entry[0] += 1
        entry[1] += moved > 0
        entry[2] += moved
        entry[3] += float(x.pow(2).sum())
    for (block, kind), (tensors, changed, moved, size) in sums.items():
        relative = (moved / size) ** 0.5 if size else float(moved > 0)
        yield Change(part, block, kind, int(tensors), int(changed), relative)


def block_of(name: str) -> str:
    """The block a tensor belongs to: 'down_blocks.0', 'mid_block', 'decoder.up_blocks.1', 'vision_model.encoder'…"""
    pieces = name.split(".")
    for place, piece in enumerate(pieces):
        if piece.isdigit():
            return ".".join(pieces[: place + 1])
        if piece in ("mid_block", "time_embedding", "add_embedding"):
            return ".".join(pieces[: place + 1])
    return ".".join(pieces[:-1])


def kind_of(name: str) -> str:
    """The kind of layer a tensor belongs to."""
    return next((kind for mark, kind in KINDS if mark in name), "other")
