"""Two neighbours and the camera's move between them → what differs that the camera did not do. Knows pixels.

A pixel counts as moving by itself where following it explains the difference better than the camera's move does, by
more than grain would. So grain, flicker and the guesses of optical flow in flat places are no motion.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from svdlab.metrics.flow import camera_field

Size = tuple[int, int]  # width and height
BORDER = 4  # px beside what both frames show that is left out
CELLS = (9, 16)  # rows and columns of the raster that brightness is averaged over
LOCAL = 8.0  # px of a Gaussian: what differs more widely is brightness, not motion
SOFT = 0.7  # px of a Gaussian over both frames before they are compared
GRAIN_LEFT = 0.35  # of the grain's variance, after that
FLOOR = 2.0  # grey levels squared: what interpolation alone may differ by
VOTES = ((1.0, 0.3), (2.0, 0.25), (4.0, 0.2))  # px of a Gaussian, and the majority that decides at that size
AROUND = 32  # px around what differs that flow is looked for in
FINE_WIDTH = 320  # px: no wider are frames whose flow goes down to the finest scale
EVIDENCE = 6.0  # times the expected difference in some place before flow is looked for at all


@dataclass(frozen=True)
class Residual:
    """What differs between two frames beside the camera's move. Lengths in px of these frames, a mean over `seen`."""

    object: float  # how far things move by themselves
    total: float  # how far all moves, with the camera
    speed: float  # of what moves by itself
    grain: float  # standard deviation from pixel to pixel, grey levels
    blind: float  # motion that the grain could hide, px
    brightness: np.ndarray  # mean difference of each cell, grey levels; NaN where it is not seen or moves
    counted: np.ndarray  # pixels in each cell


def residual(a: np.ndarray, b: np.ndarray, step: np.ndarray) -> Residual:
    """Compares neighbours (height, width) uint8; `step` (2 or 3, 3) leads from a place in a to its place in b."""
    laid, seen = laid_over(b, step)
    laid = np.where(seen, laid, a)
    inner = seen_inside(seen)
    difference = laid.astype(np.float32) - a
    steep = steepness(a)
    grain = grain_of(difference, steep, inner)
    unit = FLOOR + GRAIN_LEFT * 2 * grain**2
    moving, field = _moving(a, laid, inner, unit)
    length = np.linalg.norm(field, axis=2)
    own = camera_field(step, a.shape)
    total = np.linalg.norm(own + field, axis=2)
    quiet = inner & ~cv2.dilate(moving.astype(np.uint8), np.ones((9, 9))).astype(bool)
    brightness, counted = _cell_means(difference, quiet)
    texture = float(steep[inner].mean()) if inner.any() else 0.0
    cell = inner.size / (CELLS[0] * CELLS[1])
    return Residual(
        object=float(length[inner].mean()) if inner.any() else 0.0,
        total=float(total[inner].mean()) if inner.any() else 0.0,
        speed=float(length[moving].mean()) if moving.any() else 0.0,
        grain=grain,
        blind=min(1.0, grain * math.sqrt(2 / (cell * max(texture, 1e-3)))),
        brightness=brightness,
        counted=counted,
    )


