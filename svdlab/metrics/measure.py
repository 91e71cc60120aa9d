"""frames → camera motion, object motion, flicker, sharpness, fidelity. No extra weights: optical flow and SSIM.

Knows pixels; nothing of models, runs or screens. Camera and object motion are kept apart, because a still
scene under a moving camera and a moving thing under a still one are different results. Flicker is measured
after undoing the motion, because the raw frame difference only rewards standing still.
"""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np

FLOW_WIDTH = 512  # pixels: larger frames are measured at this width and the result scaled back
STILL = 0.05  # px per frame below which nothing is said to move


@dataclass(frozen=True)
class Measures:
    """One clip in numbers. Lengths are in pixels of the clip, per frame where not said otherwise."""

    camera_motion: float  # px/frame: mean displacement the camera's move gives a pixel
    object_motion: float  # px/frame: mean displacement the camera's move does not explain
    camera_jerk: float  # px/frame²: mean change of the camera's displacement from one frame to the next
    pan_x: float  # px/frame: content moves right where positive
    pan_y: float  # px/frame: content moves down where positive
    zoom: float  # %/frame: content grows where positive
    rotation: float  # degrees/frame: content turns clockwise where positive
    flicker: float  # grey levels of 255: mean difference of neighbours after undoing the motion
    sharpness_kept: float  # 1 is as sharp at the end as at the start (variance of the Laplacian)
    fidelity: float  # SSIM of the first frame to the picture, 1 is equal; NaN without a picture
    loop_closure: float  # SSIM of the last frame to the first, 1 is equal

    def to_dict(self) -> dict[str, float]:
        """Rounded, without what could not be measured."""
        return {name: round(value, 4) for name, value in asdict(self).items() if np.isfinite(value)}


# name → (label, unit, what a reader should know), for tables
WORDS: dict[str, tuple[str, str, str]] = {
    "camera_motion": (
        "Camera motion",
        "px/frame",
        "how far the camera's move shifts a pixel from frame to frame",
    ),
    "object_motion": ("Object motion", "px/frame", "motion the camera's move does not explain, and morphing"),
    "camera_jerk": ("Camera jerk", "px/frame²", "how unevenly the camera moves; lower is steadier"),
    "zoom": ("Zoom", "%/frame", "positive goes closer"),
    "rotation": ("Rotation", "°/frame", "positive turns clockwise"),
    "flicker": ("Flicker", "of 255", "what changes between neighbours after undoing the motion"),
    "sharpness_kept": ("Sharpness kept", "×", "sharpness of the last frames over the first ones"),
    "fidelity": ("Fidelity", "SSIM", "first frame against the picture; 1 is equal"),
    "loop_closure": ("Loop closure", "SSIM", "last frame against the first; 1 is equal"),
}


