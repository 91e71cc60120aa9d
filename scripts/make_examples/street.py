"""A street of lights after rain: shop windows, strings of bulbs, people with umbrellas, all twice on wet stones.

Metres: x right, y up, z ahead. The reflection is the same street seen from below the ground.
"""

from __future__ import annotations

import cv2
import numpy as np
from canvas import Array, bloom, colour, cover, fbm, finish, grid, mix, noise, polygon, smooth
from houses import CENTRE, EYE, FOG, HEIGHT, HORIZON, WALL, WARM, WIDTH, ZOOM, houses


def paint() -> Array:
    street = _street(EYE)
    mirror = _street(-EYE)
    image = _pavement(street, mirror)
    image = _walkers(image, EYE)
    image = _rain(image)
    return finish(bloom(image, 0.85, 0.42, (5, 22, 80)), exposure=1.0, vignette=0.38, grain=0.012)


def place(
    x: Array | float, y: Array | float, z: Array | float, eye: float
) -> tuple[Array | float, Array | float]:
    """Where a point of the street is in the picture."""
    return CENTRE + x * ZOOM / z, HORIZON - (y - eye) * ZOOM / z


def _street(eye: float) -> Array:
    x, y = grid(WIDTH, HEIGHT)
    lift = np.clip((HORIZON - y) / HORIZON, 0, 1)
    image = mix(FOG * 1.6, colour("101a44") * 0.55, smooth(0.05, 0.75, lift))
    image = image + (0.05 * smooth(-0.2, 0.6, fbm(x * 1.6, y * 3, 5, 600)) * (1 - lift))[
        ..., None
    ] * np.float32([0.8, 0.6, 0.8])
    far = np.exp(-(np.hypot(x - CENTRE, (y - HORIZON) * 1.4) / 0.09))
    image = image + far[..., None] * np.float32([0.62, 0.33, 0.16])
    image = houses(image, x, y, eye)
    image = _signs(image, eye)
    image = _lamps(image, eye)
    image = _strings(image, eye)
    image = _bokeh(image, eye)
    return _walkers(image, eye) if eye < 0 else image


# Things that shine


def _signs(image: Array, eye: float) -> Array:
    """Upright signs across the pavement: coloured tubes in plain shapes."""
    random = np.random.default_rng(650)
    tubes = [
        np.float32(c)
        for c in (
            (2.6, 0.35, 0.75),
            (0.30, 1.9, 2.3),
            (2.6, 1.15, 0.2),
            (0.5, 2.2, 0.8),
            (1.5, 0.5, 2.4),
            (2.6, 0.3, 0.2),
        )
    ]
    signs = [
        (side, z + random.uniform(-1.5, 1.5), random.uniform(4.2, 5.2), random.integers(0, 6))
        for z in range(66, 8, -7)
        for side in (-1, 1)
    ]
    for side, z, low, kind in signs:
        if random.random() < 0.25:
            continue
        tall = random.uniform(1.5, 2.6)
        x0, y0 = place(side * (WALL - 0.15), low + tall, z, eye)
        x1, y1 = place(side * (WALL - 1.05), low, z, eye)
        left, right = sorted((float(x0), float(x1)))
        middle, half = ((left + right) / 2, (y0 + y1) / 2), ((right - left) / 2, (y1 - y0) / 2)
        reach = slice(
            max(0, int((middle[1] - half[1] - 0.02) * HEIGHT)),
            max(0, int((middle[1] + half[1] + 0.02) * HEIGHT)),
        )
        span = slice(max(0, int((left - 0.02) * HEIGHT)), min(WIDTH, int((right + 0.02) * HEIGHT)))
        if reach.start >= reach.stop or span.start >= span.stop:
            continue
        gx, gy = grid(WIDTH, HEIGHT)
        dx, dy = (gx[reach, span] - middle[0]) / half[0], (gy[reach, span] - middle[1]) / half[1] * tall / 0.9
        box = np.maximum(np.abs(dx) - 1, np.abs(dy) - tall / 0.9)
        fade = np.exp(-z / 75)
        image[reach, span] = mix(
            image[reach, span], np.float32([0.012, 0.010, 0.018]), cover(box, 0.06) * 0.9
        )
        outline = np.abs(np.maximum(np.abs(dx) - 0.80, np.abs(dy) - tall / 0.9 + 0.2))
        marks = _mark(int(kind), dx, dy, tall / 0.9)
        line = np.exp(-((outline / 0.075) ** 2)) + np.exp(-((marks / 0.085) ** 2))
        shine = (
            line[..., None] * tubes[kind] * 1.3
            + np.exp(-np.maximum(box, 0) * 3)[..., None] * tubes[kind] * 0.05
        )
        image[reach, span] += shine * fade
    return image


