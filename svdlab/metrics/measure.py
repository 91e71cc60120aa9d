"""frames → all that is measured of them: every metric by name, each with its spread and frame by frame, and the flaws.

No extra weights. Knows clips as arrays; nothing of models, runs or screens.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from svdlab.metrics.definitions import METRICS, Reading, Series
from svdlab.metrics.flaws import Frames, flaws_of
from svdlab.metrics.footage import Footage

DIGITS = 4  # behind the point, as numbers are kept


@dataclass(frozen=True)
class Measurement:
    """What was measured of one clip.

    `values` and `spreads` (standard deviations by the clip's own grain) are by metric, rounded, without what could not
    be measured. `series` is the same frame by frame, None where there is nothing to say. `path` is where the first
    frame's middle lies in each frame, px from there. `flaws` are those frames, counted from 0, that show each; empty
    where the whole clip does.
    """

    values: dict[str, float] = field(default_factory=dict)
    spreads: dict[str, float] = field(default_factory=dict)
    flaws: dict[str, Frames] = field(default_factory=dict)
    series: dict[str, Series] = field(default_factory=dict)
    path: tuple[tuple[float, float], ...] = ()


def measure(frames: np.ndarray, picture: np.ndarray | None = None, rate: float | None = None) -> Measurement:
    """Measures a clip (n, height, width, 3), uint8 or floats in 0…1; of one frame, what can be said of it.

    `picture` (height, width, 3) uint8 is what it started from, as large; `rate` frames per second as it plays.
    """
    unreal: Frames = ()
    if frames.dtype != np.uint8:
        unreal = tuple(t for t, frame in enumerate(frames) if not np.isfinite(frame).all())
        frames = (np.nan_to_num(frames, posinf=1, neginf=0).clip(0, 1) * 255).round().astype(np.uint8)
    clip = Footage(frames, picture, rate, unreal)
    found = {name: metric.measured(clip) for name, metric in METRICS.items()}
    known = {name: one for name, one in found.items() if one is not None and math.isfinite(one.value)}
    return Measurement(
        {name: round(one.value, DIGITS) for name, one in known.items()},
        {name: round(one.spread, DIGITS) for name, one in known.items()},
        flaws_of(clip),
        {name: _rounded(one) for name, one in known.items() if one.frames},
        tuple((round(float(x), 2), round(float(y), 2)) for x, y in clip.whereabouts),
    )


def _rounded(one: Reading) -> Series:
    return tuple(None if x is None else round(x, DIGITS) for x in one.frames)
