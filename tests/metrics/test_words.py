"""A clip's motion as a person would say it."""

from __future__ import annotations

import pytest

from svdlab.metrics.words import in_words, readout

STILL = {"camera_motion": 0.01, "object_motion": 0.02}


@pytest.mark.parametrize(
    ("measured", "said"),
    [
        ({}, ""),
        (STILL, "no motion"),
        ({"camera_motion": 0.2, "pan_x": 0.2}, "very slow pan left · steady"),
        ({"camera_motion": 1.0, "pan_x": -1.0}, "slow pan right · steady"),
        ({"camera_motion": 2.0, "pan_y": 2.0, "camera_jerk": 1.0}, "medium tilt up · a little restless"),
        ({"camera_motion": 4.0, "zoom": -3.0, "camera_jerk": 5.0}, "fast zoom out · restless"),
        ({"camera_motion": 1.0, "rotation": 2.0, "pan_x": 0.1}, "slow rotation · steady"),
    ],
)
def test_the_strongest_move_its_speed_and_its_steadiness_are_named(
    measured: dict[str, float], said: str
) -> None:
    assert in_words(measured, 256) == said


def test_what_is_within_the_grain_is_not_said_to_move_or_to_shake() -> None:
    moved = {"camera_motion": 0.3, "pan_x": 0.3, "object_motion": 0.1, "camera_jerk": 0.2}
    unsure = {"camera_motion": 0.2, "object_motion": 0.1, "camera_jerk": 0.15}
    assert in_words(moved, 256) == "slow pan left · a little restless"
    assert in_words(moved, 256, unsure) == "no motion"
    assert in_words(moved, 256, {"camera_jerk": 0.15}) == "slow pan left · steady"


@pytest.mark.parametrize(
    ("measured", "flaws", "said"),
    [
        (
            {"camera_motion": 1.0, "pan_x": -1.0, "object_motion": 0.01},
            (),
            "slow pan right · steady · nothing else moves",
        ),
        (
            {"camera_motion": 1.0, "pan_x": -1.0, "object_motion": 0.1},
            (),
            "slow pan right · steady · little else moves",
        ),
        ({"camera_motion": 0.0, "object_motion": 0.4}, (), "still camera · things move"),
        (
            {"camera_motion": 1.0, "pan_x": 0.1, "object_motion": 0.0},
            (),
            "slow wandering camera · steady · nothing else moves",
        ),
        ({"camera_motion": 9.0, "object_motion": 0.0}, ("shuffled",), "shuffled"),
        (STILL, ("still", "grainy"), "no motion · grainy"),
        (
            {"camera_motion": 1.0, "pan_x": -1.0, "object_motion": 0.5},
            ("softens", "flickers"),
            "slow pan right · steady · much else moves · grows soft · flickers",
        ),
    ],
)
def test_the_line_about_a_clip_says_what_else_moves_and_what_is_wrong(measured, flaws, said: str) -> None:
    assert readout(measured, 256, flaws=flaws) == said
