"""What every picture is made with: noise, light, colour, finishing. Knows numpy and OpenCV; nothing of svdlab.

Colours are linear light until `finish`; pictures are float32 arrays (height, width, 3), drawn at
twice the size they are saved at.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

Array = np.ndarray
MAX_BYTES = 350_000
TILE = 256  # lattice points after which noise repeats

cv2.setNumThreads(1)  # the same bytes on any machine


def grid(width: int, height: int) -> tuple[Array, Array]:
    """x from 0 to width/height and y from 0 (top) to 1, at pixel centres."""
    x = (np.arange(width, dtype=np.float32) + 0.5) / height
    y = (np.arange(height, dtype=np.float32) + 0.5) / height
    return np.broadcast_to(x, (height, width)), np.broadcast_to(y[:, None], (height, width))


def colour(code: str) -> Array:
    """Linear RGB of a hexadecimal sRGB code."""
    srgb = np.array([int(code[i : i + 2], 16) for i in (0, 2, 4)], np.float32) / 255
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4).astype(np.float32)


def mix(a: Array | float, b: Array | float, share: Array | float) -> Array:
    """a where share is 0, b where it is 1; a share of one number per pixel works on colours too."""
    if (
        np.ndim(share) == 2
        and share.shape[1] > 1
        and (np.ndim(a) == 3 or np.ndim(b) == 3 or np.shape(b) == (3,))
    ):
        share = share[..., None]
    return a + (b - a) * share


def smooth(edge0: float, edge1: float, value: Array) -> Array:
    """0 below edge0, 1 above edge1, with a soft S between; the edges may be in either order."""
    t = np.clip((value - edge0) / (edge1 - edge0), 0, 1)
    return t * t * (3 - 2 * t)


# Noise


@cache
def _lattice(seed: int) -> tuple[Array, Array]:
    angle = np.random.default_rng(seed).random(TILE * TILE, np.float32) * 2 * np.pi
    return np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)


def noise(x: Array, y: Array, seed: int = 0) -> Array:
    """Perlin's gradient noise (2002), about -0.7 to 0.7, one feature per unit."""
    gx, gy = _lattice(seed)
    x0, y0 = np.floor(x), np.floor(y)
    fx, fy = (x - x0).astype(np.float32), (y - y0).astype(np.float32)
    ix, iy = x0.astype(np.int32) & (TILE - 1), y0.astype(np.int32) & (TILE - 1)
    ix1, iy1 = (ix + 1) & (TILE - 1), (iy + 1) & (TILE - 1)
    u = fx * fx * fx * (fx * (fx * 6 - 15) + 10)
    v = fy * fy * fy * (fy * (fy * 6 - 15) + 10)

    def corner(cx: Array, cy: Array, dx: Array, dy: Array) -> Array:
        at = cy * TILE + cx
        return gx.take(at) * dx + gy.take(at) * dy

    top = corner(ix, iy, fx, fy)
    top += u * (corner(ix1, iy, fx - 1, fy) - top)
    bottom = corner(ix, iy1, fx, fy - 1)
    bottom += u * (corner(ix1, iy1, fx - 1, fy - 1) - bottom)
    return top + v * (bottom - top)


def fbm(x: Array, y: Array, octaves: int, seed: int = 0, gain: float = 0.5, ridged: bool = False) -> Array:
    """Octaves of noise, each twice as fine and `gain` as strong, about -1 to 1; ridged gives crests at 1."""
    total, strength, norm = np.zeros(np.broadcast(x, y).shape, np.float32), 1.0, 0.0
    for octave in range(octaves):
        layer = noise(x, y, seed + octave) * 1.4
        total += strength * ((1 - 2 * np.abs(layer)) if ridged else layer)
        norm += strength
        strength *= gain
        x, y = 1.6 * x + 1.2 * y + 17.3, 1.6 * y - 1.2 * x + 9.1  # turned, so that lattices do not line up
    return total / norm


def warped(x: Array, y: Array, octaves: int, strength: float, seed: int = 0, **options: float) -> Array:
    """fBm looked up where other fBm points to: folds and streams."""
    dx, dy = fbm(x, y, 3, seed + 40), fbm(x + 5.2, y + 1.3, 3, seed + 50)
    return fbm(x + strength * dx, y + strength * dy, octaves, seed, **options)


def cells(x: Array, y: Array, seed: int = 0) -> tuple[Array, Array, Array]:
    """Worley's cellular noise: distance to the nearest and second-nearest point, and a number 0..1 per cell."""
    random = np.random.default_rng(seed).random((3, TILE * TILE), np.float32)
    x0, y0 = np.floor(x).astype(np.int32), np.floor(y).astype(np.int32)
    first = np.full(x.shape, 9.0, np.float32)
    second, name = first.copy(), np.zeros(x.shape, np.float32)
    for j in (-1, 0, 1):
        for i in (-1, 0, 1):
            at = ((y0 + j) & (TILE - 1)) * TILE + ((x0 + i) & (TILE - 1))
            dx, dy = x0 + i + random[0].take(at) - x, y0 + j + random[1].take(at) - y
            distance = np.sqrt(dx * dx + dy * dy).astype(np.float32)
            nearer = distance < first
            second = np.where(nearer, first, np.minimum(second, distance))
            name = np.where(nearer, random[2].take(at), name)
            first = np.where(nearer, distance, first)
    return first, second, name


