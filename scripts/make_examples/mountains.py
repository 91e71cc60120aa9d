"""Mountains at dawn: ridge behind ridge in the haze, sun on the snow, mist in the valleys, firs in front."""

from __future__ import annotations

import numpy as np
from canvas import Array, bloom, blur, colour, fbm, finish, grid, mix, noise, smooth, warped
from firs import forest
from terrain import Land, View, cast, eroded, fog, rays

WIDTH, HEIGHT = 2560, 1440
SUN = np.float32([-0.42, 0.86, 0.135])
SUN /= np.linalg.norm(SUN)
LIGHT = (-0.80, 0.42, 0.24)  # more from the side than the sun stands, so that the ridges show their form
VIEW = View(WIDTH, HEIGHT, (16.0, 0.6, 1.55), 1.15, 0.50)
SIZE = 32.0


def paint() -> Array:
    land = _land()
    depth, side = cast(land, VIEW, near=0.3, far=31.0)
    image = _sky()
    image = _ground(image, land, depth, side)
    image = bloom(image, 1.0, 0.35, (8, 40, 120))
    image = _firs(image)
    return finish(image, exposure=0.95, vignette=0.3, grain=0.007)


def _land() -> Land:
    points = 2304
    axis = (np.arange(points, dtype=np.float32) + 0.5) / points * SIZE
    x, y = np.meshgrid(axis, axis)
    wx, wy = x + 0.5 * fbm(x * 0.3, y * 0.3, 3, 205), y + 0.5 * fbm(x * 0.3 + 4, y * 0.3, 3, 206)
    height = 3.4 * eroded(wx * 0.20 + 3.7, wy * 0.20 + 1.9, 11, 200, damp=0.75)
    crest = fbm(wx * 0.16 + 8, wy * 0.16, 6, 215, ridged=True, gain=0.52)
    height += 0.9 * np.maximum(crest, 0) ** 1.3
    valley = np.exp(-(((x - 16 - 1.6 * np.sin(y * 0.45)) / 2.3) ** 2)) * smooth(24, 6, y)
    height *= 1 - 0.72 * valley
    height *= 0.45 + 0.55 * smooth(1.5, 9, y)
    for px, py, rise, wide in (
        (19.6, 18.0, 2.3, 2.6),
        (12.2, 22.0, 1.5, 2.6),
        (23.5, 11.0, 0.7, 2.2),
        (9.0, 12.5, 0.8, 2.2),
    ):
        away = np.hypot(x - px, (y - py) * 0.8) + 0.35 * fbm(x * 0.7, y * 0.7, 4, 220)
        height += (
            rise
            * np.exp(-np.maximum(away, 0) / wide * 1.25)
            * (0.72 + 0.35 * fbm(wx * 0.8, wy * 0.8, 8, 230, ridged=True))
        )
    trees = np.maximum(noise(x * 26, y * 26, 235), 0) + 0.6 * np.maximum(noise(x * 15, y * 15, 236), 0)
    height += 0.045 * trees * smooth(1.75, 1.35, height)
    return Land(height.astype(np.float32), SIZE)


def _sky() -> Array:
    right, ahead, up = rays(VIEW)
    toward = right * SUN[0] + ahead * SUN[1] + up * SUN[2]
    lift = np.clip(up / 0.42, 0, 1)
    sky = mix(colour("f0a274") * 0.85, colour("7b93c4") * 0.6, smooth(0.0, 0.55, lift))
    sky = mix(sky, colour("2f4f8c") * 0.42, smooth(0.35, 1.0, lift))
    glow = np.float32([1.0, 0.62, 0.30])
    sky = sky + glow * (0.55 * np.exp((toward - 1) * 9) + 1.3 * np.exp((toward - 1) * 110))[..., None]
    sky = sky + np.float32([60, 46, 30]) * smooth(0.99988, 0.99995, toward)[..., None]
    # cirrus on a plane far above, lit from below near the sun
    high = np.maximum(up, 0.015)
    cx, cy = right / high * 0.55, ahead / high * 0.55
    streaks = warped(cx * 0.5 + cy * 0.12, cy * 0.9, 6, 0.9, 240)
    cover = smooth(-0.02, 0.55, streaks + 0.25 * noise(cx * 0.15, cy * 0.2, 250)) * smooth(0.02, 0.12, up)
    lit = mix(colour("f2b7a4") * 0.95, np.float32([1.9, 1.15, 0.62]), np.exp((toward - 1) * 9))
    return mix(sky, lit, cover * 0.62)


