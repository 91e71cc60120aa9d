"""A clip and what metrics are made of: the camera's path, what moves besides, brightness, grain, detail, likeness.

Each is worked out once, when it is first asked for. Knows pixels; nothing of what a metric is called, of models, runs
or screens. Camera and object motion are kept apart, because a still scene under a moving camera and a moving thing
under a still one are different results.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

import cv2
import numpy as np

from svdlab.metrics.camera import Path, path_of
from svdlab.metrics.residual import (
    Residual,
    grain_of,
    laid_over,
    residual,
    seen_inside,
    shown_within,
    steepness,
)
from svdlab.metrics.similarity import ssim

WIDTH = 512  # px: motion in larger frames is measured at this width and the result scaled back
SLOW = 1.5  # px per frame of what moves by itself, below which frames further apart are compared
APART = 3  # frames
LEAST_COMMON = 0.25  # of a frame that must still be there to be compared
COLOURS = (36, 64)  # rows and columns of the pictures whose colours are compared
SOFTLY = 0.7  # px of a Gaussian before detail is looked for
COARSER = 4  # times: the detail that the finest is held against


class Footage:
    """A clip (frames, height, width, 3) uint8, and `picture`, what it started from, as large.

    Lengths are in pixels of the clip. What belongs to two neighbours is a list of one fewer than there are frames, NaN
    where another scene begins. `rate` is in frames per second, `unreal` the frames with pixels that were no numbers.
    """

    def __init__(
        self,
        frames: np.ndarray,
        picture: np.ndarray | None = None,
        rate: float | None = None,
        unreal: tuple[int, ...] = (),
    ) -> None:
        self.frames = frames
        self.picture = picture
        self.rate = rate
        self.unreal = unreal

    def __len__(self) -> int:
        return len(self.frames)

    @cached_property
    def grey(self) -> list[np.ndarray]:
        """(height, width) uint8 of each frame."""
        return [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in self.frames]

    @property
    def scale(self) -> float:
        """How many pixels of `small` a pixel of the clip is."""
        return min(1.0, WIDTH / self.frames.shape[2])

    @cached_property
    def small(self) -> list[np.ndarray]:
        """`grey`, no wider than `WIDTH`."""
        if self.scale == 1:
            return self.grey
        return [
            cv2.resize(one, None, fx=self.scale, fy=self.scale, interpolation=cv2.INTER_AREA)
            for one in self.grey
        ]

    # The camera

    @cached_property
    def path(self) -> Path:
        """The camera's path over `small`."""
        return path_of(self.small)

    @cached_property
    def steps(self) -> np.ndarray:
        """(frames − 1, 4): shift across and down at the middle (px), zoom (a factor), turn (radians)."""
        middle = np.array([*self._middle, 1.0])
        moves = self.path.steps
        shifts = ((moves @ middle - middle)[:, :2]) / self.scale
        zooms = np.hypot(moves[:, 0, 0], moves[:, 1, 0])
        turns = np.arctan2(moves[:, 1, 0], moves[:, 0, 0])
        steps = np.column_stack([shifts, zooms, turns])
        steps[list(self.path.broken)] = np.nan
        return steps

    @cached_property
    def spreads(self) -> np.ndarray:
        """(frames − 1, 4): the standard deviations of `steps`."""
        spreads = self.path.spreads / (self.scale, self.scale, 1, 1)
        spreads[~np.isfinite(spreads)] = np.nan
        return spreads

    @cached_property
    def whereabouts(self) -> np.ndarray:
        """(frames, 2): where the first frame's middle lies in each, px from there; 0 again after a break."""
        middle = np.array([*self._middle, 1.0])
        found: np.ndarray = (self.path.places @ middle - middle)[:, :2] / self.scale
        return found

    @property
    def _middle(self) -> tuple[float, float]:
        height, width = self.small[0].shape
        return (width - 1) / 2, (height - 1) / 2

    @cached_property
    def camera_steps(self) -> np.ndarray:
        """Mean displacement the camera's move gives a pixel, px."""
        return _without(self._lengths(self._fields), self.step_noise)

    @cached_property
    def camera_changes(self) -> np.ndarray:
        """Mean change of the camera's displacement from one move to the next, px; one fewer than there are moves."""
        return _without(self._lengths(np.diff(self._fields, axis=0)), self.change_noise)

    @cached_property
    def step_noise(self) -> np.ndarray:
        """What grain alone makes of a move, px."""
        height, width = self.frames.shape[1:3]
        radius = math.sqrt(
            (width**2 + height**2) / 12
        )  # root mean square distance of a pixel from the middle
        return np.sqrt((self.spreads**2 * (1, 1, radius**2, radius**2)).sum(axis=1))

    @cached_property
    def change_noise(self) -> np.ndarray:
        """What grain alone makes of a change of the moves, px."""
        return np.hypot(self.step_noise[1:], self.step_noise[:-1])

    @cached_property
    def _fields(self) -> np.ndarray:
        """Displacements by each move at places all over the frame, (moves, 2, places) px."""
        height, width = self.small[0].shape
        x, y = np.meshgrid(
            (np.arange(32) + 0.5) / 32 * width - 0.5, (np.arange(18) + 0.5) / 18 * height - 0.5
        )
        places = np.stack([x.ravel(), y.ravel(), np.ones(x.size)])
        fields = (self.path.steps @ places - places)[:, :2] / self.scale
        fields[list(self.path.broken)] = np.nan
        return fields

    def _lengths(self, fields: np.ndarray) -> np.ndarray:
        found: np.ndarray = np.linalg.norm(fields, axis=1).mean(axis=1)
        return found

    # What moves besides

    @cached_property
    def residuals(self) -> list[Residual | None]:
        """What differs between neighbours beside the camera's move, over `small`."""
        return self._compared([(t, t + 1) for t in range(len(self) - 1)])

    def _compared(self, pairs: Sequence[tuple[int, int]]) -> list[Residual | None]:
        """Two and two frames, several pairs at once: OpenCV computes small ones by one processor each."""
        self.path  # noqa: B018 (found once, before threads ask for it)
        with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
            return list(pool.map(lambda pair: self._residual(*pair), pairs))

    def _residual(self, a: int, b: int) -> Residual | None:
        if any(a <= cut < b for cut in self.path.broken):
            return None
        move = self.path.places[b] @ np.linalg.inv(self.path.places[a])
        return residual(self.small[a], self.small[b], move)

    @cached_property
    def object_steps(self) -> np.ndarray:
        """Mean displacement per frame that the camera's move does not explain, px."""
        near = self._each("object") / self.scale
        speeds = self._each("speed")
        if len(self) < 2 * APART + 1 or not 0 < np.nanmax(speeds, initial=0) < SLOW:
            return near
        found = near.copy()
        starts = range(0, len(self) - APART, APART)
        for t, far in zip(starts, self._compared([(t, t + APART) for t in starts]), strict=True):
            if far is not None:
                found[t : t + APART] = far.object / APART / self.scale
        return found

    @cached_property
    def total_steps(self) -> np.ndarray:
        """Mean displacement per frame of all pixels, whatever moves them, px."""
        return np.maximum(self._each("total") / self.scale, self.object_steps)

    @cached_property
    def blind(self) -> np.ndarray:
        """Motion per frame that the grain could hide, px."""
        return self._each("blind") / self.scale

    def _each(self, name: str) -> np.ndarray:
        return np.array([math.nan if one is None else getattr(one, name) for one in self.residuals])

    # Brightness and colour

    @cached_property
    def flickers(self) -> np.ndarray:
        """How far each inner frame's brightness is off its neighbours', grey levels; two fewer than frames."""
        found = []
        for before, after in zip(self.residuals, self.residuals[1:], strict=False):
            if before is None or after is None:
                found.append(math.nan)
                continue
            off = (after.brightness - before.brightness) / 2
            pixels = np.minimum(before.counted, after.counted)
            by_grain = 1.5 * ((before.grain + after.grain) / 2) ** 2 / np.maximum(pixels, 1)
            known = np.isfinite(off)
            square = (off**2 - by_grain)[known].mean() if known.any() else math.nan
            found.append(math.sqrt(max(0.0, square)) if math.isfinite(square) else math.nan)
        return np.array(found)

    @cached_property
    def flicker_noise(self) -> float:
        """What grain alone makes of a cell's brightness, grey levels."""
        seen = [one for one in self.residuals if one is not None]
        return float(
            np.mean([1.2 * one.grain / math.sqrt(max(1.0, one.counted.mean())) for one in seen] or [0.0])
        )

    @cached_property
    def grains(self) -> np.ndarray:
        """The standard deviation of what changes from pixel to pixel between neighbours, grey levels of the clip."""
        if self.scale == 1:
            return self._each("grain")
        found = []
        for t in range(len(self) - 1):
            if t in self.path.broken:
                found.append(math.nan)
                continue
            found.append(self._middle_grain(t))
        return np.array(found)

    def _middle_grain(self, t: int) -> float:
        """In the middle of large frames, at their own size."""
        a, b = self.grey[t], self.grey[t + 1]
        height, width = a.shape
        half = min(height, WIDTH // 2), min(width, WIDTH)
        top, left = (height - half[0]) // 2, (width - half[1]) // 2
        move = self._full(self.path.places[t + 1] @ np.linalg.inv(self.path.places[t]))
        corner = np.array([[1, 0, left], [0, 1, top], [0, 0, 1.0]])
        part = a[top : top + half[0], left : left + half[1]]
        laid, seen = laid_over(b, move @ corner, (half[1], half[0]))
        return _grain_between(part, np.where(seen, laid, part), seen)

    def _full(self, move: np.ndarray) -> np.ndarray:
        """A move over `small` as one over the clip's own frames."""
        s = self.scale
        into = np.array([[s, 0, (s - 1) / 2], [0, s, (s - 1) / 2], [0, 0, 1]])
        full: np.ndarray = np.linalg.inv(into) @ move @ into
        return full

    @cached_property
    def colours(self) -> np.ndarray:
        """(frames, 3): how far red, green and blue of what stays in sight are from the first frame's, grey levels."""
        rows, columns = COLOURS
        little = [
            cv2.resize(frame, (columns, rows), interpolation=cv2.INTER_AREA).astype(np.float32)
            for frame in self.frames
        ]
        height, width = self.small[0].shape
        into = np.array(
            [
                [columns / width, 0, (columns / width - 1) / 2],
                [0, rows / height, (rows / height - 1) / 2],
                [0, 0, 1],
            ]
        )
        found = np.zeros((len(self), 3))
        for t, key in enumerate(self.path.keys):
            if t == key:
                found[t] = found[t - 1] if t else 0
                continue
            move = into @ self.path.places[t] @ np.linalg.inv(self.path.places[key]) @ np.linalg.inv(into)
            laid, seen = laid_over(little[t], move)
            seen[0], seen[-1], seen[:, 0], seen[:, -1] = False, False, False, False
            difference = (laid - little[key])[seen]
            found[t] = found[key] + (np.median(difference, axis=0) if len(difference) else 0)
        return found

    # Detail

    @cached_property
    def details(self) -> np.ndarray:
        """By what the fine detail of what stays in sight is stronger than in the first frame, of each frame."""
        fine = [_fine(one) for one in self.grey]
        lost = _FINE_GAIN * self.frame_grains**2
        found = np.ones(len(self))
        for t, key in enumerate(self.path.keys):
            if t == key:
                found[t] = found[t - 1] if t else 1
                continue
            move = self._full(self.path.places[t] @ np.linalg.inv(self.path.places[key]))
            back, ahead = np.linalg.inv(move), move
            size = (self.grey[0].shape[1], self.grey[0].shape[0])
            here, there = (
                shown_within(size, one, size, 2) for one in (ahead, back)
            )  # of the key in the frame, of it in the key
            if min(here.mean(), there.mean()) < 0.1:
                found[t] = math.nan
                continue
            now, then = fine[t][there].mean() - lost[t], fine[key][here].mean() - lost[key]
            least = 1e-3 * max(float(then), 1e-3)
            found[t] = found[key] * math.sqrt(max(now, least) / max(then, least))
        return found

    @cached_property
    def frame_grains(self) -> np.ndarray:
        """`grains` of each frame."""
        grains = self.grains
        if not np.isfinite(grains).any():
            return np.zeros(len(self))
        grains = np.where(np.isfinite(grains), grains, np.nanmedian(grains))
        return np.concatenate([grains[:1], (grains[1:] + grains[:-1]) / 2, grains[-1:]])

    @cached_property
    def sharpness(self) -> np.ndarray:
        """How strong the finest detail is, over that of detail four times as coarse, of each frame."""
        found = []
        for grey, grain in zip(self.grey, self.frame_grains, strict=True):
            coarse = cv2.resize(grey, None, fx=1 / COARSER, fy=1 / COARSER, interpolation=cv2.INTER_AREA)
            below = _FINE_GAIN * grain**2
            strong = _fine(coarse).mean() - below / COARSER**2
            found.append(math.sqrt(max(0.0, _fine(grey).mean() - below) / strong) if strong > 1 else math.nan)
        return np.array(found)

    # Likeness

    def likeness(self, a: np.ndarray, b: np.ndarray) -> float:
        """Structural similarity of two RGB pictures, 1 for equal."""
        return ssim(a, b)

    @cached_property
    def likenesses(self) -> np.ndarray:
        """How alike each of `small` is to the picture moved along the camera's path, SSIM; NaN where little is left."""
        found = np.full(len(self), math.nan)
        if self.picture is None:
            return found
        picture = cv2.cvtColor(self.picture, cv2.COLOR_RGB2GRAY)
        if self.scale < 1:
            picture = cv2.resize(picture, self.small[0].shape[::-1], interpolation=cv2.INTER_AREA)
        end = self.path.broken[0] + 1 if self.path.broken else len(self)
        for t in range(end):
            found[t] = _alike_where_both(picture, self.small[t], self.path.places[t])
        return found


def _alike_where_both(a: np.ndarray, b: np.ndarray, move: np.ndarray) -> float:
    """SSIM of what two grey pictures share, in the pixels of the coarser one; NaN where that is little."""
    scale = math.hypot(move[0, 0], move[1, 0])
    if scale < 1:
        a, b, move, scale = b, a, np.linalg.inv(move), 1 / scale
    if scale > 1.05:
        b = cv2.GaussianBlur(b, (0, 0), 0.5 * math.sqrt(scale**2 - 1))
    still = np.abs(move - np.eye(3)).max() < 1e-9
    laid, seen = (b, np.ones(b.shape, bool)) if still else laid_over(b, move)
    inside = seen if still else seen_inside(seen)
    return ssim(a, np.where(seen, laid, a), inside) if inside.mean() >= LEAST_COMMON else math.nan


def _grain_between(a: np.ndarray, b: np.ndarray, seen: np.ndarray) -> float:
    return grain_of(b.astype(np.float32) - a, steepness(a), seen_inside(seen))


def _fine(grey: np.ndarray) -> np.ndarray:
    """The square of the finest detail at each pixel."""
    smooth = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), SOFTLY)
    squared: np.ndarray = cv2.Laplacian(smooth, cv2.CV_32F) ** 2
    return squared


def _gain() -> float:
    """What `_fine` makes of grain of variance 1."""
    point = np.zeros((21, 21), np.float32)
    point[10, 10] = 1
    return float(_fine(point).sum())


_FINE_GAIN = _gain()


def _without(lengths: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Lengths without what noise adds to their squares."""
    shorter: np.ndarray = np.sqrt(np.maximum(lengths**2 - noise**2, 0))
    return shorter
