"""The hub's cache on this disk, as documented at https://huggingface.co/docs/hub/local-cache.

Knows paths; nothing of what is fetched, or how. Files end where every other tool looks for them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from svdlab.recipes.checkpoint import Source
from svdlab.weights.layouts import folders


@dataclass(frozen=True)
class PlannedFile:
    """One file of a plan. `digest` is its name in the cache: SHA-256, or git's SHA-1 for small text files."""

    name: str  # path in the repository
    bytes: int
    cached: bool  # whole, in the hub's cache
    digest: str
    bytes_here: int  # of a cached file all, of one cut off what is there


class Cache:
    """The hub's cache of one repository at one commit: blobs by hash, a snapshot of links to them, refs to commits."""

    def __init__(self, repo: str, commit: str) -> None:
        from huggingface_hub import constants

        self.root = Path(constants.HF_HUB_CACHE)
        self.home = self.root / f"models--{repo.replace('/', '--')}"
        self.commit = commit

    def pointer(self, name: str) -> Path:
        """Where a file of this commit is seen."""
        return self.home / "snapshots" / self.commit / name

    def blob(self, digest: str) -> Path:
        """Where its bytes are."""
        return self.home / "blobs" / digest

    def partial(self, digest: str) -> Path:
        """Where its first bytes are while the rest is to come."""
        return self.home / "blobs" / f"{digest}.incomplete"

    def lock(self, digest: str) -> Path:
        """Held by whoever fetches it; the hub's own client takes the same."""
        return self.root / ".locks" / self.home.name / f"{digest}.lock"

    def link(self, file: PlannedFile) -> None:
        """Puts a blob into the snapshot."""
        pointer, blob = self.pointer(file.name), self.blob(file.digest)
        if size_of(pointer) == file.bytes:
            return
        pointer.parent.mkdir(parents=True, exist_ok=True)
        pointer.unlink(missing_ok=True)
        try:
            pointer.symlink_to(os.path.relpath(blob, pointer.parent))
        except OSError:  # Windows without developer mode: the file itself, as the hub does there
            blob.replace(pointer)

    def settle(self, revision: str | None, absent: tuple[str, ...]) -> None:
        """Notes which commit a branch or tag stands for, and which files there are known not to be."""
        for name in absent:
            note = self.home / ".no_exist" / self.commit / name
            note.parent.mkdir(parents=True, exist_ok=True)
            note.touch()
        ref = self.home / "refs" / (revision or "main")
        if revision == self.commit or (ref.is_file() and ref.read_text(encoding="utf-8") == self.commit):
            return
        ref.parent.mkdir(parents=True, exist_ok=True)
        new = ref.with_name(f"{ref.name}.{os.getpid()}.tmp")
        new.write_text(self.commit, encoding="utf-8")
        new.replace(ref)


def snapshot(source: Source) -> Path | None:
    """The folder of a complete download in the hub's cache, or None; the network is not asked.

    Complete is what the engine can load, whether the weights have the variant's names or the plain ones.
    """
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        index: Any = try_to_load_from_cache(source.location, folders.INDEX, revision=source.revision)
    except HFValidationError:  # not a repository's name
        return None
    if not isinstance(index, str) or folders.lacking(Path(index).parent, source):
        return None
    return Path(index).parent


def size_of(path: Path) -> int | None:
    """In bytes, or None if there is no such file."""
    try:
        return path.stat().st_size
    except OSError:
        return None
