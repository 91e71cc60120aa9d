"""Sweeps in a lab: what a plan says, which runs the cells become, turns, controls, and a sweep that goes on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from svdlab.environment import Environment
from svdlab.errors import BadInput, NotAllowed, NotFound
from svdlab.history.sweeps import MOST_TRIES
from svdlab.history.turns import OfSweep
from svdlab.lab.desk import Desk
from svdlab.lab.lab import Lab
from svdlab.lab.quota import TODAY, Quota
from svdlab.lab.visit import Visit
from svdlab.recipes.records import Recipe, Run
from svdlab.recipes.sweeps import Sweep
from svdlab.recipes.visitors import OPERATOR, Visitor
from svdlab.recipes.work import Failed, Job
from svdlab.workers import InProcess
from tests.made import SMALL, draw, make_run, picture_of, render
from tests.rows import change

FOUR = {"seed": "1..2", "fps": "6,8"}
GUEST = Visitor("guest", "lane-of-guest")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with Lab(tmp_path / "data") as lab:
        yield lab


def base_of(lab: Lab, **changes: Any) -> Recipe:
    settings = lab.settings("demo-1-0", {**SMALL, **changes}, seed=1)
    return lab.recipe("demo-1-0", lab.add_picture(picture_of(0)), settings)


def sweep_of(lab: Lab, axes: dict[str, Any], by: Visitor = OPERATOR, **more: Any) -> Sweep:
    grid = lab.sweeps.grid(axes, **more)
    return lab.sweeps.submit(lab.sweeps.plan(base_of(lab), grid), by)


def drain(lab: Lab) -> None:
    with InProcess(lab, draw):
        pass


def one_turn(lab: Lab, only: OfSweep | None = None) -> list[Run]:
    """What a worker is given next; it ends at once."""
    desk = Desk(lab, only)
    claimed = desk.claim()
    for run in claimed:
        lab.history.finish(run.id, "failed", error="ended by the test")
    return claimed


def runs_of(lab: Lab, sweep: Sweep) -> list[Run]:
    return [lab.history.get(cell.run) for cell in lab.history.cells(sweep.id) if cell.run]


# What there will be


def test_every_cell_becomes_an_ordinary_run_with_its_own_changes(lab: Lab) -> None:
    sweep = sweep_of(lab, {"checkpoint": "demo-1-0,demo-1-1", **FOUR})
    assert lab.history.runs() == []  # none is there before its turn
    drain(lab)
    standing = lab.sweeps.standing(sweep.id)
    assert standing.counts == {"done": 8}
    assert (standing.sweep.state, standing.over, standing.seconds_left) == ("ended", True, 0.0)
    for cell, run in zip(standing.cells, runs_of(lab, sweep), strict=True):
        values = sweep.grid.cell(sweep.grid.place(cell.number)).values
        asked = (run.recipe.checkpoint, run.settings.seed, run.settings.fps)
        assert asked == (values["checkpoint"], values["seed"], values["fps"])
        assert run.settings.num_frames == SMALL["num_frames"]  # all else is the base's
    order = [run.recipe.checkpoint for run in lab.history.runs()[::-1]]
    assert order == ["demo-1-0"] * 4 + ["demo-1-1"] * 4  # weights are swapped once


def test_what_was_rendered_before_is_used_again_and_told_before_it_starts(lab: Lab) -> None:
    before = make_run(lab, seed=2, fps=8)
    plan = lab.sweeps.plan(base_of(lab), lab.sweeps.grid(FOUR))
    assert (len(plan.cells), plan.reused, plan.to_render) == (4, 1, 3)
    assert plan.seconds is not None
    assert plan.seconds == pytest.approx(3 * 3.5, rel=0.2)  # as the one from before took
    assert plan.bytes > 0
    sweep = lab.sweeps.submit(plan)
    drain(lab)
    assert lab.history.cells(sweep.id)[3].run == before.id
    again = lab.sweeps.plan(base_of(lab), lab.sweeps.grid(FOUR))
    assert (again.reused, again.to_render, again.seconds) == (4, 0, 0)
    same = lab.sweeps.submit(again)
    drain(lab)
    assert [cell.run for cell in lab.history.cells(same.id)] == [
        cell.run for cell in lab.history.cells(sweep.id)
    ]
    assert len(lab.history.runs()) == 4


def test_two_sweeps_that_have_a_cell_in_common_render_it_once(lab: Lab) -> None:
    first, second = sweep_of(lab, {"seed": "1..3"}), sweep_of(lab, {"seed": "2..4"})
    drain(lab)
    assert lab.sweeps.standing(first.id).counts == {"done": 3}
    assert lab.sweeps.standing(second.id).counts == {"done": 3}
    assert len(lab.history.runs()) == 4


def test_what_a_checkpoint_refuses_is_said_and_the_other_cells_go_on(lab: Lab) -> None:
    plan = lab.sweeps.plan(base_of(lab), lab.sweeps.grid({"width": "64, 70, 96", "seed": "1..2"}))
    step = lab.catalogue.get("demo-1-0").size_step
    said = f"width must be a multiple of {step} for demo-1-0, got 70; try 64 or {64 + step}"
    assert plan.refused == {said: 2}
    assert plan.to_render == 4
    sweep = lab.sweeps.submit(plan)
    drain(lab)
    assert lab.sweeps.standing(sweep.id).counts == {"done": 4, "refused": 2}


def test_a_decoder_comes_with_the_checkpoint_and_a_size_with_the_picture(lab: Lab) -> None:
    upright = picture_of(1).resize((64, 96))
    grid = lab.sweeps.grid({"picture": [picture_of(0), upright]})
    base = lab.recipe("demo-1-0", lab.add_picture(picture_of(0)), lab.settings("demo-1-0", seed=1))
    plan = lab.sweeps.plan(base, grid)
    sizes = {(cell.changes.get("width"), cell.changes.get("height")) for cell in plan.cells}
    assert sizes == {(None, None), (base.settings.height, base.settings.width)}
    assert grid.heading(0, 1) == "picture 2"
    told = lab.sweeps.plan(base, grid, told=["width"])
    assert {cell.changes.get("width") for cell in told.cells} == {None}


def test_a_preset_is_laid_over_the_base(lab: Lab) -> None:
    presets = [preset for preset in lab.presets if preset.id in ("low-motion", "high-motion")]
    sweep = sweep_of(lab, {"preset": [preset.id for preset in presets]})
    drain(lab)
    for preset, run in zip(presets, runs_of(lab, sweep), strict=True):
        assert run.preset == preset.id
        assert run.settings.motion_bucket_id == preset.settings["motion_bucket_id"]
        assert run.settings.width == SMALL["width"]


def test_what_cannot_be_begun_is_one_sentence(lab: Lab) -> None:
    base, grid = base_of(lab), lab.sweeps.grid
    for make, said in (
        (
            lambda: grid({"seed": "1..300", "fps": "1..60", "num_frames": "2..20"}),
            "342,000 cells, and a sweep may",
        ),
        (lambda: lab.sweeps.plan(base, grid({"checkpoint": "nothing"})), "there is no checkpoint 'nothing'"),
        (lambda: lab.sweeps.plan(base, grid({"preset": "nothing"})), "there is no preset 'nothing'"),
        (lambda: lab.sweeps.plan(base, grid({"picture": ["/nowhere.png"]})), "nowhere.png"),
        (
            lambda: lab.sweeps.submit(lab.sweeps.plan(base, grid({"width": "65,66"}))),
            "none of the 2 cells can be rendered: width must be a multiple of",
        ),
        (
            lambda: lab.sweeps.submit(lab.sweeps.plan(base, grid({"seed": "1..2"}, skip=["fps=6"]))),
            "the rules leave out every cell",
        ),
    ):
        with pytest.raises(BadInput) as error:
            make()
        assert said in str(error.value)
    assert lab.history.sweeps() == []


def test_a_disk_that_is_too_small_is_said_before_anything_is_begun(lab: Lab) -> None:
    base = base_of(lab, num_frames=128)
    grid = lab.sweeps.grid({"seed": "1..9000", "width": "2048", "height": "512"})
    plan = lab.sweeps.plan(base, grid)
    assert plan.bytes > 2e12  # more than any disk these tests run on has free
    with pytest.raises(BadInput, match=r"will take about [\d.]+ GB and [\d.]+ GB are free"):
        lab.sweeps.submit(plan)


# Turns and controls


def test_two_sweeps_take_turns_cell_by_cell_and_keep_nobody_waiting(lab: Lab) -> None:
    first = sweep_of(lab, {"seed": "1..8"})
    one_turn(lab)
    second = sweep_of(lab, {"seed": "101..108"})
    order = [one_turn(lab)[0].sweep for _ in range(8)]
    assert {order.count(id) for id in (first.id, second.id)} == {4}
    assert all({a, b} == {first.id, second.id} for a, b in pairwise(order[1:]))
    mine = lab.submit(base_of(lab, motion_bucket_id=7))
    assert mine.id in [one_turn(lab)[0].id for _ in range(3)]


def test_a_paused_sweep_begins_no_cell_until_it_goes_on(lab: Lab) -> None:
    sweep = sweep_of(lab, {"seed": "1..4"})
    one_turn(lab)
    lab.sweeps.pause(sweep.id)
    assert one_turn(lab) == []
    assert one_turn(lab, OfSweep(sweep.id)) == []
    with pytest.raises(BadInput, match="this sweep is paused, so it cannot be paused"):
        lab.sweeps.pause(sweep.id)
    other = sweep_of(lab, {"seed": "2"})  # has a cell that waits in the paused one
    assert [run.settings.seed for run in one_turn(lab)] == [2]
    lab.sweeps.go_on(sweep.id)
    drain(lab)
    assert lab.sweeps.standing(sweep.id).counts == {"failed": 2, "done": 2}
    assert lab.sweeps.standing(other.id).sweep.state == "ended"


def test_a_cancelled_sweep_stops_and_can_be_tried_again_under_the_same_ids(lab: Lab) -> None:
    sweep = sweep_of(lab, {"seed": "1..4"})
    [failed] = one_turn(lab)
    lab.sweeps.feed()
    lab.sweeps.cancel(sweep.id)
    standing = lab.sweeps.standing(sweep.id)
    assert standing.counts == {"failed": 1, "cancelled": 2, "waiting": 1}
    assert (standing.over, standing.unrendered) == (True, 4)
    assert one_turn(lab) == []
    assert lab.sweeps.retry(sweep.id) == 4
    drain(lab)
    assert lab.sweeps.standing(sweep.id).counts == {"done": 4}
    assert failed.id in {run.id for run in runs_of(lab, sweep)}
    assert len(lab.history.runs()) == 4
    with pytest.raises(BadInput, match="nothing to try again"):
        lab.sweeps.retry(sweep.id)


def test_a_cell_that_another_sweep_has_too_is_not_cancelled_with_the_one(lab: Lab) -> None:
    first = sweep_of(lab, {"seed": "1..2"})
    lab.sweeps.feed()
    second = sweep_of(lab, {"seed": "1..2"})
    lab.sweeps.feed()
    lab.sweeps.cancel(first.id)
    drain(lab)
    assert lab.sweeps.standing(second.id).counts == {"done": 2}


def test_a_failed_cell_stops_none_of_the_others(lab: Lab) -> None:
    def moody(jobs: Sequence[Job], stop: Any) -> Any:
        for job in jobs:
            if job.settings.seed == 2:
                yield Failed(job.id, BadInput("not this one"))
            else:
                yield from draw([job], stop)

    sweep = sweep_of(lab, {"seed": "1..4"})
    with InProcess(lab, moody):
        pass
    standing = lab.sweeps.standing(sweep.id)
    assert standing.counts == {"done": 3, "failed": 1}
    assert standing.cells[1].said == "not this one"


def test_a_worker_of_one_sweep_leaves_all_else(lab: Lab) -> None:
    other = lab.submit(base_of(lab, motion_bucket_id=9))
    first, second = sweep_of(lab, {"seed": "1..2"}), sweep_of(lab, {"seed": "3..4"})
    with InProcess(lab, draw, OfSweep(second.id)):
        pass
    assert lab.sweeps.standing(second.id).sweep.state == "ended"
    assert lab.sweeps.standing(first.id).counts == {"waiting": 2}
    assert lab.history.get(other.id).state == "queued"


def test_a_cell_that_kills_its_workers_is_left_after_some_tries(lab: Lab) -> None:
    sweep = sweep_of(lab, {"seed": "1"})
    tried = 0
    while runs := Desk(lab).claim():
        tried += 1
        lab.history.finish(
            runs[0].id, "interrupted", error="The program ended while this was being rendered."
        )
    assert tried == MOST_TRIES + 1
    assert lab.sweeps.standing(sweep.id).counts == {"interrupted": 1}
    assert lab.sweeps.standing(sweep.id).sweep.state == "ended"


def test_a_cell_whose_clip_is_gone_says_so_and_is_rendered_only_when_asked(lab: Lab) -> None:
    sweep = sweep_of(lab, {"seed": "1..2"})
    drain(lab)
    gone = runs_of(lab, sweep)[0]
    lab.delete([gone.id])
    lab.history.empty_bin(0)
    drain(lab)
    assert [cell.state for cell in lab.history.cells(sweep.id)] == ["gone", "done"]
    assert lab.sweeps.retry(sweep.id) == 1
    drain(lab)
    assert lab.sweeps.standing(sweep.id).counts == {"done": 2}


def test_a_picture_that_only_waiting_cells_name_is_kept(lab: Lab) -> None:
    sweep = sweep_of(lab, {"picture": [picture_of(1), picture_of(2)]})
    lab.sweeps.pause(sweep.id)
    lab.history.remove_unused_pictures(-1)
    lab.sweeps.go_on(sweep.id)
    drain(lab)
    assert lab.sweeps.standing(sweep.id).counts == {"done": 2}


def test_a_sweep_of_a_newer_svdlab_keeps_no_other_run_waiting(lab: Lab) -> None:
    sweep = sweep_of(lab, {"seed": "1..2"})
    change(lab.history, "UPDATE sweeps SET base = '{}' WHERE id = ?", sweep.id)
    run = lab.submit(base_of(lab))
    assert render(lab, run, picture_of(0)).done
    drain(lab)


def test_what_is_measured_is_told_by_cell(lab: Lab) -> None:
    sweep = sweep_of(lab, {"seed": "1..3"})
    drain(lab)
    measured = lab.history.measured(sweep.id, "camera_motion")
    runs = runs_of(lab, sweep)
    assert measured == {at: run.outcome.metrics["camera_motion"] for at, run in enumerate(runs)}
    seconds = lab.history.measured(sweep.id, "seconds")
    assert [round(seconds[at] - run.settings.seed) for at, run in enumerate(runs)] == [2, 2, 2]
    with pytest.raises(BadInput, match="nothing called 'beauty' is measured"):
        lab.history.measured(sweep.id, "beauty")


def test_a_scouts_best_are_rendered_in_full_and_the_rest_stay(lab: Lab) -> None:
    scouted = sweep_of(lab, {"seed": "1..4", "num_inference_steps": "1"})
    drain(lab)
    moved = lab.history.measured(scouted.id, "camera_motion")
    jerked = lab.history.measured(scouted.id, "camera_jerk")
    assert lab.sweeps.best(scouted.id, ["camera_motion"], 2) == sorted(moved, key=lambda n: -moved[n])[:2]
    assert lab.sweeps.best(scouted.id, ["camera_jerk"], 1) == [min(jerked, key=lambda n: (jerked[n], n))]
    assert len(lab.sweeps.best(scouted.id, ["camera_motion", "camera_jerk"], 9)) == 4
    base, grid, preset = lab.sweeps.in_full(scouted.id, [3, 0])
    full = lab.sweeps.submit(lab.sweeps.plan(base, grid, preset))
    drain(lab)
    asked = [(run.settings.seed, run.settings.num_inference_steps) for run in runs_of(lab, full)]
    assert asked == [(4, SMALL["num_inference_steps"]), (1, SMALL["num_inference_steps"])]
    assert lab.sweeps.standing(scouted.id).counts == {"done": 4}
    few = sweep_of(lab, {"seed": "5"})  # its steps were no axis: in full is what the checkpoint's makers use
    official = lab.catalogue.get("demo-1-0").official["num_inference_steps"]
    assert lab.sweeps.in_full(few.id, [0])[0].settings.num_inference_steps == official
    assert lab.sweeps.in_full(few.id, [0], 9)[0].settings.num_inference_steps == 9
    for measures, count in (([], 1), (["camera_motion"], 0), (["beauty"], 1)):
        with pytest.raises(BadInput):
            lab.sweeps.best(scouted.id, measures, count)


def test_watching_ends_when_nothing_more_will_happen(lab: Lab) -> None:
    sweep = sweep_of(lab, {"seed": "1..2"})
    drain(lab)
    assert [standing.counts for standing in lab.sweeps.watch(sweep.id)] == [{"done": 2}]
    paused = sweep_of(lab, {"seed": "11..12"})
    lab.sweeps.pause(paused.id)
    assert [standing.counts for standing in lab.sweeps.watch(paused.id)] == [{"waiting": 2}]
    with pytest.raises(NotFound, match="there is no sweep 'nothing'"):
        next(lab.sweeps.watch("nothing"))


# Visitors


@pytest.fixture
def public(tmp_path: Path) -> Iterator[Lab]:
    with Lab(tmp_path / "data", environment=Environment(public=True, max_cells=4, max_waiting=2)) as lab:
        yield lab


def test_a_visitor_asks_for_so_many_cells_and_sees_and_stops_its_own_only(public: Lab) -> None:
    mine, other = Visit(public, GUEST), Visit(public, Visitor("other", "lane-of-other"))
    base = base_of(public)
    with pytest.raises(BadInput, match="a sweep may have 4 cells here, got 5"):
        mine.plan_sweep(base, public.sweeps.grid({"seed": "1..5"}))
    sweep = mine.submit_sweep(mine.plan_sweep(base, public.sweeps.grid({"seed": "1..4"})))
    assert mine.latest_sweeps(5) == [sweep]
    assert other.latest_sweeps(5) == []
    assert other.sweep(sweep.id) == sweep  # who has its address
    for what in ("pause", "cancel", "retry", "resume", "delete"):
        with pytest.raises(NotAllowed):
            other.control_sweep(sweep.id, what)
    mine.control_sweep(sweep.id, "pause")
    mine.control_sweep(sweep.id, "resume")
    drain(public)
    assert {run.visitor for run in runs_of(public, sweep)} == {GUEST.id}
    assert public.sweeps.standing(sweep.id).counts == {"done": 4}


def test_a_lent_gpu_takes_no_sweeps_but_its_operators(public: Lab) -> None:
    public.quota = Quota(TODAY)
    grid = public.sweeps.grid({"seed": "1..2"})
    with pytest.raises(NotAllowed, match="lent its GPU for one click at a time, so it takes no sweeps"):
        Visit(public, GUEST).plan_sweep(base_of(public), grid)
    assert Visit(public, OPERATOR).plan_sweep(base_of(public), grid).to_render == 2


def test_visitors_sweeps_take_turns_cell_by_cell(public: Lab) -> None:
    others = Visitor("other", "lane-of-other")
    sweeps = {
        visit.visitor.id: visit.submit_sweep(
            visit.plan_sweep(base_of(public), public.sweeps.grid({"seed": seeds}))
        ).id
        for visit, seeds in ((Visit(public, GUEST), "1..3"), (Visit(public, others), "4..6"))
    }
    order = [one_turn(public)[0].visitor for _ in range(6)]
    assert set(sweeps) == {"guest", "other"}
    assert all(first != second for first, second in pairwise(order))


def test_a_visitors_cells_are_refused_where_its_bounds_are_and_shared_where_others_had_them(
    public: Lab,
) -> None:
    theirs = make_run(public, seed=3, by=Visitor("other", "lane-of-other"))
    mine = Visit(public, GUEST)
    plan = mine.plan_sweep(base_of(public), public.sweeps.grid({"num_frames": "4,128", "seed": "3"}))
    assert (plan.to_render, plan.reused) == (1, 0)  # whether others had it is not told
    assert [said.startswith("num_frames must be at most") for said in plan.refused] == [True]
    sweep = mine.submit_sweep(plan)
    drain(public)
    [run] = runs_of(public, sweep)
    assert (run.visitor, run.id != theirs.id) == (GUEST.id, True)
    assert run.outcome.video_sha256 == theirs.outcome.video_sha256


def test_a_lora_is_an_axis_and_the_bases_loras_stay(lab: Lab, tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    factors = {
        "unet.a.to_q.lora_A.weight": np.ones((2, 8), np.float32),
        "unet.a.to_q.lora_B.weight": np.ones((8, 2), np.float32),
    }
    save_file(factors, path)
    added = lab.loras.add(path, "mine")
    grid = lab.sweeps.grid({"lora": "none, mine, mine:0.5", "seed": "1..2"})
    plan = lab.sweeps.plan(base_of(lab), grid)
    strengths = [[one["strength"] for one in cell.changes["loras"]] for cell in plan.cells]
    assert strengths == [[], [], [1.0], [1.0], [0.5], [0.5]]  # weights are changed least often
    base = base_of(lab).model_copy(update={"loras": lab.loras.chosen(["mine"])})
    sweep = lab.sweeps.submit(lab.sweeps.plan(base, lab.sweeps.grid({"seed": "1..2"})))
    drain(lab)
    assert [run.recipe.loras[0].sha256 for run in runs_of(lab, sweep)] == [added.sha256] * 2
    with pytest.raises(NotFound):
        lab.sweeps.plan(base, lab.sweeps.grid({"lora": "nothing"}))
