"""Whether a checkpoint's weights are here: the one answer for the list, the shell, the pages, downloads and the engine.

Each kind of source (`svdlab/weights/sources`, a module per kind, found by its name) says it for its own places; whoever
wants weights asks here. Looks at files and caches; never at the network.
"""

from __future__ import annotations

import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from svdlab.errors import BadCheckpoint, CheckpointUnavailable
from svdlab.recipes.checkpoint import Checkpoint
from svdlab.weights.progress import Progress

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
    base: Checkpoint | None = None  # whose other components go with a file that does not hold them all


class SourceKind(ABC):
    """One kind of place that weights come from. A module of `svdlab/weights/sources` has one as `KIND`."""

    general = False  # whether it claims what no other kind does
    fetches = False  # whether weights that are not here can be fetched

    def claims(self, path: Path) -> bool:
        """Whether a path that a person names is such a place."""
        return False

    def read(self, path: Path, asked: Asked) -> Checkpoint:
        """The checkpoint at a claimed path, by its configuration or header alone. Raises `BadCheckpoint`."""
        raise BadCheckpoint(f"{path} cannot be registered")

    @abstractmethod
    def availability(self, checkpoint: Checkpoint) -> Availability:
        """Whether the weights are here. `path` is a folder in diffusers layout or a safetensors file, if they are."""

    def fetch(
        self, checkpoint: Checkpoint, token: str | None, stop: Callable[[], bool]
    ) -> Iterator[Progress]:
        """Has the weights come here, and tells how far it is. Raises `CheckpointUnavailable`, `Cancelled`."""
        raise CheckpointUnavailable(f"{checkpoint.id}: {self.availability(checkpoint).sentence}")


def availability(checkpoint: Checkpoint) -> Availability:
    """Whether a checkpoint can be rendered with, and why or why not."""
    if checkpoint.fault:
        there = Path(checkpoint.source.location).exists()
        return Availability("broken" if there else "missing", f"It cannot be used: {checkpoint.fault}.")
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


def kinds() -> list[SourceKind]:
    """All of them, those that claim whatever is left last."""
    return sorted(map(kind_named, kind_names()), key=lambda kind: kind.general)


def fetches(checkpoint: Checkpoint) -> bool:
    """Whether a checkpoint's weights come from where they can be fetched."""
    return not checkpoint.fault and kind_named(checkpoint.source.kind).fetches
