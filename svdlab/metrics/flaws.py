"""What is wrong with a clip in ways that a number hides, each declared once: its name, its words, and where it shows.

A frozen clip is the steadiest, a shuffled one moves most, a blurred one has no grain. Knows pixels through a `Footage`;
nothing of runs or of screens.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from svdlab.metrics.definitions import METRICS

if TYPE_CHECKING:
    from svdlab.metrics.footage import Footage

Frames = tuple[int, ...]  # counted from 0; empty where it is the whole clip
DARK = 4.0  # grey levels: no brighter is a black frame, on the mean,
EVEN = 3.0  # and no more does it differ within itself
STILL = 0.05  # px per frame below which nothing is said to move
SAME = 0.1  # grey levels that a frame and its repetition differ by, at most
HELD = 0.2  # share of the frames that a clip stands before it is frozen at first
FEWEST = 5  # frames of which an order can be told
SOFT = 0.18  # `sharpness` of a clip that shows no fine detail: blurred by 2 px or more
SOFTENED = 0.7  # `sharpness_kept` of one that loses it
GRAINY = 4.0  # `graininess`
FLICKERS = 3.0  # `flicker`


@dataclass(frozen=True)
class Flaw:
    """One thing that can be wrong with a clip."""

    name: str
    label: str  # as it stands in a line about a clip
    help: str  # one sentence: what was seen
    found: Callable[[Footage], Frames | None]  # the frames it is seen in; None where it is not


FLAWS: dict[str, Flaw] = {}  # the gravest first


def flaw(
    label: str, help: str
) -> Callable[[Callable[[Footage], Frames | None]], Callable[[Footage], Frames | None]]:
    """Declares the flaw that a function finds, under the function's name."""

    def declare(found: Callable[[Footage], Frames | None]) -> Callable[[Footage], Frames | None]:
        FLAWS[found.__name__] = Flaw(found.__name__, label, help, found)
        return found

    return declare


def flaws_of(clip: Footage) -> dict[str, Frames]:
    """What is wrong with a clip, by name."""
    found = {name: one.found(clip) for name, one in FLAWS.items()}
    return {name: frames for name, frames in found.items() if frames is not None}


@flaw("not numbers", "Pixels are not numbers: the model's arithmetic overflowed.")
def not_numbers(clip: Footage) -> Frames | None:
    return clip.unreal or None


@flaw("black", "Frames are black.")
def black(clip: Footage) -> Frames | None:
    dark = tuple(t for t, one in enumerate(clip.small) if one.mean() < DARK and one.std() < EVEN)
    return None if not dark else dark if len(dark) < len(clip) else ()


@flaw("no motion", "Nothing moves by more than the clip's own grain.")
def still(clip: Footage) -> Frames | None:
    if clip.path.broken or len(clip) < 2:
        return None
    moved = math.hypot(_mean(clip.camera_steps), _mean(clip.object_steps))
    return () if moved < max(STILL, _mean(clip.step_noise) / math.sqrt(len(clip))) else None


@flaw("frozen at first", "The clip stands still before it moves.")
def frozen_start(clip: Footage) -> Frames | None:
    moved = np.nan_to_num(np.hypot(clip.camera_steps, clip.object_steps))
    if not len(moved) or moved.max() < 4 * STILL:
        return None
    stands = moved < np.maximum(0.1 * moved.max(), 2 * np.nan_to_num(clip.step_noise))
    held = len(moved) if stands.all() else int(np.argmin(stands))
    eased = held < len(moved) and moved[held] < 0.4 * moved.max()  # a camera that starts gently
    return tuple(range(held + 1)) if held >= max(2, HELD * len(clip)) and not eased else None


@flaw("repeated frames", "Frames repeat the one before, while the clip moves.")
def repeated(clip: Footage) -> Frames | None:
    if still(clip) is not None or frozen_start(clip) is not None:
        return None
    same = tuple(
        t + 1
        for t, (a, b) in enumerate(zip(clip.small, clip.small[1:], strict=False))
        if float(np.abs(a.astype(np.float32) - b).mean()) < SAME
    )
    return same or None


