"""A beach from straight above: deep water to turquoise, breakers, wet sand, umbrellas, dark rocks."""

from __future__ import annotations

import numpy as np
from canvas import (
    Array,
    bloom,
    blur,
    cast_shadow,
    cells,
    colour,
    cover,
    fbm,
    finish,
    grid,
    mix,
    noise,
    normals,
    smooth,
    warped,
)

WIDTH, HEIGHT = 2560, 1440
SUN = (-0.62, -0.55)  # toward the sun, across and down; shadows fall to the lower right


def paint() -> Array:
    x, y = grid(WIDTH, HEIGHT)
    shore = 0.60 - 0.09 * x + 0.035 * np.sin(2.3 * x + 0.6) + 0.018 * fbm(x * 2.1, y * 2.1, 4, 3)
    out = shore - y  # how far out at sea; negative on land
    rocks = _rock_height(x, y, out)
    image = _sand(x, y, out)
    image = _furniture(image, x, y, out)
    image = mix(image, _water(x, y, out), smooth(-0.002, 0.004, _waterline(x, y, out)))
    image = _foam(image, x, y, out, rocks)
    image = _rocks(image, x, y, rocks, out)
    return finish(bloom(image, 0.9, 0.15), exposure=1.02, vignette=0.2, grain=0.010)


def _waterline(x: Array, y: Array, out: Array) -> Array:
    """Where the last wave has run up to: lobes."""
    lobes = np.abs(np.sin(x * 5.1 + 1.2 * noise(x * 2.2, y * 0.4, 21))) * 0.016
    return out + lobes + 0.004 * fbm(x * 14, y * 14, 3, 22)


def _sand(x: Array, y: Array, out: Array) -> Array:
    dunes = fbm(x * 9, y * 9, 6, 5, gain=0.55) + 0.25 * noise(x * 160, y * 160, 6)
    nx, ny, _ = normals(dunes, 2.2)
    light = 1 + 0.8 * (nx * SUN[0] + ny * SUN[1]) + 0.05 * fbm(x * 3, y * 3, 3, 8)
    sand = mix(colour("d9bf94"), colour("c9a878"), smooth(-0.4, 0.5, fbm(x * 4, y * 4, 4, 9)))
    wet = smooth(-0.055, -0.012, out + 0.012 * fbm(x * 5, y * 5, 3, 10))
    prints = _footprints(x, y, out)
    return mix(sand * (light * (1 - 0.25 * prints))[..., None], colour("a07f57") * 0.92, wet * 0.8)


def _footprints(x: Array, y: Array, out: Array) -> Array:
    """Trails of small dents along the beach."""
    dents = np.zeros(x.shape, np.float32)
    for n in range(5):
        along = -0.045 - 0.028 * n + 0.02 * np.sin(x * (2 + n) + n * 1.7)
        side = np.abs(out - along + 0.0022 * np.sign(np.sin(x * 420)))
        dents += (
            smooth(0.0028, 0.001, side)
            * smooth(0.2, 0.7, np.sin(x * 840 + n))
            * smooth(-0.2, 0.3, noise(x * 2, y * 0 + n, 60 + n))
        )
    return dents


def _depth(x: Array, y: Array, out: Array) -> Array:
    bars = 0.10 * np.exp(-(((out - 0.17 - 0.03 * fbm(x * 2, y * 2, 3, 30)) / 0.05) ** 2))
    slope = np.maximum(out, 0) ** 1.3 * 1.75
    return np.maximum(
        slope - bars * smooth(0.0, 0.1, out) + 0.10 * fbm(x * 3, y * 3, 5, 31) * smooth(0, 0.3, out), 0.004
    )


