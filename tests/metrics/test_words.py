"""A clip's motion as a person would say it."""

from __future__ import annotations

import pytest

from svdlab.metrics.words import in_words

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
