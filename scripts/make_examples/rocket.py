"""A rocket leaving the ground at dusk: plume, billowing smoke lit from inside, a lattice tower, still water."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
from canvas import Array, bloom, colour, cover, fbm, finish, grid, mix, noise, smooth, warped

WIDTH, HEIGHT = 2560, 1440
HORIZON = 0.845
AXIS = 0.98  # where the rocket climbs, in picture heights from the left
NOZZLE = 0.475  # lower end of the rocket
FLAME = np.float32([1.0, 0.50, 0.15])


def paint() -> Array:
    image = _sky()
    image = _ground(image)
    image = _tower(image)
    image = _smoke(image)
    image = _plume(image)
    image = _rocket(image)
    image = _water(image)
    return finish(bloom(image, 1.2, 0.30, (6, 30, 110)), exposure=0.95, vignette=0.3, grain=0.009)


def _sky() -> Array:
    x, y = grid(WIDTH, HEIGHT)
    lift = np.clip((HORIZON - y) / HORIZON, 0, 1)
    sky = mix(colour("f2955c") * 0.95, colour("8e7fae") * 0.62, smooth(0.0, 0.35, lift))
    sky = mix(sky, colour("2c4f8a") * 0.5, smooth(0.22, 0.65, lift))
    sky = mix(sky, colour("0d1f4a") * 0.5, smooth(0.5, 1.05, lift))
    sun = np.exp(-(((x - 0.1) / 0.9) ** 2)) * np.exp(-lift * 5)
    sky = sky + sun[..., None] * np.float32([0.75, 0.30, 0.08])
    layers = warped(x * 1.1 + 3, y * 4.6, 7, 0.55, 500)
    below = warped(x * 1.1 + 3, y * 4.6 + 0.10, 5, 0.55, 500)
    clouds = smooth(0.04, 0.42, layers + 0.12 * smooth(0.25, 0.6, lift)) * smooth(0.02, 0.14, lift)
    lit = np.clip(0.65 + 1.7 * (layers - below), 0.15, 1.6)
    tint = mix(np.float32([1.25, 0.52, 0.26]), np.float32([0.66, 0.42, 0.55]), smooth(0.08, 0.7, lift))
    sky = mix(sky, tint * lit[..., None] * 0.75, clouds * 0.6)
    random = np.random.default_rng(3)
    stars = np.zeros((HEIGHT, WIDTH), np.float32)
    stars[random.integers(0, HEIGHT // 2, 500), random.integers(0, WIDTH, 500)] = random.random(500) ** 4 * 4
    return sky + (cv2.GaussianBlur(stars, (0, 0), 0.9) * smooth(0.5, 1.0, lift) * (1 - clouds))[..., None]


def _ground(image: Array) -> Array:
    x, y = grid(WIDTH, HEIGHT)
    hills = HORIZON - 0.022 - 0.022 * fbm(x * 1.6, x * 0, 6, 510) * smooth(0.1, 0.5, np.abs(x - AXIS))
    image = mix(
        image,
        mix(colour("6a5470") * 0.5, colour("d98a60") * 0.55, np.exp(-((x / 0.7) ** 2))),
        cover(hills - y, 2 / HEIGHT) * 0.9,
    )
    scrub = HORIZON - 0.008 - 0.010 * np.maximum(fbm(x * 24, x * 3, 5, 512), -0.4)
    return mix(image, colour("141019") * 0.6, cover(scrub - y, 2 / HEIGHT))


def _tower(image: Array) -> Array:
    """Lattice tower beside the pad, two lightning masts, lamps."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)

    def line(x0: float, y0: float, x1: float, y1: float, thick: int) -> None:
        ends = [(round(px * HEIGHT * 16), round(py * HEIGHT * 16)) for px, py in ((x0, y0), (x1, y1))]
        cv2.line(mask, ends[0], ends[1], 255, thick, cv2.LINE_AA, 4)

    left, right, top = AXIS + 0.105, AXIS + 0.150, 0.52
    levels = np.linspace(HORIZON, top, 17)
    for px in (left, (left + right) / 2 + 0.006, right):
        line(px, HORIZON, px, top, 4)
    for n, (low, high) in enumerate(pairwise(levels)):
        line(left, low, right, low, 3)
        line(left if n % 2 else right, low, right if n % 2 else left, high, 2)
        line(left, low, right, high, 1)
    line((left + right) / 2, top, (left + right) / 2, top - 0.075, 3)
    for height in (0.60, 0.69, 0.77):  # arms, swung back
        line(left, height, left - 0.038, height - 0.006, 5)
        line(left, height + 0.018, left - 0.038, height - 0.002, 2)
    for px in (AXIS - 0.30, AXIS + 0.36):
        line(px, HORIZON, px, 0.56, 3)
        line(px, 0.56, px, 0.52, 1)
        for n in range(12):
            line(px - 0.006, HORIZON - n * 0.024, px + 0.006, HORIZON - n * 0.024 - 0.012, 1)
    x, y = grid(WIDTH, HEIGHT)
    near = 1 / (1 + ((x - AXIS) / 0.10) ** 2 + ((y - 0.66) / 0.2) ** 2)
    steel = (
        colour("2b2530") * 0.7
        + near[..., None] * FLAME * 0.55 * smooth(AXIS + 0.17, AXIS + 0.09, x)[..., None]
    )
    image = mix(image, steel, mask.astype(np.float32) / 255)
    for px, py in (((left + right) / 2, top - 0.076), (AXIS - 0.30, 0.52), (AXIS + 0.36, 0.52)):
        lamp = np.exp(-((x - px) ** 2 + (y - py) ** 2) / 0.0022**2)
        image = image + lamp[..., None] * np.float32([5.0, 0.5, 0.3])
    return image


