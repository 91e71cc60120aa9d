"""A grid's cells: which there are, in which order, what is left out, and that it is kept as it was."""

from __future__ import annotations

import pytest

from svdlab.errors import BadInput, NotFound
from svdlab.recipes.axes import read_axis
from svdlab.recipes.ready_sweeps import READY, ready_sweep
from svdlab.recipes.sweeps import MAX_CELLS, Grid, View, grid_of

SEEDS, PAIR = read_axis("seed=1..3"), read_axis("checkpoint=demo-1-0,demo-1-1")
RATES, BUCKETS = read_axis("fps=6,8"), read_axis("motion_bucket_id=127,135")


def test_crossed_axes_make_every_combination_once() -> None:
    grid = grid_of([SEEDS, RATES])
    cells = list(grid.cells())
    assert {tuple(cell.values.items()) for cell in cells} == {
        (("seed", seed), ("fps", rate)) for seed in (1, 2, 3) for rate in (6, 8)
    }
    assert sorted(cell.number for cell in cells) == list(range(6))
    assert all(grid.cell(grid.place(cell.number)) == cell for cell in cells)


def test_what_is_dear_to_change_changes_least_often() -> None:
    cells = list(grid_of([SEEDS, PAIR, read_axis("num_frames=2,4")]).cells())
    assert [cell.values["checkpoint"] for cell in cells] == ["demo-1-0"] * 6 + ["demo-1-1"] * 6
    assert [cell.values["num_frames"] for cell in cells[:6]] == [2, 2, 2, 4, 4, 4]
    assert [cell.number for cell in cells[:3]] == [0, 4, 8]  # counted as the axes were given


def test_axes_that_go_together_make_one_dimension() -> None:
    grid = grid_of([SEEDS, RATES, BUCKETS], together=[("fps", "motion-bucket-id")])
    assert grid.shape == (3, 2)
    assert grid.title == "Seed × Frame rate with Motion bucket"
    assert grid.heading(1, 1) == "8 fps, 135"
    pairs = {(cell.values["fps"], cell.values["motion_bucket_id"]) for cell in grid.cells()}
    assert pairs == {(6, 127), (8, 135)}


def test_a_cell_is_left_out_where_all_conditions_of_a_rule_hold() -> None:
    grid = grid_of([PAIR, RATES], skip=["checkpoint=demo-1-0 fps>=8", "motion_bucket_id>200"])
    left = [
        (cell.values["checkpoint"], cell.values["fps"])
        for cell in grid.cells()
        if not grid.leaves_out({"motion_bucket_id": 127, **cell.values})
    ]
    assert left == [("demo-1-0", 6), ("demo-1-1", 6), ("demo-1-1", 8)]


def test_some_cells_are_a_grid_of_their_own() -> None:
    grid = grid_of([SEEDS, RATES, read_axis("num_inference_steps=6")])
    some = grid.only([5, 0, 1], without="num_inference_steps")
    assert [dict(cell.values) for cell in some.cells()] == [
        {"seed": 3, "fps": 8},
        {"seed": 1, "fps": 6},
        {"seed": 1, "fps": 8},
    ]
    for numbers in ([], [99]):
        with pytest.raises(BadInput):
            grid.only(numbers)


def test_all_of_a_grid_has_its_last_axis_across_and_what_has_one_value_nowhere() -> None:
    view = View.usual(grid_of([SEEDS, PAIR, read_axis("fps=6"), read_axis("num_frames=2,4")]))
    assert (view.rows, view.columns) == ((0, 1), (3,))
    alone = View.usual(grid_of([SEEDS, read_axis("num_inference_steps=6")]))
    assert (alone.rows, alone.columns) == ((), (0,))


def test_a_grid_is_read_back_as_it_was_written() -> None:
    grid = grid_of([SEEDS, RATES, BUCKETS], [("fps", "motion_bucket_id")], ["seed=2 fps!=6"])
    assert Grid.from_json(grid.to_json()) == grid
    for text in ("", "{}", "[]", '{"dimensions": 3, "skip": []}', '{"dimensions": [[{}]], "skip": []}'):
        with pytest.raises(BadInput, match="this sweep cannot be read"):
            Grid.from_json(text)


def test_what_is_no_grid_is_said_with_the_count_and_the_limit() -> None:
    for make, said in (
        (lambda: grid_of([]), "a sweep needs an axis, such as motion_bucket_id=20,80,127"),
        (
            lambda: grid_of([read_axis("seed=1..9000"), read_axis("fps=1..60")]),
            f"these axes make 540,000 cells, and a sweep may have {MAX_CELLS:,}",
        ),
        (lambda: grid_of([RATES, read_axis("fps=7")]), "there are two axes called fps"),
        (
            lambda: grid_of([SEEDS, RATES], [("seed", "fps")]),
            "need equally many values: seed has 3, fps 2",
        ),
        (lambda: grid_of([read_axis("fps=6, 6")]), "fps has 6 twice; each value makes cells of its own"),
        (lambda: grid_of([SEEDS], [("seed", "fps")]), "fps has no values to go together with"),
        (lambda: grid_of([SEEDS], [("seed",)]), "going together takes two axes"),
        (lambda: grid_of([SEEDS], skip=["fsp>3"]), "did you mean fps?"),
        (lambda: grid_of([SEEDS], skip=["fps"]), "cells are left out by conditions as in fps>10"),
        (lambda: grid_of([SEEDS], skip=["checkpoint>a"]), "has no meaning; ask with = or !="),
        (lambda: grid_of([SEEDS], skip=["fps>fast"]), "must be asked for with a number, got 'fast'"),
    ):
        with pytest.raises(BadInput) as error:
            make()
        assert said in str(error.value)


def test_what_is_ready_made_makes_grids_of_the_usual_pair() -> None:
    for ready in READY:
        grid = grid_of([read_axis(f"{name}={text}") for name, text in ready.texts(("svd-xt", "svd-xt-1-1"))])
        assert 2 <= grid.size <= 24, ready.id
    assert ready_sweep("versions").texts(("a", "b"))[0] == ("checkpoint", "a, b")
    with pytest.raises(NotFound, match="did you mean bucket-ladder"):
        ready_sweep("bucket-laddr")
