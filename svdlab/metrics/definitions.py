"""Everything that is measured of a clip, declared once: how it is called, in what unit, which way it points and how it
comes about.

Tables, columns, filters, sorts, exports, help and docs are made from `METRICS`. A metric is a function of a `Footage`
under `@metric`; runs keep their numbers under the function's name, so that name is for ever. Whoever changes how a
number comes about raises its version: numbers of another version are measured again.
Knows numbers and words; nothing of pixels (see `svdlab.metrics.footage`), of runs or of screens.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from svdlab.metrics.footage import Footage

Better = Literal["higher", "lower", "neither"]
ABSENT = "–"  # where a number would stand and was not measured
SURE = 2.0  # standard deviations: a number within so many of zero is not told from it
Series = tuple[float | None, ...]


@dataclass(frozen=True)
class Reading:
    """One clip's number of one metric.

    `spread` is the standard deviation that the clip's own grain gives it. `frames` is the same frame by frame, None
    where there is nothing to say, as of the first frame's motion; empty where it is of the whole clip alone.
    """

    value: float
    spread: float = 0.0
    frames: Series = ()


@dataclass(frozen=True)
class Metric:
    """One metric as a table, a column, a filter or a docs row needs it."""

    name: str
    label: str
    unit: str
    help: str  # one sentence: what it says
    more: str
    limits: str  # what it cannot tell, one sentence
    better: Better
    digits: int  # behind the point, where a person reads it
    version: int  # of the way it comes about; numbers of different versions are not to be compared
    measured: Callable[[Footage], Reading | None]  # None where it cannot be measured

    def number(self, value: float | None, signed: bool = False) -> str:
        """'1.20', '−0.35', '+0.10' where signed; a rounded zero has no sign, and what is not there is a dash."""
        if value is None:
            return ABSENT
        rounded = round(value, self.digits)
        sign = "−" if rounded < 0 else "+" if signed and rounded > 0 else ""
        return f"{sign}{abs(rounded):.{self.digits}f}"

    def text(self, value: float, spread: float | None = None) -> str:
        """The number with its unit: '1.20 px/frame', '1.20 ± 0.03 px/frame' where its spread would be seen."""
        seen = self.number(spread)
        shown = f" ± {seen}" if spread and float(seen) > 0 else ""
        return f"{self.number(value)}{shown} {self.unit}"


METRICS: dict[str, Metric] = {}  # in the order people see them
Measured = Callable[["Footage"], Reading | None]


def metric(
    label: str,
    unit: str,
    help: str,
    *,
    limits: str,
    better: Better = "neither",
    digits: int = 2,
    version: int = 1,
    more: str = "",
) -> Callable[[Measured], Measured]:
    """Declares the metric that a function measures, under the function's name."""

    def declare(measured: Measured) -> Measured:
        name = measured.__name__
        METRICS[name] = Metric(name, label, unit, help, more, limits, better, digits, version, measured)
        return measured

    return declare


def edition() -> str:
    """What numbers of today are known by: another one where any metric's version differs."""
    said = ",".join(f"{one.name}={one.version}" for one in METRICS.values())
    return hashlib.sha256(said.encode()).hexdigest()[:12]


TURNS = "A turn of a real camera looks the same as its shift."
ALONG = "A similarity explains a flat scene; depth, perspective and a bending lens count as object motion."


@metric(
    "Camera motion",
    "px/frame",
    "How far the camera's move shifts a pixel from frame to frame.",
    version=2,
    more="The camera's move is the shift, zoom and rotation under which most of the picture agrees.",
    limits=ALONG,
)
def camera_motion(clip: Footage) -> Reading | None:
    return _mean(clip.camera_steps, _of_mean(clip.step_noise))


@metric(
    "Object motion",
    "px/frame",
    "How far a pixel moves by itself, beside the camera's move, on the mean of the frame.",
    version=2,
    more="Morphing too. The borders are left out, and what grain could feign.",
    limits="Up to a sixth off before flat backgrounds; nothing under 5 px is seen; depth under a moving camera counts.",
)
def object_motion(clip: Footage) -> Reading | None:
    return _mean(clip.object_steps, _of_mean(clip.blind))


