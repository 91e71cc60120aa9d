"""Paired differences against an independent implementation, and by repeating what is known many times."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from svdlab.metrics.definitions import METRICS
from svdlab.metrics.paired import ALPHA, Paired, holm, paired, sentence


def test_the_interval_is_the_one_of_an_independent_implementation() -> None:
    rng = np.random.default_rng(0)
    for draw in (rng.normal(0.4, 1, 25), rng.exponential(1, 18)):
        theirs = stats.bootstrap(
            (draw,), np.mean, method="BCa", n_resamples=20_000, rng=np.random.default_rng(1)
        )
        found = paired(np.zeros(len(draw)), draw)
        width = theirs.confidence_interval.high - theirs.confidence_interval.low
        assert found.low == pytest.approx(theirs.confidence_interval.low, abs=0.06 * width)
        assert found.high == pytest.approx(theirs.confidence_interval.high, abs=0.06 * width)


def test_the_chance_is_that_of_an_independent_implementation() -> None:
    rng = np.random.default_rng(2)
    for count in (7, 20):
        draw = rng.normal(0.5, 1, count)
        theirs = stats.permutation_test(
            (draw,), np.mean, permutation_type="samples", n_resamples=50_000, rng=np.random.default_rng(1)
        )
        assert paired(np.zeros(count), draw).chance == pytest.approx(theirs.pvalue, abs=0.01)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    for draw in (lambda: rng.normal(1.0, 1, 20), lambda: rng.exponential(1.0, 20)):
        found = [paired(np.zeros(20), draw(), seed=i) for i in range(300)]
        covered = np.mean([one.low <= 1.0 <= one.high for one in found])
        assert 0.89 <= covered <= 0.99


def test_of_alike_sides_a_study_of_many_measures_finds_nothing() -> None:
    rng = np.random.default_rng(4)
    false = 0
    for study in range(200):
        chances = {
            name: paired(rng.normal(0, 1, 12), rng.normal(0, 1, 12), seed=study).chance for name in "abcdefgh"
        }
        false += min(holm(chances).values()) <= ALPHA
    assert false / 200 <= 0.08  # 5 %, and what 200 studies may be off


def test_a_difference_is_found_with_twenty_pairs_and_not_with_three() -> None:
    rng = np.random.default_rng(5)
    base = rng.normal(3, 2, 20)  # what picture and seed do is much more than the difference
    other = base - 0.5 + rng.normal(0, 0.25, 20)
    enough = holm({"jerk": paired(base, other).chance, **{str(i): 0.5 for i in range(16)}})
    assert enough["jerk"] <= ALPHA
    few = paired(base[:3], other[:3])
    assert few.chance > ALPHA
    assert few.count == 3


def test_pairs_of_one_picture_are_drawn_together() -> None:
    rng = np.random.default_rng(6)
    of_picture = np.repeat(rng.normal(0.3, 1, 6), 5)
    values = of_picture + rng.normal(0, 0.05, 30)
    groups = np.repeat(np.arange(6), 5).tolist()
    alone, together = paired(np.zeros(30), values), paired(np.zeros(30), values, groups)
    assert together.high - together.low > 1.5 * (alone.high - alone.low)


def test_holm_agrees_with_its_definition() -> None:
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005}) == pytest.approx(
        {"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02}
    )


@pytest.mark.parametrize(
    ("found", "corrected", "said"),
    [
        (
            Paired(20, 0.52, 0.31, -0.21, -0.3, -0.1, -1.2, 3, 17, 0.0001),
            0.002,
            "Camera jerk: lower on B in 17 of 20 pairs, 0.31 against 0.52 px/frame² (−40 %); certain enough.",
        ),
        (
            Paired(3, 0.52, 0.31, -0.21, -0.3, -0.1, -1.2, 0, 3, 0.25),
            0.25,
            "Camera jerk: not enough to say; 0.31 against 0.52 px/frame² in 3 pairs.",
        ),
        (
            Paired(5, 0.5, 0.5, 0.0, 0.0, 0.0, 0.0, 0, 0, 1.0),
            1.0,
            "Camera jerk: the same on A and B in all 5 pairs.",
        ),
    ],
)
def test_the_answer_is_one_plain_sentence(found: Paired, corrected: float, said: str) -> None:
    assert sentence(METRICS["camera_jerk"], found, corrected, "A", "B") == said.replace("40 %", "40%")


def test_sides_that_cannot_be_paired_are_refused() -> None:
    for a, b in (([], []), ([1.0], [1.0, 2.0]), ([float("nan")], [1.0])):
        with pytest.raises(ValueError, match="same number of pairs"):
            paired(a, b)
