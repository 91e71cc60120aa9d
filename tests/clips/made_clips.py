"""Small clips as arrays, for what is tested on their pixels."""

from __future__ import annotations

import numpy as np

RED, GREEN, BLUE, GREY = (200, 30, 40), (30, 180, 60), (40, 50, 210), (128, 128, 128)


def patches(count: int = 6, height: int = 64, width: int = 96) -> np.ndarray:
    """Four flat colours in quarters, over a grey bar that walks: (count, height, width, 3)."""
    frames = np.empty((count, height, width, 3), np.uint8)
    top, left = height // 2, width // 2
    frames[:, :top, :left], frames[:, :top, left:] = RED, GREEN
    frames[:, top:, :left], frames[:, top:, left:] = BLUE, GREY
    for index, frame in enumerate(frames):
        frame[-8:] = 20 + 25 * index
    return frames
