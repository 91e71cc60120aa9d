"""What was measured of a clip's motion, as a person would say it. Knows the metrics' names; nothing of screens."""

from __future__ import annotations

from collections.abc import Mapping
from math import radians

STILL = 0.05  # px per frame below which nothing is said to move


def in_words(values: Mapping[str, float], width: int) -> str:
    """A clip's motion as a person would say it: 'slow pan left · steady'. `width` is the clip's, in px."""
    if not values:
        return ""
    camera, jerk = values.get("camera_motion", 0.0), values.get("camera_jerk", 0.0)
    if camera < STILL and values.get("object_motion", 0.0) < STILL:
        return "no motion"
    share = camera / width * 100  # % of the width a frame
    speed = "very slow" if share < 0.1 else "slow" if share < 0.4 else "medium" if share < 1.2 else "fast"
    steadiness = (
        "steady" if jerk < 0.25 * max(camera, STILL) else "a little restless" if jerk < camera else "restless"
    )
    return f"{speed} {_direction(values, width)} · {steadiness}"


def _direction(values: Mapping[str, float], width: int) -> str:
    """The strongest of pan, tilt, zoom and rotation, by the displacement it gives at a quarter of the width."""
    quarter = width / 4
    pan_x, pan_y = values.get("pan_x", 0.0), values.get("pan_y", 0.0)
    zoom, turn = values.get("zoom", 0.0) / 100 * quarter, radians(values.get("rotation", 0.0)) * quarter
    moves = {
        "pan right" if pan_x < 0 else "pan left": abs(pan_x),  # the camera goes against the content
        "tilt down" if pan_y < 0 else "tilt up": abs(pan_y),
        "zoom in" if zoom > 0 else "zoom out": abs(zoom),
        "rotation": abs(turn),
    }
    return max(moves, key=lambda name: moves[name])
