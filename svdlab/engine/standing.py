"""Layers that stand in for a network's own during a call, and leave it as it was.

Knows torch's modules; nothing of which layers, or why.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from torch import nn

# A module, the name of its layer, and what stands there instead: None for nothing at all.
Place = tuple[nn.Module, str, nn.Module | None]


@dataclass(frozen=True)
class StandIns:
    """Layers and where they stand in. Several are added up."""

    places: tuple[Place, ...] = ()

    def __add__(self, other: StandIns) -> StandIns:
        return StandIns(self.places + other.places)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Has them in their places for a call. Not for two threads at once."""
        own = [(module, name, getattr(module, name)) for module, name, _ in self.places]
        try:
            for module, name, instead in self.places:
                setattr(module, name, instead)
            yield
        finally:
            for module, name, layer in own:
                setattr(module, name, layer)
