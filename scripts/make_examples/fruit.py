"""What the still life shows: shapes of fruit, bowl, vase and leaves, their skins, and where they stand."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from canvas import Array, colour, fbm, mix, noise, smooth
from tracer import Cluster, Profile, Solid, Surface, turned

Paint = Callable[[Array, Array], Surface]  # points and normals of a solid → look


# Skins


def _apple(base: str, blush: str, seed: int) -> Paint:
    def paint(p: Array, _: Array) -> Surface:
        around = np.arctan2(p[:, 2], p[:, 0])
        streaks = noise(around * 9 + seed, p[:, 1] * 1.2, 720 + seed) + 0.5 * noise(
            around * 22, p[:, 1] * 1.7, 721
        )
        share = smooth(-0.35, 0.55, streaks * 0.7 + 0.55 * np.cos(around - seed) + 0.25)
        skin = mix(colour(base), colour(blush), share[:, None])
        dots = smooth(0.52, 0.60, noise(around * 14, p[:, 1] * 16, 722)) * 0.35
        skin = mix(skin, colour("e8d8a0"), dots[:, None])
        cup = np.exp(-(np.hypot(p[:, 0], p[:, 2]) ** 2) / 0.035) * (p[:, 1] > 0)
        return Surface(mix(skin, colour("7d7a35"), (cup * 0.8)[:, None]), 0.045, 0.045)

    return paint


def _orange(p: Array, _: Array) -> Surface:
    tone = 0.5 + 0.5 * fbm(p[:, 0] * 2 + p[:, 2], p[:, 1] * 2, 3, 730)
    skin = mix(colour("ee8412"), colour("f29d26"), tone[:, None])
    navel = np.exp(-(np.hypot(p[:, 0], p[:, 2]) ** 2) / 0.012) * (p[:, 1] > 0)
    return Surface(mix(skin, colour("6d7a2a"), navel[:, None]), 0.035, 0.13)


def _lemon(p: Array, _: Array) -> Surface:
    tone = 0.5 + 0.7 * fbm(p[:, 0] * 3, p[:, 1] * 3, 3, 740)
    skin = mix(colour("f3cf1f"), colour("f7de57"), tone[:, None])
    return Surface(
        mix(skin, colour("a9a83a"), (smooth(0.98, 1.2, np.abs(p[:, 1])) * 0.6)[:, None]), 0.04, 0.10
    )


def _pear(p: Array, _: Array) -> Surface:
    freckles = smooth(0.30, 0.42, noise(np.arctan2(p[:, 2], p[:, 0]) * 11, p[:, 1] * 12, 750)) * 0.35
    blush = smooth(-0.1, 0.9, p[:, 0] * -0.9 + 0.3 * noise(p[:, 1] * 2, p[:, 2] * 2, 751))
    skin = mix(
        mix(colour("a8b03a"), colour("c9c25a"), smooth(0.2, 1.3, p[:, 1])[:, None]),
        colour("c8703a"),
        (blush * 0.55)[:, None],
    )
    return Surface(mix(skin, colour("6a5a2a"), freckles[:, None]), 0.035, 0.10)


def _grape(p: Array, n: Array) -> Surface:
    bloomed = smooth(0.1, 0.9, n[:, 1] + 0.6 * noise(p[:, 0] * 6, p[:, 1] * 6 + p[:, 2] * 4, 760))
    return Surface(mix(colour("3a1534"), colour("6b5a86"), (bloomed * 0.55)[:, None]), 0.045, 0.06)


def _glaze(p: Array, _: Array) -> Surface:
    r, around = np.hypot(p[:, 0], p[:, 2]), np.arctan2(p[:, 2], p[:, 0])
    white, blue = colour("e6e0d2"), colour("28507e")
    waves = np.abs(p[:, 1] - 0.62 - 0.075 * np.sin(around * 14)) < 0.030
    lines = (np.abs(p[:, 1] - 0.93) < 0.018) | (np.abs(p[:, 1] - 0.38) < 0.018) | (p[:, 1] > 1.30)
    dots = np.hypot((around * 14 / (2 * np.pi) % 1 - 0.5) * 1.1, (p[:, 1] - 0.79) * 5) < 0.16
    tinted = (waves | lines | dots) & (r > 0.6)
    speck = 1 - 0.25 * smooth(0.42, 0.55, noise(around * 26, p[:, 1] * 22, 770))
    return Surface(mix(white, blue, tinted.astype(np.float32)[:, None]) * speck[:, None], 0.05, 0.03)


def _teal(p: Array, _: Array) -> Surface:
    around = np.arctan2(p[:, 2], p[:, 0])
    drips = p[:, 1] - 2.0 + 0.30 * noise(around * 2.2, p[:, 1] * 0.3, 780) * 2
    body = mix(
        colour("20343a"),
        colour("3d6468"),
        smooth(-0.6, 0.5, fbm(around * 1.5, p[:, 1] * 2.2, 4, 781))[:, None],
    )
    return Surface(mix(colour("8a6a50") * 0.8, body, smooth(-1.55, -1.45, drips)[:, None]), 0.05, 0.04)


def _leaf(p: Array, n: Array) -> Surface:
    vein = smooth(0.05, 0.0, np.abs(p[:, 0])) * 0.3
    tone = 0.5 + 0.5 * np.sin(p[:, 1] * 3 + 9 * n[:, 0])
    return Surface(
        mix(mix(colour("5d7a66"), colour("87a08a"), tone[:, None]), colour("b9c8ae"), vein[:, None]),
        0.010,
        0.20,
    )


def _bark(p: Array, _: Array) -> Surface:
    return Surface(np.broadcast_to(colour("5a4030"), p.shape).copy(), 0.0, 0.3)


# Where things stand


def _turned_solid(
    profile: Profile, paint: Paint, centre: tuple[float, float, float], size: float, turn: Array
) -> Solid:
    return Solid(profile.distance, paint, profile.reach, centre, size, turn, profile.gradient)


def _round(outline: Array) -> Profile:
    return Profile(outline, smooth=False)


def _apple_profile() -> Profile:
    t = np.linspace(0, np.pi, 120)
    rho = (
        1
        - 0.42 * np.exp(-((t / 0.42) ** 2))
        - 0.16 * np.exp(-(((np.pi - t) / 0.30) ** 2))
        + 0.05 * np.sin(t) ** 4
    )
    return _round(np.stack([rho * np.sin(t) * 1.04, rho * np.cos(t) * 0.97 + 0.06 * np.cos(t) ** 3], 1))


def _lemon_profile() -> Profile:
    t = np.linspace(0, np.pi, 120)
    tip = 0.24 * np.exp(-((t / 0.24) ** 2)) + 0.22 * np.exp(-(((np.pi - t) / 0.2) ** 2))
    return _round(np.stack([np.sin(t) * 0.78, np.cos(t) * 1.02 + tip * np.sign(np.cos(t))], 1))


def _stem(base: tuple[float, float, float], tip: tuple[float, float, float], thick: float) -> Solid:
    a, b = np.float32(base), np.float32(tip)
    middle, half = (a + b) / 2, (b - a) / 2

    def distance(p: Array) -> Array:
        share = np.clip(p @ half / (half @ half), -1, 1)
        return np.linalg.norm(p - share[:, None] * half, axis=1) - thick

    return Solid(distance, _bark, float(np.linalg.norm(half)) + thick * 2, tuple(middle.tolist()))


def _grapes(centre: tuple[float, float, float]) -> Solid:
    random = np.random.default_rng(8)
    spots: list[Array] = []
    for _ in range(4000):
        spot = random.normal(0, 1, 3) * (0.50, 0.34, 0.34)
        spot[1] = abs(spot[1]) * (1 - 0.6 * abs(spot[0])) + 0.215
        if abs(spot[0]) < 1.05 and spot[1] < 0.85 and all(np.linalg.norm(spot - s) > 0.345 for s in spots):
            spots.append(spot)
        if len(spots) == 38:
            break

    def distance(p: Array) -> Array:
        nearest = np.full(len(p), 9.0, np.float32)
        for spot in spots:
            nearest = np.minimum(nearest, ((p - spot.astype(np.float32)) ** 2).sum(1))
        return np.sqrt(nearest) - 0.21

    return Solid(distance, _grape, 1.7, centre)


def _branch(
    start: tuple[float, float, float], lean: tuple[float, float], tall: float, seed: int
) -> list[Solid]:
    """A bending stem with round leaves in pairs."""
    random = np.random.default_rng(seed)
    parts: list[Solid] = []
    share = np.linspace(0, 1, 9)
    path = np.stack(
        [
            start[0] + lean[0] * share**1.6,
            start[1] + tall * share * (1 - 0.14 * share),
            start[2] + lean[1] * share**1.6,
        ],
        1,
    )
    for a, b in pairwise(path):
        parts.append(_stem(tuple(a), tuple(b), 0.030))
    for n, s in enumerate(np.linspace(0.30, 1.0, 9)):
        spot = np.array([np.interp(s, share, path[:, i]) for i in range(3)])
        for side in (-1, 1):
            radius = random.uniform(0.24, 0.36) * (1.15 - 0.55 * s)
            turn = turned(
                random.uniform(-35, 35), n * 75 + random.uniform(-30, 30), side * random.uniform(45, 80)
            )
            middle = spot + turn[1] * radius * 0.95
            axes = np.float32([0.80, 1.0, 0.10])

            def distance(p: Array, axes: Array = axes) -> Array:
                q = p / axes
                near = np.linalg.norm(q, axis=1)
                return near * (near - 1) / np.maximum(np.linalg.norm(q / axes, axis=1), 1e-6)

            parts.append(Solid(distance, _leaf, 1.02, tuple(middle), radius, turn))
    return parts


def arrange() -> tuple[Cluster, ...]:
    """Everything on the table; one unit is about seven centimetres."""
    apple, lemon = _apple_profile(), _lemon_profile()
    sphere = _round(
        np.stack(
            [np.sin(t := np.linspace(0, np.pi, 120)), np.cos(t) * 0.95 - 0.07 * np.exp(-((t / 0.2) ** 2))], 1
        )
    )
    pear = Profile(
        [
            (0, 1.62),
            (0.16, 1.60),
            (0.34, 1.38),
            (0.42, 1.0),
            (0.62, 0.55),
            (0.90, 0.05),
            (0.93, -0.38),
            (0.66, -0.80),
            (0.25, -0.93),
            (0, -0.86),
        ]
    )
    outer = [
        (0.0, 0.06),
        (0.55, 0.06),
        (0.62, 0.0),
        (0.80, 0.0),
        (0.84, 0.14),
        (1.25, 0.36),
        (1.68, 0.80),
        (1.92, 1.34),
    ]
    inner = [(1.97, 1.39), (1.90, 1.40), (1.82, 1.33), (1.58, 0.86), (1.15, 0.46), (0.6, 0.24), (0, 0.20)]
    bowl = Profile(outer + inner, smooth=False)
    vase = Profile(
        [
            (0, -1.60),
            (0.55, -1.60),
            (0.72, -1.52),
            (0.98, -0.9),
            (1.08, -0.2),
            (0.90, 0.55),
            (0.52, 1.10),
            (0.36, 1.50),
            (0.40, 1.82),
            (0.54, 2.02),
            (0.50, 2.06),
            (0.38, 1.92),
            (0.26, 1.5),
            (0, 1.45),
        ]
    )
    bx, bz = -0.75, 0.0

    def put(profile: Profile, look: Paint, x: float, y: float, z: float, size: float, *turn: float) -> Solid:
        return _turned_solid(profile, look, (x, y, z), size, turned(*turn))

    red, green = _apple("d8a23a", "a81f1c", 1), _apple("b7bf4a", "c2542e", 4)
    in_bowl = (
        put(bowl, _glaze, bx, 0, bz, 1.0),
        put(sphere, _orange, bx - 0.78, 1.28, bz - 0.42, 0.72, 20, 0, 30),
        put(apple, red, bx + 0.50, 1.36, bz - 0.62, 0.72, -16, 40, -14),
        put(apple, green, bx + 0.72, 1.34, bz + 0.62, 0.70, 18, 90, -20),
        put(sphere, _orange, bx - 0.55, 1.30, bz + 0.82, 0.70, -30, 0, 10),
        put(pear, _pear, bx + 0.02, 1.98, bz + 0.18, 0.66, 8, 20, 24),
        put(lemon, _lemon, bx - 0.42, 1.98, bz - 0.30, 0.50, 20, 40, 68),
        _stem((bx + 0.44, 1.86, bz - 0.78), (bx + 0.36, 2.22, bz - 0.92), 0.032),
        _stem((bx - 0.42, 3.02, bz + 0.33), (bx - 0.62, 3.36, bz + 0.36), 0.035),
    )
    on_table = (
        put(apple, red, 1.72, 0.665, -1.55, 0.72, 6, 200, 8),
        _stem((1.70, 1.06, -1.56), (1.60, 1.46, -1.62), 0.030),
        put(lemon, _lemon, -3.05, 0.46, -1.15, 0.60, 0, 35, 88),
        put(sphere, _orange, -3.75, 0.655, 0.25, 0.70, 40, 0, 20),
        _grapes((0.55, 0.0, -2.35)),
        _stem((0.35, 0.75, -2.30), (0.05, 1.12, -2.25), 0.035),
        _stem((0.05, 1.12, -2.25), (-0.16, 1.14, -2.30), 0.045),
    )
    vx, vz = 3.05, 0.85
    standing = (put(vase, _teal, vx, 1.60, vz, 1.0),)
    twigs = [
        Cluster(
            tuple(_branch((vx, 3.3, vz), lean, tall, seed)),
            (vx + lean[0] * 0.45, 3.3 + tall * 0.5, vz + lean[1] * 0.45),
            tall * 0.5 + abs(lean[0]) * 0.5 + 0.55,
        )
        for lean, tall, seed in (
            ((-1.7, -0.3), 2.5, 31),
            ((0.25, 0.4), 3.0, 32),
            ((1.6, -0.2), 2.2, 33),
            ((-0.7, 0.8), 2.9, 34),
        )
    ]
    return (
        Cluster(in_bowl, (bx, 1.55, bz), 2.45),
        Cluster(on_table[:2], (1.70, 0.75, -1.55), 0.95),
        Cluster(on_table[2:4], (-3.4, 0.6, -0.4), 1.6),
        Cluster(on_table[4:], (0.55, 0.3, -2.35), 1.75),
        Cluster(standing, (vx, 1.85, vz), 2.2),
        *twigs,
    )
