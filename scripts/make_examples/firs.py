"""Fir trees as silhouettes, drawn branch by branch."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from canvas import Array


def fir(mask: Array, px: float, base: float, tall: float, random: np.random.Generator) -> None:
    """One tree into an 8-bit mask, in pixels: uneven whorls of drooping branches, ragged below."""
    lean = random.normal(0, 0.015) * tall
    wide = tall * random.uniform(0.15, 0.22)

    def fill(points: list[tuple[float, float]]) -> None:
        cv2.fillPoly(mask, [np.round(np.array(points) * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)

    trunk = tall * 0.010
    fill(
        [
            (px - trunk, base),
            (px + trunk, base),
            (px + lean + 0.3, base - tall),
            (px + lean - 0.3, base - tall),
        ]
    )
    whorls = int(np.clip(tall / 7, 18, 46))
    for n in range(whorls):
        up = 0.08 + 0.92 * (
            1 - (1 - (n + random.uniform(-0.3, 0.3)) / whorls) ** 1.45
        )  # closer toward the top
        cx, cy = px + lean * up, base - tall * up
        for side in (-1, 1):
            reach = wide * (1 - up) ** 0.8 * random.uniform(0.5, 1.12) + tall * 0.004
            droop = reach * random.uniform(0.15, 0.55)
            tufts = max(4, int(reach / 3.5))
            along = np.linspace(0, 1, tufts)
            crown = [
                (cx + side * reach * s, cy - 0.12 * reach * np.sin(s * 2.6) + droop * s * s) for s in along
            ]
            hang = (0.34 * (1 - along) ** 0.7 + 0.06) * reach * random.uniform(0.5, 1.3, tufts) + tall * 0.004
            below = []
            for (bx, by), length in zip(crown, hang, strict=True):
                step = reach / tufts
                below += [(bx + side * step * 0.3, by + length), (bx - side * step * 0.3, by + length * 0.35)]
            fill(crown + below[::-1])


def forest(
    width: int, height: int, base: float, tall: float, count: int, seed: int, ground: Callable[[float], float]
) -> Array:
    """Coverage 0..1 of firs in a row; `base` and `tall` in picture heights, `ground` lifts the row along 0..1."""
    random = np.random.default_rng(seed)
    mask = np.zeros((height, width), np.uint8)
    places = (np.arange(count) + random.uniform(-0.45, 0.45, count)) / count
    for u in random.permutation(places):
        size = tall * random.uniform(0.55, 1.1) * (0.55 + 0.9 * abs(u - 0.52))
        fir(mask, u * width, (base - ground(u) + 0.03) * height, size * height, random)
    edge = np.array([(u * width, (base - ground(u)) * height) for u in np.linspace(0, 1, 200)])
    edge = np.vstack([edge, [[width, height * 1.2], [0, height * 1.2]]])
    cv2.fillPoly(mask, [np.round(edge * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return mask.astype(np.float32) / 255
