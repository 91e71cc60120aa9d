"""Blind votes → who wins, how surely, at any moment one looks. Knows counts; nothing of clips, people or screens.

With two sides an e-process (a mixture over win rates with a Beta(½, ½)) stays valid while one looks after every vote
and stops when one likes: E ≥ 20 is as rare as one in twenty where neither side is better. With more sides, strengths
are Bradley and Terry's with Davidson's ties.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

Answer = Literal["a", "b", "tie", "both bad"]
DECIDED = 20.0  # E from which it is decided
PRELIMINARY = 100  # votes below which a ranking is called preliminary
ROUNDS = 200


@dataclass(frozen=True)
class Tally:
    """Votes between two sides. `left` and `right` are votes for what stood there, whichever side it was."""

    a: int = 0
    b: int = 0
    ties: int = 0
    both_bad: int = 0
    left: int = 0
    right: int = 0

    @property
    def votes(self) -> int:
        return self.a + self.b + self.ties + self.both_bad

    @property
    def win_rate(self) -> float:
        """Of b, ties left out; ½ before any."""
        return self.b / (self.a + self.b) if self.a + self.b else 0.5

    @property
    def evidence(self) -> float:
        """E against neither being better."""
        return evidence(self.b, self.a)

    @property
    def interval(self) -> tuple[float, float]:
        """Of the win rate, 95 %, valid whenever it is looked at."""
        return interval(self.b, self.a)

    @property
    def decided(self) -> Literal["a", "b"] | None:
        """Who is better, once it is decided."""
        if self.evidence < DECIDED:
            return None
        return "b" if self.b > self.a else "a"

    @property
    def one_sided(self) -> bool:
        """Whether voters favour a place on the screen."""
        return evidence(self.left, self.right) >= DECIDED


def tally(votes: Iterable[tuple[Answer, bool]]) -> Tally:
    """Counts votes, each with whether side a stood on the left."""
    count = {"a": 0, "b": 0, "tie": 0, "both bad": 0}
    left = right = 0
    for answer, a_left in votes:
        count[answer] += 1
        if answer in ("a", "b"):
            at_left = (answer == "a") == a_left
            left, right = left + at_left, right + (not at_left)
    return Tally(count["a"], count["b"], count["tie"], count["both bad"], left, right)


def evidence(wins: int, losses: int, rate: float = 0.5) -> float:
    """E = ∫ Beta(½, ½) likelihood ÷ likelihood at `rate`: 1 says nothing, 20 is decided. Capped where it overflows."""
    if not 0 < rate < 1:
        return math.inf if (wins if rate <= 0 else losses) else 1.0
    log = _log_beta(wins + 0.5, losses + 0.5) - _log_beta(0.5, 0.5)
    log -= wins * math.log(rate) + losses * math.log(1 - rate)
    return math.exp(min(log, 700.0))


def interval(wins: int, losses: int) -> tuple[float, float]:
    """The win rates that the votes do not speak against with E ≥ 20: a confidence sequence of 95 %."""
    rate = wins / (wins + losses) if wins + losses else 0.5

    def within(one: float) -> bool:
        return evidence(wins, losses, one) < DECIDED

    return _edge(within, rate, 0.0), _edge(within, rate, 1.0)


def _edge(within: Callable[[float], bool], inside: float, outside: float) -> float:
    """Where `within` ends between two rates."""
    if within(outside):
        return outside
    for _ in range(60):
        middle = (inside + outside) / 2
        inside, outside = (middle, outside) if within(middle) else (inside, middle)
    return inside


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


@dataclass(frozen=True)
class Standing:
    """One checkpoint's place. `strength` is a logarithm, 0 on the mean; ranked by `low`, the lower end of its 95 %."""

    name: str
    strength: float
    low: float
    high: float
    votes: int


@dataclass(frozen=True)
class Duel:
    """Votes between two of several checkpoints."""

    first: str
    second: str
    wins: int  # of the first
    losses: int
    ties: int = 0


@dataclass(frozen=True)
class Ranking:
    """Checkpoints from the best, how ready voters are to call a tie, and whether the votes are too few to rely on."""

    standings: tuple[Standing, ...]
    tie: float
    preliminary: bool


def ranking(duels: Iterable[Duel]) -> Ranking:
    """Bradley and Terry's strengths with ties (Davidson 1970), by Newton's method with a weak prior.

    The prior, a normal of standard deviation 3, keeps who always won or lost finite. Ranked by the lower end.
    """
    held = [one for one in duels if one.wins + one.losses + one.ties]
    names = sorted({name for one in held for name in (one.first, one.second)})
    if not names:
        return Ranking((), 0.0, True)
    at = {name: i for i, name in enumerate(names)}
    count = len(names)
    value = np.zeros(count + 1)  # strengths, and the logarithm of Davidson's ν
    for _ in range(ROUNDS):
        slope, bend = _derivatives(value, held, at)
        step = np.linalg.solve(bend, slope)
        value = value + step * min(1.0, 2.0 / max(1e-12, float(np.abs(step).max())))
        if np.abs(step).max() < 1e-10:
            break
    _, bend = _derivatives(value, held, at)
    centred = np.eye(count + 1)
    centred[:count, :count] -= 1 / count
    spread = np.sqrt(np.diag(centred @ np.linalg.inv(bend) @ centred.T))
    strength = centred @ value
    votes = dict.fromkeys(names, 0)
    for one in held:
        for name in (one.first, one.second):
            votes[name] += one.wins + one.losses + one.ties
    standings = [
        Standing(name, float(strength[i]), float(strength[i] - 1.96 * spread[i]), float(strength[i] + 1.96 * spread[i]),
                 votes[name])
        for name, i in at.items()
    ]  # fmt: skip
    standings.sort(key=lambda one: one.low, reverse=True)
    return Ranking(tuple(standings), float(np.exp(value[-1])), sum(votes.values()) / 2 < PRELIMINARY)


def _derivatives(
    value: np.ndarray, duels: Iterable[Duel], at: dict[str, int]
) -> tuple[np.ndarray, np.ndarray]:
    """The log posterior's gradient and its negative second derivatives.

    Chances are e^θᵢ, e^θⱼ and ν·e^((θᵢ+θⱼ)/2) over their sum: a softmax of three linear forms.
    """
    size = len(value)
    slope, bend = -value / 9.0, np.eye(size) / 9.0
    for one in duels:
        i, j = at[one.first], at[one.second]
        forms = np.zeros((3, size))
        forms[0, i] = forms[1, j] = 1
        forms[2, [i, j]] = 0.5
        forms[2, -1] = 1
        scores = forms @ value
        chances = np.exp(scores - scores.max())
        chances /= chances.sum()
        seen = np.array([one.wins, one.losses, one.ties], dtype=float)
        slope = slope + forms.T @ (seen - seen.sum() * chances)
        bend = bend + seen.sum() * forms.T @ (np.diag(chances) - np.outer(chances, chances)) @ forms
    return slope, bend
