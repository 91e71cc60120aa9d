"""The houses along the street: two planes, cut into fronts of different height and make, with shops below.

Metres: x right, y up, z ahead.
"""

from __future__ import annotations

import numpy as np
from canvas import Array, colour, cover, fbm, mix, noise, smooth

WIDTH, HEIGHT = 2560, 1440
HORIZON, ZOOM, EYE = 0.575, 0.80, 1.55
CENTRE = WIDTH / HEIGHT / 2 - 0.03
WALL = 6.2  # from the middle of the street to the houses
FOG = np.float32([0.060, 0.045, 0.075])
WARM = np.float32([1.0, 0.55, 0.20])


def _fronts(side: int) -> list[tuple[float, float, float, int]]:
    random = np.random.default_rng(610 + side)
    fronts, z = [], 0.0
    while z < 190:
        wide = random.uniform(6.5, 11.5)
        fronts.append(
            (
                z,
                z + wide,
                random.choice([10.6, 13.9, 17.2, 20.5]) + random.uniform(0, 1.2),
                int(random.integers(0, 1000)),
            )
        )
        z += wide
    return fronts


def houses(image: Array, x: Array, y: Array, eye: float) -> Array:
    """Both sides of the street, seen by an eye at this height (below 0: the mirror image)."""
    for side in (-1, 1):
        u = (x - CENTRE) * side
        z = WALL * ZOOM / np.maximum(u, 1e-3)
        high = eye + (HORIZON - y) * z / ZOOM
        seen = (u > 0.02) & (high > -0.05)
        for start, end, roof, seed in _fronts(side):
            left, right = (
                np.clip(CENTRE + side * WALL * ZOOM / max(v, 1.5), -0.02, 1.9) for v in (start, end)
            )
            span = slice(
                max(0, int(min(left, right) * HEIGHT) - 1), min(WIDTH, int(max(left, right) * HEIGHT) + 2)
            )
            if span.start >= span.stop:
                continue
            part = (slice(None), span)
            inside = seen[part] & (z[part] >= start) & (z[part] < end)
            wall = _front(z[part] - start, high[part], end - start, roof, seed, z[part])
            fog = 1 - np.exp(-z[part] / 75)
            wall = mix(wall, FOG * 1.5, fog)
            shape = cover((high[part] - roof) * ZOOM / z[part], 1.4 / HEIGHT) * inside
            image[part] = mix(image[part], wall, shape)
    return image


def _front(along: Array, high: Array, wide: float, roof: float, seed: int, z: Array) -> Array:
    random = np.random.default_rng(seed)
    paint = colour(random.choice(["8a5a45", "9a8a74", "6f6a70", "a88b62", "7b4a40", "5f6a70", "b09a80"]))
    floor_height, shop = 3.3, 3.9
    columns = max(2, round(wide / random.uniform(1.9, 2.5)))
    col = along / wide * columns
    floor = (high - shop) / floor_height
    name = (np.floor(col) * 17 + np.floor(floor) * 59 + seed).astype(np.int64)
    luck = np.modf(np.abs(np.sin(name * 12.9898) * 43758.5453))[0].astype(np.float32)
    across, up = col % 1 - 0.5, floor % 1 - 0.48
    stone = paint * (0.85 + 0.35 * fbm(along * 1.7 + seed, high * 1.7, 4, 620))[..., None]
    bricks = smooth(
        0.12, 0.04, np.minimum(high * 6.5 % 1, (along * 2.4 + 0.5 * (np.floor(high * 6.5) % 2)) % 1)
    )
    stone = stone * (1 - 0.25 * bricks * smooth(26, 8, z))[..., None]
    ledge = smooth(0.06, 0.03, np.abs(high - shop + 0.1) / 3) + smooth(
        0.10, 0.07, np.abs(roof - 0.25 - high) / 2.2
    )
    stone = stone * (1 + 0.5 * np.clip(ledge, 0, 1))[..., None]
    glow = 0.75 * np.exp(-np.maximum(high - 1.5, 0) / 3.4) * (0.6 + 0.4 * np.cos(z / 12 * 2 * np.pi)) + 0.04
    glow = glow + 0.16 * np.exp(-((high - 6.3) ** 2) / 3.0)  # the strings of bulbs
    light = stone * (glow[..., None] * WARM * 0.85 + np.float32([0.030, 0.034, 0.060]))
    # windows
    pane = (
        cover(np.maximum(np.abs(across) - 0.27, np.abs(up) - 0.30), 0.03)
        * (high > shop)
        * (high < roof - 0.9)
    )
    frame = (
        cover(np.maximum(np.abs(across) - 0.33, np.abs(up + 0.02) - 0.36), 0.03)
        * (high > shop)
        * (high < roof - 0.9)
    )
    light = mix(light, stone * (glow * 1.5)[..., None] * WARM + 0.012, frame * 0.7)
    lit = (luck > 0.52) * (0.35 + 1.6 * np.modf(luck * 37)[0])
    hue = np.modf(luck * 91)[0]
    room = mix(np.float32([1.0, 0.50, 0.17]), np.float32([1.0, 0.74, 0.44]), hue)
    room = mix(room, np.float32([0.55, 0.70, 1.0]), (hue > 0.93).astype(np.float32))
    curtain = 1 - 0.55 * smooth(0.10, 0.24, np.abs(across)) * (np.modf(luck * 53)[0] > 0.4)
    inner = (
        (0.55 + 0.9 * smooth(-0.30, 0.25, up)) * curtain * (0.8 + 0.4 * noise(col * 5, floor * 5 + seed, 630))
    )
    bars = 1 - 0.75 * np.maximum(smooth(0.035, 0.015, np.abs(across)), smooth(0.03, 0.012, np.abs(up - 0.10)))
    glass = room * (lit * inner)[..., None] * 0.62 + np.float32([0.010, 0.014, 0.030])
    light = mix(light, glass * bars[..., None], pane)
    return _shop(light, along, high, wide, seed, shop)


