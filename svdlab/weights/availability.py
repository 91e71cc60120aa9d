"""Whether a checkpoint's weights are here: the one answer for the list, the shell, the pages, downloads and the engine.

Each kind of source (`svdlab/weights/sources`, a module per kind, found by its name) says it for its own places; whoever
wants weights asks here. Looks at files and caches; never at the network.
"""

from __future__ import annotations

import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from svdlab.errors import BadCheckpoint, CheckpointUnavailable
from svdlab.recipes.checkpoint import Checkpoint

State = Literal["embedded", "on disk", "can be downloaded", "terms first", "offline", "missing", "broken"]


@dataclass(frozen=True)
class Availability:
    """Whether a checkpoint can be rendered with right now, and in words why or why not."""

    state: State
    sentence: str
    path: Path | None = None  # the folder or file, where it is ready
    bytes_on_disk: int = 0

    @property
    def ready(self) -> bool:
        """Whether the weights are here, so that no network is needed."""
        return self.state in ("embedded", "on disk")

    @property
    def obtainable(self) -> bool:
        """Whether it can be rendered with, after a download if need be."""
        return self.ready or self.state == "can be downloaded"


@dataclass(frozen=True)
class Asked:
    """What a person says of weights they register; None is left to what the weights say."""

    id: str | None = None
    name: str | None = None
    num_frames: int | None = None


class SourceKind(ABC):
    """One kind of place that weights come from. A module of `svdlab/weights/sources` has one as `KIND`."""

    def claims(self, path: Path) -> bool:
        """Whether a path that a person names is such a place."""
        return False

    def read(self, path: Path, asked: Asked) -> Checkpoint:
        """The checkpoint at a claimed path, by its configuration or header alone. Raises `BadCheckpoint`."""
        raise BadCheckpoint(f"{path} cannot be registered")

    @abstractmethod
    def availability(self, checkpoint: Checkpoint) -> Availability:
        """Whether the weights are here. `path` is a folder in diffusers layout or a safetensors file, if they are."""


def availability(checkpoint: Checkpoint) -> Availability:
    """Whether a checkpoint can be rendered with, and why or why not."""
    if checkpoint.fault:
        return Availability("broken", f"{checkpoint.fault[:1].upper()}{checkpoint.fault[1:]}.")
    return kind_named(checkpoint.source.kind).availability(checkpoint)


def place(checkpoint: Checkpoint) -> Path:
    """The folder or file with a checkpoint's weights. Raises `CheckpointUnavailable`, `BadCheckpoint`: what to do."""
    here = availability(checkpoint)
    if here.ready and here.path is not None:
        return here.path
    error = BadCheckpoint if here.state == "broken" else CheckpointUnavailable
    raise error(f"{checkpoint.id}: {here.sentence}")


@cache
def kind_named(name: str) -> SourceKind:
    """The kind of source of that name. Raises `CheckpointUnavailable`."""
    known = kind_names()
    if name not in known:
        raise CheckpointUnavailable(f"there is no kind of source {name!r}; there are {', '.join(known)}")
    kind: SourceKind = importlib.import_module(f"svdlab.weights.sources.{name}").KIND
    return kind


@cache
def kind_names() -> tuple[str, ...]:
    """The kinds of sources there are."""
    from svdlab.weights import sources

    return tuple(sorted(module.name for module in pkgutil.iter_modules(sources.__path__)))


def kinds() -> Iterator[SourceKind]:
    """All of them."""
    return map(kind_named, kind_names())
