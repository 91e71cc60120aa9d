"""A hot-air balloon over a valley in the morning: fields, woods, a river, mist; upright format."""

from __future__ import annotations

import numpy as np
from canvas import Array, bloom, cells, colour, cover, fbm, finish, mix, noise, smooth, warped
from terrain import Land, View, cast, eroded, fog, rays

WIDTH, HEIGHT = 1664, 2432
SUN = (0.80, 0.42, 0.36)  # toward it: right, ahead, up
VIEW = View(WIDTH, HEIGHT, (14.0, 0.3, 1.05), 1.0, 0.63)
SIZE = 28.0
SUNLIGHT, SKYLIGHT = np.float32([3.3, 2.35, 1.45]), np.float32([0.42, 0.52, 0.72])


def paint() -> Array:
    land = _land()
    depth, side = cast(land, VIEW, near=0.6, far=27.0)
    image = _ground(_sky(), land, depth, side)
    for px, py, radius, far, scheme in BALLOONS:
        image = _balloon(image, px, py, radius, far, scheme)
    return finish(bloom(image, 1.1, 0.25), exposure=0.92, vignette=0.22, grain=0.007)


def river(y: Array) -> Array:
    """Where the river runs, in kilometres across, for a distance ahead."""
    return 14.0 + 0.75 * np.sin(y * 0.95 + 0.4) + 0.35 * np.sin(y * 2.1) - 0.10 * y


def _land() -> Land:
    points = 2048
    axis = (np.arange(points, dtype=np.float32) + 0.5) / points * SIZE
    x, y = np.meshgrid(axis, axis)
    hills = 0.75 * eroded(x * 0.28 + 5, y * 0.28 + 2, 8, 300, damp=0.5)
    bank = np.abs(x - river(y))
    height = hills * smooth(0.1, 3.2, bank) * (0.55 + 0.5 * smooth(1.0, 5.0, bank))
    peaks = np.maximum(fbm(x * 0.14 + 3, y * 0.14, 8, 320, ridged=True, gain=0.5), 0)
    height += 2.3 * peaks * smooth(14, 25, y) + 0.5 * smooth(12, 26, y)
    woods = _woods(x, y)
    height += 0.016 * woods * (0.7 + 0.6 * noise(x * 30, y * 30, 330))
    return Land(height.astype(np.float32), SIZE)


def _woods(x: Array, y: Array) -> Array:
    """1 where trees stand: on the slopes and in strips along the river."""
    patches = smooth(0.06, 0.16, warped(x * 0.9, y * 0.9, 5, 0.6, 340))
    strip = smooth(0.11, 0.07, np.abs(np.abs(x - river(y)) - 0.13)) * smooth(
        -0.15, 0.05, noise(x * 4, y * 4, 345)
    )
    return np.maximum(patches * smooth(0.15, 0.35, np.abs(x - river(y))), strip)


def _sky() -> Array:
    right, ahead, up = rays(VIEW)
    toward = right * 0.52 + ahead * 0.84 + up * 0.16
    lift = np.clip(up / 0.5, 0, 1)
    sky = mix(colour("ffd9ac") * 1.05, colour("8fc0e6") * 0.9, smooth(0.0, 0.42, lift))
    sky = mix(sky, colour("3f7fc4") * 0.62, smooth(0.3, 1.0, lift))
    sky = sky + np.float32([1.0, 0.6, 0.25]) * (0.42 * np.exp((toward - 1) * 16))[..., None]
    high = np.maximum(up, 0.02)
    cx, cy = right / high, ahead / high
    puffs = warped(cx * 0.55 + 2, cy * 0.55, 7, 0.55, 350)
    shadow = warped(cx * 0.55 + 1.93, cy * 0.55 + 0.05, 5, 0.55, 350)  # the same a step toward the sun
    clouds = smooth(0.05, 0.42, puffs) * smooth(0.03, 0.15, up)
    light = np.clip(0.80 + 1.1 * (puffs - shadow), 0.4, 1.3)
    tint = mix(np.float32([1.0, 0.80, 0.66]), np.float32([0.98, 0.97, 1.0]), smooth(0.05, 0.4, up))
    return mix(sky, tint * light[..., None] * 1.05, clouds * 0.85)


def _fields(px: Array, py: Array) -> Array:
    """Patchwork of crops with mown lines and dark hedges between."""
    wx, wy = px + 0.06 * noise(px * 2, py * 2, 360), py + 0.06 * noise(px * 2 + 4, py * 2, 361)
    near, far, name = cells(wx * 3.6, wy * 2.7, 362)
    crops = np.stack(
        [colour(c) for c in ("6f8a3a", "8aa04a", "b7a04f", "557a35", "a8b45c", "7d8f42", "c2ad62")]
    )
    ground = crops[(name * 6.99).astype(int)]
    turn = name * 19
    lines = np.sin((px * np.cos(turn) + py * np.sin(turn)) * 260) * smooth(7, 2, py)
    ground = ground * (0.92 + 0.06 * lines + 0.25 * fbm(px * 5, py * 5, 4, 364))[..., None]
    return mix(ground, colour("2f4a22"), smooth(0.055, 0.025, far - near) * 0.9)


