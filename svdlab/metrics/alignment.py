"""Two pictures of one scene → the move that lays one over the other, to a hundredth of a pixel, and how sure that is.

Direct alignment: the move is sought for which the pixels themselves agree best, from coarse to fine, by Gauss–Newton in
its inverse compositional form (Baker and Matthews 2004), robust against what moves by itself (Tukey's biweight), with
gain and offset of the brightness fitted along, so that flicker is no motion. Only pixels on edges and in texture are
used: the flat ones say nothing. Knows pixels; nothing of clips.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

SMOOTHED = 1.0  # px of a Gaussian over both: what is left is smooth enough to be interpolated
COARSEST = 18  # px: no level has fewer rows
CELLS = (9, 16)  # rows and columns of the raster that picks pixels everywhere
EACH = 32  # pixels picked in each cell
EDGE = 3  # px along the borders that are not picked from
ROUNDS = 8  # at most, on one level
SETTLED = (1e-3, 2e-2)  # px: a step that moves the corner by less ends the finest level, and any other
OUTSIDE = 4.685  # robust standard deviations from which a pixel has no say (Tukey)
LEAST_SPREAD = 0.25  # grey levels
WIDEST_START = 96  # px: no wider is the level to begin with
SURE = 0.9  # agreement above which no other guess is tried
SAME = 0.5  # px at a corner that two guesses may be apart where they lead to the same
LEAST_SEEN = 0.15  # share of the pixels that must be in both


@dataclass(frozen=True)
class Points:
    """Pixels of one picture that tell where it lies, and how their values change when it moves."""

    places: np.ndarray  # (2, n) px from the middle
    values: np.ndarray  # (n,)
    slopes: np.ndarray  # (6, n): by shift across, shift down, zoom, turn, gain, offset
    starts: np.ndarray  # where each cell of the raster begins among the n


class Level:
    """A picture at one size, (height, width) float32, and what is made of it when it is first asked for."""

    def __init__(self, picture: np.ndarray) -> None:
        self.picture = picture

    @property
    def middle(self) -> np.ndarray:
        """px."""
        height, width = self.picture.shape
        return np.array([(width - 1) / 2, (height - 1) / 2])

    @cached_property
    def spline(self) -> np.ndarray:
        """The coefficients of the cubic B-spline through the picture (Unser 1999)."""
        pole = math.sqrt(3) - 2
        kernel = np.array([pole ** abs(k) for k in range(-8, 9)])
        kernel = (kernel / kernel.sum()).astype(np.float32)
        made: np.ndarray = cv2.sepFilter2D(
            self.picture, cv2.CV_32F, kernel, kernel, borderType=cv2.BORDER_REFLECT_101
        )
        return made

    @cached_property
    def steepness(self) -> np.ndarray:
        """How the picture changes across and down, (2, height, width), grey levels per px."""
        return np.stack([cv2.Sobel(self.picture, cv2.CV_32F, x, 1 - x, ksize=3, scale=1 / 8) for x in (1, 0)])

    @cached_property
    def detail(self) -> float:
        """The mean square of the steepness."""
        return float((self.steepness**2).sum(axis=0).mean())

    @cached_property
    def points(self) -> Points:
        """The steepest pixels of every cell of a raster."""
        width = self.picture.shape[1]
        steep = (self.steepness**2).sum(axis=0)
        rows, columns = (
            np.linspace(EDGE, side - EDGE, count + 1).astype(int)
            for side, count in zip(self.picture.shape, CELLS, strict=True)
        )
        chosen = []
        for top, bottom in itertools.pairwise(rows):
            for left, right in itertools.pairwise(columns):
                cell = steep[top:bottom, left:right].ravel()
                best = np.argpartition(cell, -min(EACH, cell.size))[-min(EACH, cell.size) :]
                y, x = np.divmod(best, right - left)
                chosen.append((y + top) * width + x + left)
        index = np.concatenate(chosen)
        y, x = np.divmod(index, width)
        places = (np.stack([x, y]) - self.middle[:, None]).astype(np.float32)
        (gx, gy), values = self.steepness.reshape(2, -1)[:, index], self.picture.ravel()[index]
        zoom, turn = gx * places[0] + gy * places[1], gy * places[0] - gx * places[1]
        slopes = np.stack([gx, gy, zoom, turn, values, np.ones_like(gx)])
        starts = np.cumsum([0, *(len(one) for one in chosen[:-1])])
        return Points(places, values, slopes, starts)

    def at(self, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        """The picture's values at places (n,) in px, n < 32,768, by cubic B-spline.

        Each of four bilinear look-ups at the right place gives the weighted sum of four coefficients (Sigg and
        Hadwiger 2005); OpenCV's own cubic and Lanczos would move what they interpolate by up to 0.04 px.
        """
        near, far, share = _lookups(np.stack([u, v]))
        (left, above), (right, below), (x, y) = near, far, share
        across, down = np.stack([left, right, left, right]), np.stack([above, above, below, below])
        looked = cv2.remap(self.spline, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
        top, bottom = looked[::2] * x + looked[1::2] * (1 - x)
        found: np.ndarray = bottom + (top - bottom) * y
        return found


def _lookups(at: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where along an axis to look twice, and the first look-up's share."""
    whole = np.floor(at)
    f = at - whole
    third = f * f * f / 6
    second = np.float32(2 / 3) - f * f + 3 * third  # of the four weights of a cubic B-spline
    g = 1 - f
    first = g * g * g / 6 + second
    return whole - 1 + second / first, whole + 1 + third / (1 - first), first


