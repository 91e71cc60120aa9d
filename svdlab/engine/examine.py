"""Checks weights, compares them, writes them as diffusers folders. Knows loading; nothing of sampling or screens."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import safetensors
import torch

from svdlab.engine import loading, single_file
from svdlab.engine.loading import PARTS, FileWeights, FolderWeights, Weights
from svdlab.errors import BadCheckpoint, BadInput
from svdlab.recipes.changes import Change
from svdlab.recipes.checkpoint import Checkpoint
from svdlab.weights.safetensors import read_header

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


def verify(checkpoint: Checkpoint) -> Iterator[str]:
    """Reads all weights and says of each part what it is. Raises `BadCheckpoint` with the defect named."""
    weights = loading.open_weights(checkpoint)
    if isinstance(weights, FileWeights):
        single_file.check_numbers(weights.path, weights.original)
    elif isinstance(weights, FolderWeights):
        for part in PARTS:
            _check_numbers(weights.file(part), part)
    keys = weights.keys(torch.float32)
    for part in PARTS:
        module = weights.load(part, torch.float16)
        name = type(module).__name__
        yield f"{part}: {name}, {weights.values(part) / 1e6:.1f} M values, sha256 {keys[part][:12]}"
        del module


def _check_numbers(path: Path, part: str) -> None:
    """Refuses what is cut off or not finite. Raises `BadCheckpoint`."""
    read_header(path)
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 - safe_open is not a mapping
                tensor = file.get_tensor(name)
                if tensor.is_floating_point() and not torch.isfinite(tensor).all():
                    raise BadCheckpoint(f"{part}/{path.name} holds numbers that are not finite, in {name}")
    except (OSError, safetensors.SafetensorError) as error:
        reason = str(error).splitlines()[0][:200]
        raise BadCheckpoint(f"{part}/{path.name} cannot be read: {reason}") from error


DTYPES = {"float16": torch.float16, "float32": torch.float32}


def convert(checkpoint: Checkpoint, folder: Path, dtype: str | None = None) -> Path:
    """Writes a checkpoint as a folder in diffusers layout, whole or not at all; `dtype` None keeps what is stored.

    Raises `BadInput`, `BadCheckpoint`.
    """
    if dtype is not None and dtype not in DTYPES:
        raise BadInput(f"dtype must be float16 or float32, got {dtype!r}")
    wanted = DTYPES[dtype] if dtype else None
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadInput(f"{folder} is there already and not empty; choose another folder")
    weights = loading.open_weights(checkpoint)
    if isinstance(weights, FileWeights):
        single_file.convert(weights.path, folder, weights.original, wanted)
        return folder
    if not isinstance(weights, FolderWeights):
        raise BadInput(f"{checkpoint.id} cannot be converted")
    temporary = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        loading.save_folder(weights, temporary, wanted)
        temporary.rename(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return folder


def diff(a: Checkpoint, b: Checkpoint) -> Iterator[Change]:
    """What differs between two checkpoints' weights, by block. Raises `BadCheckpoint` if they cannot be compared."""
    one, two = loading.open_weights(a), loading.open_weights(b)
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