# Smoke: thousands of shaded puffs, the far ones first


def _puffs(random: np.random.Generator) -> Array:
    """Rows of x, y, radius, nearness (0 far, 1 near): two rolling banks and the column between."""
    banks = []
    for side, reach, count in ((-1, 0.86, 560), (1, 0.74, 500)):
        out = random.random(count) ** 0.85
        crest = (
            0.150
            * np.sin(np.clip(out * 1.12 + 0.10, 0, 1) * np.pi) ** 0.8
            * (1 + 0.35 * np.sin(out * 9 + side))
            + 0.018
        )
        up = random.random(count) ** 0.75 * crest
        radius = (
            (0.020 + 0.050 * random.random(count) ** 1.6) * (1.12 - 0.55 * out) * (1.1 - 0.3 * up / crest)
        )
        banks.append(
            np.stack(
                [AXIS + side * (0.03 + out * reach), HORIZON - 0.002 - up, radius, random.random(count)], 1
            )
        )
    count = 420
    down = random.random(count) ** 0.6
    spread = 0.020 + 0.085 * down**3.0
    column = np.stack(
        [
            AXIS + random.normal(0, 0.5, count) * spread,
            0.665 + down * (HORIZON - 0.67),
            0.010 + 0.030 * down * (0.5 + random.random(count)),
            random.random(count) * 0.9,
        ],
        1,
    )
    puffs = np.concatenate([*banks, column])
    return puffs[np.argsort(puffs[:, 3] + 0.4 * (puffs[:, 1] - 0.7) / 0.15)]


def _smoke(image: Array) -> Array:
    random = np.random.default_rng(77)
    ny, nx = np.mgrid[0:512, 0:512].astype(np.float32) / 40
    texture = warped(nx * 0.8, ny * 0.8, 5, 0.4, 520, gain=0.45)
    for px, py, radius, nearness in _puffs(random):
        _puff(image, px, py, radius, nearness, texture, random.integers(0, 200, 2))
    return image


