"""Blind votes as they are kept: who stood where, and what was said. Frozen values; nothing of counting or screens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

VoteAnswer = Literal["left", "right", "tie", "both bad"]
VOTE_ANSWERS: tuple[VoteAnswer, ...] = get_args(VoteAnswer)


@dataclass(frozen=True)
class Ballot:
    """Two finished runs side by side, by id, and the checkpoints they were made with, also by id."""

    left: str
    right: str
    left_checkpoint: str
    right_checkpoint: str

    @property
    def runs(self) -> frozenset[str]:
        """Both, wherever they stand."""
        return frozenset((self.left, self.right))


@dataclass(frozen=True)
class Vote:
    """What one person said of two clips without knowing which was which.

    A sitting is one person at one browser: nobody is shown the same two clips twice in one.
    """

    ballot: Ballot
    answer: VoteAnswer
    sitting: str
    created: float  # seconds since 1970
    visitor: str | None = None  # as a run's


@dataclass(frozen=True)
class Scope:
    """What is voted on: checkpoints, in all pairs of clips that differ in nothing else; or, instead, chosen runs."""

    checkpoints: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