def _ground(sky: Array, land: Land, depth: Array, side: Array) -> Array:
    ground = np.isfinite(depth)
    far = np.where(ground, depth, 1.0)
    px, py = np.where(ground, side, VIEW.place[0]), VIEW.place[1] + far
    rise_x, rise_y = land.slopes()
    sx, sy = land.at(rise_x, px, py), land.at(rise_y, px, py)
    length = np.sqrt(sx * sx + sy * sy + 1)
    facing = np.clip((-sx * SUN[0] - sy * SUN[1] + SUN[2]) / length, 0, 1)
    lit = land.at(land.sunlit(SUN, 6), px, py)
    woods = _woods(px, py)
    near, _, name = cells(px * 62, py * 62, 370)
    toward, _, _ = cells(px * 62 + 0.28, py * 62 + 0.15, 370)
    crowns = np.clip(1 + 1.5 * (toward - near), 0.25, 1.9)
    leaves = mix(colour("24421c"), colour("55682a"), name)
    albedo = mix(_fields(px, py), leaves * crowns[..., None], woods)
    height = land.at(land.height, px, py)
    rock = mix(colour("4d5a4a"), colour("77756c"), smooth(1.0, 1.7, height))
    albedo = mix(albedo, rock, smooth(0.7, 1.2, height))
    shaded = albedo * ((facing * lit)[..., None] * SUNLIGHT + SKYLIGHT * 0.8)
    water = smooth(0.062, 0.054, np.abs(px - river(py)) + 0.012 * fbm(px * 9, py * 9, 3, 375)) * smooth(
        0.13, 0.07, height
    )
    glitter = mix(
        colour("9fc3dc") * 0.8,
        np.float32([1.5, 1.05, 0.62]),
        smooth(-0.3, 0.5, (px - 14) / np.maximum(far, 1)),
    )
    shaded = mix(shaded, glitter * (1 + 0.15 * noise(px * 60, py * 25, 376))[..., None], water)
    return _air(sky, shaded, ground, far, height, px, py)


def _air(sky: Array, shaded: Array, ground: Array, far: Array, height: Array, px: Array, py: Array) -> Array:
    right, ahead, up = rays(VIEW)
    warm = np.exp((right * 0.52 + ahead * 0.84 + up * 0.16 - 1) * 8)
    tint = mix(colour("9dbce0") * 0.78, np.float32([1.15, 0.86, 0.62]), warm)
    image = mix(shaded, tint, fog(far / ahead, VIEW.place[2], height, 0.040, 1.2))
    wisps = np.clip(0.75 + 1.3 * warped(px * 0.55, py * 0.8, 5, 0.7, 380), 0.05, 2)
    mist = fog(far / ahead, VIEW.place[2], height, 1.0, 0.10) * wisps * smooth(2.6, 6.5, far)
    image = mix(image, tint * 1.15, np.clip(mist, 0, 0.88))
    return np.where(ground[..., None], image, sky)


# The balloons: a solid of revolution seen from the side

BALLOONS = (  # across and down in picture heights, radius, haze, colours from the crown down
    (0.585, 0.505, 0.020, 0.40, ("c65a5a", "e9d8b4", "5a6fa8")),
    (0.085, 0.455, 0.027, 0.30, ("e0b040", "d86a3a", "7a3f6a")),
    (0.165, 0.575, 0.012, 0.50, ("4a8a8a", "e9d8b4", "4a8a8a")),
    (0.600, 0.205, 0.040, 0.18, ("3a8a7a", "f0e6c8", "e58a3a")),
    (0.325, 0.315, 0.165, 0.00, ("d8332c", "f08a24", "f7c93a", "f4efe2", "2f8fa8", "20507a")),
)
MOUTH = -1.30  # envelope from there up to 1, in radii


def _profile(up: Array) -> tuple[Array, Array]:
    """Radius of the envelope at a height, and how fast it grows: a sphere that ends in a cone."""
    up = np.clip(up, MOUTH, 0.9995)
    sphere = np.sqrt(1 - np.maximum(up, -0.6) ** 2)
    radius = np.where(up > -0.6, sphere, 0.8 + 0.75 * (up + 0.6))
    growth = np.where(up > -0.6, -up / np.maximum(sphere, 0.03), 0.75)
    return radius.astype(np.float32), growth.astype(np.float32)


def _balloon(image: Array, px: float, py: float, size: float, haze: float, scheme: tuple[str, ...]) -> Array:
    top, bottom = int((py - size * 1.1) * HEIGHT), int((py + size * 1.95) * HEIGHT)
    left, right = max(0, int((px - size * 1.1) * HEIGHT)), min(WIDTH, int((px + size * 1.1) * HEIGHT))
    part = slice(max(0, top), bottom), slice(left, right)
    rows = (np.arange(part[0].start, part[0].stop, dtype=np.float32)[:, None] + 0.5) / HEIGHT
    columns = (np.arange(left, right, dtype=np.float32)[None, :] + 0.5) / HEIGHT
    u, up = np.broadcast_arrays((columns - px) / size, (py - rows) / size)
    pixel = 1.3 / HEIGHT / size
    patch = _basket(image[part], u, up, pixel)
    cloth, shape = _envelope(u, up, pixel, scheme)
    patch = mix(patch, cloth, shape)
    image[part] = mix(patch, image[part], haze) if haze else patch
    return image