def _puff(
    image: Array, px: float, py: float, radius: float, nearness: float, texture: Array, at: Array
) -> None:
    rows = np.arange(
        max(0, int((py - radius * 1.3) * HEIGHT)), min(HEIGHT, int((py + radius * 1.3) * HEIGHT))
    )
    columns = np.arange(
        max(0, int((px - radius * 1.3) * HEIGHT)), min(WIDTH, int((px + radius * 1.3) * HEIGHT))
    )
    if not len(rows) or not len(columns):
        return
    part = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    rough = texture[at[0] : at[0] + len(rows), at[1] : at[1] + len(columns)]
    if rough.shape != (len(rows), len(columns)):
        rough = cv2.resize(texture[:256, :256], (len(columns), len(rows)))
    u = ((columns + 0.5) / HEIGHT - px)[None, :] / radius
    v = ((rows + 0.5) / HEIGHT - py)[:, None] / radius
    away = np.hypot(u, v) + 0.42 * rough
    height = np.sqrt(np.clip(1 - away**2, 0, 1))
    # the surface leans outward, and with the texture's own bumps
    bump_y, bump_x = np.gradient(rough)
    swell = radius * HEIGHT * 0.12
    gx, gy = u + bump_x * swell, v + bump_y * swell
    fire_x, fire_y = (AXIS - px) / radius, (0.745 - py) / radius
    reach = np.hypot((AXIS - px) / 1.25, (0.75 - py) * 1.1)
    facing = (gx * fire_x + gy * fire_y) / (np.hypot(fire_x, fire_y) + 0.6)
    fire = np.clip(0.34 + 0.80 * facing, 0.0, 1.5) * 0.050 / (reach**2 + 0.012)
    sky = np.clip(0.55 - 0.45 * gy, 0.1, 1.2)
    sunset = np.clip(-0.62 * gx - 0.30 * gy + 0.05, 0, 1)
    low = np.clip((HORIZON - py) / 0.10, 0, 1)  # the foot of a bank gets less of the sky
    shade = (0.55 + 0.45 * nearness) * (0.25 + 0.75 * height) * (0.5 + 0.5 * low)
    light = (
        fire[..., None] * np.float32([1.25, 0.50, 0.15]) + sky[..., None] * np.float32([0.090, 0.085, 0.150])
    ) * shade[..., None]
    light = light + (sunset * shade)[..., None] * np.float32([0.40, 0.17, 0.10])
    light = (
        light + np.float32([1, 0.34, 0.07]) * (0.02 / (reach**2 + 0.02) * (1 - height) * 0.5)[..., None]
    )  # glows through
    alpha = smooth(1.0, 0.6, away) * 0.95
    image[part] = mix(image[part], light.astype(np.float32), alpha)


def _plume(image: Array) -> Array:
    x, y = grid(WIDTH, HEIGHT)
    down = np.maximum(y - NOZZLE, 0)
    sway = 0.004 * noise(x * 0 + 1, y * 14, 540) * smooth(0.05, 0.3, down)
    wide = 0.0095 + 0.012 * smooth(0, 0.06, down) + 0.030 * down
    across = np.abs(x - AXIS - sway) / wide
    flow = fbm((x - AXIS) * 60 / (1 + down * 8), y * 16, 5, 541)
    body = np.exp(-((across * (1 + 0.25 * flow)) ** 2) * 1.2) * smooth(-0.003, 0.004, y - NOZZLE)
    fade = np.exp(-down * 3.6) * smooth(0.40, 0.26, down)
    diamonds = 1 + 0.35 * np.cos(down * 150) * np.exp(-down * 16)
    core = np.exp(-((across * 1.9) ** 2)) * diamonds
    light = body[..., None] * np.float32([6.0, 2.3, 0.55]) + (core * smooth(-0.002, 0.003, y - NOZZLE))[
        ..., None
    ] * np.float32([8, 6.4, 4.2])
    image = image + light * fade[..., None] * (1 + 0.30 * flow)[..., None]
    halo = np.exp(-np.hypot((x - AXIS) / 1.2, y - 0.60) / 0.09)
    return image + halo[..., None] * FLAME * 0.42


