"""What weights are, whatever they are called: a hash per component, remembered while their files stay as they are.

Knows bytes, headers and the states of files; no tensor is computed with and no model library is needed. One id may be
given to other weights, and a file may be written over: what was rendered goes by these hashes, not by ids.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np

from svdlab.errors import BadCheckpoint
from svdlab.recipes.checkpoint import Checkpoint
from svdlab.weights.availability import place
from svdlab.weights.layouts import folders
from svdlab.weights.layouts.single_files import PARTS, bare, recognise, tensors_of
from svdlab.weights.safetensors import TensorInfo, read_header

REMEMBERED = "weights.json"  # beside the register
MOST_REMEMBERED = 512  # hashes; each is a line
CHUNK_BYTES = 4_000_000  # read at once; a multiple of every number's size
HALVES = {"float16": "F16", "bfloat16": "BF16"}

State = tuple[str, int, int, int, int]


def state_of(path: Path) -> State:
    """By what a file is known to be the same: where it is, size, times and inode. Raises `BadCheckpoint`."""
    try:
        real = path.resolve()
        stat = real.stat()
    except OSError as error:
        raise BadCheckpoint(f"{path.name} cannot be read: {error.strerror or error}") from error
    return str(real), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino


def signature(checkpoint: Checkpoint) -> tuple[State, ...]:
    """The states of all files a checkpoint is loaded from: another signature may mean other weights.

    Raises `CheckpointUnavailable`, `BadCheckpoint` if they are not here.
    """
    path = place(checkpoint)
    if path.is_dir():
        source = checkpoint.source
        names = [path / name for name in (folders.INDEX, *folders.CONFIGS)]
        weights = [folders.weights_file(path, part, source) for part in PARTS]
        return tuple(state_of(file) for file in (*names, *filter(None, weights)))
    lent = signature(checkpoint.base) if checkpoint.lacks and checkpoint.base else ()
    return (state_of(path), *lent)


class Hashes:
    """Hashes of components. In a `folder`, they are remembered there for the next start. Thread-safe."""

    def __init__(self, folder: Path | None = None) -> None:
        self._path = folder / REMEMBERED if folder else None
        self._lock = threading.Lock()
        self._known: dict[str, str] | None = None

    def keys(self, checkpoint: Checkpoint, dtype: str) -> dict[str, str]:
        """Component → hash of its weights as they are in `dtype` (float32, float16, bfloat16).

        Reads files whose hash is not known yet. Raises `CheckpointUnavailable`, `BadCheckpoint`.
        """
        return {part: self.key(checkpoint, part, dtype) for part in PARTS}

    def key(self, checkpoint: Checkpoint, part: str, dtype: str) -> str:
        """The hash of one component."""
        key = self._key(checkpoint, part, dtype, read=True)
        assert key is not None
        return key

    def known_key(self, checkpoint: Checkpoint, part: str, dtype: str) -> str | None:
        """The same if no weights have to be read for it, else None."""
        return self._key(checkpoint, part, dtype, read=False)

    def _key(self, checkpoint: Checkpoint, part: str, dtype: str, read: bool) -> str | None:
        path = place(checkpoint)
        if path.is_dir():
            file = folders.weights_file(path, part, checkpoint.source)
            assert file is not None  # it would not be here without
            if part == "vae" and checkpoint.source.image_decoder_file:
                return self.of_part(file, part, dtype, read)
            return self.of_file(file, read)
        if part in checkpoint.lacks:
            assert checkpoint.base is not None
            return self._key(checkpoint.base, part, dtype, read)
        return self.of_part(path, part, dtype, read)

    def of_file(self, path: Path, read: bool = True) -> str | None:
        """SHA-256 of a whole file, read from its name where the hub's cache stores it so."""
        real = path.resolve()
        if re.fullmatch(r"[0-9a-f]{64}", real.name):
            return real.name
        return self._remembered(path, "file", lambda: _of_bytes(path), read)

    def of_part(self, path: Path, part: str, dtype: str | None = None, read: bool = True) -> str | None:
        """SHA-256 over a component's tensors in a single file: their names without prefix, types, shapes, bytes.

        Two files with the same tensors for a component have the same hash for it, whatever else they hold. With a
        `dtype` narrower than what is stored, over what they become in it: 1.0 as it is published is float32 and 1.1
        float16, and loaded as float16 their autoencoders are the same. A UNet alone in diffusers layout is hashed as
        the file that a folder has. Raises `BadCheckpoint`.
        """
        half = HALVES.get(dtype or "")
        what = f"{part} {half}" if half else part
        return self._remembered(path, what, lambda: _of_part(path, part, half), read)

    def _remembered(self, path: Path, what: str, compute: Callable[[], str], read: bool) -> str | None:
        state = state_of(path)
        name = "|".join((*map(str, state), what))
        with self._lock:
            known = self._load().get(name)
        if known is not None or not read:
            return known
        key = compute()
        if state_of(path) != state:
            raise BadCheckpoint(f"{path.name} was changed while it was read; try again when it is whole")
        with self._lock:
            self._keep(name, key)
        return key

    def _load(self) -> dict[str, str]:
        if self._known is None:
            self._known = self._on_disk()
        return self._known

    def _on_disk(self) -> dict[str, str]:
        try:
            content = json.loads(self._path.read_text(encoding="utf-8")) if self._path else {}
        except (OSError, ValueError):
            return {}
        entries = content.items() if isinstance(content, dict) else ()
        return {name: key for name, key in entries if isinstance(key, str)}

    def _keep(self, name: str, key: str) -> None:
        """In memory, and on the disk as far as it lets: without, they are read again at the next start."""
        known = {**self._on_disk(), **self._load(), name: key}  # others may have written meanwhile
        self._known = dict(list(known.items())[-MOST_REMEMBERED:])
        if self._path is None:
            return
        temporary = self._path.with_name(f".{REMEMBERED}.{os.getpid()}.{secrets.token_hex(4)}")
        with suppress(OSError):
            try:
                temporary.write_text(json.dumps(self._known, indent=0) + "\n", encoding="utf-8")
                temporary.replace(self._path)
            finally:
                temporary.unlink(missing_ok=True)


