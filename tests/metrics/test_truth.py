"""What is measured against what is known: a part of the grid of `tests.metrics_truth`; all of it in the slow tier."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from svdlab.metrics.measure import measure
from tests import metrics_truth as grid
from tests.metrics.truth import LARGE, MOVES, PHOTOGRAPHS, SMALL, Scene, Step, Thing, film

NEAR = 1.8  # of the 10 % that object motion may be off: half of the clips of the grid are nearer than that


@pytest.mark.parametrize(
    "name", ["pan 0.2", "pan 8", "tilt 1.5", "zoom -3 %", "turn +0.2°", "pan, tilt, zoom and turn"]
)
def test_a_known_move_is_found(name: str) -> None:
    step = MOVES[name]
    scene = Scene("astronaut", (step,) * 7, SMALL)
    found = grid.measured(scene)
    assert [one for one in grid.move_errors(name, step, scene, found) if one.share > 1] == []


def test_a_known_move_of_a_large_frame_is_found_in_its_own_pixels() -> None:
    step = Step(pan=-2.3, zoom=0.4)
    scene = Scene("street", (step,) * 3, LARGE)
    assert [
        one for one in grid.move_errors("large", step, scene, grid.measured(scene)) if one.share > 1
    ] == []


def test_a_slow_pan_is_found_beneath_grain() -> None:
    scene = Scene("northern_lights", (Step(pan=-0.2),) * 12, SMALL, grain=10)
    found = measure(film(scene))
    assert found.values["pan_x"] == pytest.approx(-0.2, abs=0.01)
    assert abs(found.values["pan_x"] + 0.2) < 4 * found.spreads["pan_x"] + 0.002
    assert found.values["object_motion"] < 0.01


@pytest.mark.parametrize("name", ["thing 2 px, camera 0 px", "thing 0.5 px, camera -1.3 px", "thing, grain"])
def test_a_thing_that_moves_is_found_and_is_not_the_camera(name: str) -> None:
    scene = grid.things("street", SMALL)[name]
    found = grid.measured(scene)
    assert grid.object_error(name, scene, found).share <= NEAR
    assert found.values["pan_x"] == pytest.approx(scene.steps[0].pan, abs=0.01)


SOME = ("grain, flicker", "flicker, moving", "blur, grain", "drift, moving")


@pytest.mark.parametrize(
    "case", [case for case in grid.causes("coffee", SMALL) if case[0] in SOME], ids=lambda case: case[0]
)
def test_a_measure_stays_when_only_the_causes_of_others_change(case) -> None:
    _, metric, alone, together = case
    assert grid.measured(together).values[metric] == pytest.approx(
        grid.measured(alone).values[metric], rel=0.05
    )


@pytest.mark.parametrize("name", list(grid.adversaries("street", SMALL)))
def test_a_clip_that_cheats_is_named_for_what_it_is(name: str) -> None:
    scene, wanted = grid.adversaries("street", SMALL)[name]
    assert wanted in grid.said_of(scene)


def test_the_spread_is_what_repeating_it_with_other_grain_gives() -> None:
    scene = Scene("coffee", (Step(pan=-0.6, zoom=0.2),) * 5, SMALL, grain=9)
    found = [measure(film(replace(scene, seed=seed))) for seed in range(6)]
    for name in ("pan_x", "pan_y", "zoom"):
        spread = float(np.std([one.values[name] for one in found], ddof=1))
        said = float(np.mean([one.spreads[name] for one in found]))
        assert spread < 2 * said + 1e-3  # rounding
        assert said < 6 * spread + 1e-3


def test_black_frames_a_cut_and_a_lost_frame_are_seen() -> None:
    pan = film(Scene("astronaut", (Step(pan=-1.5),) * 9, SMALL))
    dark = pan.copy()
    dark[4:6] = 0
    assert measure(dark).flaws["black"] == (4, 5)
    two = np.concatenate([pan[:5], film(Scene("grass", (Step(pan=-1.5),) * 4, SMALL))])
    found = measure(two)
    assert found.flaws["cut"] == (5,)
    assert found.values["pan_x"] == pytest.approx(-1.5, abs=0.02)
    assert measure(pan[[0, 1, 2, 3, 3, 5, 6, 7, 8, 9]]).flaws["repeated"] == (4,)
    assert measure(pan).flaws == {}


def test_pixels_that_are_no_numbers_are_named_and_the_rest_is_measured() -> None:
    pan = film(Scene("astronaut", (Step(pan=-1.5),) * 5, SMALL)).astype(np.float32) / 255
    pan[3, 10, 10] = np.nan
    found = measure(pan)
    assert found.flaws["not_numbers"] == (3,)
    assert found.values["pan_x"] == pytest.approx(-1.5, abs=0.02)


def test_things_out_of_order_before_a_still_scene_are_seen_too() -> None:
    scene = Scene("street", (Step(),) * 11, SMALL, Thing(60, 72, 40, 40, 7, 0))
    assert "shuffled" not in measure(film(scene)).flaws
    assert "shuffled" in measure(film(replace(scene, order=grid.shuffled(12, 1)))).flaws


@pytest.mark.slow
@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("picture", PHOTOGRAPHS)
def test_the_whole_grid(picture: str, size: tuple[int, int]) -> None:
    found = list(grid.grid([picture], size))
    assert [one for one in found if isinstance(one, str)] == []
    errors = [one for one in found if isinstance(one, grid.Error)]
    moves = [one for one in errors if one.kind in ("pan_x", "pan_y", "zoom", "rotation", "camera_motion")]
    assert [one for one in moves if one.share > 1] == []
