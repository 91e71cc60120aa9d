"""Everything that is measured of a clip, declared once: how it is called, in what unit, which way it points and how it
comes about.

Tables, columns, filters, sorts, exports, help and docs are made from `METRICS`. A metric is a function of a `Footage`
under `@metric`; runs keep their numbers under the function's name, so that name is for ever.
Knows numbers and words; nothing of pixels (see `svdlab.metrics.footage`), of runs or of screens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from svdlab.metrics.footage import Footage

Better = Literal["higher", "lower", "neither"]
ABSENT = "–"  # where a number would stand and was not measured


@dataclass(frozen=True)
class Metric:
    """One metric as a table, a column, a filter or a docs row needs it."""

    name: str
    label: str
    unit: str
    help: str  # one sentence: what it says
    more: str
    better: Better
    digits: int  # behind the point, where a person reads it
    version: int  # of the way it comes about; numbers of different versions are not to be compared
    measured: Callable[[Footage], float | None]  # None where it cannot be measured

    def number(self, value: float | None, signed: bool = False) -> str:
        """'1.20', '−0.35', '+0.10' where signed; a rounded zero has no sign, and what is not there is a dash."""
        if value is None:
            return ABSENT
        rounded = round(value, self.digits)
        sign = "−" if rounded < 0 else "+" if signed and rounded > 0 else ""
        return f"{sign}{abs(rounded):.{self.digits}f}"

    def text(self, value: float) -> str:
        """The number with its unit: '1.20 px/frame'."""
        return f"{self.number(value)} {self.unit}"


METRICS: dict[str, Metric] = {}  # in the order people see them


def metric(
    label: str,
    unit: str,
    help: str,
    *,
    better: Better = "neither",
    digits: int = 2,
    version: int = 1,
    more: str = "",
) -> Callable[[Callable[[Footage], float | None]], Callable[[Footage], float | None]]:
    """Declares the metric that a function measures, under the function's name."""

    def declare(measured: Callable[[Footage], float | None]) -> Callable[[Footage], float | None]:
        name = measured.__name__
        METRICS[name] = Metric(name, label, unit, help, more, better, digits, version, measured)
        return measured

    return declare


@metric(
    "Camera motion",
    "px/frame",
    "How far the camera's move shifts a pixel from frame to frame.",
    more="The camera's move is the shift, zoom and rotation that explains most of the optical flow.",
)
def camera_motion(clip: Footage) -> float:
    return fmean(clip.camera_steps)


@metric("Object motion", "px/frame", "Motion the camera's move does not explain, and morphing.")
def object_motion(clip: Footage) -> float:
    return fmean(clip.object_steps)


@metric(
    "Camera jerk",
    "px/frame²",
    "How unevenly the camera moves; lower is steadier.",
    better="lower",
    more="The mean change of the camera's displacement from one frame to the next.",
)
def camera_jerk(clip: Footage) -> float:
    return fmean(clip.camera_changes) if clip.camera_changes else 0.0


@metric("Pan across", "px/frame", "Positive where the content moves right, so the camera left.")
def pan_x(clip: Footage) -> float:
    return fmean(x for x, _ in clip.pans)


@metric("Tilt", "px/frame", "Positive where the content moves down, so the camera up.")
def pan_y(clip: Footage) -> float:
    return fmean(y for _, y in clip.pans)


@metric("Zoom", "%/frame", "Positive goes closer.")
def zoom(clip: Footage) -> float:
    return (fmean(clip.zooms) - 1) * 100


@metric("Rotation", "°/frame", "Positive turns the content clockwise.")
def rotation(clip: Footage) -> float:
    return fmean(clip.turns)


@metric(
    "Flicker",
    "of 255",
    "What changes between neighbours after undoing the motion.",
    better="lower",
    more="In grey levels. The raw difference of neighbours would only reward standing still.",
)
def flicker(clip: Footage) -> float:
    return fmean(clip.flickers)


@metric(
    "Sharpness kept",
    "×",
    "Sharpness of the last frames over the first ones.",
    better="higher",
    more="The variance of the Laplacian in the last third of the frames over that in the first.",
)
def sharpness_kept(clip: Footage) -> float:
    third = max(1, len(clip.sharpness) // 3)
    return fmean(clip.sharpness[-third:]) / max(fmean(clip.sharpness[:third]), 1e-6)


@metric("Fidelity", "SSIM", "First frame against the picture; 1 is equal.", better="higher", digits=3)
def fidelity(clip: Footage) -> float | None:
    return None if clip.picture is None else clip.likeness(clip.picture, clip.frames[0])


@metric(
    "Loop closure",
    "SSIM",
    "Last frame against the first; 1 is equal.",
    digits=3,
    more="High where the clip comes back to its beginning, and where nothing moves.",
)
def loop_closure(clip: Footage) -> float:
    return clip.likeness(clip.frames[0], clip.frames[-1])