def _envelope(u: Array, up: Array, pixel: float, scheme: tuple[str, ...]) -> tuple[Array, Array]:
    radius, growth = _profile(up)
    across = np.clip(u / radius, -1, 1)
    front = np.sqrt(np.maximum(1 - across**2, 0))
    around = np.arcsin(across)
    gores = 22
    phase = (around / np.pi * gores / 1.0 + 0.35) % 1.0
    bulge = (phase - 0.5) * 0.75 * smooth(1.02, 0.75, up)  # each gore swells between its seams
    nx, nz = np.sin(around + bulge), np.cos(around + bulge)
    length = np.sqrt(1 + growth**2)
    nx, ny, nz = nx / length, -growth / length, nz / length  # ny: up
    colours = np.stack([colour(c) for c in scheme])
    zigzag = 0.11 * np.abs(((np.floor(around / np.pi * gores + 0.35) + phase) % 2) - 1)
    band = (1 - up + zigzag * 1.6) / (1 - MOUTH) * len(scheme) * 1.02
    cloth = colours[np.clip(band, 0, len(scheme) - 1).astype(int)]
    cloth = cloth * (1 - 0.22 * smooth(0.05, 0.0, np.minimum(phase, 1 - phase)))[..., None]
    cloth = (
        cloth * (1 - 0.16 * smooth(0.03, 0.0, np.abs((up * 5.5) % 1 - 0.5) * 0.5))[..., None]
    )  # panel seams
    sun = np.clip(nx * 0.80 + ny * 0.42 + nz * 0.30, 0, 1) ** 0.9
    through = np.clip(nx * -0.55 + 0.5, 0, 1) * 0.10 + 0.10 * smooth(
        -0.6, -1.25, up
    )  # light through the cloth
    earth = np.clip(-ny, 0, 1)
    light = sun[..., None] * SUNLIGHT * 0.80 + SKYLIGHT * (0.50 + 0.35 * ny)[..., None]
    light = (
        light
        + np.float32([0.40, 0.30, 0.16]) * earth[..., None]
        + np.float32([1.3, 0.8, 0.35]) * through[..., None]
    )
    sheen = np.clip(nx * 0.62 + ny * 0.40 + nz * 0.68, 0, 1) ** 26 * 0.30
    inside = np.maximum(np.abs(u) - radius, np.maximum(up - 1, MOUTH - up))
    away = np.hypot(u, up) - 1
    shape = cover(np.where(up > -0.5, away, inside * 0.8), pixel)
    return cloth * light + sheen[..., None] * (front[..., None] > 0), shape


def _basket(image: Array, u: Array, up: Array, pixel: float) -> Array:
    """Ropes from the mouth to a wicker basket, the burner's flame between."""
    ropes = np.zeros(u.shape, np.float32)
    for side in (-1, -0.45, 0.45, 1):
        share = np.clip((MOUTH - up) / 0.36, 0, 1)
        line = side * (0.27 - 0.14 * share)
        ropes = np.maximum(
            ropes, cover(np.maximum(np.abs(u - line) - 0.004, np.abs(up - (MOUTH - 0.18)) - 0.19), pixel)
        )
    image = mix(image, colour("2a2018"), ropes * 0.85)
    inner = cover(np.hypot(u / 0.275, (up - MOUTH) / 0.055) * 0.1 - 0.1, pixel)
    image = mix(image, colour("241510"), inner)
    weave = 0.75 + 0.25 * np.sin(u * 330) * np.sin(up * 330)
    round_light = 0.35 + 1.5 * np.clip(0.45 + u * 4.2, 0, 1)
    body = cover(np.maximum(np.abs(u) - 0.125 - 0.08 * (up + 1.75), np.abs(up + 1.755) - 0.095), pixel)
    for px, tall in ((-0.06, 0.085), (0.0, 0.10), (0.055, 0.08)):  # the crew
        person = cover(
            np.minimum(
                np.hypot(u - px, up + 1.655 - tall) - 0.019,
                np.maximum(np.abs(u - px) - 0.026, np.abs(up + 1.655 - tall / 2 + 0.03) - tall / 2),
            ),
            pixel,
        )
        image = mix(image, colour("33262a"), person)
    image = mix(image, colour("8a5a30") * (weave * round_light)[..., None], body)
    rim = cover(np.maximum(np.abs(u) - 0.135, np.abs(up + 1.662) - 0.014), pixel)
    image = mix(image, colour("4a2c18") * round_light[..., None], rim)
    flame = np.exp(-((u / 0.022) ** 2) - ((up - MOUTH + 0.10) / 0.085) ** 2)
    return image + flame[..., None] * np.float32([5.0, 2.4, 0.6])