def measure(frames: np.ndarray, picture: np.ndarray | None = None) -> Measures:
    """Measures a clip (n ≥ 2, height, width, 3) uint8 against its picture, the same size, if given."""
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    _height, width = grey[0].shape
    scale = min(1.0, FLOW_WIDTH / width)
    small = (
        [cv2.resize(g, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) for g in grey]
        if scale < 1
        else grey
    )
    flows = [flow(a, b) for a, b in itertools.pairwise(small)]
    cameras = [camera_move(f) for f in flows]
    fields = [camera_field(camera, f.shape[:2]) for camera, f in zip(cameras, flows, strict=True)]
    moved = [float(np.linalg.norm(field, axis=2).mean()) for field in fields]
    rest = [float(np.linalg.norm(f - field, axis=2).mean()) for f, field in zip(flows, fields, strict=True)]
    jerk = [float(np.linalg.norm(b - a, axis=2).mean()) for a, b in itertools.pairwise(fields)]
    centre = [field[field.shape[0] // 2, field.shape[1] // 2] for field in fields]
    scales = [float(np.hypot(camera[0, 0], camera[1, 0])) for camera in cameras]
    angles = [float(np.degrees(np.arctan2(camera[1, 0], camera[0, 0]))) for camera in cameras]
    flickers = [warped_difference(a, b, f) for a, b, f in zip(small, small[1:], flows, strict=False)]
    third = max(1, len(grey) // 3)
    sharp = np.array([cv2.Laplacian(g, cv2.CV_64F).var() for g in grey])
    return Measures(
        camera_motion=float(np.mean(moved)) / scale,
        object_motion=float(np.mean(rest)) / scale,
        camera_jerk=float(np.mean(jerk)) / scale if jerk else 0.0,
        pan_x=float(np.mean([c[0] for c in centre])) / scale,
        pan_y=float(np.mean([c[1] for c in centre])) / scale,
        zoom=(float(np.mean(scales)) - 1) * 100,
        rotation=float(np.mean(angles)),
        flicker=float(np.mean(flickers)),
        sharpness_kept=float(sharp[-third:].mean() / max(float(sharp[:third].mean()), 1e-6)),
        fidelity=ssim(picture, frames[0]) if picture is not None else float("nan"),
        loop_closure=ssim(frames[0], frames[-1]),
    )


def flow(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Dense optical flow (height, width, 2) in px from grey frame a to b, by DIS at its medium preset."""
    estimator: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    field: np.ndarray = estimator.calc(a, b, None)
    return field


def camera_move(field: np.ndarray) -> np.ndarray:
    """The similarity (2, 3) that explains most of a flow field: shift, zoom and rotation, by RANSAC."""
    height, width = field.shape[:2]
    step = max(4, width // 48)
    ys, xs = np.mgrid[step // 2 : height : step, step // 2 : width : step]
    points = np.stack([xs.ravel(), ys.ravel()], 1).astype(np.float32)
    move, _ = cv2.estimateAffinePartial2D(
        points, points + field[ys.ravel(), xs.ravel()], method=cv2.RANSAC, ransacReprojThreshold=0.5
    )
    return np.eye(2, 3) if move is None else move


def camera_field(move: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The displacement (height, width, 2) a similarity gives every pixel."""
    ys, xs = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    return np.stack(
        [
            move[0, 0] * xs + move[0, 1] * ys + move[0, 2] - xs,
            move[1, 0] * xs + move[1, 1] * ys + move[1, 2] - ys,
        ],
        axis=2,
    )


def warped_difference(a: np.ndarray, b: np.ndarray, field: np.ndarray) -> float:
    """Mean absolute grey difference of a and b warped back onto it, where b still shows what a does."""
    ys, xs = np.mgrid[: a.shape[0], : a.shape[1]].astype(np.float32)
    to_x, to_y = xs + field[..., 0], ys + field[..., 1]
    back = cv2.remap(b, to_x, to_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    inside = (to_x >= 0) & (to_y >= 0) & (to_x <= a.shape[1] - 1) & (to_y <= a.shape[0] - 1)
    difference = np.abs(a.astype(np.float32) - back.astype(np.float32))
    return float(difference[inside].mean()) if inside.any() else 0.0


def ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Structural similarity of two RGB pictures' grey versions, 1 for equal.

    Source: Wang et al. 2004, with its Gaussian window (σ 1.5) and constants 0.01 and 0.03.
    """
    x, y = (cv2.cvtColor(i, cv2.COLOR_RGB2GRAY).astype(np.float64) for i in (a, b))

    def blur(i: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(i, (11, 11), 1.5, borderType=cv2.BORDER_REFLECT)

    mean_x, mean_y = blur(x), blur(y)
    var_x, var_y = blur(x * x) - mean_x**2, blur(y * y) - mean_y**2
    cov = blur(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    index = (
        (2 * mean_x * mean_y + c1) * (2 * cov + c2) / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
    )
    return float(index[5:-5, 5:-5].mean())


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Peak signal to noise ratio in dB over all channels; infinite for equal pictures."""
    error = float(np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2))
    return float("inf") if error == 0 else 10 * float(np.log10(255**2 / error))


def in_words(values: dict[str, float], width: int) -> str:
    """A clip's motion as a person would say it: 'slow pan left · steady'. `width` is the clip's, in px."""
    if not values:
        return ""
    camera, jerk = values.get("camera_motion", 0.0), values.get("camera_jerk", 0.0)
    if camera < STILL and values.get("object_motion", 0.0) < STILL:
        return "no motion"
    share = camera / width * 100  # % of the width a frame
    speed = "very slow" if share < 0.1 else "slow" if share < 0.4 else "medium" if share < 1.2 else "fast"
    steadiness = (
        "steady" if jerk < 0.25 * max(camera, STILL) else "a little restless" if jerk < camera else "restless"
    )
    return f"{speed} {_direction(values, width)} · {steadiness}"


def _direction(values: dict[str, float], width: int) -> str:
    """The strongest of pan, tilt, zoom and rotation, by the displacement it gives at a quarter of the width."""
    quarter = width / 4
    pan_x, pan_y = values.get("pan_x", 0.0), values.get("pan_y", 0.0)
    zoom, turn = values.get("zoom", 0.0) / 100 * quarter, np.radians(values.get("rotation", 0.0)) * quarter
    moves = {
        "pan right" if pan_x < 0 else "pan left": abs(pan_x),  # the camera goes against the content
        "tilt down" if pan_y < 0 else "tilt up": abs(pan_y),
        "zoom in" if zoom > 0 else "zoom out": abs(zoom),
        "rotation": abs(turn),
    }
    return max(moves, key=lambda name: moves[name])
