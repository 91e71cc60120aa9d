"""The checkpoints a person has: registered ones, and what lies in the folders of other programs.

Knows files' names and headers; nothing of tensors, models or screens. Whether weights are whole and finite is checked
by the engine.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from svdlab.errors import BadCheckpoint, BadInput, CheckpointUnavailable
from svdlab.files import read_rows, write_rows
from svdlab.recipes.checkpoint import Checkpoint, Source
from svdlab.weights.availability import Asked, availability, kinds
from svdlab.weights.bases import base_for, named_base
from svdlab.weights.catalogue import Catalogue, official_xt
from svdlab.weights.sources.file import RELEASED, UNET_FILES, stem

REGISTER = "checkpoints.json"
DEPTH = 4  # folders below a given one that are looked into
LOOKED_AT = 2000  # files and folders, so that a mistyped "/" does not hang the start


def read_checkpoint(
    path: Path,
    id: str | None = None,
    num_frames: int | None = None,
    name: str | None = None,
    base: Checkpoint | None = None,
) -> Checkpoint:
    """A checkpoint from a path that some kind of source claims, by its configuration or header alone.

    `base` lends what a file does not hold. Raises `BadCheckpoint` with the defect, `BadInput` on an id that cannot be
    one.
    """
    path = path.expanduser().resolve()
    if id is not None and not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,62}", id):
        raise BadInput(
            f"an id is up to 63 lower-case letters, digits, dots, hyphens and underscores, got {id[:70]!r}"
        )
    for kind in kinds():
        if kind.claims(path):
            return kind.read(path, Asked(id or as_id(path), name, num_frames, base))
    raise BadCheckpoint(f"there is no file or folder {path}")


def found_in(folders: Sequence[Path]) -> Iterator[Checkpoint]:
    """What lies in these folders and below: single files and diffusers folders. What is not SVD is passed over."""
    for path in _walk(folders):
        try:
            if path.is_dir():
                index = json.loads((path / "model_index.json").read_text(encoding="utf-8"))
                if index.get("_class_name") == "StableVideoDiffusionPipeline":
                    yield read_checkpoint(path)
            else:
                yield read_checkpoint(path)
        except (BadCheckpoint, OSError, ValueError, AttributeError):
            continue


def _walk(folders: Sequence[Path]) -> Iterator[Path]:
    """Safetensors files, and folders with a model_index.json, in the order of their names."""
    left = LOOKED_AT
    waiting = [(folder, 0) for folder in reversed(folders)]
    while waiting and left > 0:
        folder, depth = waiting.pop()
        try:
            entries = sorted(folder.iterdir())
        except OSError:
            continue
        if (folder / "model_index.json").is_file():
            yield folder
            continue
        left -= len(entries)
        yield from (p for p in entries if p.suffix == ".safetensors" and p.is_file())
        if depth < DEPTH:
            below = [p for p in entries if p.is_dir() and not p.name.startswith(".")]
            waiting += [(p, depth + 1) for p in reversed(below)]


class Registry:
    """The checkpoints registered in one data folder, and those in the folders of other programs, `dirs`."""

    def __init__(self, data_dir: Path, dirs: Sequence[Path] = ()) -> None:
        self.path = data_dir / REGISTER
        self.dirs = dirs
        self._seen = self._state()

    def checkpoints(self, builtin: Catalogue) -> list[Checkpoint]:
        """All of them. A released file that was found stands in for the built-in checkpoint if that is not on disk."""
        self._seen = self._state()
        known: dict[str, Checkpoint] = {}
        for found in found_in(self.dirs):
            stand_in = self._stand_in(found, builtin)
            if stand_in.id not in known:
                known[stand_in.id] = stand_in
        entries = {entry["id"]: entry for entry in self._entries()}
        for id, entry in entries.items():
            try:
                known[id] = read_checkpoint(Path(entry["path"]), id, entry.get("num_frames"))
            except (BadCheckpoint, BadInput) as error:
                known[id] = _unreadable(entry, str(error))
        everyone = {one.id: one for one in (*builtin, *known.values())}
        for one in [one for one in known.values() if one.lacks]:
            entry = entries.get(one.id, {})
            base = everyone.get(entry.get("base", "")) or base_for(one, everyone.values())
            known[one.id] = _with_base(one, base, entry.get("num_frames"))
        return list(known.values())

    def changed(self) -> bool:
        """Whether the register was written since `checkpoints` was asked."""
        return self._state() != self._seen

    def _state(self) -> tuple[int, int, int] | None:
        try:
            stat = self.path.stat()
        except OSError:
            return None
        return stat.st_size, stat.st_mtime_ns, stat.st_ino

    def _stand_in(self, found: Checkpoint, builtin: Catalogue) -> Checkpoint:
        released = RELEASED.get(stem(Path(found.source.location))) if found.source.kind == "file" else None
        if released is None or found.size_step != 64 or found.lacks:
            return found
        for official in builtin:
            if official.id == released[0]:
                if availability(official).ready or official.decoders != found.decoders:
                    return found
                return replace(official, source=found.source, parameters=found.parameters)
        return replace(found, id=released[0])

    def read(
        self, path: Path, id: str | None = None, num_frames: int | None = None, base: str | None = None
    ) -> Checkpoint:
        """A folder or file as `add` would register it; `base` is the id of the checkpoint that lends what it lacks.

        Raises `BadCheckpoint`, `BadInput`, and `CheckpointUnavailable` if it lacks something that none here lends.
        """
        one = read_checkpoint(path, id, num_frames)
        if not one.lacks:
            if base:
                raise BadInput(f"{path.name} is whole, so it needs no --base")
            return one
        builtin = Catalogue()
        known = Catalogue(self.checkpoints(builtin))
        lender = named_base(one, known.get(base)) if base else base_for(one, known)
        one = _with_base(one, lender, num_frames)
        here = availability(one)
        if not here.ready:
            raise CheckpointUnavailable(f"{one.id}: {here.sentence}")
        return one

    def add(
        self, path: Path, id: str | None = None, num_frames: int | None = None, base: str | None = None
    ) -> Checkpoint:
        """Registers a folder or file. Raises what `read` raises, and `BadInput` if the id is taken by another path."""
        one = self.read(path, id, num_frames, base)
        entries = self._entries()
        for entry in entries:
            if entry["id"] == one.id and entry["path"] != one.source.location:
                raise BadInput(f"there is a checkpoint {one.id} already, {entry['path']}; choose another id")
        if any(one.id == built_in.id for built_in in Catalogue()):
            raise BadInput(f"{one.id} is the id of a built-in checkpoint; choose another with --id")
        kept = [entry for entry in entries if entry["id"] != one.id]
        new = {"id": one.id, "path": one.source.location, "num_frames": num_frames}
        self._write([*kept, {**new, "base": one.base.id} if one.base else new])
        return one

    def remove(self, id: str) -> bool:
        """Forgets a registered checkpoint; its files stay. Returns whether it was there."""
        entries = self._entries()
        kept = [entry for entry in entries if entry["id"] != id]
        if len(kept) != len(entries):
            self._write(kept)
        return len(kept) != len(entries)

    def has(self, id: str) -> bool:
        """Whether a checkpoint is registered here."""
        return any(entry["id"] == id for entry in self._entries())

    def _entries(self) -> list[dict]:
        return [
            entry
            for entry in read_rows(self.path)
            if isinstance(entry.get("id"), str)
            and isinstance(entry.get("path"), str)
            and isinstance(entry.get("num_frames"), int | None)
            and isinstance(entry.get("base"), str | None)
        ]

    def _write(self, entries: list[dict]) -> None:
        write_rows(self.path, entries)


def _with_base(one: Checkpoint, base: Checkpoint | None, num_frames: int | None) -> Checkpoint:
    """The same with what it lacks lent by `base`, which also decides its sizes and decoder."""
    if base is None:
        return one
    return read_checkpoint(Path(one.source.location), one.id, num_frames, one.name, base)


def _unreadable(entry: dict, fault: str) -> Checkpoint:
    """Stands for a registered checkpoint whose files are gone or broken, so that it is said and not forgotten."""
    frames = entry.get("num_frames") or 25
    gone = not Path(entry["path"]).exists()
    return Checkpoint(
        id=entry["id"],
        name=entry["id"],
        version="",
        summary=f"Registered from {entry['path']}, which cannot be read now.",
        source=Source("file", entry["path"]),
        native_frames=frames,
        width=1024,
        height=576,
        size_step=64,
        official=MappingProxyType({**official_xt(), "num_frames": frames}),
        trained_for="unknown",
        fault=f"{entry['path']} is gone" if gone else fault,
    )


def released_as(name: str) -> str | None:
    """The id of the released checkpoint that a file of this name holds, whatever folder it is in; None if it is none.

    `svd-image-decoder` among them is no built-in checkpoint: the catalogue has it only where the file is.
    """
    released = RELEASED.get(stem(Path(name.replace("\\", "/"))))
    return released[0] if released else None


def as_id(path: Path) -> str:
    """An id made of a file's or folder's name; the folder's where diffusers gives every component's file the same."""
    if path.name in UNET_FILES:
        path = path.parent
    name = path.name if path.is_dir() else path.stem
    return re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-._")[:63] or "checkpoint"