# Light


def normals(height: Array, scale: float) -> tuple[Array, Array, Array]:
    """Unit normals (x right, y down, z up) of a height map; scale is height per pixel of width."""
    dx = cv2.Sobel(height.astype(np.float32), cv2.CV_32F, 1, 0, scale=0.125) * scale
    dy = cv2.Sobel(height.astype(np.float32), cv2.CV_32F, 0, 1, scale=0.125) * scale
    length = np.sqrt(dx * dx + dy * dy + 1)
    return -dx / length, -dy / length, 1 / length


def cast_shadow(height: Array, toward: tuple[float, float], rise: float, reach: int, soft: float) -> Array:
    """1 where the sun is seen, 0 in shadow, on a height map in pixels; `toward` the sun, `rise` per pixel."""
    lit = np.ones(height.shape, np.float32)
    step = 1.0
    while step < reach:
        shift = np.float32([[1, 0, -toward[0] * step], [0, 1, -toward[1] * step]])
        ahead = cv2.warpAffine(height, shift, height.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
        lit = np.minimum(lit, 1 - (ahead - height - rise * step) / (soft * step + 0.5))
        step *= 1.08 if step > 12 else 1.0
        step += 1.0 if step <= 12 else 0.0
    return np.clip(lit, 0, 1)


def blur(image: Array, sigma: float) -> Array:
    """Gaussian blur; wide ones on a reduced copy."""
    if sigma < 8:
        return cv2.GaussianBlur(image, (0, 0), sigma)
    factor = int(sigma / 4)
    height, width = image.shape[:2]
    small = cv2.resize(
        image, (max(1, width // factor), max(1, height // factor)), interpolation=cv2.INTER_AREA
    )
    small = cv2.GaussianBlur(small, (0, 0), sigma / factor)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def bloom(image: Array, threshold: float, strength: float, sigmas: tuple[float, ...] = (6, 20, 70)) -> Array:
    """The glow that bright parts leave in a lens."""
    bright = np.maximum(image - threshold, 0)
    glow = sum(blur(bright, sigma) for sigma in sigmas) / len(sigmas)
    return image + strength * np.maximum(glow, 0)


# Drawing shapes: coverage 0..1, one pixel soft


def cover(distance: Array, pixel: float) -> Array:
    """Coverage of a shape from its signed distance (negative inside), both in the grid's unit."""
    return np.clip(0.5 - distance / pixel, 0, 1).astype(np.float32)


def polygon(shape: tuple[int, int], points: Array) -> Array:
    """Coverage of a polygon given in pixels, antialiased."""
    mask = np.zeros(shape, np.uint8)
    cv2.fillPoly(mask, [np.round(np.asarray(points) * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return mask.astype(np.float32) / 255


# Finishing


def tone(image: Array) -> Array:
    """Scene light to display light, highlights rolling off: Narkowicz's fit of the ACES curve (2015)."""
    image = np.maximum(image, 0)
    return np.clip(image * (2.51 * image + 0.03) / (image * (2.43 * image + 0.59) + 0.14), 0, 1)


def finish(
    image: Array, exposure: float = 1.0, vignette: float = 0.25, grain: float = 0.012, seed: int = 1
) -> Array:
    """Lens and film: vignette, tone curve, half the size, a little grain. Gives sRGB 0..1."""
    height, width = image.shape[:2]
    x, y = grid(width, height)
    radius = np.hypot(x - width / height / 2, y - 0.5) / np.hypot(width / height / 2, 0.5)
    image = tone(image * (exposure * (1 - vignette * smooth(0.3, 1.15, radius)))[..., None])
    image = cv2.resize(image, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    srgb = np.where(image <= 0.0031308, 12.92 * image, 1.055 * np.maximum(image, 1e-8) ** (1 / 2.4) - 0.055)
    random = np.random.default_rng(seed).standard_normal(srgb.shape[:2]).astype(np.float32)
    film = cv2.GaussianBlur(random, (0, 0), 0.7) * 1.8
    middle = 1 - np.abs(srgb.mean(2) * 2 - 1) ** 2 * 0.8  # film grain shows most in the mid-tones
    return np.clip(srgb + (film * grain * middle)[..., None], 0, 1)


def save(srgb: Array, path: Path) -> None:
    """JPEG of the best quality that stays under `MAX_BYTES`."""
    image = Image.fromarray(np.round(srgb * 255).astype(np.uint8))
    for quality in range(94, 70, -2):
        image.save(
            path, quality=quality, subsampling=0 if quality > 88 else 2, optimize=True, progressive=True
        )
        if path.stat().st_size <= MAX_BYTES:
            return
