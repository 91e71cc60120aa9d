"""Pictures → clips under a known camera, with the conditioning Stable Video Diffusion is told. Knows numpy and OpenCV.

The planted rule: after t frames the camera has moved `BOUND · tanh(v·t / BOUND)` pixels, where
`v = PIXELS_AT_127 · bucket/127 · 7/fps`. Motion so rises with the bucket, falls with the rate, and never leaves the
picture. A restless camera sways besides, by an amplitude in proportion to v.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

WIDTH, HEIGHT = 256, 144
Size = tuple[int, int]  # width and height in pixels
FULL: Size = (WIDTH, HEIGHT)
PIXELS_AT_127 = 0.75  # px per frame at bucket 127 and 7 fps
BOUND = 18.0  # px: no clip moves further
RADIUS = 0.3  # of the width, from the middle: where a zoom or a rotation moves as a pan would, about its mean
# How the content moves, as (shift across, shift down, zoom, turn), the latter two per radius.
MOVES = {
    "left": (-1.0, 0.0, 0.0, 0.0),
    "right": (1.0, 0.0, 0.0, 0.0),
    "up": (0.0, -1.0, 0.0, 0.0),
    "down": (0.0, 1.0, 0.0, 0.0),
    "in": (0.0, 0.0, 1.0, 0.0),
    "out": (0.0, 0.0, -1.0, 0.0),
    "clockwise": (0.0, 0.0, 0.0, 1.0),
    "anticlockwise": (0.0, 0.0, 0.0, -1.0),
}
PANS = ("left", "right", "up", "down")
RESTLESS, STEADY = 1.0, 0.0  # amplitude of the sway, as a share of the motion per frame
SWAY_PERIOD = 4.0  # frames, as of a camera carried by somebody who walks
SWAYED = 1.5  # px per frame: a faster camera sways no more


@dataclass(frozen=True)
class Clip:
    """Frames (n, height, width, 3) float32 in 0…1 and what is known about them.

    `sources` (n, height/step, width/step, 2) says for the middle of each cell where its content lies in the first
    frame, across and down in pixels from where it is now.
    """

    frames: np.ndarray
    sources: np.ndarray
    fps: int
    bucket: int
    move: str


def pixels_per_frame(bucket: int, fps: int) -> float:
    """The planted rule's v: how fast a camera starts."""
    return PIXELS_AT_127 * bucket / 127 * 7 / fps


def camera(
    move: str, speed: float, frames: int, swayed: np.ndarray | float = 0.0, width: int = WIDTH
) -> np.ndarray:
    """Each frame's camera: (frames, 4) of shift across, shift down in px, log zoom and angle in radians.

    `speed` in px per frame; `width` of the frames, which zooms and rotations are measured by.
    """
    travelled = BOUND * np.tanh(speed * np.arange(frames) / BOUND)
    path = travelled[:, None] * np.array(MOVES[move])
    path[:, 2:] /= RADIUS * width
    path[:, :2] += swayed
    return path


def sway(rng: np.random.Generator, speed: float, frames: int, share: float) -> np.ndarray:
    """What a restless camera adds to its shifts, (frames, 2) in px: a wave across and one down, from 0 at frame 0."""
    phases = rng.uniform(0, 2 * np.pi, 2)
    wave = np.cos(2 * np.pi * np.arange(frames)[:, None] / SWAY_PERIOD + phases)
    return share * min(speed, SWAYED) * (wave - wave[0])


def _turn(camera: np.ndarray) -> np.ndarray:
    """The 2×2 matrix from a place in the frame, seen from its middle, to the place in the still picture."""
    _, _, zoom, angle = camera
    c, s = np.cos(angle) / np.exp(zoom), np.sin(angle) / np.exp(zoom)
    return np.array([[c, s], [-s, c]])


