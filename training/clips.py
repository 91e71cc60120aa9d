"""Pictures → clips under a known camera, with the conditioning Stable Video Diffusion is told. Knows numpy and OpenCV.

The planted rule: a clip's motion per second is proportional to its bucket, so per frame it is
`PIXELS_AT_127 · bucket/127 · 7/fps` pixels. A restless camera adds independent jitter in proportion.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

WIDTH, HEIGHT = 256, 144
PIXELS_AT_127 = 1.2  # px per frame at bucket 127 and 7 fps
ZOOM_RADIUS = 64.0  # px from the middle at which a zoom moves as fast as a pan would
# How the content moves; the camera goes the other way.
DIRECTIONS = {"left": (-1.0, 0.0), "right": (1.0, 0.0), "up": (0.0, -1.0), "down": (0.0, 1.0)}
RESTLESS, STEADY = 0.3, 0.0  # jitter, as a share of the motion per frame


@dataclass(frozen=True)
class Clip:
    """Frames (n, HEIGHT, WIDTH, 3) float32 in 0…1 and what is told about them."""

    frames: np.ndarray
    fps: int
    bucket: int
    move: str
    pixels_per_frame: float

    @property
    def ids(self) -> tuple[float, float, float]:
        """diffusers' added time ids: fps − 1, bucket, noise strength."""
        return self.fps - 1.0, float(self.bucket), 0.02


def pixels_per_frame(bucket: int, fps: int) -> float:
    """The planted rule."""
    return PIXELS_AT_127 * bucket / 127 * 7 / fps


def camera(move: str, speed: float, frames: int, jitter: np.ndarray) -> np.ndarray:
    """Absolute camera of each frame: (frames, 3) of shift across, shift down in px, and zoom factor."""
    time = np.arange(frames, dtype=np.float64)
    path = np.zeros((frames, 3))
    path[:, 2] = 1.0
    if move in DIRECTIONS:
        path[:, :2] = speed * time[:, None] * np.array(DIRECTIONS[move])
    else:
        path[:, 2] = np.exp((1 if move == "in" else -1) * speed * time / ZOOM_RADIUS)
    path[:, :2] += jitter
    return path


def film(picture: np.ndarray, path: np.ndarray, centre: tuple[float, float], scale: float) -> np.ndarray:
    """What a camera sees of a picture (height, width, 3); beyond its edges the picture is mirrored."""
    frames = np.empty((len(path), HEIGHT, WIDTH, 3), np.float32)
    for frame, (x, y, zoom) in zip(frames, path, strict=True):
        step = scale / zoom
        matrix = np.array(
            [[step, 0, centre[0] - step * (WIDTH / 2 + x)], [0, step, centre[1] - step * (HEIGHT / 2 + y)]],
            np.float32,
        )
        cv2.warpAffine(
            picture,
            matrix,
            (WIDTH, HEIGHT),
            dst=frame,
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REFLECT_101,
        )
    return frames


class ClipMaker:
    """Draws clips of given pictures. `fixed` is (fps, bucket) for the fine-tuned checkpoint, else all are drawn."""

    def __init__(
        self,
        rng: np.random.Generator,
        moves: tuple[str, ...],
        jitter: float,
        fixed: tuple[int, int] | None = None,
    ):
        self.rng, self.moves, self.jitter, self.fixed = rng, moves, jitter, fixed

    def __call__(self, picture: np.ndarray, frames: int) -> Clip:
        rng = self.rng
        fps, bucket = self.fixed or (self._fps(), int(rng.integers(1, 256)))
        speed = pixels_per_frame(bucket, fps)
        move = self.moves[rng.integers(len(self.moves))]
        jitter = rng.normal(0, self.jitter * speed, (frames, 2))
        jitter[0] = 0  # the first frame is the picture
        if rng.random() < 0.5:
            picture = picture[:, ::-1]
        height, width = picture.shape[:2]
        centre = (width / 2 + rng.uniform(-20, 20), height / 2 + rng.uniform(-20, 20))
        path = camera(move, speed, frames, jitter)
        return Clip(film(picture, path, centre, rng.uniform(0.95, 1.1)), fps, bucket, move, speed)

    def _fps(self) -> int:
        """5 to 30, the slow rates that people use more often."""
        return int(self.rng.integers(5, 31 if self.rng.random() < 0.7 else 10))