def _ground(sky: Array, land: Land, depth: Array, side: Array) -> Array:
    ground = np.isfinite(depth)
    far = np.where(ground, depth, 1.0)
    px, py = np.where(ground, side, VIEW.place[0]), VIEW.place[1] + far
    rise_x, rise_y = land.slopes()
    height = land.at(land.height, px, py)
    detail = 0.35 * np.clip(3 / far, 0.05, 1)
    sx = land.at(rise_x, px, py) + detail * noise(px * 30, py * 30, 260) * 2
    sy = land.at(rise_y, px, py) + detail * noise(px * 30, py * 30, 261) * 2
    length = np.sqrt(sx * sx + sy * sy + 1)
    nx, ny, nz = -sx / length, -sy / length, 1 / length
    lit = land.at(land.sunlit(LIGHT, 12), px, py)
    sun = np.clip(nx * LIGHT[0] + ny * LIGHT[1] + nz * LIGHT[2], 0, 1) * lit
    hollow = land.height - blur(land.height, 12)
    open_sky = np.clip(0.75 + 1.4 * land.at(hollow.astype(np.float32), px, py), 0.3, 1.2) * (0.5 + 0.5 * nz)
    rock = mix(colour("5b5450"), colour("7d7268"), smooth(-0.4, 0.5, fbm(px * 3, py * 3, 4, 265)))
    wood = mix(colour("26301f"), colour("3d4429"), smooth(-0.4, 0.4, noise(px * 22, py * 22, 266)))
    steep = 1 - nz
    stone = mix(wood, rock, smooth(1.25, 1.65, height + steep * 1.4 + 0.2 * fbm(px * 1.5, py * 1.5, 4, 267)))
    snow = smooth(1.75, 2.05, height - steep * 0.9 + 0.28 * fbm(px * 2, py * 2, 5, 268))
    stone = mix(stone, np.float32([0.82, 0.86, 0.93]), snow)
    shaded = stone * (
        sun[..., None] * np.float32([4.2, 2.3, 1.2]) + open_sky[..., None] * np.float32([0.20, 0.26, 0.42])
    )
    return _air(sky, shaded, ground, far, height)


def _air(sky: Array, shaded: Array, ground: Array, far: Array, height: Array) -> Array:
    """Blue haze with distance, warm toward the sun, and mist that lies low."""
    right, ahead, up = rays(VIEW)
    toward = right * SUN[0] + ahead * SUN[1] + up * SUN[2]
    warm = np.exp((toward - 1) * 5)
    length = far / ahead
    haze = fog(length, VIEW.place[2], height, 0.062, 1.6)
    tint = mix(colour("7088b8") * 0.62, np.float32([1.15, 0.60, 0.30]), warm)
    image = mix(shaded, tint, haze)
    x, y = grid(WIDTH, HEIGHT)
    wisps = 1 + 0.7 * fbm(x * 3.2, y * 13, 5, 270)
    mist = (
        fog(length, VIEW.place[2] - 0.30, height - 0.30, 0.9, 0.17)
        * smooth(1.0, 3.5, far)
        * np.clip(wisps, 0.2, 1.8)
    )
    image = mix(image, tint * 1.25 + 0.05, np.clip(mist, 0, 0.9))
    return np.where(ground[..., None], image, sky)


def _firs(image: Array) -> Array:
    """Rows of firs on a slope that leaves the middle open; the farther one in the haze."""
    rows = ((0.915, 0.11, 120, 5, "4a4a58"), (0.97, 0.19, 64, 7, "22242c"), (1.05, 0.33, 34, 6, "0b0d10"))
    for base, tall, count, seed, shade in rows:
        mask = forest(WIDTH, HEIGHT, base, tall, count, seed, lambda u: 0.40 * np.abs(u - 0.54) ** 1.5 - 0.02)
        image = mix(image, colour(shade) * 0.8, mask)
    return image