def _rocket(image: Array) -> Array:
    x, y = grid(WIDTH, HEIGHT)
    part = (
        slice(int(0.06 * HEIGHT), int(0.50 * HEIGHT)),
        slice(int((AXIS - 0.05) * HEIGHT), int((AXIS + 0.05) * HEIGHT)),
    )
    u, v, pixel = x[part] - AXIS, y[part], 1.3 / HEIGHT
    patch = image[part]
    for side in (-1, 1):  # boosters
        centre, radius, top = side * 0.0205, 0.0068, 0.275
        tip = np.clip((v - top) / 0.028, 0, 1) ** 0.6
        patch = _tube(patch, u - centre, v, radius * tip, top, NOZZLE - 0.004, pixel, stripes=False)
    top, radius = 0.085, 0.0145
    wider = 1 + 0.16 * smooth(0.165, 0.155, v)  # the fairing over the payload
    nose = np.clip((v - top) / 0.055, 0, 1) ** 0.58
    patch = _tube(patch, u, v, radius * wider * nose, top, NOZZLE - 0.008, pixel, stripes=True)
    for offset in (-0.0205, -0.007, 0.007, 0.0205):  # nozzles
        bell = 0.0032 + 0.0035 * np.clip((v - NOZZLE + 0.010) / 0.012, 0, 1)
        shape = cover(np.maximum(np.abs(u - offset) - bell, np.abs(v - NOZZLE + 0.003) - 0.006), pixel)
        patch = mix(patch, np.float32([0.30, 0.13, 0.06]), shape)
    image[part] = patch
    return image


def _tube(
    patch: Array, u: Array, v: Array, radius: Array, top: float, low: float, pixel: float, stripes: bool
) -> Array:
    across = np.clip(u / np.maximum(radius, 1e-4), -1, 1)
    shape = cover(np.maximum(np.abs(u) - radius, np.maximum(top - v, v - low)), pixel)
    facing = np.sqrt(1 - across**2)
    paint = np.full((*u.shape, 3), 0.80, np.float32)
    if stripes:
        for start, end, code in (
            (0.205, 0.212, "20242c"),
            (0.262, 0.285, "c8452c"),
            (0.405, 0.410, "20242c"),
            (0.350, 0.356, "20242c"),
        ):
            paint = mix(paint, colour(code), cover(np.abs(v - (start + end) / 2) - (end - start) / 2, pixel))
    else:
        paint = mix(paint, colour("c8452c"), smooth(top + 0.032, top + 0.030, v))
    seams = 1 - 0.18 * smooth(0.0012, 0.0004, np.abs((v * 22 % 1) - 0.5) / 22)
    dusk = np.clip(-across * 0.8 + 0.25, 0, 1)[..., None] * np.float32([1.25, 0.66, 0.42])
    sky = (0.35 + 0.3 * facing)[..., None] * np.float32([0.30, 0.36, 0.56])
    rim = np.clip(across - 0.55, 0, 1)[..., None] ** 1.5 * np.float32([0.5, 0.55, 0.8])
    fire = np.exp(-(low - v) / 0.045)[..., None] * FLAME * (0.35 + 0.65 * facing)[..., None] * 1.5
    return mix(patch, paint * seams[..., None] * (dusk + sky + rim + fire), shape)


def _water(image: Array) -> Array:
    """Still water in front of the pad: the mirrored picture, broken up by ripples."""
    x, y = grid(WIDTH, HEIGHT)
    edge = HORIZON + 0.012 + 0.006 * fbm(x * 3, x * 0 + 2, 5, 550)
    below = np.maximum(y - edge, 1e-4)
    far = 0.02 / (below + 0.004)
    ripple = 0.6 * fbm((x - AXIS) * far * 70, far * 260, 4, 551, gain=0.6) + 0.5 * noise(x * 40, y * 420, 555)
    source_y = np.clip(
        (edge - 0.012 - below * 1.9 + ripple * (0.006 + below * 0.38)) * HEIGHT, 0, HEIGHT - 1
    ).astype(np.float32)
    source_x = ((x + ripple * below * 0.05) * HEIGHT).astype(np.float32)
    soft = cv2.GaussianBlur(image, (0, 0), sigmaX=2.0, sigmaY=9)
    mirrored = cv2.remap(soft, source_x, source_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    water = mirrored * (0.72 - 0.9 * below)[..., None] + colour("101a30") * 0.12
    shore = cover(edge - 0.006 - y, 3 / HEIGHT)
    image = mix(image, colour("120d12") * 0.35, shore)
    return mix(image, water, cover(edge - y, 1.5 / HEIGHT))