def _water(x: Array, y: Array, out: Array) -> Array:
    depth = _depth(x, y, out)
    bottom = mix(
        colour("e8d3a5"),
        colour("27433f"),
        smooth(0.12, 0.5, warped(x * 5, y * 5, 6, 0.6, 33)) * smooth(0.1, 0.24, out) * 0.85,
    )
    wx, wy = x + 0.022 * fbm(x * 11, y * 11, 3, 34), y + 0.022 * fbm(x * 11 + 7, y * 11, 3, 35)
    caustics = np.zeros(x.shape, np.float32)
    for scale, seed in ((38, 36), (61, 46)):
        near, far, _ = cells(wx * scale, wy * scale * 1.2, seed)
        caustics += 0.5 * np.exp(-((far - near) / 0.10))
    bottom = bottom * (0.9 + 0.42 * caustics * np.exp(-depth * 7))[..., None]
    absorb = np.exp(-depth[..., None] * np.array([11.0, 2.3, 1.55], np.float32))
    deep = mix(colour("0c8f9c"), colour("033257"), smooth(0.12, 0.62, depth))
    water = bottom * absorb + deep * (1 - np.exp(-depth[..., None] * np.array([4.5, 4.2, 3.6], np.float32)))
    return water * _swell(x, y, out)[..., None]


def _swell(x: Array, y: Array, out: Array) -> Array:
    """Light on the waves: long ones along the shore, wind ripples across."""
    phase = out * 62 + 2.4 * fbm(x * 1.6, y * 3.0, 3, 37)
    long = np.sin(phase) * smooth(0.05, 0.2, out) * (0.6 + 0.8 * noise(x * 2, y * 5, 38))
    wind = fbm(x * 22 + y * 8, y * 58 - x * 9, 4, 39, gain=0.6)
    fine = fbm(x * 90 + y * 30, y * 190 - x * 20, 2, 45)
    return 1 + (0.09 * long + 0.24 * wind + 0.16 * fine) * smooth(0.0, 0.15, out)


def _foam(image: Array, x: Array, y: Array, out: Array, rocks: Array) -> Array:
    """Lace: the walls between cells, thick at a breaker's front and torn behind it."""
    wx, wy = x + 0.02 * fbm(x * 7, y * 7, 3, 70), y + 0.02 * fbm(x * 7 + 3, y * 7, 3, 71)
    lace = np.zeros(x.shape, np.float32)
    for scale, seed in ((22, 72), (47, 73), (95, 74)):
        near, far, _ = cells(wx * scale, wy * scale * 1.25, seed)
        lace = np.maximum(lace, 1 - (far - near) * 1.6)
    lace = lace * 0.75 + 0.35 * fbm(x * 40, y * 40, 3, 75)
    amount = np.zeros(x.shape, np.float32)
    line = _waterline(x, y, out)
    for place, width, strength, seed in (
        (0.0, 0.024, 1.0, 80),
        (0.058, 0.034, 0.92, 81),
        (0.128, 0.042, 0.8, 82),
        (0.215, 0.035, 0.6, 83),
    ):
        wave = (
            (line if place == 0 else out)
            - place
            - 0.030 * fbm(x * 2.2, y * 0.7 + place * 9, 4, seed) * (place > 0)
        )
        gaps = smooth(
            -0.45 + 0.5 * (1 - strength),
            0.25,
            noise(x * 2.7 + 3, y * 0.8 + place * 20, seed + 5) + 0.3 * strength,
        )
        front = smooth(-0.002, 0.0015, wave)
        amount = np.maximum(amount, strength * gaps * front * np.exp(-np.maximum(wave, 0) / width))
    splash = (
        smooth(-0.03, 0.012, blur(rocks, 14) - 0.0)
        * smooth(0.0, 0.03, out)
        * (0.75 + 0.5 * noise(x * 9, y * 9, 90))
    )
    amount = np.maximum(amount, np.clip(splash, 0, 1))
    foam = smooth(1.02, 0.55, 1.10 - amount + 0.85 * (1 - lace) * (1.12 - amount))
    shade = 0.86 + 0.14 * smooth(0, 1, foam) + 0.12 * fbm(x * 60, y * 60, 2, 91)
    under = smooth(0.05, 0.5, amount) * 0.22  # milky water below the lace
    image = mix(image, colour("9fdcd6"), under * smooth(0.0, 0.02, out))
    return mix(image, np.float32([0.90, 0.93, 0.94]) * shade[..., None], np.clip(foam, 0, 1) * 0.95)


