"""Was this rendered before: one answer for a run, for one on its way, and for a pair, whatever else there is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from svdlab.lab.before import Before
from svdlab.lab.desk import Desk
from svdlab.lab.lab import Lab
from svdlab.recipes.records import Recipe
from tests import rows
from tests.made import SMALL, make_pair, make_run, picture_of
from tests.synthetic import fill


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with Lab(tmp_path / "data") as lab:
        yield lab


def asked(lab: Lab, seed: int = 7, checkpoint: str = "demo-1-0") -> Recipe:
    settings = lab.settings(checkpoint, SMALL, seed=seed)
    return lab.recipe(checkpoint, lab.add_picture(picture_of(0)), settings)


def test_the_newest_finished_run_answers_while_its_video_is_there(lab: Lab) -> None:
    assert lab.before.run(asked(lab)) is None
    first, second = make_run(lab), make_run(lab)
    assert lab.before.run(asked(lab)) == second
    assert lab.before.run(asked(lab, seed=8)) is None
    assert lab.before.run(asked(lab, checkpoint="demo-1-1")) is None
    second.video.unlink()
    assert lab.before.run(asked(lab)) == first
    lab.delete([first.id])
    assert lab.before.run(asked(lab)) is None


def test_many_damaged_runs_do_not_hide_a_whole_one(lab: Lab) -> None:
    whole, *damaged = [make_run(lab) for _ in range(7)]
    for run in damaged:
        run.video.unlink()
    assert lab.before.run(asked(lab)) == whole


def test_versions_are_no_part_of_the_question(lab: Lab) -> None:
    run = make_run(lab)
    assert run.recipe.versions
    assert lab.before.run(run.recipe) == run


def test_the_run_that_is_on_its_way_is_the_one_furthest_on(lab: Lab) -> None:
    assert lab.before.waiting(asked(lab)) is None
    first, second = lab.submit(asked(lab)), lab.submit(asked(lab))
    assert lab.before.waiting(asked(lab)) == first
    lab.cancel(first.id)
    assert lab.before.waiting(asked(lab)) == second
    third = lab.submit(asked(lab))
    [running] = Desk(lab, only=[third.id]).claim()
    assert lab.before.waiting(asked(lab)) == running


def test_a_run_is_found_behind_any_number_of_others_that_wait(lab: Lab) -> None:
    wanted = lab.submit(asked(lab))
    for seed in range(100, 230):
        lab.submit(asked(lab, seed=seed))
    assert lab.before.waiting(asked(lab)) == wanted


def test_a_pair_answers_when_both_sides_are_whole(lab: Lab) -> None:
    question = asked(lab), asked(lab, checkpoint="demo-1-1")
    assert lab.before.pair(*question) is None
    pair = make_pair(lab)
    assert lab.before.pair(*question) == pair
    assert lab.before.pair(*reversed(question)) is None  # A and B are not the other way round
    pair.b.frames_zip.unlink()
    assert lab.before.pair(*question) is None


def test_a_newer_pair_on_its_way_does_not_hide_a_finished_one(lab: Lab) -> None:
    pair = make_pair(lab)
    question = pair.a.recipe, pair.b.recipe
    assert lab.before.waiting_pair(*question) is None
    newer = lab.submit_comparison(asked(lab), asked(lab, checkpoint="demo-1-1"))
    assert lab.before.pair(*question) == pair
    assert lab.before.waiting_pair(*question) == newer
    lab.delete([pair.id])
    assert lab.before.pair(*question) is None
    assert lab.before.waiting_pair(*question) == newer


def test_a_pair_with_a_failed_side_is_not_on_its_way(lab: Lab) -> None:
    pair = lab.submit_comparison(asked(lab), asked(lab, checkpoint="demo-1-1"))
    lab.cancel(pair.a.id)
    assert lab.before.waiting_pair(pair.a.recipe, pair.b.recipe) is None


def test_every_answer_is_found_by_an_index(lab: Lab) -> None:
    fill(lab.history, 2_000)
    pair = make_pair(lab)
    with rows.watched(lab.history.folder) as watched, watched.statements() as run:
        before = Before(watched.history, lab.bits, lambda: lab.numbers)
        before.run(pair.a.recipe)
        before.waiting(pair.a.recipe)
        assert before.pair(pair.a.recipe, pair.b.recipe) == pair
    asked_first = [sql for sql in run if "recipe_hash =" in sql]
    assert len(asked_first) == 3
    for sql in asked_first:
        plan = [row["detail"] for row in rows.read(lab.history, f"EXPLAIN QUERY PLAN {sql}")]
        assert not [line for line in plan if line.startswith(("SCAN it", "SCAN one", "SCAN two"))], plan
