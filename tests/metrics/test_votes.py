"""Votes: valid at any look, against independent formulas and by repeating what is known many times."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import optimize, stats

from svdlab.metrics.votes import DECIDED, Duel, evidence, interval, ranking, tally


def test_the_evidence_is_the_integral_it_is_said_to_be() -> None:
    for wins, losses, rate in ((0, 0, 0.5), (7, 2, 0.5), (12, 30, 0.4)):
        of_all = stats.betabinom.pmf(
            wins, wins + losses, 0.5, 0.5
        )  # the mixture, an implementation of its own
        of_one = stats.binom.pmf(wins, wins + losses, rate)
        assert evidence(wins, losses, rate) == pytest.approx(of_all / of_one, rel=1e-6)


def test_looking_after_every_vote_decides_falsely_in_at_most_one_of_twenty() -> None:
    rng = np.random.default_rng(0)
    false = missed = 0
    for _ in range(400):
        wins = np.cumsum(rng.random(400) < 0.5)
        looks = range(1, 401)
        false += any(evidence(int(wins[n - 1]), n - int(wins[n - 1])) >= DECIDED for n in looks)
        wins = np.cumsum(rng.random(400) < 0.62)
        spans = [interval(int(wins[n - 1]), n - int(wins[n - 1])) for n in range(1, 401, 8)]
        missed += any(not low <= 0.62 <= high for low, high in spans)
    assert false / 400 <= 0.05
    assert missed / 400 <= 0.05


def test_a_better_side_is_found_after_about_as_many_votes_as_expected() -> None:
    rng = np.random.default_rng(1)
    needed = []
    for _ in range(200):
        wins = losses = 0
        while evidence(wins, losses) < DECIDED and wins + losses < 1000:
            won = rng.random() < 0.7
            wins, losses = wins + won, losses + (not won)
        needed.append(wins + losses)
    assert 35 <= np.median(needed) <= 65  # 48 in theory


def test_votes_are_counted_with_ties_apart_and_by_place() -> None:
    votes = [("a", True), ("a", False), ("b", True), ("tie", True), ("both bad", False)] + [("b", True)] * 20
    found = tally(votes)
    assert (found.a, found.b, found.ties, found.both_bad, found.votes) == (2, 21, 1, 1, 25)
    assert (found.left, found.right) == (1, 22)
    assert found.decided == "b"
    assert found.one_sided
    assert found.interval[0] < found.win_rate < found.interval[1]
    assert tally([]).decided is None
    assert tally([]).interval == (0, 1)


def likelihood(value: np.ndarray, duels: list[Duel], names: list[str]) -> float:
    """Davidson's, written down as in the paper, with the prior."""
    worth = {name: math.exp(x) for name, x in zip(names, value, strict=False)}
    nu, total = math.exp(value[-1]), 0.0
    for one in duels:
        p, q = worth[one.first], worth[one.second]
        whole = p + q + nu * math.sqrt(p * q)
        total += one.wins * math.log(p / whole) + one.losses * math.log(q / whole)
        total += one.ties * math.log(nu * math.sqrt(p * q) / whole)
    return -total + float((value**2).sum()) / 18


def test_the_strengths_are_those_of_an_independent_fit() -> None:
    names = ["svd", "svd-xt", "svd-xt-1-1"]
    duels = [
        Duel("svd", "svd-xt", 12, 20, 6),
        Duel("svd-xt", "svd-xt-1-1", 18, 22, 9),
        Duel("svd", "svd-xt-1-1", 5, 9),
    ]
    theirs = optimize.minimize(likelihood, np.zeros(4), (duels, names), tol=1e-12).x
    found = ranking(duels)
    mean = theirs[:3].mean()
    for one in found.standings:
        assert one.strength == pytest.approx(theirs[names.index(one.name)] - mean, abs=1e-4)
    assert found.tie == pytest.approx(math.exp(theirs[3]), rel=1e-3)
    assert [one.name for one in found.standings] == sorted(
        names, key=lambda name: -next(s.low for s in found.standings if s.name == name)
    )
    assert not found.preliminary


def test_the_intervals_of_strengths_hold_the_truth() -> None:
    rng = np.random.default_rng(2)
    truth = {"a": 0.5, "b": 0.0, "c": -0.5}
    covered = []
    for _ in range(150):
        duels = []
        for first, second in (("a", "b"), ("b", "c"), ("a", "c")):
            p, q = math.exp(truth[first]), math.exp(truth[second])
            tie = 0.5 * math.sqrt(p * q)
            wins, losses, ties = rng.multinomial(60, np.array([p, q, tie]) / (p + q + tie))
            duels.append(Duel(first, second, int(wins), int(losses), int(ties)))
        covered += [one.low <= truth[one.name] <= one.high for one in ranking(duels).standings]
    assert 0.91 <= np.mean(covered) <= 0.99


def test_who_always_won_is_first_and_few_votes_are_preliminary() -> None:
    found = ranking([Duel("new", "old", 10, 0), Duel("old", "oldest", 5, 3, 1)])
    assert found.standings[0].name == "new"
    assert all(math.isfinite(one.high) for one in found.standings)
    assert found.preliminary
    assert ranking([]).standings == ()