def _rock_height(x: Array, y: Array, out: Array) -> Array:
    """Height of the rocks above sand and sea, 0.1 at the most; negative where there are none."""
    edge = 0.87 - 0.05 * np.sin(x * 3.1 + 0.4) - 0.05 * x + 0.075 * warped(x * 2.6, y * 2.6, 5, 0.5, 100)
    body = (y - edge) * 0.55
    arm = 0.055 - np.hypot((x - 0.16) * 0.55, (y - 0.70) * 0.85) * 0.5 + 0.05 * fbm(x * 5, y * 5, 4, 101)
    loose = 0.022 - np.hypot(x - 1.52, (y - 0.40) * 1.1) * 0.3 + 0.030 * fbm(x * 8, y * 8, 4, 102)
    base = np.maximum(np.maximum(body, arm), loose)
    wx, wy = x + 0.045 * fbm(x * 6, y * 6, 4, 107), y + 0.045 * fbm(x * 6 + 9, y * 6, 4, 108)
    rough = 0.030 * fbm(wx * 5, wy * 7, 7, 109, gain=0.58, ridged=True)  # ledges and crests
    for scale, depth, seed in ((9, 0.026, 103), (23, 0.015, 104), (61, 0.006, 105)):
        near, far, name = cells(wx * scale, wy * scale * 1.3, seed)
        cracked = smooth(-0.25, 0.35, noise(x * 5 + seed, y * 5, seed))  # some faces are whole
        rough += depth * (name - 0.2 + 0.9 * (smooth(0.0, 0.22, far - near) - 1) * cracked)
    rough += 0.003 * fbm(x * 110, y * 110, 3, 106)
    return np.where(
        base > -0.03, np.minimum(base, 0.055) + rough * smooth(-0.03, 0.02, base) - 0.010, base - 0.010
    )


def _rocks(image: Array, x: Array, y: Array, height: Array, out: Array) -> Array:
    pixels = np.maximum(height, 0) * HEIGHT * 1.1
    lit = cast_shadow(pixels, SUN, 0.75, 130, 0.05)
    image = image * mix(colour("6f86a0"), np.float32([1, 1, 1]), lit)  # sky still lights the shadow
    nx, ny, nz = normals(pixels, 1.0)
    sun = np.clip((nx * SUN[0] + ny * SUN[1] + nz * 0.62) / 1.03, 0, 1) * lit
    stone = mix(colour("3d3b3b"), colour("75695d"), smooth(-0.3, 0.5, fbm(x * 12, y * 12, 5, 110)))
    stone = mix(
        stone,
        colour("4f5b35"),
        smooth(0.1, 0.4, warped(x * 7, y * 7, 4, 0.4, 111)) * smooth(0.03, 0.07, height) * 0.6,
    )
    wet = smooth(0.012, 0.0, height) * smooth(-0.02, 0.02, out)
    stone = stone * (1 - 0.5 * wet)[..., None]
    hollow = np.clip(1 + (pixels - blur(pixels, 14)) * 0.05, 0.35, 1.15)
    shaded = stone * (
        sun[..., None] * np.float32([1.5, 1.4, 1.22])
        + (hollow * 0.24)[..., None] * np.float32([0.75, 0.95, 1.2])
    )
    return mix(image, shaded, smooth(-0.001, 0.0015, height))


