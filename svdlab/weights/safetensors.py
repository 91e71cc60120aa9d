"""What a `.safetensors` file says it holds, read from its first bytes.

Knows the format's header alone: names, types, shapes and places of tensors. Nothing of models, and no tensor is read.
A file may come from anywhere, so every number in it is checked before it is used; pickles are refused, never opened.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, TypeGuard

from svdlab.errors import BadCheckpoint

MAX_HEADER_BYTES = 100_000_000  # what the safetensors library allows; real headers are below 1 MB
MAX_TENSORS = 200_000
MAX_DIMENSIONS = 16
LENGTH = struct.Struct("<Q")  # a file begins with the header's length in bytes
PICKLE_SUFFIXES = frozenset({".ckpt", ".pt", ".pth", ".bin", ".pkl", ".pickle"})
BITS = {
    "BOOL": 8,
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "U8": 8,
    "I8": 8,
    "F8_E5M2": 8,
    "F8_E4M3": 8,
    "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8,
    "I16": 16,
    "U16": 16,
    "F16": 16,
    "BF16": 16,
    "I32": 32,
    "U32": 32,
    "F32": 32,
    "I64": 64,
    "U64": 64,
    "F64": 64,
    "C64": 64,
}
# First bytes of what is often found under a weights file's name → what it is.
MAGIC = (
    (b"PK\x03\x04", "a zip archive, as torch.save writes pickles"),
    (b"\x80\x02", "a pickle"),
    (b"\x80\x03", "a pickle"),
    (b"\x80\x04", "a pickle"),
    (b"\x80\x05", "a pickle"),
    (b"GGUF", "a GGUF file"),
    (b"version ", "a Git LFS pointer, not the file it points to"),
    (b"<!DOC", "a web page"),
    (b"<!doc", "a web page"),
    (b"<html", "a web page"),
)


@dataclass(frozen=True)
class TensorInfo:
    """One tensor: its type as safetensors names it, and its bytes' place in the file, `end` excluded."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True)
class Header:
    """What a file holds. `metadata` is what its writer noted, `file_bytes` its whole size."""

    tensors: Mapping[str, TensorInfo]
    metadata: Mapping[str, str]
    file_bytes: int


def read_header(path: Path) -> Header:
    """The header of a safetensors file. Raises `BadCheckpoint` with the file's name and what is wrong with it."""
    if path.suffix.lower() in PICKLE_SUFFIXES:
        raise BadCheckpoint(
            f"{path.name} is a pickle by its name, and pickles can run code, so they are never read; "
            f"use the .safetensors file"
        )
    try:
        if not path.is_file():
            raise BadCheckpoint(f"{path.name} is not there, or is not a file")
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            text = _header_text(file, size, path.name)
    except OSError as error:
        raise BadCheckpoint(f"{path.name} cannot be read: {error.strerror or error}") from error
    entries = _parse(text, path.name)
    metadata = _metadata(entries.pop("__metadata__", {}), path.name)
    tensors = {name: _tensor(name, entry, path.name, 8 + len(text)) for name, entry in entries.items()}
    _check_places(tensors, 8 + len(text), size, path.name)
    return Header(MappingProxyType(tensors), MappingProxyType(metadata), size)


def _header_text(file: BinaryIO, size: int, name: str) -> bytes:
    if size == 0:
        raise BadCheckpoint(f"{name} is empty")
    first = file.read(16)
    # A header of 640 bytes begins as a pickle does, so what must be a brace tells them apart.
    if first[8:9] != b"{":
        for magic, what in MAGIC:
            if first.startswith(magic):
                raise BadCheckpoint(f"{name} is not a safetensors file but {what}")
    if size < 10:
        raise BadCheckpoint(f"{name} is cut off: {size} bytes cannot hold a safetensors header")
    (length,) = LENGTH.unpack(first[:8])
    if length > MAX_HEADER_BYTES:
        raise BadCheckpoint(
            f"{name} is not a safetensors file: its header would be {length} bytes long, "
            f"and {MAX_HEADER_BYTES} are allowed"
        )
    if 8 + length > size:
        raise BadCheckpoint(f"{name} is cut off: its header ends at byte {8 + length}, the file at {size}")
    file.seek(8)
    text = file.read(length)
    if len(text) != length:
        raise BadCheckpoint(f"{name} is cut off within its header")
    return text


