"""Blind votes: what is shown next, on which side, what is taken, and what it comes to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from svdlab.environment import Environment
from svdlab.errors import BadInput, NotFound
from svdlab.lab.lab import Lab
from svdlab.lab.verdicts import as_json, headline, lines
from svdlab.lab.visit import Visit
from svdlab.recipes.visitors import Visitor
from svdlab.recipes.votes import Scope
from tests.made import make_run

BOTH = Scope(checkpoints=("demo-1-0", "demo-1-1"))


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with Lab(tmp_path / "data") as made:
        yield made


def twins(lab: Lab, seeds: range) -> None:
    for seed in seeds:
        for checkpoint in BOTH.checkpoints:
            make_run(lab, seed, checkpoint=checkpoint)


def preferring(lab: Lab, sitting: str, checkpoint: str, scope: Scope = BOTH) -> list[str]:
    """A sitting to its end by somebody who can tell; which side each preferred clip stood on."""
    said = []
    while (shown := lab.booth.next(scope, sitting)) is not None:
        said.append("left" if shown.left.recipe.checkpoint == checkpoint else "right")
        lab.booth.take(shown.token, said[-1])
    return said


def test_pairs_are_runs_that_differ_in_their_checkpoint_alone(lab: Lab) -> None:
    twins(lab, range(2))
    make_run(lab, 9, checkpoint="demo-1-0")  # nothing to hold it against
    make_run(lab, 0, checkpoint="demo-1-1", motion_bucket_id=5)
    [found] = lab.booth.contests()
    assert (found.checkpoints, found.pairs) == (("demo-1-0", "demo-1-1"), 2)
    pairs = lab.booth.pairs(BOTH)
    assert len(pairs) == 2
    for both in pairs:
        runs = [lab.history.get(id) for id in both]
        assert runs[0].settings == runs[1].settings
        assert {run.recipe.checkpoint for run in runs} == set(BOTH.checkpoints)


def test_a_sitting_sees_each_pair_once_and_either_side_is_left_equally_often(lab: Lab) -> None:
    twins(lab, range(8))
    said = preferring(lab, "one", "demo-1-1")
    assert Counter(said) == {"left": 4, "right": 4}
    assert lab.booth.next(BOTH, "one") is None
    assert lab.booth.next(BOTH, "two") is not None  # somebody else has seen none


def test_sides_are_drawn_and_do_not_follow_an_order(lab: Lab) -> None:
    twins(lab, range(4))
    orders = {tuple(preferring(lab, f"sitting {n}", "demo-1-1")) for n in range(12)}
    assert len(orders) > 1


def test_what_is_open_is_not_shown_twice_until_the_page_begins_anew(lab: Lab) -> None:
    twins(lab, range(2))
    first, second = lab.booth.next(BOTH, "one"), lab.booth.next(BOTH, "one")
    assert first is not None
    assert second is not None
    assert {first.left.id, first.right.id}.isdisjoint({second.left.id, second.right.id})
    assert lab.booth.next(BOTH, "one") is None
    assert lab.booth.next(BOTH, "one", fresh=True) is not None
    with pytest.raises(BadInput, match="not open"):
        lab.booth.take(first.token, "left")


def test_an_answer_counts_once_and_is_one_of_four(lab: Lab) -> None:
    twins(lab, range(1))
    shown = lab.booth.next(BOTH, "one")
    assert shown is not None
    with pytest.raises(BadInput, match="a vote is left, right, tie, both bad"):
        lab.booth.take(shown.token, "neither")
    lab.booth.take(shown.token, "tie")
    with pytest.raises(BadInput, match="not open"):
        lab.booth.take(shown.token, "tie")
    assert [vote.answer for vote in lab.history.votes(BOTH)] == ["tie"]


def test_a_preference_is_found_and_said(lab: Lab) -> None:
    twins(lab, range(8))
    assert headline(lab.booth.verdict(BOTH, lab.history.votes(BOTH))) == "No votes yet."
    preferring(lab, "one", "demo-1-1")
    verdict = lab.booth.verdict(BOTH, lab.history.votes(BOTH))
    assert verdict.tally is not None
    assert (verdict.tally.a, verdict.tally.b) == (0, 8)
    assert not verdict.tally.one_sided
    assert headline(verdict) == "Demo 1.1 is preferred."
    assert "Demo 1.1 won 8 and Demo 1.0 won 0 of 8 votes." in lines(verdict)
    assert as_json(verdict)["tally"]["decided"] == "b"


def test_somebody_who_always_takes_the_left_is_told_so(lab: Lab) -> None:
    twins(lab, range(10))
    while (shown := lab.booth.next(BOTH, "one")) is not None:
        lab.booth.take(shown.token, "left")
    verdict = lab.booth.verdict(BOTH, lab.history.votes(BOTH))
    assert headline(verdict) == "Not decided yet."
    assert any("on the left was preferred" in line for line in lines(verdict))


def test_chosen_clips_are_ranked_by_what_sets_them_apart(lab: Lab) -> None:
    runs = [make_run(lab, 1, motion_bucket_id=bucket) for bucket in (20, 127, 200)]
    scope = Scope(runs=tuple(run.id for run in runs))
    for sitting in range(4):
        while (shown := lab.booth.next(scope, f"{sitting}")) is not None:
            more = shown.left.settings.motion_bucket_id > shown.right.settings.motion_bucket_id
            lab.booth.take(shown.token, "left" if more else "right")
    verdict = lab.booth.verdict(scope, lab.history.votes(scope))
    assert verdict.ranking is not None
    assert [verdict.names[one.name] for one in verdict.ranking.standings] == [
        f"motion bucket {bucket}" for bucket in (200, 127, 20)
    ]
    assert "so far" in headline(verdict)
    assert any(line.startswith("Preliminary") for line in lines(verdict))


def test_clips_that_would_be_known_by_their_size_or_length_are_refused(lab: Lab) -> None:
    runs = [make_run(lab, 1), make_run(lab, 1, num_frames=5)]
    with pytest.raises(BadInput, match="different size or length"):
        lab.booth.pairs(Scope(runs=tuple(run.id for run in runs)))
    with pytest.raises(BadInput, match="two to 24 clips, got 1"):
        lab.booth.pairs(Scope(runs=(runs[0].id,)))
    with pytest.raises(NotFound):
        lab.booth.pairs(Scope(runs=(runs[0].id, "0" * 17)))


def test_a_deleted_clip_is_not_shown_and_its_votes_stay(lab: Lab) -> None:
    twins(lab, range(2))
    preferring(lab, "one", "demo-1-0")
    lab.delete([run.id for run in lab.history.runs() if run.settings.seed == 0])
    assert lab.booth.contests()[0].pairs == 1
    assert len(lab.history.votes(BOTH)) == 2


def test_strangers_vote_on_their_own_clips_and_see_their_own_votes(tmp_path: Path) -> None:
    one, other = Visitor("a" * 32, "lane"), Visitor("b" * 32, "lane")
    with Lab(tmp_path / "data", environment=Environment(public=True)) as lab:
        for checkpoint in BOTH.checkpoints:
            make_run(lab, checkpoint=checkpoint, by=one)
        assert Visit(lab, other).contests() == []
        assert Visit(lab, other).ballot(BOTH, "s") is None
        shown = Visit(lab, one).ballot(BOTH, "s")
        assert shown is not None
        with pytest.raises(BadInput, match="not open"):
            Visit(lab, other).vote(shown.token, "left")
        Visit(lab, one).vote(shown.token, "left")
        assert len(Visit(lab, one).votes(BOTH)) == 1
        assert Visit(lab, other).votes(BOTH) == []