@flaw("shuffled", "The frames are not in their order.")
def shuffled(clip: Footage) -> Frames | None:
    if len(clip) < FEWEST or still(clip) is not None:
        return None
    by_camera = not clip.path.broken and _out_of_order(_whereabouts(clip), 3.0 * _unit(clip))
    return () if by_camera or _better_reordered(clip) else None


@flaw("cut", "Another scene begins.")
def cut(clip: Footage) -> Frames | None:
    dark = black(clip) or ()
    into = tuple(t + 1 for t in clip.path.broken if t not in dark and t + 1 not in dark)
    return into if into and shuffled(clip) is None else None


@flaw("soft", "The frames show no fine detail.")
def soft(clip: Footage) -> Frames | None:
    return () if (found := _value(clip, "sharpness")) is not None and found < SOFT else None


@flaw("grows soft", "Fine detail is lost towards the end.")
def softens(clip: Footage) -> Frames | None:
    return () if (found := _value(clip, "sharpness_kept")) is not None and found < SOFTENED else None


@flaw("grainy", "Single pixels change from frame to frame.")
def grainy(clip: Footage) -> Frames | None:
    return () if (found := _value(clip, "graininess")) is not None and found > GRAINY else None


@flaw("flickers", "The brightness jumps from frame to frame.")
def flickers(clip: Footage) -> Frames | None:
    return () if (found := _value(clip, "flicker")) is not None and found > FLICKERS else None


def _value(clip: Footage, name: str) -> float | None:
    found = METRICS[name].measured(clip)
    return None if found is None else found.value


def _mean(values: np.ndarray) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else 0.0


def _unit(clip: Footage) -> float:
    """What a pixel of a clip 256 wide is in this one."""
    return max(1.0, clip.frames.shape[2] / 256)


def _whereabouts(clip: Footage) -> np.ndarray:
    """(frames, 4): where the camera is, all in px."""
    places, scale = clip.path.places, clip.scale
    height, width = clip.small[0].shape
    middle, radius = np.array([(width - 1) / 2, (height - 1) / 2, 1]), math.hypot(width, height) / 4
    shifts = (places @ middle - middle)[:, :2]
    zooms = np.log(np.hypot(places[:, 0, 0], places[:, 1, 0])) * radius
    turns = np.unwrap(np.arctan2(places[:, 1, 0], places[:, 0, 0])) * radius
    return np.column_stack([shifts, zooms, turns]) / scale


def _out_of_order(places: np.ndarray, least: float) -> bool:
    """Whether a path becomes an even one once its places are sorted along it, and was none before."""
    about = places - places.mean(axis=0)
    along = about @ np.linalg.svd(about, full_matrices=False)[2][0]
    if np.ptp(along) < least:
        return False
    in_order = places[np.argsort(along, kind="stable")]

    def jerk(path: np.ndarray) -> float:
        return float(np.linalg.norm(np.diff(path, n=2, axis=0), axis=1).mean())

    step = float(np.linalg.norm(np.diff(in_order, axis=0), axis=1).mean())
    return jerk(in_order) < 0.35 * jerk(places) and jerk(in_order) < 0.5 * step


def _better_reordered(clip: Footage) -> bool:
    """Whether frames are as unlike their neighbours as any two are, and much liker in another order."""
    little = [
        cv2.resize(one, (32, 18), interpolation=cv2.INTER_AREA).astype(np.float32).ravel()
        for one in clip.small
    ]
    stacked = np.stack(little)
    apart = np.abs(stacked[:, None] - stacked[None]).mean(axis=2)
    count = len(apart)
    as_shown = float(np.diagonal(apart, 1).mean())
    any_two = float(apart.sum() / (count * (count - 1)))
    if any_two < 1 or as_shown < 0.75 * any_two:
        return False
    best = min(_nearest_first(apart, start) for start in range(count)) / (count - 1)
    return best < 0.6 * as_shown


def _nearest_first(apart: np.ndarray, start: int) -> float:
    """The length of a way through all that goes on to the nearest that is left."""
    left, at, length = set(range(len(apart))) - {start}, start, 0.0
    while left:
        following = min(left, key=lambda one: apart[at, one])
        length += float(apart[at, following])
        left.remove(following)
        at = following
    return length
