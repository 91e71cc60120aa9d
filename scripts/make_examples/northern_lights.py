"""Northern lights over a still lake: curtains of light, stars, snowy peaks, a cabin with a lit window."""

from __future__ import annotations

import cv2
import numpy as np
from canvas import Array, bloom, blur, colour, cover, fbm, finish, grid, mix, noise, polygon, smooth
from firs import forest
from terrain import Land, View, cast, eroded, fog, rays

WIDTH, HEIGHT = 2560, 1440
HORIZON = 0.60
VIEW = View(WIDTH, HEIGHT, (10.0, 0.0, 0.02), 0.82, HORIZON)
SIZE = 20.0
MOON = (-0.70, -0.30, 0.50)  # behind the viewer, to the left


def paint() -> Array:
    image = _sky()
    image = _peaks(image)
    image = _shore(image)
    image = _lake(image)
    image = _jetty(image)
    return finish(bloom(image, 0.7, 0.30, (5, 25, 90)), exposure=1.15, vignette=0.32, grain=0.010)


def _sky() -> Array:
    _, _, up = rays(VIEW)
    lift = np.clip(up / 0.55, 0, 1)
    sky = mix(colour("2b5a6e") * 0.55, colour("0b1a3a") * 0.75, smooth(0, 0.55, lift))
    sky = mix(sky, colour("060d24") * 0.8, smooth(0.4, 1, lift))
    return sky + _stars() + _aurora()


def _stars() -> Array:
    random = np.random.default_rng(4)
    stars = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    x, y = grid(WIDTH, HEIGHT)
    band = np.exp(-(((y - 0.28 + 0.22 * (x - 0.9)) / 0.16) ** 2))  # a faint milky way
    count = 5200
    px, py = random.integers(2, WIDTH - 2, count), random.integers(2, int(HEIGHT * HORIZON), count)
    keep = random.random(count) < 0.35 + 0.65 * band[py, px]
    bright = np.minimum(0.05 / (random.random(count) + 0.004) ** 0.9, 9.0)
    warmth = random.random(count)[:, None]
    tint = (1 - warmth) * np.float32([0.75, 0.86, 1.0]) + warmth * np.float32([1.0, 0.88, 0.75])
    stars[py[keep], px[keep]] = (tint * bright[:, None])[keep]
    stars = cv2.GaussianBlur(stars, (0, 0), 0.9) * 2.2
    dust = band * np.clip(0.5 + fbm(x * 4, y * 4, 5, 404), 0, 1) * 0.022
    return stars + dust[..., None] * np.float32([0.8, 0.9, 1.2])