def _of_bytes(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BadCheckpoint(f"{path.name} cannot be read: {error.strerror or error}") from error


def _of_part(path: Path, part: str, half: str | None) -> str:
    header = read_header(path)
    found = recognise(header, path.name)
    names, own = tensors_of(header, found, part), found.parts[part]
    diffusers = own.style == "diffusers"
    if diffusers and len(names) == len(header.tensors):
        return _of_bytes(path)
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            for name in names:
                info = header.tensors[name]
                narrowed = half if info.dtype == "F32" else None
                known_as = name.removeprefix(own.prefix) if diffusers else bare(name)
                digest.update(json.dumps([known_as, narrowed or info.dtype, list(info.shape)]).encode())
                for chunk in _bytes_of(file, info, path.name, name):
                    digest.update(narrow(chunk, narrowed) if narrowed else chunk)
    except OSError as error:
        raise BadCheckpoint(f"{path.name} cannot be read: {error.strerror or error}") from error
    return digest.hexdigest()


def _bytes_of(file: BinaryIO, info: TensorInfo, file_name: str, tensor: str) -> Iterator[bytes]:
    file.seek(info.start)
    left = info.end - info.start
    while left:
        chunk = file.read(min(left, CHUNK_BYTES))
        if not chunk:
            raise BadCheckpoint(f"{file_name} is cut off within {tensor}")
        left -= len(chunk)
        yield chunk


def narrow(numbers: bytes, half: str) -> bytes:
    """Little-endian float32 numbers as F16 or BF16, rounded to the nearest, ties to even, as torch rounds them."""
    if half == "F16":
        with np.errstate(over="ignore"):
            return np.frombuffer(numbers, "<f4").astype("<f2").tobytes()
    bits = np.frombuffer(numbers, "<u4")
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    broken = (bits & 0x7FFFFFFF) > 0x7F800000  # not a number
    return np.where(broken, 0x7FC0, rounded).astype("<u2").tobytes()
