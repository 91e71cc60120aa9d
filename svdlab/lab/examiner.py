"""The door to what reads all of a checkpoint's weights. Knows what is asked and answered; nothing of tensors.

Pages and the shell ask the lab; whoever opens the lab hands in the one who can answer (`svdlab.workers.open_lab` does).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NoReturn, Protocol

from svdlab.errors import BadInput
from svdlab.recipes.changes import Change
from svdlab.recipes.checkpoint import Checkpoint

__all__ = ["Change", "Examiner", "NoExaminer"]


class Examiner(Protocol):
    """Who reads weights whole."""

    def verify(self, checkpoint: Checkpoint) -> Iterator[str]:
        """What is in each part, once it is read and found whole. Raises `BadCheckpoint`, `CheckpointUnavailable`."""

    def diff(self, a: Checkpoint, b: Checkpoint) -> Iterator[Change]:
        """What differs, by block and kind of layer. Raises `BadCheckpoint`."""


class NoExaminer:
    """Stands in until somebody hands in one who can."""

    def verify(self, checkpoint: Checkpoint) -> NoReturn:
        """Raises `BadInput`."""
        raise BadInput(
            "this lab was opened without anyone who can read weights; open it with svdlab.open_lab"
        )

    def diff(self, a: Checkpoint, b: Checkpoint) -> NoReturn:
        """Raises `BadInput`."""
        self.verify(a)