Pyramid = Sequence[Level]  # a picture at all sizes, the finest first


def pyramid(grey: np.ndarray) -> Pyramid:
    """A grey picture (height, width), each level half as large as the one before."""
    levels = [cv2.GaussianBlur(grey.astype(np.float32), (0, 0), SMOOTHED)]
    while min(levels[-1].shape) >= 2 * COARSEST:
        levels.append(cv2.pyrDown(levels[-1]))
    return [Level(one) for one in levels]


@dataclass(frozen=True)
class Aligned:
    """How the content of one picture lies in another.

    `move` (3, 3) is a similarity from a place in the first to its place in the second, px; `spread` are the standard
    deviations of its shift across and down at the middle (px), zoom (share) and turn (radians); `agreement` is the
    correlation of what both show, 1 for the same; `overlap` the share of the first that the second shows.
    """

    move: np.ndarray
    spread: np.ndarray
    agreement: float
    overlap: float


def align(first: Pyramid, second: Pyramid, guesses: Iterable[np.ndarray]) -> Aligned:
    """Lays the second picture over the first, from the best of several first guesses (3, 3), the likeliest first.

    No further guess is asked for once one is surely right, or two lead to the same.
    """
    middle = first[0].middle
    found: list[tuple[float, np.ndarray]] = []
    for guess in guesses:
        about = _settle(first, second, _about(guess, middle))
        alike = _agreement(first[0].points, second[0], about)
        same = any(_apart(about, other, middle) < SAME for _, other in found)
        found.append((alike, about))
        if alike > SURE or same:
            break
    alike, about = max(found, key=lambda one: one[0])
    move = _move(about, middle)
    return Aligned(move, _spread(first[0], second[0], about), alike, overlap(move, first[0].picture.shape))


def overlap(move: np.ndarray, shape: tuple[int, ...]) -> float:
    """The share of a picture that lies within another of its size after a move."""
    height, width = shape[:2]
    x, y = np.meshgrid(np.linspace(0, width - 1, 33), np.linspace(0, height - 1, 33))
    u, v = move[:2, :2] @ np.stack([x.ravel(), y.ravel()]) + move[:2, 2:]
    return float(((u >= 0) & (v >= 0) & (u <= width - 1) & (v <= height - 1)).mean())


def _apart(a: np.ndarray, b: np.ndarray, middle: np.ndarray) -> float:
    """By how many px two moves differ at a corner, at most."""
    x, y, c, s = np.abs(a - b)
    return float(math.hypot(x, y) + math.hypot(c, s) * math.hypot(*middle))


# A move about the middle: [shift across, shift down, zoom · cos, zoom · sin], in px of the finest level


def _about(move: np.ndarray, middle: np.ndarray) -> np.ndarray:
    x, y = move[:2, :2] @ middle + move[:2, 2] - middle
    return np.array([x, y, move[0, 0], move[1, 0]])


def _move(about: np.ndarray, middle: np.ndarray) -> np.ndarray:
    x, y, c, s = about
    move = np.array([[c, -s, x], [s, c, y], [0, 0, 1]])
    move[:2, 2] += middle - move[:2, :2] @ middle
    return move