def _mark(kind: int, dx: Array, dy: Array, tall: float) -> Array:
    """Distance to a plain figure in the middle of a sign: ring, bars, diamond or wave."""
    if kind % 4 == 0:
        return np.abs(np.hypot(dx, dy) - 0.42)
    if kind % 4 == 1:
        return np.maximum(
            np.abs((dx + 0.125) % 0.25 - 0.125), np.maximum(np.abs(dx) - 0.5, np.abs(dy) - tall * 0.55)
        )
    if kind % 4 == 2:
        return np.abs(np.abs(dx) * 0.9 + np.abs(dy) * 0.6 - 0.42)
    return np.maximum(np.abs(dx - 0.3 * np.sin(dy * 5)), np.abs(dy) - tall * 0.6)


def _disc(image: Array, px: float, py: float, radius: float, light: Array, ring: float = 0.0) -> None:
    """Adds one disc of light, as a lens draws it; radius in picture heights."""
    reach = radius + 2 / HEIGHT
    rows = slice(max(0, int((py - reach) * HEIGHT)), min(HEIGHT, int((py + reach) * HEIGHT) + 1))
    span = slice(max(0, int((px - reach) * HEIGHT)), min(WIDTH, int((px + reach) * HEIGHT) + 1))
    if rows.start >= rows.stop or span.start >= span.stop:
        return
    dy = ((np.arange(rows.start, rows.stop, dtype=np.float32) + 0.5) / HEIGHT - py)[:, None]
    dx = ((np.arange(span.start, span.stop, dtype=np.float32) + 0.5) / HEIGHT - px)[None, :]
    away = np.hypot(dx, dy)
    shape = cover(away - radius, 1.6 / HEIGHT) * (1 + ring * smooth(0.75, 1.0, away / radius))
    image[rows, span] += shape[..., None] * light


def _lamps(image: Array, eye: float) -> Array:
    x, y = grid(WIDTH, HEIGHT)
    for z in range(108, 5, -12):
        for side in (-1, 1):
            px, top = place(side * 4.3, 4.6, z, eye)
            _, foot = place(side * 4.3, 0.0, z, eye)
            unit, fade = ZOOM / z, float(np.exp(-z / 90))
            pole = np.maximum(np.abs(x - px) - 0.05 * unit, np.maximum(top - y, y - foot))
            image = mix(
                image, np.float32([0.010, 0.010, 0.014]) + FOG * (1 - fade), cover(pole, 1.4 / HEIGHT)
            )
            halo = np.exp(-np.hypot(x - px, y - top) / (0.55 * unit + 0.004))
            image = image + halo[..., None] * WARM * (0.55 * fade)
            _disc(image, float(px), float(top), 0.21 * unit, np.float32([9.0, 5.2, 2.2]) * fade)
    return image


def _strings(image: Array, eye: float) -> Array:
    """Bulbs on wires from house to house, sagging."""
    random = np.random.default_rng(660)
    for z in np.geomspace(120, 5.2, 17):
        points, sag, tilt = 34, random.uniform(0.7, 1.3), random.uniform(-0.5, 0.5)
        share = np.linspace(-1, 1, points)
        wx, wy = place(share * WALL, 6.6 + tilt * share * 0.5 - sag * (1 - share**2), z + tilt * share, eye)
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)
        wire = np.round(np.stack([wx, wy], 1) * HEIGHT * 16).astype(np.int32)
        cv2.polylines(mask, [wire], False, 255, max(1, round(0.02 * ZOOM / z * HEIGHT)), cv2.LINE_AA, 4)
        image = mix(image, np.float32([0.012, 0.010, 0.014]), mask.astype(np.float32) / 255 * 0.8)
        fade = float(np.exp(-z / 80))
        blurred = abs(1 / z - 1 / 16) * 0.035  # the lens is focused at 16 m
        size = 0.052 * ZOOM / z
        radius = float(np.hypot(size, blurred)) + 0.0006
        power = fade * 7.5 * max(0.05, (size / radius) ** 1.2)
        for bx, by in zip(wx, wy, strict=True):
            _disc(
                image,
                float(bx),
                float(by) + size,
                radius,
                np.float32([1.0, 0.62, 0.26]) * power * random.uniform(0.7, 1.2),
                0.35,
            )
    return image