def _shop(light: Array, along: Array, high: Array, wide: float, seed: int, shop: float) -> Array:
    random = np.random.default_rng(seed + 1)
    tone = np.stack(
        [
            np.float32(c)
            for c in (
                (1.0, 0.46, 0.11),
                (1.0, 0.58, 0.22),
                (0.95, 0.30, 0.12),
                (0.30, 0.62, 0.72),
                (1.0, 0.40, 0.08),
            )
        ]
    )
    hue = tone[random.integers(0, len(tone))]
    bay = along / wide * random.integers(2, 4)
    across = bay % 1 - 0.5
    glass = cover(np.maximum(np.abs(across) - 0.43, np.abs(high - 1.65) - 1.15), 0.02)
    inner = 0.30 + 0.55 * smooth(0.6, 2.7, high) + 0.25 * noise(along * 1.1 + seed, high * 0.8, 640)
    inner = inner * (1 - 0.30 * smooth(0.30, 0.5, np.abs(across)))
    inner = inner * (1 - 0.55 * smooth(1.25, 0.55, high + 0.35 * noise(along * 1.7 + seed, high * 0.6, 642)))
    panes = np.minimum(np.abs((along * 1.9) % 1 - 0.5) / 1.9, np.abs((high * 1.45 + 0.25) % 1 - 0.5) / 1.45)
    bulb = np.hypot((along * 1.05 + seed * 0.7) % 1.0 - 0.5, high - 2.38)
    lamps = smooth(0.13, 0.10, bulb) * 3.2 + 0.55 * np.exp(-bulb / 0.22)
    window = (hue * inner[..., None] + lamps[..., None] * np.float32([1, 0.68, 0.34])) * random.uniform(
        0.9, 1.5
    )
    bars = (1 - 0.85 * smooth(0.02, 0.008, np.abs(across))) * (1 - 0.72 * smooth(0.034, 0.020, panes))
    light = mix(light, window * bars[..., None], glass)
    cloth = colour(random.choice(["a8322a", "22566a", "2f5a3a", "8a6a2a", "5a2f5a"]))
    stripes = np.where((along * 2.2) % 1 < 0.5, 1.0, 0.0)
    awning = cover(np.maximum(np.abs(high - 3.12) - 0.32, np.abs(along - wide / 2) - wide * 0.44), 0.02)
    fabric = mix(cloth, np.float32([0.62, 0.58, 0.50]), stripes * float(random.random() < 0.6))
    return mix(light, fabric * (0.30 + 0.35 * smooth(3.45, 2.8, high))[..., None] * WARM * 1.6, awning)