@metric(
    "Total motion",
    "px/frame",
    "How far a pixel moves from frame to frame, whatever moves it.",
    limits="A still thing under a moving camera counts in full: see camera and object motion apart.",
)
def total_motion(clip: Footage) -> Reading | None:
    return _mean(clip.total_steps, _of_mean(clip.step_noise))


@metric(
    "Motion per second",
    "px/s",
    "How far a pixel moves in a second, as the clip plays.",
    digits=1,
    limits="It follows the playback rate; two rates of the same frames differ in it alone.",
)
def motion_per_second(clip: Footage) -> Reading | None:
    found = total_motion(clip)
    if found is None or clip.rate is None:
        return None
    return Reading(
        found.value * clip.rate, found.spread * clip.rate, tuple(x and x * clip.rate for x in found.frames)
    )


@metric(
    "Camera jerk",
    "px/frame²",
    "How unevenly the camera moves; lower is smoother.",
    better="lower",
    version=2,
    more="The mean change of the camera's displacement from one frame to the next.",
    limits="A camera that does not move is the smoothest; a change of pace that was meant counts too.",
)
def camera_jerk(clip: Footage) -> Reading | None:
    return _mean(clip.camera_changes, _of_mean(clip.change_noise), inner=True)


@metric(
    "Pan across",
    "px/frame",
    "Positive where the content moves right, so the camera left.",
    version=2,
    limits=TURNS,
)
def pan_x(clip: Footage) -> Reading | None:
    return _part(clip, 0)


@metric(
    "Tilt",
    "px/frame",
    "Positive where the content moves down, so the camera up.",
    version=2,
    limits=TURNS,
)
def pan_y(clip: Footage) -> Reading | None:
    return _part(clip, 1)


@metric(
    "Zoom",
    "%/frame",
    "Positive goes closer.",
    version=2,
    limits="A camera that drives forward zooms too, and what is near more than what is far.",
)
def zoom(clip: Footage) -> Reading | None:
    return _part(clip, 2, lambda steps: (steps - 1) * 100, 100)


@metric("Rotation", "°/frame", "Positive turns the content clockwise.", version=2, limits=ALONG)
def rotation(clip: Footage) -> Reading | None:
    return _part(clip, 3, np.degrees, math.degrees(1))


@metric(
    "Flicker",
    "of 255",
    "How far brightness jumps from frame to frame after undoing the motion; grain is not in it.",
    better="lower",
    version=2,
    more="In grey levels, over cells of a sixteenth of the width. A steady fade is none.",
    limits="Light that really flickers counts; three frames are needed.",
)
def flicker(clip: Footage) -> Reading | None:
    noise = clip.flicker_noise / math.sqrt(max(1, len(clip) - 2))
    return _mean(clip.flickers, noise, inner=True)


@metric(
    "Grain",
    "of 255",
    "How much single pixels change from frame to frame after undoing the motion.",
    better="lower",
    more="The standard deviation of one frame's grain in flat places, grey levels.",
    limits="Grain that stands still is texture; black and white cut it off; finest texture in motion adds 1 or 2.",
)
def graininess(clip: Footage) -> Reading | None:
    found = clip.grains
    return _median(found, _rms(found) / 50)


@metric(
    "Sharpness kept",
    "×",
    "Fine detail in the last third of the frames over that in the first, of the same content.",
    better="higher",
    version=2,
    more="What comes into sight later does not count, and grain is taken off.",
    limits="Detail may be other detail; where a key frame is passed, it is followed from one content to the next.",
)
def sharpness_kept(clip: Footage) -> Reading | None:
    return _late_over_early(clip.details)


@metric(
    "Sharpness",
    "×",
    "The finest detail over detail four times as coarse.",
    more="A sharp photograph has 0.4 to 1.2, one blurred by 2 px about 0.17.",
    limits="It depends on what is shown; compare clips of one picture.",
)
def sharpness(clip: Footage) -> Reading | None:
    return _mean(clip.sharpness, 0.0, moves=False)