def laid_over(
    b: np.ndarray, move: np.ndarray, size: tuple[int, int] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """A frame as it looks where `move` comes from, and which of those pixels it really shows.

    `size` is (width, height) of what is made; as large as b if it is not given.
    """
    size = size or (b.shape[1], b.shape[0])
    matrix, how = np.asarray(move, dtype=float)[:2], cv2.INTER_LANCZOS4 | cv2.WARP_INVERSE_MAP
    laid = cv2.warpAffine(b, matrix, size, flags=how, borderMode=cv2.BORDER_REFLECT_101)
    return laid, shown_within(size, matrix, (b.shape[1], b.shape[0]), -0.01)


def shown_within(size: Size, move: np.ndarray, other: Size, margin: float) -> np.ndarray:
    """Which pixels of a picture (width, height) lie within another after a move, `margin` px from its borders."""
    x, y = np.arange(size[0])[None], np.arange(size[1])[:, None]
    u = move[0, 0] * x + move[0, 1] * y + move[0, 2]
    v = move[1, 0] * x + move[1, 1] * y + move[1, 2]
    within: np.ndarray = (
        (u >= margin) & (v >= margin) & (u <= other[0] - 1 - margin) & (v <= other[1] - 1 - margin)
    )
    return within


def seen_inside(seen: np.ndarray) -> np.ndarray:
    """What is further in than `BORDER`."""
    padded = cv2.copyMakeBorder(seen.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    inside: np.ndarray = cv2.erode(padded, np.ones((2 * BORDER + 1,) * 2))[1:-1, 1:-1].astype(bool)
    return inside


def grain_of(difference: np.ndarray, steep: np.ndarray, where: np.ndarray) -> float:
    """The standard deviation of one frame's grain, from what differs between pixels side by side in flat places."""
    if where.sum() < 100:
        return 0.0
    fine = difference - cv2.GaussianBlur(difference, (0, 0), 3)
    flat = where & (steep <= np.median(steep[where]))
    return float(1.4826 * np.median(np.abs(fine[flat])) / math.sqrt(2))


def steepness(a: np.ndarray) -> np.ndarray:
    """The square of how much a grey picture changes from pixel to pixel."""
    smooth = cv2.GaussianBlur(a.astype(np.float32), (0, 0), 1.5)
    return sum(cv2.Sobel(smooth, cv2.CV_32F, x, 1 - x, scale=1 / 8) ** 2 for x in (0, 1))


def _moving(a: np.ndarray, b: np.ndarray, seen: np.ndarray, unit: float) -> tuple[np.ndarray, np.ndarray]:
    """What moves by itself, and how far: b is laid over a already."""
    nothing = np.zeros(a.shape, bool), np.zeros((*a.shape, 2), np.float32)
    first, second = (cv2.GaussianBlur(one.astype(np.float32), (0, 0), SOFT) for one in (a, b))
    as_laid = _local_square(second - first, seen, unit)
    as_laid[~seen] = 0
    doubtful = cv2.GaussianBlur(as_laid, (0, 0), 2.0) > EVIDENCE * unit
    if not doubtful.any():
        return nothing
    field = _fine_flow(a, b, doubtful)
    ys, xs = np.mgrid[: a.shape[0], : a.shape[1]].astype(np.float32)
    back = cv2.remap(
        second, xs + field[..., 0], ys + field[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    followed = _local_square(back - first, seen, unit)
    vote = np.clip((as_laid - followed) / (2 * unit), -1, 1)
    vote[
        followed > GRAIN_LEFT * 2 * as_laid + unit
    ] = -1  # following explains it no better: what is hidden or new
    vote[~seen] = 0
    moving, open_ = nothing[0], np.ones(a.shape, bool)
    for size, majority in VOTES:
        said = cv2.GaussianBlur(vote, (0, 0), size)
        sure = open_ & (np.abs(said) > majority)
        moving |= sure & (said > 0)
        open_ &= ~sure
    moving = _without_rim(moving & seen)
    lands = cv2.remap(
        moving.astype(np.float32),
        xs + field[..., 0],
        ys + field[..., 1],
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    moving &= lands > 0.5  # what lands on nothing that moves is what the thing will hide, not the thing
    return moving, field * moving[..., None]


def _without_rim(moving: np.ndarray) -> np.ndarray:
    """What moves, without holes, and without the rim that squares smoothed over a few pixels have."""
    closed = cv2.morphologyEx(moving.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5)))
    round_ = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
    bare: np.ndarray = cv2.erode(closed, round_).astype(bool)
    return bare


def _local_square(difference: np.ndarray, seen: np.ndarray, unit: float) -> np.ndarray:
    """The square of what differs locally, over a few pixels."""
    difference = difference - (np.median(difference[seen]) if seen.any() else 0)
    most = 3 * math.sqrt(
        unit
    )  # what differs by more is no brightness, and would draw a halo around what moves
    local = difference - cv2.GaussianBlur(difference.clip(-most, most), (0, 0), LOCAL)
    squared: np.ndarray = cv2.GaussianBlur(local**2, (0, 0), 0.8)
    return squared


def _fine_flow(a: np.ndarray, b: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Optical flow by DIS around some pixels, nothing elsewhere.

    Down to the finest scale in small frames: half of it would smear by pixels what moves over what stands.
    """
    x, y, width, height = cv2.boundingRect(where.astype(np.uint8))
    part = np.s_[max(0, y - AROUND) : y + height + AROUND, max(0, x - AROUND) : x + width + AROUND]
    estimator = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    estimator.setFinestScale(0 if a.shape[1] <= FINE_WIDTH else 1)
    estimator.setPatchStride(4)
    field = np.zeros((*a.shape, 2), np.float32)
    field[part] = estimator.calc(np.ascontiguousarray(a[part]), np.ascontiguousarray(b[part]), None)
    return field


def _cell_means(values: np.ndarray, where: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean of each cell of the raster over some pixels, NaN where they are few, and how many they are."""
    rows, columns = (
        np.linspace(0, side, count + 1).astype(int)[:-1]
        for side, count in zip(values.shape, CELLS, strict=True)
    )

    def summed(one: np.ndarray) -> np.ndarray:
        return np.add.reduceat(np.add.reduceat(one.astype(float), rows, axis=0), columns, axis=1)

    counted = summed(where)
    few = counted < 0.25 * values.size / counted.size
    means = np.where(few, np.nan, summed(np.where(where, values, 0)) / np.maximum(counted, 1))
    return means, counted
