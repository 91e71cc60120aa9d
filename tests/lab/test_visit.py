"""A lab as one visitor has it: one's own to list and change, the rest by its address, and one rendering for all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from svdlab.environment import Environment
from svdlab.errors import BadInput, BadSettings, NotAllowed, NotFound
from svdlab.history.retention import DAY
from svdlab.lab.desk import Desk
from svdlab.lab.lab import Lab
from svdlab.lab.policy import NOT_YOURS
from svdlab.lab.visit import Visit
from svdlab.recipes.records import Recipe
from svdlab.recipes.visitors import NOBODY, OPERATOR, Visitor
from svdlab.weights.availability import availability
from tests.made import SMALL, draw, make_pair, make_run, picture_of

ONE, OTHER = Visitor("one", "lane-one"), Visitor("other", "lane-other")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with Lab(tmp_path / "data", environment=Environment.read({"SVDLAB_PUBLIC": "1"})) as lab:
        yield lab


def recipe(lab: Lab, **changes: int) -> Recipe:
    settings = lab.settings("demo-1-0", {**SMALL, **changes}, seed=7)
    return lab.recipe("demo-1-0", lab.add_picture(picture_of(0)), settings)


def test_joining_an_equal_run_gives_its_result_and_none_of_its_controls(lab: Lab) -> None:
    one, other = Visit(lab, ONE), Visit(lab, OTHER)
    first, _ = one.ask(recipe(lab))
    joined, before = other.ask(recipe(lab))
    assert joined.id != first.id
    assert not before
    with pytest.raises(NotAllowed) as raised:
        other.cancel(first.id)
    assert str(raised.value) == NOT_YOURS
    desk = Desk(lab)
    assert desk.turn(draw)
    done = other.run(joined.id)
    assert done.done  # rendered once, at the first one's turn
    assert done.video.read_bytes() == one.run(first.id).video.read_bytes()
    assert done.video.stat().st_ino == one.run(first.id).video.stat().st_ino  # and its room is taken once
    assert not desk.turn(draw)


def test_what_one_of_them_cancels_stays_with_the_others(lab: Lab) -> None:
    one, other = Visit(lab, ONE), Visit(lab, OTHER)
    first, _ = one.ask(recipe(lab))
    joined, _ = other.ask(recipe(lab))
    one.cancel(first.id)
    Desk(lab).turn(draw)
    assert other.run(joined.id).done
    other.delete([joined.id])
    assert one.run(first.id).deleted is None


def test_what_another_had_rendered_is_ones_own_at_once(lab: Lab) -> None:
    first = make_run(lab, by=ONE)
    lab.history.note(first.id, "what one thinks of it")
    given, before = Visit(lab, OTHER).ask(first.recipe)
    assert (before, given.state, given.visitor, given.note) == (True, "done", "other", "")
    assert given.id != first.id
    assert given.video.read_bytes() == first.video.read_bytes()
    again, before = Visit(lab, OTHER).ask(first.recipe)
    assert (again.id, before) == (given.id, True)
    rendered_anew, before = Visit(lab, OTHER).ask(first.recipe, again=True)
    assert (rendered_anew.state, before) == ("queued", False)
    assert Desk(lab).claim()[0].id == rendered_anew.id
    assert lab.doctor() == []


def test_asking_for_it_anew_renders_it(lab: Lab) -> None:
    first = make_run(lab, by=ONE)
    anew, _ = Visit(lab, OTHER).ask(first.recipe, again=True)
    Desk(lab).turn(draw)
    done = lab.history.get(anew.id)
    assert done.done
    assert done.video.stat().st_ino != first.video.stat().st_ino


def test_a_pair_is_shared_as_a_run_is(lab: Lab) -> None:
    first = make_pair(lab, by=ONE)
    given, before = Visit(lab, OTHER).ask_pair(first.a.recipe, first.b.recipe)
    assert before
    assert given.visitor == given.a.visitor == given.b.visitor == "other"
    assert len({first.id, given.id, first.a.id, given.a.id, first.b.id, given.b.id}) == 6
    Visit(lab, OTHER).delete([given.id])
    assert lab.history.comparison(first.id).deleted is None
    recipes = [
        one.recipe.model_copy(update={"settings": one.settings.but(seed=9)}) for one in (first.a, first.b)
    ]
    waiting, _ = Visit(lab, ONE).ask_pair(*recipes)
    joined, before = Visit(lab, OTHER).ask_pair(*recipes)
    assert joined.id != waiting.id
    assert not before
    desk = Desk(lab)
    assert desk.turn(draw)
    assert desk.turn(draw)
    ends = [lab.history.comparison(id) for id in (waiting.id, joined.id)]
    assert all(pair.a.done and pair.b.done for pair in ends)
    assert ends[0].a.video.stat().st_ino == ends[1].a.video.stat().st_ino


def test_one_lists_ones_own_and_what_one_was_handed(lab: Lab) -> None:
    mine, theirs = make_run(lab, by=ONE), make_run(lab, seed=8, by=OTHER)
    operators = make_run(lab, seed=9)
    one = Visit(lab, ONE)
    assert [run.id for run in one.latest_runs(9)] == [mine.id]
    assert [run.id for run in one.find().runs] == [mine.id]
    assert one.count() == 1
    assert [run.id for run in one.latest_runs(9, [theirs.id, "nothing"])] == [theirs.id, mine.id]
    assert Visit(lab, NOBODY).latest_runs(9) == []
    assert Visit(lab, NOBODY).find().runs == ()
    assert [run.id for run in Visit(lab, OPERATOR).latest_runs(9)] == [operators.id, theirs.id, mine.id]
    pair = make_pair(lab, by=ONE)
    assert [found.id for found in one.latest_comparisons(9)] == [pair.id]
    assert [found.id for found in one.find_comparisons().comparisons] == [pair.id]
    assert Visit(lab, OTHER).latest_comparisons(9) == []


def test_pairing_somebodys_run_shows_them_nothing_of_it(lab: Lab) -> None:
    theirs, mine = make_run(lab, by=OTHER), make_run(lab, seed=8, by=ONE)
    made = Visit(lab, ONE).pair(theirs.id, mine.id)
    assert made.visitor == "one"
    assert [pair.id for pair in Visit(lab, ONE).comparisons_of(mine)] == [made.id]
    assert Visit(lab, OTHER).comparisons_of(theirs) == []
    assert Visit(lab, OTHER).pair(theirs.id, mine.id).id != made.id


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"width": 1088, "height": 576},
            "width × height may be 589,824 pixels here, got 1088×576; choose a smaller size",
        ),
        ({"num_frames": 26}, "num_frames must be at most 25 here, got 26"),
        ({"num_inference_steps": 51}, "num_inference_steps must be at most 50 here, got 51"),
    ],
)
def test_what_is_too_large_is_refused_wherever_it_is_asked_for(
    lab: Lab, changes: dict[str, int], sentence: str
) -> None:
    large, one = recipe(lab, **changes), Visit(lab, ONE)
    for ask in (
        lambda: one.submit(large),
        lambda: one.ask(large),
        lambda: one.submit_comparison(large, large),
        lambda: one.ask_pair(large, large),
        lambda: one.order(picture_of(0), "demo-1-0", **{**SMALL, **changes}),
        lambda: one.order_comparison(picture_of(0), **{**SMALL, **changes}),
    ):
        with pytest.raises(BadSettings) as raised:
            ask()
        assert str(raised.value) == sentence
    assert Visit(lab, OPERATOR).submit(large).state == "queued"


def test_a_sweep_has_so_many_cells(lab: Lab) -> None:
    Visit(lab, ONE).check_cells(9)
    with pytest.raises(BadInput, match="a sweep may have 9 cells here, got 10; leave some values out"):
        Visit(lab, ONE).check_cells(10)
    Visit(lab, OPERATOR).check_cells(10)


def test_weights_that_are_not_here_are_not_fetched_by_asking_for_a_run(lab: Lab) -> None:
    settings = lab.settings("svd", seed=7)
    wanted = lab.recipe("svd", lab.add_picture(picture_of(0)), settings)
    if availability(lab.catalogue.get("svd")).state == "can be downloaded":
        with pytest.raises(NotAllowed, match="choose a checkpoint that is here"):
            Visit(lab, ONE).submit(wanted)


def test_on_ones_own_machine_nothing_of_this_holds(tmp_path: Path) -> None:
    with Lab(tmp_path / "data", environment=Environment()) as own:
        run = make_run(own, by=ONE)
        other = Visit(own, OTHER)
        assert other.latest_runs(9)[0].id == run.id
        other.delete([run.id])
        other.submit(recipe(own, num_frames=26))
        waiting, _ = other.ask(recipe(own))
        assert Visit(own, ONE).ask(recipe(own))[0].id == waiting.id  # one person, one run


def test_what_visitors_asked_for_goes_in_time_whatever_they_marked(lab: Lab) -> None:
    marked, operators = make_run(lab, by=ONE), make_run(lab, seed=8)
    lab.history.set_star(marked.id)
    lab.history.set_star(operators.id)
    pair = make_pair(lab, by=ONE)
    waiting = Visit(lab, ONE).submit(recipe(lab))
    assert lab.retention.keep_days == 7
    assert lab.retention.bin_days == 1
    assert lab.history.delete_visitors(7 * DAY) == []
    gone = lab.history.delete_visitors(0)
    assert set(gone) == {marked.id, pair.a.id, pair.b.id}
    assert lab.history.comparison(pair.id).deleted is not None
    for run in (operators, waiting):
        assert lab.history.get(run.id).deleted is None
    with pytest.raises(NotFound):
        Visit(lab, OTHER).run(marked.id)