def _parse(text: bytes, name: str) -> dict[str, Any]:
    # Counted before parsing: 100 MB of empty lists would become gigabytes of objects.
    if sum(map(text.count, (b"[", b"{", b","))) > 20 * MAX_TENSORS:
        raise BadCheckpoint(f"{name} names more tensors than the {MAX_TENSORS} that are read")
    try:
        entries = json.loads(text.decode("utf-8"), object_pairs_hook=_without_duplicates)
    except RecursionError:
        raise BadCheckpoint(f"{name} has a broken header: it is nested too deeply") from None
    except ValueError as error:  # also what UTF-8, JSON and integers of thousands of digits raise
        raise BadCheckpoint(f"{name} has a broken header: {str(error)[:120]}") from None
    if not isinstance(entries, dict):
        raise BadCheckpoint(f"{name} has a broken header: it is not a table of tensors")
    return entries


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) != len(pairs):
        raise ValueError("a name stands in it twice")
    return entries


def _metadata(entry: Any, name: str) -> dict[str, str]:
    if not isinstance(entry, dict) or not all(isinstance(value, str) for value in entry.values()):
        raise BadCheckpoint(f"{name} has a broken header: its __metadata__ is not a table of texts")
    return entry


def _tensor(tensor: str, entry: Any, name: str, data_start: int) -> TensorInfo:
    if not tensor.isprintable():
        raise BadCheckpoint(f"{name} has a broken header: a tensor's name holds control characters")
    shown = tensor[:200]
    if not isinstance(entry, dict):
        raise BadCheckpoint(f"{name} has a broken header: {shown} is not described by a table")
    dtype, shape, offsets = (entry.get(key) for key in ("dtype", "shape", "data_offsets"))
    if not isinstance(dtype, str) or dtype not in BITS:
        raise BadCheckpoint(f"{name} has a broken header: {shown} has the unknown type {str(dtype)[:40]!r}")
    if not _are_counts(shape) or len(shape) > MAX_DIMENSIONS:
        raise BadCheckpoint(f"{name} has a broken header: {shown} has no valid shape")
    if not _are_counts(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise BadCheckpoint(f"{name} has a broken header: {shown} has no valid place in the file")
    bits, held = math.prod(shape) * BITS[dtype], offsets[1] - offsets[0]
    if bits != 8 * held:
        sides = "×".join(map(str, shape)) or "one value"
        raise BadCheckpoint(
            f"{name} has a broken header: {shown} is {sides} of {dtype}, which is not {held} bytes"
        )
    return TensorInfo(dtype, tuple(shape), data_start + offsets[0], data_start + offsets[1])


def _are_counts(value: Any) -> TypeGuard[list[int]]:
    """Whether it is a list of whole numbers that a file offset can be."""
    return isinstance(value, list) and all(type(item) is int and 0 <= item < 2**63 for item in value)


def _check_places(tensors: dict[str, TensorInfo], start: int, size: int, name: str) -> None:
    """The tensors' bytes follow each other without a gap or overlap and end where the file does."""
    place = start
    for tensor, info in sorted(tensors.items(), key=lambda item: (item[1].start, item[1].end)):
        if info.end > size:
            raise BadCheckpoint(
                f"{name} is cut off: {tensor[:200]} ends at byte {info.end}, the file at {size}"
            )
        if info.start != place:
            fault = "overlaps the tensor before it" if info.start < place else "leaves a gap before it"
            raise BadCheckpoint(f"{name} has a broken header: {tensor[:200]} {fault}")
        place = info.end
    if place != size:
        raise BadCheckpoint(f"{name} has {size - place} bytes after its last tensor")