def _bokeh(image: Array, eye: float) -> Array:
    """Far traffic and signals, out of focus."""
    random = np.random.default_rng(670)
    tints = [
        (1, 0.9, 0.75),
        (1, 0.85, 0.6),
        (1, 0.10, 0.05),
        (1, 0.12, 0.06),
        (0.15, 1, 0.55),
        (1, 0.55, 0.12),
        (0.45, 0.65, 1),
    ]
    for _ in range(70):
        z = random.uniform(70, 160)
        px, py = place(
            random.normal(0, 2.6), random.choice([0.7, 0.75, 0.8, 3.2, 4.5]) + random.normal(0, 0.12), z, eye
        )
        tint = np.float32(tints[random.integers(0, len(tints))])
        _disc(
            image, float(px), float(py), random.uniform(0.0035, 0.0085), tint * random.uniform(0.35, 1.1), 0.5
        )
    return image


# People


def _walkers(image: Array, eye: float) -> Array:
    crowd = (
        (-2.9, 46, "1a1c26", 0),
        (2.4, 38, "20202c", 0),
        (3.4, 27, "22324a", 1),
        (-3.5, 22, "3a2a2a", 0),
        (-2.6, 21.6, "262c3a", 1),
        (0.75, 9.6, "b3241c", 2),
    )
    for x, z, code, step in crowd:
        image = _walker(image, x, z, code, step, eye)
    return image


def _walker(image: Array, x: float, z: float, code: str, step: int, eye: float) -> Array:
    """Seen from behind, under an umbrella; 1.75 m."""

    def body(points: list[tuple[float, float]]) -> Array:
        spots = [place(x + px, py, z, eye) for px, py in points]
        return polygon((HEIGHT, WIDTH), np.array(spots) * HEIGHT)

    def rounded(
        left: float, right: float, low: float, high: float, bulge: float
    ) -> list[tuple[float, float]]:
        span = np.linspace(0, np.pi, 20)
        dome = [((left + right) / 2 + (right - left) / 2 * np.cos(t), high + bulge * np.sin(t)) for t in span]
        return [*dome, (left, low), (right, low)]

    gx, gy = grid(WIDTH, HEIGHT)
    fade = 1 - np.exp(-z / 75)
    stride = (0.10, 0.16, 0.13)[step]
    dark = np.float32([0.010, 0.011, 0.016])
    coat = mix(colour("2a2c38") * 0.10, FOG, fade)
    for side, lift in ((-1, 0.0), (1, 0.05)):
        leg = body(
            [
                (side * 0.05, 0.85),
                (side * 0.05 + side * 0.085, 0.85),
                (side * stride + 0.055, lift + 0.08),
                (side * stride + 0.09, lift),
                (side * stride - 0.06, lift),
            ]
        )
        image = mix(image, mix(dark, FOG, fade), leg)
    torso = body(
        [
            (-0.17, 1.42),
            (-0.10, 1.50),
            (0.10, 1.50),
            (0.17, 1.42),
            (0.21, 1.0),
            (0.26, 0.62),
            (-0.26, 0.62),
            (-0.21, 1.0),
        ]
    )
    px, _ = place(x, 1, z, eye)
    edge = np.clip(np.abs(gx - px) * z / ZOOM / 0.24, 0, 1) ** 3  # lamps on both sides rim the coat
    image = mix(image, coat + edge[..., None] * WARM * 0.22 * (1 - fade), torso)
    image = mix(image, mix(dark, FOG, fade), body(rounded(-0.085, 0.085, 1.48, 1.62, 0.10)))
    tilt, span = 0.06, 0.62
    arc = np.linspace(0, np.pi, 40)
    dome = [(tilt + span * np.cos(t), 1.70 + 0.40 * np.sin(t) ** 0.85) for t in arc]
    scallops = [
        (tilt - span + 2 * span * s, 1.70 + 0.045 * abs(np.sin(s * np.pi * 5))) for s in np.linspace(0, 1, 41)
    ]
    canopy = body(dome + scallops)
    _, ty = place(x, 2.10, z, eye)
    _, by = place(x, 1.70, z, eye)
    v = np.clip((gy - ty) / (by - ty), 0, 1)
    ribs = np.abs(
        np.sin(
            np.arccos(
                np.clip(
                    (gx - px - tilt * ZOOM / z)
                    * z
                    / ZOOM
                    / span
                    / np.sqrt(np.maximum(1 - (1 - v) ** 2, 0.05)),
                    -1,
                    1,
                )
            )
            * 2.5
            + np.pi / 2
        )
    )
    shade = (
        0.32
        + 0.55 * (1 - v)
        + 0.5 * np.clip(np.abs(gx - px) * z / ZOOM / span, 0, 1) ** 2
        - 0.22 * smooth(0.25, 0.0, ribs)
    )
    cloth = mix(colour(code) * shade[..., None] * np.float32([1.0, 0.75, 0.62]) * 0.95, FOG, fade)
    image = mix(image, cloth, canopy)
    return mix(
        image,
        mix(dark, FOG, fade),
        body([(tilt - 0.008, 2.10), (tilt + 0.008, 2.10), (tilt + 0.004, 2.19), (tilt - 0.004, 2.19)]),
    )


