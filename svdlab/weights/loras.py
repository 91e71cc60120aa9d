"""The LoRA files a person has: registered by their headers, found by id or by content.

Knows files' names, headers and hashes; no tensor and no model. Whether one fits a checkpoint is found when it is added
to it.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from svdlab.errors import BadCheckpoint, BadInput, NotFound
from svdlab.files import read_rows, write_rows
from svdlab.recipes.loras import AddedLora, Lora, LoraFile, strength_of, together
from svdlab.weights.content import Hashes
from svdlab.weights.layouts.loras import read_lora

REGISTER = "loras.json"
IDS = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


class Loras:
    """The LoRA files registered in one data folder. Thread-safe; several processes may write."""

    def __init__(self, folder: Path, hashes: Hashes) -> None:
        self._path, self._hashes = folder / REGISTER, hashes
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[LoraFile]:
        """Those that are where they were, by id."""
        for entry in sorted(self._entries(), key=lambda one: one["id"]):
            try:
                yield _file(entry)
            except BadCheckpoint:
                continue

    def add(self, path: Path, id: str | None = None) -> LoraFile:
        """Registers a file by its header; one that is known gets the new place, and the id if one is given.

        Raises `BadCheckpoint` with the defect, `BadInput` on an id that cannot be one or is another file's.
        """
        path = path.expanduser().resolve()
        read_lora(path)
        sha256 = self._hashes.of_file(path)
        assert sha256 is not None
        if id is not None and not IDS.fullmatch(id):
            raise BadInput(
                f"an id is up to 63 lower-case letters, digits, dots, hyphens and underscores, got {id[:70]!r}"
            )
        with self._lock:
            entries = self._entries()
            known = next((one for one in entries if one["sha256"] == sha256), None)
            others = [one for one in entries if one["sha256"] != sha256 and one["path"] != str(path)]
            taken = {one["id"] for one in others}
            if id in taken:
                raise BadInput(f"there is a LoRA {id} already; choose another id")
            name = id or (known["id"] if known else _free(path.stem, sha256, taken))
            entry = {"id": name, "path": str(path), "sha256": sha256}
            write_rows(self._path, [*others, entry])
        return _file(entry)

    def remove(self, id: str) -> None:
        """Forgets a LoRA; its file stays. Raises `NotFound`."""
        with self._lock:
            self._named(id)
            write_rows(self._path, [one for one in self._entries() if one["id"] != id])

    def get(self, id: str) -> LoraFile:
        """The LoRA of that id. Raises `NotFound` with the ids there are, `BadCheckpoint` if its file is broken."""
        return _file(self._named(id))

    def _named(self, id: str) -> dict[str, str]:
        entries = self._entries()
        for entry in entries:
            if entry["id"] == id:
                return entry
        known = ", ".join(sorted(one["id"] for one in entries)) or "none yet"
        raise NotFound(f"there is no LoRA {str(id)[:60]!r}; there are {known}")

    def of(self, lora: Lora) -> AddedLora:
        """What a recipe names, on this disk. Raises `NotFound` if it is not here or has changed."""
        for entry in self._entries():
            if entry["sha256"] == lora.sha256:
                with suppress(BadCheckpoint):
                    found = _file(entry)
                    if self._hashes.of_file(Path(found.path)) == lora.sha256:
                        return AddedLora(found, lora.strength)
        raise NotFound(
            f"the LoRA {lora.sha256[:8]}… of this recipe is not here, or its file has changed; "
            "add it with svdlab loras add FILE"
        )

    def name(self, lora: Lora) -> str:
        """What a person calls a recipe's LoRA, else how its hash begins."""
        known = (one["id"] for one in self._entries() if one["sha256"] == lora.sha256)
        return next(known, f"{lora.sha256[:8]}…")

    def chosen(self, asked: Iterable[str], files: bool = True) -> tuple[Lora, ...]:
        """LoRAs as a person asks for them: `ID[:STRENGTH]` or, with `files`, `FILE[:STRENGTH]`, which is registered.

        `files` is for whoever is at the machine: without, nothing on its disk is looked for.

        Raises `BadInput`, `NotFound`, `BadCheckpoint`.
        """
        return together([self._one(text, files) for text in asked])

    def named(self, id: str, strength: str | float) -> Lora:
        """A registered LoRA at a strength. Raises `BadInput`, `NotFound`, `BadCheckpoint`."""
        asked = strength_of(strength)
        return Lora(sha256=self.get(id).sha256, strength=asked)

    def _one(self, text: str, files: bool) -> Lora:
        name, strength = _parted(text, files)
        path = Path(name).expanduser()
        if files and path.is_file():
            return Lora(sha256=self.add(path).sha256, strength=strength)
        if files and not IDS.fullmatch(name):
            raise NotFound(f"there is no LoRA file {name[:120]}")
        return self.named(name, strength)

    def _entries(self) -> list[dict[str, str]]:
        return [
            entry
            for entry in read_rows(self._path)
            if all(isinstance(entry.get(key), str) for key in ("id", "path", "sha256"))
        ]


def _file(entry: dict[str, str]) -> LoraFile:
    path = Path(entry["path"])
    changes = read_lora(path)
    rank = max(change.rank for change in changes)
    return LoraFile(entry["id"], entry["path"], entry["sha256"], path.stat().st_size, len(changes), rank)


def _parted(text: str, files: bool) -> tuple[str, float]:
    """A file or id, and the strength after its last colon; 1 where none follows."""
    name, colon, strength = text.strip().rpartition(":")
    if not colon or (files and Path(text.strip()).is_file()) or "/" in strength or "\\" in strength:
        return text.strip(), 1.0
    return name, strength_of(strength)


def _free(stem: str, sha256: str, taken: set[str]) -> str:
    """An id made of a file's name that nothing else has."""
    name = re.sub(r"[^a-z0-9._-]+", "-", stem.lower()).strip("-._")[:56] or "lora"
    return f"{name}-{sha256[:6]}" if name in taken else name
