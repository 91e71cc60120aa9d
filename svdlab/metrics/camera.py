"""A clip's frames → the path of its camera. Knows pixels; nothing of what a metric is called.

Steps from frame to frame, one after the other, would add up their errors, and a slow move would drown in the grain. So
each frame is laid over a key frame, and a new key is taken where too little of the old one is left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial

import cv2
import numpy as np

from svdlab.metrics.alignment import Aligned, Pyramid, align, pyramid
from svdlab.metrics.flow import camera_move, flow

LEAST_OVERLAP = 0.55  # of the key that a frame must still show
MOST_ZOOM = 1.35  # between key and frame
MOST_DETAIL = (
    1.35  # by what a frame may be sharper or softer than its key: edges of unlike softness pull astray
)
GOOD = 0.75  # agreement below which a newer key is tried
BROKEN = 0.5  # agreement below which two neighbours show different scenes


@dataclass(frozen=True)
class Path:
    """Where the camera is in each frame.

    `places` (frames, 3, 3) lead from the first frame to each, or from the first after a break. `spreads`
    (frames − 1, 4) are standard deviations of each step: across, down (px), zoom (share), turn (radians).
    `broken` are the frames after which another scene begins: those steps mean nothing. `keys` says over which frame
    each was laid.
    """

    places: np.ndarray
    spreads: np.ndarray
    agreements: np.ndarray
    broken: tuple[int, ...]
    keys: tuple[int, ...]

    @property
    def steps(self) -> np.ndarray:
        """(frames − 1, 3, 3) from each frame to the next."""
        steps: np.ndarray = self.places[1:] @ np.linalg.inv(self.places[:-1])
        return steps


@dataclass
class _Key:
    """The frame that others are laid over, where it lies itself, and the standard deviations of the last laid."""

    frame: int
    levels: Pyramid
    place: np.ndarray
    last: np.ndarray
    own: np.ndarray  # from the key to the last laid


def path_of(greys: Sequence[np.ndarray]) -> Path:
    """The camera's path through grey frames (height, width) of one size."""
    before = pyramid(greys[0])
    key = _Key(0, before, np.eye(3), np.zeros(4), np.eye(3))
    speed = np.eye(3)
    places, spreads, agreements, broken, keys = [np.eye(3)], [], [], [], [0]
    for index in range(1, len(greys)):
        levels = pyramid(greys[index])
        flowing = cache(partial(_flowing, greys[index - 1], greys[index]))
        found = align(key.levels, levels, _guesses(speed, before, levels, flowing, key.own))
        if key.frame < index - 1 and not _serves(key, levels, found):
            newer = _Key(index - 1, before, places[-1], np.zeros(4), np.eye(3))
            nearer = align(before, levels, _guesses(speed, before, levels, flowing, np.eye(3)))
            if _used_up(key, levels, found) or nearer.agreement > found.agreement + 0.01:
                key, found = newer, nearer
        if found.agreement < BROKEN:
            broken.append(index - 1)
            key = _Key(index, levels, np.eye(3), np.zeros(4), np.eye(3))
            speed, place, spread = np.eye(3), np.eye(3), np.full(4, np.inf)
        else:
            place, spread = found.move @ key.place, np.hypot(key.last, found.spread)
            speed = place @ np.linalg.inv(places[-1])
            key.last, key.own = found.spread, found.move
        places.append(place)
        spreads.append(spread)
        agreements.append(found.agreement)
        keys.append(key.frame)
        before = levels
    return Path(
        np.stack(places), np.array(spreads).reshape(-1, 4), np.array(agreements), tuple(broken), tuple(keys)
    )


def _serves(key: _Key, levels: Pyramid, found: Aligned) -> bool:
    return found.agreement >= GOOD and not _used_up(key, levels, found)


def _used_up(key: _Key, levels: Pyramid, found: Aligned) -> bool:
    """Whether so little of the key is left that a newer one is needed."""
    scale = float(np.hypot(found.move[0, 0], found.move[1, 0]))
    softer = (key.levels[0].detail + 1e-3) / (levels[0].detail + 1e-3)
    return (
        found.overlap < LEAST_OVERLAP
        or not 1 / MOST_ZOOM < scale < MOST_ZOOM
        or not 1 / MOST_DETAIL < softer < MOST_DETAIL
    )


def _guesses(
    speed: np.ndarray, a: Pyramid, b: Pyramid, flowing: Callable[[], np.ndarray], own: np.ndarray
) -> Iterator[np.ndarray]:
    """Where the key may lie: moved on as before, as what most of the flow says, not at all, shifted far."""
    yield speed @ own
    yield flowing() @ own
    yield own
    yield _shift(a, b) @ own


def _flowing(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.vstack([camera_move(flow(a, b)), [0, 0, 1]])


def _shift(a: Pyramid, b: Pyramid) -> np.ndarray:
    """The shift (3, 3) by which two pictures correlate best, however far it is."""
    index = max(0, len(a) - 2)
    window = cv2.createHanningWindow(a[index].picture.shape[::-1], cv2.CV_32F)
    (x, y), _ = cv2.phaseCorrelate(a[index].picture, b[index].picture, window)
    move = np.eye(3)
    move[:2, 2] = x * 2**index, y * 2**index
    return move
