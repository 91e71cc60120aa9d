"""frames → every metric that is declared, by name. No extra weights: optical flow and SSIM.

Knows clips as arrays; nothing of models, runs or screens.
"""

from __future__ import annotations

import math

import numpy as np

from svdlab.metrics.definitions import METRICS
from svdlab.metrics.footage import Footage

DIGITS = 4  # behind the point, as numbers are kept


def measure(frames: np.ndarray, picture: np.ndarray | None = None) -> dict[str, float]:
    """Every metric of a clip (n ≥ 2, height, width, 3) uint8, by name; `picture` is what it started from, as large.

    Rounded, and without what could not be measured.
    """
    clip = Footage(frames, picture)
    values = {name: metric.measured(clip) for name, metric in METRICS.items()}
    return {
        name: round(float(value), DIGITS)
        for name, value in values.items()
        if value is not None and math.isfinite(value)
    }