def _furniture(image: Array, x: Array, y: Array, out: Array) -> Array:
    """Umbrellas with their shadows, towels beside them, a few people."""
    random = np.random.default_rng(12)
    shades = [colour(c) for c in ("e8503a", "f4f1ea", "2f7fb8", "f2c230", "f4f1ea", "e98aa2")]
    for row, distance in enumerate((0.085, 0.135, 0.185)):
        for place in np.arange(0.42, 1.75, 0.082):
            px = place + random.normal(0, 0.012) + 0.03 * row
            kind, turn, skip = random.integers(0, 6), random.random() * 3, random.random() < 0.22 + 0.1 * row
            py = 0.60 - 0.09 * px + 0.035 * np.sin(2.3 * px + 0.6) + distance + random.normal(0, 0.006)
            if skip or py > 0.83 - 0.04 * px:
                continue
            image = _towel(
                image,
                x,
                y,
                px + 0.020,
                py + 0.006 * random.normal(),
                turn,
                colour(["d96c5f", "5d9fb5", "e6dcc3", "7a9c6a"][kind % 4]),
            )
            image = _umbrella(image, x, y, px, py, 0.0135 + 0.002 * random.random(), turn, shades[kind])
    for _ in range(16):  # people at the water
        px = random.uniform(0.35, 1.7)
        py = 0.60 - 0.09 * px + 0.035 * np.sin(2.3 * px + 0.6) + random.uniform(-0.008, 0.06)
        image = _person(image, x, y, px, py, random)
    return image


def _box(px: float, py: float, reach: float) -> tuple[slice, slice]:
    low = [max(0, int((v - reach) * HEIGHT)) for v in (py, px)]
    high = [int((v + reach) * HEIGHT) + 1 for v in (py, px)]
    return slice(low[0], high[0]), slice(low[1], high[1])


def _umbrella(
    image: Array, x: Array, y: Array, px: float, py: float, radius: float, turn: float, cloth: Array
) -> Array:
    part = _box(px, py, 0.06)
    dx, dy = x[part] - px, y[part] - py
    shadow = cover(np.hypot(dx + SUN[0] * 0.022, dy + SUN[1] * 0.022) - radius, 0.004)
    patch = image[part] * (1 - shadow * 0.55)[..., None]
    angle = np.arctan2(dy, dx) + turn
    rim = radius * (1 - 0.05 * np.abs(np.sin(angle * 4)))
    shape = cover(np.hypot(dx, dy) - rim, 1.4 / HEIGHT)
    panels = smooth(-0.15, 0.15, np.sin(angle * 4))
    fabric = mix(np.float32([0.86, 0.84, 0.78]), cloth, panels)
    light = 0.82 + 0.55 * (dx * SUN[0] + dy * SUN[1]) / radius
    light -= 0.25 * smooth(0.10, 0.0, np.hypot(dx, dy) / radius)
    image[part] = mix(patch, fabric * light[..., None], shape)
    return image


def _towel(image: Array, x: Array, y: Array, px: float, py: float, turn: float, cloth: Array) -> Array:
    part = _box(px, py, 0.03)
    turn = 0.5 * turn
    dx, dy = x[part] - px, y[part] - py
    u, v = dx * np.cos(turn) + dy * np.sin(turn), dy * np.cos(turn) - dx * np.sin(turn)
    shape = cover(np.maximum(np.abs(u) - 0.0045, np.abs(v) - 0.0105), 1.4 / HEIGHT)
    stripes = 0.85 + 0.2 * smooth(-0.2, 0.2, np.sin(v * 1500))
    image[part] = mix(image[part], cloth * stripes[..., None], shape)
    return image


def _person(image: Array, x: Array, y: Array, px: float, py: float, random: np.random.Generator) -> Array:
    part = _box(px, py, 0.03)
    dx, dy = x[part] - px, y[part] - py
    along = np.clip((dx * -SUN[0] + dy * -SUN[1]) / 0.687, 0, 0.019)  # a standing figure's long shadow
    shadow = cover(np.hypot(dx - along * -SUN[0] * 1.2, dy - along * -SUN[1] * 1.2) - 0.0016, 0.002)
    patch = image[part] * (1 - 0.5 * shadow)[..., None]
    body = cover(np.hypot(dx / 1.6, dy) - 0.0021, 1.4 / HEIGHT)
    head = cover(np.hypot(dx, dy) - 0.0013, 1.4 / HEIGHT)
    swimwear = colour(["b5503c", "2d4f78", "d8c35a", "3f6f5c"][random.integers(0, 4)])
    patch = mix(mix(patch, swimwear, body), colour("3a2a20"), head)
    image[part] = patch
    return image
