"""What was measured of a clip, as a person would say it. Knows the metrics' and flaws' names; nothing of screens."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from math import radians

from svdlab.metrics.definitions import SURE
from svdlab.metrics.flaws import FLAWS, STILL

AIMLESS = 0.4  # of the camera's motion that its strongest part explains, below which it goes nowhere
ALONE = 0.05  # of the camera's motion below which nothing else is said to move
MUCH = 0.25  # of the camera's motion from which things are said to move
DISORDER = ("not_numbers", "black", "still", "shuffled")  # flaws that leave nothing to be said of a move
NONE: Mapping[str, float] = {}


def in_words(
    values: Mapping[str, float], width: int, spreads: Mapping[str, float] = NONE, flaws: Collection[str] = ()
) -> str:
    """A clip's motion: 'slow pan left · steady'. `width` is the clip's, in px; `spreads` what grain makes uncertain."""
    if not values:
        return ""
    for name in DISORDER:
        if name in flaws:
            return FLAWS[name].label
    camera, jerk = values.get("camera_motion", 0.0), values.get("camera_jerk", 0.0)
    if all(values.get(name, 0.0) < _least(name, spreads) for name in ("camera_motion", "object_motion")):
        return FLAWS["still"].label
    if camera < _least("camera_motion", spreads):
        return "still camera"
    share = camera / width * 100  # % of the width a frame
    speed = "very slow" if share < 0.1 else "slow" if share < 0.4 else "medium" if share < 1.2 else "fast"
    uneven = jerk > SURE * spreads.get("camera_jerk", 0.0)
    steadiness = (
        "steady"
        if not uneven or jerk < 0.25 * max(camera, STILL)
        else "a little restless"
        if jerk < camera
        else "restless"
    )
    return f"{speed} {_direction(values, width)} · {steadiness}"


def readout(
    values: Mapping[str, float], width: int, spreads: Mapping[str, float] = NONE, flaws: Collection[str] = ()
) -> str:
    """A clip in one line: how it moves, whether anything else does, and what is wrong with it."""
    said = [in_words(values, width, spreads, flaws), _things(values, spreads, flaws)]
    said += [one.label for name, one in FLAWS.items() if name in flaws]
    return " · ".join(dict.fromkeys(part for part in said if part))


def _things(values: Mapping[str, float], spreads: Mapping[str, float], flaws: Collection[str]) -> str:
    """Whether anything moves by itself."""
    if "object_motion" not in values or any(name in flaws for name in DISORDER):
        return ""
    camera, things = values.get("camera_motion", 0.0), values["object_motion"]
    least = _least("object_motion", spreads)
    if camera < _least("camera_motion", spreads):
        return "things move" if things >= least else ""
    if things < max(least, ALONE * camera):
        return "nothing else moves"
    return "much else moves" if things >= MUCH * camera else "little else moves"


def _least(name: str, spreads: Mapping[str, float]) -> float:
    """px per frame below which a motion is not told from none."""
    return max(STILL, SURE * spreads.get(name, 0.0))


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
    strongest = max(moves, key=lambda name: moves[name])
    return strongest if moves[strongest] >= AIMLESS * values.get("camera_motion", 0.0) else "wandering camera"
