"""The same pictures and seeds on two sides → what differs between them, how surely, and in one sentence.

A pair is one picture and seed on both sides, so what picture and seed do cancels. The interval is a bootstrap's (BCa),
over pictures where several seeds share one, so it speaks of other pictures too; whether it is decided for these ones is
an exact test's, corrected for how many measures are looked at (Holm), so that a study of a checkpoint against itself
finds nothing in 95 of 100. Knows numbers; nothing
of clips, runs or screens.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from svdlab.metrics.definitions import Metric

ALPHA = 0.05
RESAMPLES = 4000
FLIPPED = 14  # pairs up to which every way to flip their signs is tried
FEWEST = 3  # pairs, or pictures, of which an interval can be given
NORMAL = NormalDist()


@dataclass(frozen=True)
class Paired:
    """What differs between two sides of `count` pairs. `low` to `high` is the 95 % interval of `difference` (b − a).

    `effect` is the mean difference over the standard deviation of the differences, 0 where all are equal; `chance` the
    probability of a difference so large where the sides are alike. Without an interval, both its ends are NaN.
    """

    count: int
    mean_a: float
    mean_b: float
    difference: float
    low: float
    high: float
    effect: float
    more: int  # pairs in which b is larger
    less: int
    chance: float


def paired(
    a: Sequence[float], b: Sequence[float], groups: Sequence[Hashable] | None = None, seed: int = 0
) -> Paired:
    """Compares sides pair by pair; `groups` names the picture of each pair, one of its own where it is not given.

    Raises `ValueError` for sides of unlike length, of none, or with numbers that are none.
    """
    x, y = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if len(x) != len(y) or not len(x) or not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("both sides need the same number of pairs, at least one, all of them numbers")
    off = y - x
    names = list(range(len(off))) if groups is None else list(groups)
    by_group = [off[[i for i, one in enumerate(names) if one == name]] for name in dict.fromkeys(names)]
    rng = np.random.default_rng(seed)
    low, high = _interval(by_group, rng)
    spread = float(off.std(ddof=1)) if len(off) > 1 else 0.0
    return Paired(
        count=len(off),
        mean_a=float(x.mean()),
        mean_b=float(y.mean()),
        difference=float(off.mean()),
        low=low,
        high=high,
        effect=float(off.mean()) / spread if spread > 1e-12 else 0.0,
        more=int((off > 0).sum()),
        less=int((off < 0).sum()),
        chance=_chance(off, rng),
    )


def _interval(groups: Sequence[np.ndarray], rng: np.random.Generator) -> tuple[float, float]:
    """The bias-corrected and accelerated bootstrap interval of the mean (Efron 1987), drawing whole groups."""
    count = len(groups)
    if count < FEWEST:
        return math.nan, math.nan
    sums = np.array([one.sum() for one in groups])
    sizes = np.array([len(one) for one in groups])
    mean = float(sums.sum() / sizes.sum())
    if np.ptp(sums / sizes) < 1e-12:
        return mean, mean
    drawn = rng.integers(0, count, (RESAMPLES, count))
    means = np.sort(sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1))
    below = (np.sum(means < mean) + 0.5 * np.sum(means == mean)) / RESAMPLES
    bias = NORMAL.inv_cdf(min(max(float(below), 1 / RESAMPLES), 1 - 1 / RESAMPLES))
    without = (sums.sum() - sums) / (sizes.sum() - sizes)
    tilt = without.mean() - without
    skew = float((tilt**3).sum() / (6 * max(float((tilt**2).sum()), 1e-300) ** 1.5))
    ends = []
    for side in (ALPHA / 2, 1 - ALPHA / 2):
        z = bias + NORMAL.inv_cdf(side)
        ends.append(float(np.quantile(means, NORMAL.cdf(bias + z / (1 - skew * z)))))
    return ends[0], ends[1]


def _chance(off: np.ndarray, rng: np.random.Generator) -> float:
    """How often the sum is as far from zero when the sides of each pair are drawn: Fisher's test of paired sides.

    Where the sides are alike each pair may as well be the other way round, so this holds for the pictures there are.
    """
    values = off[off != 0]
    if not len(values):
        return 1.0
    if len(values) <= FLIPPED:
        signs = np.array(list(itertools.product((-1, 1), repeat=len(values))))
        spare = 0
    else:
        signs = rng.choice((-1, 1), (20_000, len(values)))
        spare = 1  # the arrangement that was seen
    as_far = np.abs(signs @ values) >= abs(values.sum()) * (1 - 1e-9)
    return float((as_far.sum() + spare) / (len(signs) + spare))


def holm(chances: Mapping[str, float]) -> dict[str, float]:
    """Chances of several measures, each made larger so that none is found by looking at many (Holm 1979)."""
    corrected: dict[str, float] = {}
    most = 0.0
    for rank, name in enumerate(sorted(chances, key=lambda one: chances[one])):
        most = max(most, min(1.0, (len(chances) - rank) * chances[name]))
        corrected[name] = most
    return {name: corrected[name] for name in chances}


def sentence(metric: Metric, found: Paired, corrected: float, a: str, b: str) -> str:
    """One measure's answer: 'Camera jerk: lower on B in 17 of 20 pairs, 0.31 against 0.52 px/frame² (−40 %); …'."""
    if found.more == found.less == 0:
        return f"{metric.label}: the same on {a} and {b} in all {_pairs(found.count)}."
    both = f"{metric.number(found.mean_b)} against {metric.number(found.mean_a)} {metric.unit}"
    if corrected > ALPHA:
        return f"{metric.label}: not enough to say; {both} in {_pairs(found.count)}."
    up = found.difference > 0
    share = (
        f" ({found.difference / abs(found.mean_a):+.0%})".replace("-", "−")
        if abs(found.mean_a) > 1e-9
        else ""
    )
    times = found.more if up else found.less
    return (
        f"{metric.label}: {'higher' if up else 'lower'} on {b} in {times} of {_pairs(found.count)}, "
        f"{both}{share}; certain enough."
    )


def _pairs(count: int) -> str:
    return f"{count} pair{'s' if count != 1 else ''}"