def film(
    picture: np.ndarray, path: np.ndarray, centre: tuple[float, float], scale: float, size: Size = FULL
) -> np.ndarray:
    """What a camera sees of a picture (height, width, 3); beyond its edges the picture is mirrored.

    `scale` is picture pixels per frame pixel.
    """
    width, height = size
    frames = np.empty((len(path), height, width, 3), np.float32)
    for frame, camera in zip(frames, path, strict=True):
        turn = scale * _turn(camera)
        corner = np.array(centre) - turn @ (camera[:2] + np.array([width / 2, height / 2]))
        cv2.warpAffine(
            picture,
            np.column_stack([turn, corner]).astype(np.float32),
            (width, height),
            dst=frame,
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REFLECT_101,
        )
    return frames


def sources(path: np.ndarray, step: int, size: Size = FULL) -> np.ndarray:
    """`Clip.sources` of a still scene under this camera, for cells of `step` pixels."""
    width, height = size
    y, x = np.mgrid[step / 2 : height : step, step / 2 : width : step]
    places = np.stack([x - width / 2, y - height / 2], axis=-1)
    return np.stack([(places - camera[:2]) @ _turn(camera).T - places for camera in path]).astype(np.float32)


class ClipMaker:
    """Draws clips of given pictures. `fixed` is (fps, bucket) for the fine-tuned checkpoint, else all are drawn.

    `restless` is the sway's share of the speed, `things` the share of clips with a moving thing, `step` the pixels
    of a cell.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        moves: tuple[str, ...],
        restless: float,
        fixed: tuple[int, int] | None = None,
        things: float = 0.0,
        step: int = 4,
    ):
        self.rng, self.moves, self.restless, self.fixed = rng, moves, restless, fixed
        self.things, self.step = things, step

    def __call__(self, picture: np.ndarray, frames: int, size: Size = FULL) -> Clip:
        """A clip of a picture, or of as much of it as frames of another size show."""
        rng = self.rng
        fps, bucket = self.fixed or (self._fps(), int(rng.integers(1, 256)))
        speed = pixels_per_frame(bucket, fps)
        move = self.moves[rng.integers(len(self.moves))]
        if rng.random() < 0.5:
            picture = picture[:, ::-1]
        spare = np.maximum(20, (np.array(picture.shape[1::-1]) - size) / 2 - BOUND)
        centre = np.array(picture.shape[1::-1]) / 2 + rng.uniform(-spare, spare)
        path = camera(move, speed, frames, sway(rng, speed, frames, self.restless), size[0])
        seen = film(picture, path, tuple(centre), rng.uniform(0.95, 1.1), size)
        where = sources(path, self.step, size)
        if rng.random() < self.things:
            self._add_thing(seen, where, picture[::-1], path, speed)
        return Clip(seen, where, fps, bucket, move)

    def _add_thing(
        self, seen: np.ndarray, where: np.ndarray, surface: np.ndarray, path: np.ndarray, speed: float
    ) -> None:
        """Lets an oval cut from another picture cross the scene, on top of the camera's move."""
        rng, step = self.rng, self.step
        height, width = seen.shape[1:3]
        away = rng.uniform(0, 2 * np.pi)
        own = camera("right", speed, len(path))[:, :1] * (np.cos(away), np.sin(away))
        moved = own + path[:, :2]
        middle = rng.uniform(0.25, 0.75, 2) * (width, height)
        radii = rng.uniform(0.08, 0.25, 2) * height
        shifts = np.column_stack([moved, np.zeros((len(path), 2))])
        skin = film(surface, shifts, (width / 2, height / 2), 1.0, (width, height))
        y, x = np.mgrid[0:height, 0:width].astype(np.float32) + 0.5
        for frame, cells, own_skin, (across, down) in zip(seen, where, skin, moved, strict=True):
            far = np.hypot((x - middle[0] - across) / radii[0], (y - middle[1] - down) / radii[1])
            cover = np.clip((1 - far) * radii.min() + 0.5, 0, 1)[..., None]
            frame[:] += cover * (own_skin - frame)
            cells[cover[step // 2 :: step, step // 2 :: step, 0] > 0.5] = (-across, -down)

    def _fps(self) -> int:
        """5 to 30, the slow rates that people use more often."""
        return int(self.rng.integers(5, 31 if self.rng.random() < 0.5 else 10))