@metric(
    "Colour drift",
    "of 255",
    "How far the colours of the same content went from the first third of the frames to the last.",
    better="lower",
    more="The root mean square over red, green and blue of the mean differences.",
    limits="A change of light that was meant counts.",
)
def colour_drift(clip: Footage) -> Reading | None:
    if len(clip) < 2:
        return None
    colours = clip.colours
    third = _third(len(colours))
    off = colours[-third:].mean(axis=0) - colours[:third].mean(axis=0)
    series = tuple(float(x) for x in np.sqrt((colours**2).mean(axis=1)))
    return Reading(float(np.sqrt((off**2).mean())), clip.flicker_noise / math.sqrt(third), series)


@metric(
    "Fidelity",
    "SSIM",
    "First frame against the picture; 1 is equal.",
    better="higher",
    digits=3,
    limits="Grain and a shift of one pixel lower it as a real change does.",
)
def fidelity(clip: Footage) -> Reading | None:
    return None if clip.picture is None else Reading(clip.likeness(clip.picture, clip.frames[0]))


@metric(
    "Fidelity later",
    "SSIM",
    "The last third of the frames against the picture moved along the camera's path; 1 is equal.",
    better="higher",
    digits=3,
    more="Only what both show is compared, at most 512 px wide.",
    limits="What moves by itself lowers it, as does any depth; a clip that stands still has most of it.",
)
def fidelity_kept(clip: Footage) -> Reading | None:
    late = clip.likenesses[-_third(len(clip)) :]
    known = late[np.isfinite(late)]
    return Reading(float(known.mean()), 0.0, _series(clip.likenesses)) if len(known) else None


@metric(
    "Loop closure",
    "SSIM",
    "Last frame against the first; 1 is equal.",
    digits=3,
    more="High where the clip comes back to its beginning, and where nothing moves.",
    limits="A still clip closes perfectly.",
)
def loop_closure(clip: Footage) -> Reading | None:
    return Reading(clip.likeness(clip.frames[0], clip.frames[-1])) if len(clip) > 1 else None


# From what a footage offers to a reading


def _series(values: Iterable[float]) -> Series:
    return tuple(float(x) if math.isfinite(x) else None for x in values)


def _mean(values: np.ndarray, spread: float, *, inner: bool = False, moves: bool = True) -> Reading | None:
    """The mean of what is known; `inner` where both ends have nothing to say, `moves` where the first frame has not."""
    known = values[np.isfinite(values)]
    if not len(known):
        return None
    series = (*((None,) if moves or inner else ()), *_series(values), *((None,) if inner else ()))
    return Reading(float(known.mean()), spread, series)


def _median(values: np.ndarray, spread: float) -> Reading | None:
    found = _mean(values, spread)
    return found and Reading(float(np.nanmedian(values)), spread, found.frames)


def _part(
    clip: Footage, index: int, seen: Callable[[np.ndarray], np.ndarray] = lambda steps: steps, by: float = 1.0
) -> Reading | None:
    """One part of the camera's steps: its mean over a clip is known as well as its last frame's place."""
    values, spreads = seen(clip.steps[:, index]), clip.spreads[:, index]
    keys = len(set(clip.path.keys))
    return _mean(values, by * _rms(spreads) * math.sqrt(keys) / max(1, len(values)))


def _rms(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(np.sqrt((known**2).mean())) if len(known) else 0.0


def _of_mean(noise: np.ndarray) -> float:
    """What noise of each frame makes of their mean."""
    return _rms(noise) / math.sqrt(max(1, len(noise)))


def _third(count: int) -> int:
    """How many frames are early or late ones: an even number where it can be, so that a flicker's two halves cancel."""
    third = max(1, count // 3)
    return third - third % 2 if third > 2 else third


def _late_over_early(values: np.ndarray) -> Reading | None:
    if len(values) < 2:
        return None
    third = _third(len(values))
    late, early = values[-third:], values[:third]
    if not (np.isfinite(late).any() and np.isfinite(early).any()):
        return None
    kept = float(np.nanmean(late) / max(float(np.nanmean(early)), 1e-6))
    return Reading(kept, float(np.nanstd(late)) / math.sqrt(third), _series(values))