# The ground


def _pavement(street: Array, mirror: Array) -> Array:
    x, y = grid(WIDTH, HEIGHT)
    below = np.maximum(y - HORIZON, 1.5 / HEIGHT)
    z = EYE * ZOOM / below
    gx = (x - CENTRE) * z / ZOOM
    row = np.floor(z / 0.22)
    along = gx / 0.34 + 0.5 * (row % 2) + 0.15 * noise(gx * 2, z * 2, 680)
    across = z / 0.22 + 0.12 * noise(gx * 2 + 9, z * 2, 681)
    joint = np.minimum(np.minimum(along % 1, 1 - along % 1) * 1.5, np.minimum(across % 1, 1 - across % 1))
    visible = smooth(24, 6, z)
    name = np.modf(np.abs(np.sin((np.floor(along) * 7 + np.floor(across) * 31) * 12.9898) * 43758.5))[
        0
    ].astype(np.float32)
    hollow = smooth(0.14, 0.02, joint) * visible
    puddle = smooth(0.02, 0.26, fbm(gx * 0.34 + 2, z * 0.20, 5, 685) + 0.12)
    tilt = (name - 0.5) * visible * (1 - 0.9 * puddle)
    ripple = fbm(gx * 7, z * 5, 4, 686, gain=0.6)
    shift_y = (tilt * 0.030 + ripple * 0.016 * (1 - 0.75 * puddle)) * np.clip(below / 0.25, 0.15, 1.6)
    shift_x = ((name * 7 % 1 - 0.5) * 0.010 * visible + 0.004 * ripple) * (1 - 0.85 * puddle)
    flipped = mirror[::-1]  # row r of the mirror image stands at 2·horizon − r
    offset = (2 * HORIZON - 1) * HEIGHT
    layers = [
        flipped,
        cv2.GaussianBlur(flipped, (0, 0), sigmaX=3, sigmaY=16),
        cv2.GaussianBlur(flipped, (0, 0), sigmaX=9, sigmaY=60),
    ]
    mapx, mapy = (
        ((x + shift_x) * HEIGHT).astype(np.float32),
        ((y + shift_y) * HEIGHT - offset - 0.5).astype(np.float32),
    )
    sharp, soft, wide = (
        cv2.remap(layer, mapx, mapy, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for layer in layers
    )
    rough = mix(soft * 0.55 + wide * 0.45, sharp, puddle * 0.8)
    steep = np.clip(EYE / np.sqrt(EYE**2 + z**2), 0, 1)
    fresnel = 0.10 + 0.90 * (1 - steep) ** 3.2
    stone = colour("4a4648") * (0.5 + 0.8 * name * visible + 0.4 * (1 - visible))[..., None]
    pools = 0.30 * np.exp(-((np.abs(gx) - 4.3) ** 2) / 7) * (
        0.55 + 0.45 * np.cos(z / 12 * 2 * np.pi)
    ) + 0.35 * np.exp(-np.maximum(WALL - np.abs(gx), 0) / 1.3)
    ground = stone * (pools * 0.55 + 0.02)[..., None] * WARM * (1 - 0.55 * puddle)[..., None]
    ground = (ground + rough * (fresnel * (0.55 + 0.35 * puddle))[..., None]) * (
        1 - 0.75 * hollow * (1 - 0.8 * puddle)
    )[..., None]
    kerb = smooth(0.10, 0.05, np.abs(np.abs(gx) - 3.55))
    ground = mix(ground, rough * 0.25 + stone * 0.05, kerb * 0.6)
    ground = mix(ground, FOG * 1.5 + np.float32([0.25, 0.14, 0.07]), (1 - np.exp(-z / 90)) * 0.6)
    return mix(
        street, ground, cover(HORIZON - y, 1.2 / HEIGHT) * cover((np.abs(gx) - WALL) * ZOOM / z, 1.2 / HEIGHT)
    )


def _rain(image: Array) -> Array:
    """A few last drops, seen against the light."""
    random = np.random.default_rng(690)
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    for _ in range(420):
        px, py, long = random.uniform(0, WIDTH), random.uniform(0, HEIGHT), random.uniform(14, 60)
        ends = [(round(px * 16), round(py * 16)), (round((px - long * 0.10) * 16), round((py + long) * 16))]
        cv2.line(mask, ends[0], ends[1], int(random.uniform(20, 110)), 1, cv2.LINE_AA, 4)
    light = cv2.GaussianBlur(image, (0, 0), 14)
    return image + cv2.GaussianBlur(mask, (0, 0), 0.9).astype(np.float32)[..., None] / 255 * (
        light * 0.55 + 0.02
    )
