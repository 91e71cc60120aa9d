"""A small path tracer: solids given by signed distance, one window of light, one bounce. Knows only numpy.

Points and directions are float32 arrays (rays, 3); y is up, z goes away from the camera.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np
from canvas import Array
from scipy.interpolate import make_interp_spline

FAR = np.float32(1e6)


@dataclass(frozen=True)
class Surface:
    """What a point of a solid looks like."""

    albedo: Array  # (points, 3)
    shine: float = 0.0  # share mirrored straight on; glass and glaze have 0.04
    rough: float = 0.1  # spread of the mirrored direction


@dataclass(frozen=True)
class Solid:
    """A shape in its own coordinates, put into the room."""

    distance: Callable[[Array], Array]  # local points → signed distance
    paint: Callable[[Array, Array], Surface]  # local points and normals → look
    reach: float  # local radius of a ball around everything
    centre: tuple[float, float, float]
    size: float = 1.0
    turn: Array = field(default_factory=lambda: np.eye(3, dtype=np.float32))
    gradient: Callable[[Array], Array] | None = None

    def local(self, points: Array) -> Array:
        return ((points - np.float32(self.centre)) @ self.turn.T) / self.size

    def normals(self, points: Array) -> Array:
        """World normals at world points."""
        place = self.local(points)
        if self.gradient:
            slope = self.gradient(place)
        else:
            steps = np.eye(3, dtype=np.float32) * 2e-3
            slope = np.stack([self.distance(place + s) - self.distance(place - s) for s in steps], 1)
        return unit(slope @ self.turn)


@dataclass(frozen=True)
class Cluster:
    """Solids that stand together: rays that miss the ball around them skip them all."""

    solids: tuple[Solid, ...]
    centre: tuple[float, float, float]
    radius: float


def unit(vectors: Array) -> Array:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


def turned(x: float = 0, y: float = 0, z: float = 0) -> Array:
    """Rotation by degrees about the three axes; takes the room's directions into the solid's."""
    matrix = np.eye(3)
    for axis, degrees in enumerate((x, y, z)):
        c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        i, j = [(1, 2), (2, 0), (0, 1)][axis]
        step = np.eye(3)
        step[i, i], step[i, j], step[j, i], step[j, j] = c, -s, s, c
        matrix = step @ matrix
    return matrix.T.astype(np.float32)


class Profile:
    """Signed distance of a solid of revolution about y, from an outline of (radius, height) points, tabled."""

    def __init__(
        self, outline: list[tuple[float, float]] | Array, smooth: bool = True, closed: bool = False
    ) -> None:
        line = np.asarray(outline, float)
        if smooth:
            chords = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))])
            line = make_interp_spline(chords, line, k=3)(np.linspace(0, chords[-1], 160))
            line[:, 0] = np.maximum(line[:, 0], 0)
        self.reach = float(np.hypot(line[:, 0], line[:, 1]).max()) + 0.02
        if not closed:  # along the axis
            line = np.vstack([line, [[-0.5, line[-1, 1]], [-0.5, line[0, 1]]]])
        self.low, self.high, self.wide = (
            line[:, 1].min() - 0.3,
            line[:, 1].max() + 0.3,
            line[:, 0].max() + 0.3,
        )
        self.rows = self.columns = 384
        r = np.linspace(0, self.wide, self.columns)
        h = np.linspace(self.low, self.high, self.rows)
        points = np.stack(np.meshgrid(r, h), -1).reshape(-1, 2)
        self.table = _polygon_distance(points, line).reshape(self.rows, self.columns).astype(np.float32)
        table = cv2.GaussianBlur(self.table, (0, 0), 1.2)
        rise, spread = np.gradient(
            table, (self.high - self.low) / (self.rows - 1), self.wide / (self.columns - 1)
        )
        self.rise, self.spread = rise.astype(np.float32), spread.astype(np.float32)

    def _look_up(self, table: Array, r: Array, h: Array) -> Array:
        u = np.clip(r / self.wide * (self.columns - 1), 0, self.columns - 1.001)
        v = np.clip((h - self.low) / (self.high - self.low) * (self.rows - 1), 0, self.rows - 1.001)
        i, j = u.astype(np.int32), v.astype(np.int32)
        u, v, at = (u - i).astype(np.float32), (v - j).astype(np.float32), j * self.columns + i
        top = table.take(at) * (1 - u) + table.take(at + 1) * u
        bottom = table.take(at + self.columns) * (1 - u) + table.take(at + self.columns + 1) * u
        return top * (1 - v) + bottom * v

    def distance(self, points: Array) -> Array:
        return self._look_up(self.table, np.hypot(points[:, 0], points[:, 2]), points[:, 1])

    def gradient(self, points: Array) -> Array:
        r = np.hypot(points[:, 0], points[:, 2])
        spread, rise = self._look_up(self.spread, r, points[:, 1]), self._look_up(self.rise, r, points[:, 1])
        away = np.maximum(r, 1e-6)
        return np.stack([spread * points[:, 0] / away, rise, spread * points[:, 2] / away], 1)


def _polygon_distance(points: Array, line: Array) -> Array:
    """Signed distance to a closed polygon; after Quilez."""
    nearest, inside = np.full(len(points), 1e9), np.zeros(len(points), bool)
    for a, b in zip(line, np.roll(line, -1, 0), strict=True):
        edge, to = b - a, points - a
        length = edge @ edge
        if length < 1e-12:
            continue
        share = np.clip(to @ edge / length, 0, 1)
        nearest = np.minimum(nearest, ((to - share[:, None] * edge) ** 2).sum(1))
        crosses = (a[1] > points[:, 1]) != (b[1] > points[:, 1])
        with np.errstate(divide="ignore", invalid="ignore"):
            inside ^= crosses & (points[:, 0] < (b[0] - a[0]) * (points[:, 1] - a[1]) / (b[1] - a[1]) + a[0])
    return np.sqrt(nearest) * np.where(inside, -1, 1)


def _ball(origin: Array, along: Array, centre: Array, radius: float) -> tuple[Array, Array]:
    """Entry and exit of rays through a ball; exit is below 0 where it is missed."""
    to = np.float32(centre) - origin
    middle = np.einsum("ij,ij->i", to, along)
    gap = radius * radius - (np.einsum("ij,ij->i", to, to) - middle * middle)
    half = np.sqrt(np.maximum(gap, 0))
    return np.maximum(middle - half, 0), np.where(gap > 0, middle + half, -1)


def trace(clusters: tuple[Cluster, ...], origin: Array, along: Array, limit: Array) -> tuple[Array, Array]:
    """How far each ray gets (at most `limit`) and the number of the solid it meets, -1 for none."""
    far, who = limit.astype(np.float32).copy(), np.full(len(origin), -1, np.int16)
    number = 0
    for cluster in clusters:
        start, end = _ball(origin, along, cluster.centre, cluster.radius)
        near = np.flatnonzero((end > 0) & (start < far))
        o, d = origin[near], along[near]
        for solid in cluster.solids:
            start, end = _ball(o, d, solid.centre, solid.reach * solid.size)
            some = np.flatnonzero((end > 0) & (start < far[near]))
            if len(some):
                met = _march(solid, o[some], d[some], start[some], np.minimum(end[some], far[near[some]]))
                hit = met < FAR
                far[near[some[hit]]], who[near[some[hit]]] = met[hit], number
            number += 1
    return far, who


def _march(solid: Solid, origin: Array, along: Array, start: Array, end: Array) -> Array:
    """Sphere tracing; after Hart (1996)."""
    origin, along = solid.local(origin), along @ solid.turn.T
    at, end = start / solid.size, end / solid.size
    met = np.full(len(at), FAR, np.float32)
    active = np.arange(len(at))
    for _ in range(56):
        gap = solid.distance(origin[active] + along[active] * at[active, None])
        hit = gap < 1.2e-3
        met[active[hit]] = at[active[hit]] * solid.size
        at[active] += np.maximum(gap * 0.96, 1e-3)
        active = active[~hit & (at[active] < end[active])]
        if not len(active):
            break
    return met


def denoise(image: Array, normal: Array, depth: Array, levels: int) -> Array:
    """Edge-avoiding à-trous wavelets (Dammertz and others, 2010): smooths light, keeps forms."""
    kernel = (1 / 16, 1 / 4, 3 / 8, 1 / 4, 1 / 16)
    for level in range(levels):
        total, weight = np.zeros_like(image), np.zeros(image.shape[:2], np.float32)
        for j in range(-2, 3):
            for i in range(-2, 3):
                shift = (-j << level, -i << level)
                other, n, z = (np.roll(a, shift, (0, 1)) for a in (image, normal, depth))
                same = np.clip((normal * n).sum(-1), 0, 1) ** 48 * np.exp(-np.abs(depth - z) / 0.12)
                close = np.exp(-(((image - other) ** 2).sum(-1)) / (0.6 * 0.5**level + 0.02))
                w = kernel[j + 2] * kernel[i + 2] * same * close
                total += other * w[..., None]
                weight += w
        image = total / np.maximum(weight, 1e-6)[..., None]
    return image
