"""Land seen from a place: a height map, cast along each column of the picture, and the air in front of it.

One unit of the map is one kilometre, heights too; x goes right, y away from the viewer.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from canvas import Array, noise


@dataclass(frozen=True)
class View:
    """Where the camera stands and how it looks (straight ahead, along y)."""

    width: int
    height: int
    place: tuple[float, float, float]  # kilometres
    zoom: float  # focal length in picture heights
    horizon: float  # 0 top, 1 bottom


@dataclass(frozen=True)
class Land:
    """A square height map, its corner at (0, 0)."""

    height: Array  # kilometres
    size: float  # kilometres along one side

    def at(self, values: Array, x: Array, y: Array) -> Array:
        """A map's values at places, interpolated."""
        scale = values.shape[0] / self.size
        mapx, mapy = (np.asarray(v * scale, np.float32) for v in (x, y))
        return cv2.remap(values, mapx, mapy, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)

    def slopes(self) -> tuple[Array, Array]:
        """Rise along x and along y."""
        rise_y, rise_x = np.gradient(self.height, self.size / self.height.shape[0])
        return rise_x.astype(np.float32), rise_y.astype(np.float32)

    def sunlit(self, sun: tuple[float, float, float], reach: float, soft: float = 0.04) -> Array:
        """1 where the sun is seen, 0 in the shadow of other land; `sun` is the direction toward it."""
        pixel = self.size / self.height.shape[0]
        flat = float(np.hypot(sun[0], sun[1]))
        lit, step = np.ones(self.height.shape, np.float32), pixel * 1.5
        while step < reach:
            dx, dy = sun[0] / flat * step / pixel, sun[1] / flat * step / pixel
            shift = np.float32([[1, 0, -dx], [0, 1, -dy]])
            ahead = cv2.warpAffine(
                self.height, shift, self.height.shape[::-1], borderMode=cv2.BORDER_REPLICATE
            )
            over = ahead - self.height - step * sun[2] / flat
            lit = np.minimum(lit, 0.5 - over / (soft * step + 0.004))
            step += max(pixel * 1.5, step * 0.05)
        return np.clip(lit, 0, 1)


def eroded(x: Array, y: Array, octaves: int, seed: int, damp: float = 1.0, gain: float = 0.5) -> Array:
    """fBm whose finer octaves fade on slopes, which leaves crests and gullies; after Quilez (2008). About 0..1."""
    total, strength = np.zeros(x.shape, np.float32), 0.5
    step = float(x[0, 1] - x[0, 0])
    slope_x, slope_y = np.zeros(x.shape, np.float32), np.zeros(x.shape, np.float32)
    for octave in range(octaves):
        layer = noise(x, y, seed + octave) * 1.4
        down, across = np.gradient(layer, step)
        slope_x, slope_y = slope_x + across * 0.6, slope_y + down * 0.6
        total += strength * (0.5 + layer) / (1 + damp * (slope_x**2 + slope_y**2))
        strength *= gain
        # turned by 37 degrees and twice as fine; the derivatives are only used for their size
        x, y, step = 1.6 * x + 1.2 * y + 17.3, 1.6 * y - 1.2 * x + 9.1, step * 2
    return total


def cast(
    land: Land, view: View, near: float = 0.05, far: float = 60.0, steps: int = 1500
) -> tuple[Array, Array]:
    """Depth (kilometres ahead; infinite for sky) and sideways place of what every pixel shows.

    Each column marches outward once; a pixel shows the first place that rises to its line of sight.
    """
    focal = view.zoom * view.height
    depth = np.geomspace(near, far, steps).astype(np.float32)
    side = ((np.arange(view.width, dtype=np.float32) + 0.5) - view.width / 2) / focal
    x = view.place[0] + depth[:, None] * side
    y = np.broadcast_to(view.place[1] + depth[:, None], x.shape)
    row = view.horizon * view.height - focal * (land.at(land.height, x, y) - view.place[2]) / depth[:, None]
    skyline = np.minimum.accumulate(row, axis=0)  # rows above it are still free
    rows = np.arange(view.height, dtype=np.float32) + 0.5
    found = np.full((view.height, view.width), np.inf, np.float32)
    for column in range(view.width):
        hit = np.searchsorted(-skyline[:, column], -rows)  # first step at or above the row
        seen = hit < steps
        after = np.clip(hit[seen], 1, steps - 1)
        upper, lower = row[after, column], skyline[after - 1, column]
        part = np.clip((lower - rows[seen]) / np.maximum(lower - upper, 1e-6), 0, 1)
        found[seen, column] = depth[after - 1] + part * (depth[after] - depth[after - 1])
    return found, view.place[0] + found * side


def rays(view: View) -> tuple[Array, Array, Array]:
    """Unit direction of every pixel: right, ahead, up."""
    focal = view.zoom * view.height
    across = ((np.arange(view.width, dtype=np.float32) + 0.5) - view.width / 2) / focal
    up = (view.horizon * view.height - (np.arange(view.height, dtype=np.float32)[:, None] + 0.5)) / focal
    length = np.sqrt(across**2 + up**2 + 1)
    return across / length, 1 / length, up / length


def fog(length: Array, bottom: float, top: Array, density: float, layer: float) -> Array:
    """Share of light that air of falling density takes between two heights; density at 0, `layer` km thick."""
    rise = top - bottom
    level = np.abs(rise) < 1e-3 * layer
    mean = layer * (np.exp(-bottom / layer) - np.exp(-top / layer)) / np.where(level, 1, rise)
    mean = np.where(level, np.exp(-bottom / layer), mean)
    return 1 - np.exp(-density * length * np.clip(mean, 0, 50))