def _aurora() -> Array:
    """Thin folded sheets between two heights, summed along the line of sight; drawn at a third of the size."""
    small = View(WIDTH // 3, HEIGHT // 3, VIEW.place, VIEW.zoom, HORIZON)
    right, ahead, up = rays(small)
    high = np.maximum(up, 0.02)
    light = np.zeros((*up.shape, 3), np.float32)
    steps = 56
    jitter = np.random.default_rng(9).random(up.shape).astype(np.float32)
    for n in range(steps):
        share = (n + jitter) / steps
        height = 1.0 + 1.25 * share
        x, y = right / high * height, ahead / high * height
        bend = 0.55 * fbm(x * 0.32, y * 0.32, 3, 410)
        sheet = np.zeros(up.shape, np.float32)
        for place, width, power, seed in (
            (2.25, 0.020, 1.25, 420),
            (3.7, 0.032, 0.9, 423),
            (6.4, 0.075, 0.75, 426),
        ):
            across = y - place - 0.34 * (x - 0.2) - bend * (1 + place * 0.4) - 0.14 * np.sin(x * 2.6 + place)
            folds = np.clip(0.45 + 1.5 * noise(x * 0.8 + seed, y * 0.15, seed), 0.0, 1.5)
            pleats = (
                0.25
                + 0.9 * np.abs(noise(x * 9 + 2 * bend, y * 0.5, seed + 1))
                + 0.5 * noise(x * 23, y * 0.8, seed + 2)
            )
            sheet += (
                power
                * folds
                * np.maximum(pleats, 0.05)
                * np.exp(-((across / (width * (1 + 1.5 * share))) ** 2))
            )
        fade = smooth(0.0, 0.06, share) * np.exp(-share * 3.6)
        green, violet = np.float32([0.10, 1.0, 0.42]), np.float32([0.62, 0.20, 0.95])
        tint = green + (violet - green) * smooth(0.22, 0.85, share)[..., None]
        light += (
            (sheet * fade / high**0.35)[..., None] * tint * (1 + 1.4 * smooth(0.3, 0.9, share))[..., None]
        )
    light = cv2.GaussianBlur(light, (0, 0), 1.0) * (0.42 * smooth(0.03, 0.10, up))[..., None]
    light = light + 0.22 * blur(light, 30)
    return np.maximum(cv2.resize(light, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC), 0)


def _peaks(sky: Array) -> Array:
    points = 1536
    axis = (np.arange(points, dtype=np.float32) + 0.5) / points * SIZE
    x, y = np.meshgrid(axis, axis)
    height = 2.5 * eroded(x * 0.30 + 11, y * 0.30 + 5, 9, 430, damp=0.8) + 0.7 * np.maximum(
        fbm(x * 0.33, y * 0.33, 7, 440, ridged=True), 0
    )
    height *= smooth(3.2, 11.0, y) * (0.50 + 0.65 * smooth(0.3, 5.0, np.abs(x - 10.3)))
    land = Land(height.astype(np.float32), SIZE)
    depth, side = cast(land, VIEW, near=2.0, far=19.5)
    ground = np.isfinite(depth) & (np.arange(HEIGHT)[:, None] < HORIZON * HEIGHT + 1)
    far = np.where(ground, depth, 5.0)
    px, py = np.where(ground, side, 10.0), VIEW.place[1] + far
    rise_x, rise_y = land.slopes()
    sx, sy = land.at(rise_x, px, py), land.at(rise_y, px, py)
    length = np.sqrt(sx * sx + sy * sy + 1)
    moon = np.clip((-sx * MOON[0] - sy * MOON[1] + MOON[2]) / length, 0, 1) * land.at(
        land.sunlit(MOON, 5), px, py
    )
    steep = 1 - 1 / length
    above = land.at(land.height, px, py)
    snow = smooth(0.5, 0.28, steep + 0.25 * fbm(px * 3, py * 3, 5, 450)) * smooth(0.12, 0.55, above)
    stone = mix(colour("2a3038"), np.float32([0.80, 0.86, 0.95]), snow)
    shaded = stone * (moon[..., None] * np.float32([0.30, 0.38, 0.52]) + np.float32([0.035, 0.085, 0.085]))
    haze = fog(far, VIEW.place[2], above, 0.05, 0.9)
    shaded = mix(shaded, colour("3f7a80") * 0.55, np.clip(haze, 0, 0.85))
    return np.where(ground[..., None], shaded, sky)


def _shore(image: Array) -> Array:
    """Firs along the far shore, and the cabin."""
    x, y = grid(WIDTH, HEIGHT)
    far = forest(WIDTH, HEIGHT, HORIZON + 0.004, 0.050, 260, 11, lambda u: 0.006 + 0.05 * abs(u - 0.45) ** 2)
    near = forest(
        WIDTH,
        HEIGHT,
        HORIZON + 0.004,
        0.125,
        120,
        12,
        lambda u: 0.15 * max(0.0, abs(u - 0.47) - 0.22) - 0.018,
    )
    above = y < HORIZON
    image = mix(image, colour("16323a") * 0.6, far * above)
    image = mix(image, colour("07131a") * 0.8, near * above)
    mist = np.exp(-(((y - HORIZON + 0.006) / 0.016) ** 2)) * np.clip(
        0.6 + 0.8 * fbm(x * 3, y * 20, 4, 455), 0, 1
    )
    image = mix(image, colour("4d8f92") * 0.45, np.clip(mist, 0, 1) * 0.6 * above)
    return _cabin(image)


def _cabin(image: Array) -> Array:
    shape, h = image.shape[:2], HEIGHT
    cx, base, unit = 0.385 * h, HORIZON * h, 0.052 * h

    def part(*points: tuple[float, float]) -> Array:
        return polygon(shape, np.array([(cx + px * unit, base - py * unit) for px, py in points]))

    bank = part((-2.6, 0), (-1.8, 0.16), (0.0, 0.24), (1.9, 0.16), (2.8, 0))
    image = mix(image, np.float32([0.10, 0.15, 0.17]), bank)
    _, y = grid(WIDTH, HEIGHT)
    planks = 0.8 + 0.2 * np.sin(y * 1900)
    image = mix(
        image,
        colour("6b2f25") * 0.10 * planks[..., None],
        part((-0.9, 0.2), (-0.9, 0.95), (1.0, 0.95), (1.0, 0.2)),
    )
    image = mix(
        image,
        colour("7a3328") * 0.16 * planks[..., None],
        part((-1.55, 0.2), (-1.55, 0.95), (-1.22, 1.5), (-0.9, 0.95), (-0.9, 0.2)),
    )
    image = mix(
        image, colour("cfe0ea") * 0.30, part((-1.26, 1.60), (-0.80, 0.86), (1.12, 0.86), (0.75, 1.60))
    )
    image = mix(image, colour("2b2b30") * 0.2, part((0.25, 1.5), (0.25, 1.95), (0.45, 1.95), (0.45, 1.5)))
    warm = np.float32([6.5, 3.1, 0.85])
    for left in (-0.62, 0.12, 0.55):
        image = mix(image, warm, part((left, 0.42), (left, 0.72), (left + 0.26, 0.72), (left + 0.26, 0.42)))
        cross = part((left + 0.12, 0.42), (left + 0.12, 0.72), (left + 0.15, 0.72), (left + 0.15, 0.42))
        image = mix(image, colour("2a140c"), cross)
    x, _ = grid(WIDTH, HEIGHT)
    drift = (HORIZON - 1.95 * 0.052 - y) / 0.2  # smoke from the chimney, bending to the right
    middle = 0.385 + 0.35 * 0.052 + 0.05 * np.maximum(drift, 0) ** 1.5 + 0.006 * noise(x * 20, y * 14, 460)
    smoke = (
        np.exp(-(((x - middle) / (0.004 + 0.022 * np.maximum(drift, 0))) ** 2))
        * smooth(0, 0.06, drift)
        * smooth(0.9, 0.1, drift)
    )
    return mix(
        image,
        colour("86a7ad") * 0.32,
        np.clip(smoke * (0.6 + 0.5 * fbm(x * 22, y * 22, 3, 461)), 0, 1) * 0.55,
    )


def _lake(image: Array) -> Array:
    """The mirrored picture, drawn out by ripples that grow toward the viewer."""
    x, y = grid(WIDTH, HEIGHT)
    below = np.maximum(y - HORIZON, 1e-4)
    far = 0.02 / below  # perspective: ripples crowd toward the horizon
    wx, wy = (x - 0.89) * far * 260, far * 900
    ripple = 0.55 * fbm(wx * 0.5, wy * 0.55, 4, 470, gain=0.55) + 0.45 * noise(wx * 1.6, wy * 2.2, 475)
    calm = np.clip(
        0.35 + 0.9 * fbm(x * 1.6, np.log(below) * 1.6, 3, 476), 0.08, 1.2
    )  # gusts here, glass there
    shift = ripple * calm * below * 0.16
    source_y = ((HORIZON - below * 0.985 + shift) * HEIGHT).astype(np.float32)
    source_x = ((x + ripple * calm * below * 0.03) * HEIGHT).astype(np.float32)
    soft = mix(image, cv2.GaussianBlur(image, (0, 0), sigmaX=1.2, sigmaY=7), 0.75)
    mirrored = cv2.remap(
        soft,
        source_x,
        np.clip(source_y, 0, HORIZON * HEIGHT - 1),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT,
    )
    depth = smooth(0.0, 0.4, below)
    water = mirrored * (0.80 - 0.30 * depth)[..., None] + colour("06202b") * (0.35 * depth)[..., None]
    return mix(image, water, cover(HORIZON - y, 1 / HEIGHT))


# The jetty in front: metres from a viewer whose eyes are 1.6 m above the water and 1.2 m above the planks

DECK, WATER = 1.2, 1.6
JETTY = (1.0, 10.5)  # from here to there, ahead


def _side(ahead: Array | float) -> Array | float:
    """Middle of the jetty, metres to the right."""
    return 1.75 - 0.13 * ahead


def _place(right: Array | float, ahead: Array | float, drop: float) -> Array:
    """Picture heights from the top left of a point `drop` metres below the eye."""
    return np.array([WIDTH / HEIGHT / 2 + right * VIEW.zoom / ahead, HORIZON + drop * VIEW.zoom / ahead])


def _strip(left: float, right: float, drop: float) -> Array:
    corners = [(left, JETTY[0]), (left, JETTY[1]), (right, JETTY[1]), (right, JETTY[0])]
    return polygon((HEIGHT, WIDTH), np.array([_place(_side(d) + r, d, drop) * HEIGHT for r, d in corners]))


def _jetty(image: Array) -> Array:
    x, y = grid(WIDTH, HEIGHT)
    lamp_right, lamp_ahead = _side(9.6) + 0.72, 9.6
    lamp = _place(lamp_right, lamp_ahead, DECK - 1.35)
    foot = _place(lamp_right, lamp_ahead, WATER)
    glitter = np.exp(-(((x - foot[0]) / (0.006 + 0.035 * np.maximum(y - foot[1], 0))) ** 2)) * smooth(
        foot[1], foot[1] + 0.02, y
    )
    broken = np.clip(0.35 + 1.6 * noise(x * 16, y * 130, 490), 0, 1) * np.exp(
        -np.maximum(y - foot[1], 0) * 13
    )
    image = image + (glitter * broken)[..., None] * np.float32([1.9, 0.85, 0.22])
    image = image * (1 - 0.72 * _strip(-0.8, 0.8, 2 * WATER - DECK))[..., None]  # its dark mirror image
    image = _posts(image, mirrored=True)
    image = mix(image, np.float32([0.006, 0.010, 0.012]), _strip(-0.8, 0.8, DECK + 0.16))
    image = mix(image, _planks(x, y, lamp_right, lamp_ahead), _strip(-0.8, 0.8, DECK))
    image = _posts(image, mirrored=False)
    away = np.hypot(x - lamp[0], y - lamp[1])
    image = mix(
        image,
        np.float32([0.02, 0.02, 0.02]),
        cover(np.maximum(np.abs(x - lamp[0]) - 0.0075, np.abs(y - lamp[1]) - 0.012), 1 / HEIGHT),
    )
    image = mix(
        image,
        np.float32([9.0, 4.6, 1.4]),
        cover(np.maximum(np.abs(x - lamp[0]) - 0.0055, np.abs(y - lamp[1]) - 0.0085), 1 / HEIGHT),
    )
    return image + (0.10 * np.exp(-away / 0.03))[..., None] * np.float32([1.0, 0.5, 0.15])


def _planks(x: Array, y: Array, lamp_right: float, lamp_ahead: float) -> Array:
    """Boards across, old snow on them, moonlight and the lamp's pool."""
    ahead = DECK * VIEW.zoom / np.maximum(y - HORIZON, 0.02)
    right = (x - WIDTH / HEIGHT / 2) * ahead / VIEW.zoom
    board = ahead / 0.17
    number = np.floor(board)
    tint = 0.75 + 0.5 * np.modf(np.sin(number * 12.9898) * 43758.5)[0].astype(np.float32) ** 2
    fibre = 0.8 + 0.35 * noise(right * 3 + number * 7, board * 9, 491)
    gap = smooth(0.10, 0.02, np.minimum(board % 1, 1 - board % 1)) * smooth(9.0, 4.0, ahead)
    wood = colour("6a6258") * (tint * fibre * (1 - 0.85 * gap))[..., None]
    edge = np.abs(right - _side(ahead)) / 0.8
    cover_of_snow = smooth(0.0, 0.35, fbm(right * 1.3, ahead * 1.3, 5, 492) + 0.55 * edge**2 - 0.08)
    top = mix(wood, np.float32([0.82, 0.88, 0.95]) * (1 - 0.35 * gap)[..., None], cover_of_snow)
    reach = (right - lamp_right) ** 2 + (ahead - lamp_ahead) ** 2 + 1.35**2
    lamp = 2.4 * 1.35 / reach**1.5
    return top * (np.float32([0.085, 0.165, 0.165]) + lamp[..., None] * np.float32([3.0, 1.45, 0.45]))


def _posts(image: Array, mirrored: bool) -> Array:
    for ahead in (9.6, 7.4, 5.2, 3.3):
        for side in (-0.82, 0.82):
            top, low = (2 * WATER - 0.75, WATER) if mirrored else (0.75, WATER)
            if ahead == 9.6 and side > 0 and not mirrored:
                top = DECK - 1.35
            right = _side(ahead) + side * (0.88 if ahead == 9.6 and side > 0 else 1)
            (px, y0), (_, y1) = _place(right, ahead, top), _place(right, ahead, low)
            half = (0.025 if top < 0 else 0.075) * VIEW.zoom / ahead
            points = np.array([(px - half, y0), (px + half, y0), (px + half, y1), (px - half, y1)]) * HEIGHT
            post = polygon((HEIGHT, WIDTH), points)
            image = mix(image, np.float32([0.012, 0.017, 0.019]), post * (0.55 if mirrored else 1))
            if not mirrored and top > 0:
                span = np.linspace(0, np.pi, 24)
                cap = np.stack(
                    [px + half * 1.15 * np.cos(span), y0 + half * 0.25 - half * 0.95 * np.sin(span)], 1
                )
                image = mix(image, np.float32([0.10, 0.17, 0.18]), polygon((HEIGHT, WIDTH), cap * HEIGHT))
    return image