def _settle(first: Pyramid, second: Pyramid, about: np.ndarray) -> np.ndarray:
    """The move after all levels, from coarse to fine."""
    coarse = next((i for i, one in enumerate(first) if one.picture.shape[1] <= WIDEST_START), len(first) - 1)
    for index in range(coarse, -1, -1):
        scale = 2.0**-index
        own, gain = about * (scale, scale, 1, 1), np.array([1.0, 0.0])
        reach = first[index].picture.shape[1] / 2
        for _ in range(ROUNDS):
            step = _step(first[index].points, second[index], own, gain)
            if step is None:
                break
            own, gain = _undone(own, step), gain + step[4:]
            if np.abs(step[:4] * (1, 1, reach, reach)).sum() < SETTLED[index > 0]:
                break
        about = own / (scale, scale, 1, 1)
    return about


def _step(points: Points, second: Level, about: np.ndarray, gain: np.ndarray) -> np.ndarray | None:
    """One Gauss–Newton step [across, down, zoom, turn, gain, offset]; None where too little is seen."""
    left, seen = _difference(points, second, about, gain)
    if seen.mean() < LEAST_SEEN:
        return None
    weighted = points.slopes * _weights(left, seen)
    square = (weighted @ points.slopes.T).astype(float)
    square[np.diag_indices(6)] *= 1 + 1e-6
    try:
        found: np.ndarray = np.linalg.solve(square, (weighted @ left).astype(float))
    except np.linalg.LinAlgError:
        return None
    return found


def _difference(
    points: Points, second: Level, about: np.ndarray, gain: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What the second shows at the places less what the first does, and whether it shows them."""
    height, width = second.picture.shape
    x, y, c, s = (about + np.array([*second.middle, 0, 0])).astype(np.float32)
    u = c * points.places[0] - s * points.places[1] + x
    v = s * points.places[0] + c * points.places[1] + y
    seen = (u >= 1) & (v >= 1) & (u <= width - 2) & (v <= height - 2)
    of_first = np.float32(gain[0]) * points.values + np.float32(gain[1])
    return second.at(u, v) - of_first, seen


def _weights(left: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """How much each pixel is believed: Tukey's biweight of its difference."""
    spread = max(1.4826 * float(np.median(np.abs(left[seen]))), LEAST_SPREAD) * OUTSIDE
    believed: np.ndarray = np.where(seen, np.maximum(1 - (left / np.float32(spread)) ** 2, 0) ** 2, 0)
    return believed


def _undone(about: np.ndarray, step: np.ndarray) -> np.ndarray:
    """The move with a step of the first picture undone before it (inverse composition)."""
    shift, grow = (
        complex(about[0], about[1]),
        complex(about[2], about[3]),
    )  # a similarity of the plane: grow·z + shift
    grow /= complex(1 + step[2], step[3])
    shift -= grow * complex(step[0], step[1])
    return np.array([shift.real, shift.imag, grow.real, grow.imag])


def _spread(first: Level, second: Level, about: np.ndarray) -> np.ndarray:
    """Standard deviations of the four, from how differently the cells of the raster pull (a clustered sandwich)."""
    points = first.points
    left, seen = _difference(points, second, about, np.array([1.0, 0.0]))
    if seen.mean() < LEAST_SEEN:
        return np.full(4, math.inf)
    weighted = points.slopes * _weights(left - np.median(left[seen]), seen)
    square = (weighted @ points.slopes.T).astype(float)
    inverse = np.linalg.pinv(square)
    left = left - points.slopes[4:].T @ (inverse @ (weighted @ left))[4:].astype(np.float32)
    pulls = np.add.reduceat((weighted * left).astype(float), points.starts, axis=1)
    found: np.ndarray = np.sqrt(np.maximum(np.diag(inverse @ (pulls @ pulls.T) @ inverse)[:4], 0))
    return found


def _agreement(points: Points, second: Level, about: np.ndarray) -> float:
    """How alike two pictures are under a move: the correlation of what both show at the points."""
    left, seen = _difference(points, second, about, np.array([0.0, 0.0]))
    if seen.mean() < LEAST_SEEN:
        return 0.0
    a, b = (one[seen] - one[seen].mean() for one in (points.values, left))
    size_a, size_b = float(np.sqrt((a * a).mean())), float(np.sqrt((b * b).mean()))
    if max(size_a, size_b) < LEAST_SPREAD:  # two empty pictures
        return 1.0
    return float((a * b).mean() / max(size_a * size_b, 1e-6))
