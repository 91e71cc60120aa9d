"""Clips whose motion and faults are known to a thousandth of a pixel, because they are made here.

A photograph lies flat and a camera moves over it: each frame is sampled from a larger picture, several samples to a
pixel, and then averaged, so that no frame is an interpolation of another. Grain, flicker, blur, drift, a moving object,
lost and shuffled frames are put on top. Knows pixels and numbers; nothing of what is being tested.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import skimage.data
from PIL import Image

EXAMPLES = Path(__file__).resolve().parents[2] / "assets" / "examples"
PHOTOGRAPHS = ("astronaut", "coffee", "chelsea", "motorcycle_left", "retina", "grass", "brick", "rocket")
SMALL, LARGE = (256, 144), (1024, 576)  # width, height
ROOM = 1.25  # of the frame's width is what a source shows, if there is that much


@dataclass(frozen=True)
class Step:
    """What a camera does to the content from one frame to the next: zoom and turn about the middle, then a shift."""

    pan: float = 0.0  # px, content to the right
    tilt: float = 0.0  # px, content down
    zoom: float = 0.0  # %, closer
    turn: float = 0.0  # degrees, clockwise

    def matrix(self, size: tuple[int, int]) -> np.ndarray:
        """(3, 3) from a place in one frame to its place in the next; pixel centres are whole numbers."""
        scale, angle = 1 + self.zoom / 100, math.radians(self.turn)
        c, s = scale * math.cos(angle), scale * math.sin(angle)
        x, y = (size[0] - 1) / 2, (size[1] - 1) / 2
        return np.array(
            [[c, -s, x - c * x + s * y + self.pan], [s, c, y - s * x - c * y + self.tilt], [0, 0, 1]]
        )

    def speed(self, size: tuple[int, int]) -> float:
        """Mean displacement of a pixel, px."""
        xs, ys = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
        places = np.stack([xs.ravel(), ys.ravel(), np.ones(xs.size)])
        return float(np.linalg.norm((self.matrix(size) @ places - places)[:2], axis=0).mean())


@dataclass(frozen=True)
class Thing:
    """An oval cut from another picture that crosses the frame: where it is at first, its radii, its own speed, px."""

    x: float
    y: float
    across: float
    down: float
    vx: float
    vy: float
    picture: str = "coffee"


@dataclass(frozen=True)
class Scene:
    """What a clip is made of. `steps` moves the camera from frame to frame; what is not given is not there."""

    picture: str
    steps: tuple[Step, ...]
    size: tuple[int, int] = SMALL
    thing: Thing | None = None
    grain: float = 0.0  # standard deviation, grey levels
    flicker: float = 0.0  # every second frame so much brighter, grey levels
    blur: float = 0.0  # the last frame's Gaussian, px at 256 wide; it grows evenly
    soft: float = 0.0  # every frame's Gaussian
    drift: tuple[float, float, float] = (0.0, 0.0, 0.0)  # red, green, blue of the last frame over the first
    order: tuple[int, ...] = ()  # the frames that are shown, in that order
    seed: int = 0

    @property
    def camera(self) -> list[np.ndarray]:
        """(3, 3) from the first frame to each."""
        return list(
            itertools.accumulate(
                (step.matrix(self.size) for step in self.steps), lambda a, b: b @ a, initial=np.eye(3)
            )
        )

    @property
    def speed(self) -> float:
        """Mean displacement of a pixel by the camera, px per frame."""
        return float(np.mean([step.speed(self.size) for step in self.steps]))

    def still(self) -> Scene:
        """The same without the camera's move."""
        return replace(self, steps=(Step(),) * len(self.steps))


def steady(picture: str, frames: int, size: tuple[int, int] = SMALL, /, **step: float) -> Scene:
    """A scene of a camera that does the same in all frames."""
    return Scene(picture, (Step(**step),) * (frames - 1), size)


@cache
def photograph(name: str) -> np.ndarray:
    """(height, width, 3) uint8 of one of scikit-image's or of the example pictures."""
    path = EXAMPLES / f"{name}.jpg"
    if not path.exists():
        folder = Path(skimage.data.__file__).parent
        path = next(
            folder / f"{name}{ending}" for ending in (".png", ".jpg") if (folder / f"{name}{ending}").exists()
        )
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def _samples(size: tuple[int, int]) -> int:
    """To a side of a pixel. OpenCV samples at places rounded to a 32nd of the source's pixel."""
    return 4 if size[0] < 512 else 2


@cache
def _source(name: str, size: tuple[int, int]) -> np.ndarray:
    """The picture as it is sampled: several of its pixels to one of the frame."""
    picture, room = photograph(name), _samples(size) * ROOM
    scale = max(room * size[0] / picture.shape[1], room * size[1] / picture.shape[0])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LANCZOS4
    return cv2.resize(picture, None, fx=scale, fy=scale, interpolation=how)


def _sampled(source: np.ndarray, size: tuple[int, int], move: np.ndarray, border: int) -> np.ndarray:
    """What a frame shows of a source whose middle is the frame's once `move` is undone, float32."""
    width, height = size
    samples = _samples(size)
    fine = np.array([[1 / samples, 0, 0.5 / samples - 0.5], [0, 1 / samples, 0.5 / samples - 0.5], [0, 0, 1]])
    rows, columns = source.shape[:2]
    into = np.array(
        [
            [samples, 0, (columns - 1) / 2 - samples * (width - 1) / 2],
            [0, samples, (rows - 1) / 2 - samples * (height - 1) / 2],
            [0, 0, 1],
        ]
    )
    matrix = into @ np.linalg.inv(move) @ fine
    if (spacing := math.hypot(matrix[0, 0], matrix[1, 0])) > 1.2:  # a source with so much less in it
        source = cv2.GaussianBlur(source, (0, 0), 0.5 * math.sqrt(spacing**2 - 1))
    seen = cv2.warpAffine(
        source.astype(np.float32),
        matrix[:2],
        (width * samples, height * samples),
        flags=cv2.INTER_LANCZOS4 | cv2.WARP_INVERSE_MAP,
        borderMode=border,
    )
    return cv2.resize(seen, (width, height), interpolation=cv2.INTER_AREA)


def _oval(thing: Thing, size: tuple[int, int], at: tuple[float, float]) -> np.ndarray:
    """How much of each pixel the thing covers there, 0 to 1."""
    fine = 8
    xs, ys = ((np.arange(side * fine) + 0.5) / fine - 0.5 for side in size)
    inside = ((xs[None] - at[0]) / thing.across) ** 2 + ((ys[:, None] - at[1]) / thing.down) ** 2 <= 1
    return cv2.resize(inside.astype(np.float32), size, interpolation=cv2.INTER_AREA)


def _places(thing: Thing, count: int) -> list[tuple[float, float]]:
    return [(thing.x + thing.vx * t, thing.y + thing.vy * t) for t in range(count)]


def film(scene: Scene) -> np.ndarray:
    """The clip (frames, height, width, 3) uint8."""
    rng = np.random.default_rng(scene.seed)
    camera, frames = scene.camera, []
    for t, move in enumerate(camera):
        frame = _sampled(_source(scene.picture, scene.size), scene.size, move, cv2.BORDER_REFLECT_101)
        if scene.thing is not None:
            at = _places(scene.thing, len(camera))[t]
            shift = np.array(
                [[1, 0, at[0] - scene.size[0] / 2], [0, 1, at[1] - scene.size[1] / 2], [0, 0, 1]]
            )
            cover = _oval(scene.thing, scene.size, at)[..., None]
            own = _sampled(
                _source(scene.thing.picture, scene.size), scene.size, shift, cv2.BORDER_REFLECT_101
            )
            frame = cover * own + (1 - cover) * frame
        share = t / max(1, len(camera) - 1)
        blur = math.hypot(scene.blur * share, scene.soft) * scene.size[0] / SMALL[0]
        if blur > 0:
            frame = cv2.GaussianBlur(frame, (0, 0), blur)
        frame = frame + scene.flicker * (t % 2) + np.array(scene.drift) * share
        if scene.grain:
            frame = frame + rng.normal(0, scene.grain, frame.shape)
        frames.append(frame.round().clip(0, 255).astype(np.uint8))
    return np.stack([frames[t] for t in scene.order] if scene.order else frames)


def object_motion(scene: Scene, border: int) -> float:
    """Mean over frames and over pixels further in than `border` of how far the thing moves past the camera's move."""
    if scene.thing is None:
        return 0.0
    width, height = scene.size
    inner = np.s_[border : height - border, border : width - border]
    ys, xs = np.mgrid[:height, :width]
    found = []
    for t, step in enumerate(scene.steps):
        cover = _oval(scene.thing, scene.size, _places(scene.thing, t + 1)[t])
        matrix = step.matrix(scene.size)
        dx = matrix[0, 0] * xs + matrix[0, 1] * ys + matrix[0, 2] - xs - scene.thing.vx
        dy = matrix[1, 0] * xs + matrix[1, 1] * ys + matrix[1, 2] - ys - scene.thing.vy
        found.append((cover * np.hypot(dx, dy))[inner].mean())
    return float(np.mean(found))


def shuffled(count: int, seed: int) -> tuple[int, ...]:
    """All frames in an order that is none."""
    return tuple(int(i) for i in np.random.default_rng(seed).permutation(count))


MOVES: dict[str, Step] = {
    **{f"pan {px:g}": Step(pan=-px) for px in (0.2, 0.35, 0.5, 1, 2, 4, 8)},
    **{f"tilt {px:g}": Step(tilt=px) for px in (0.2, 0.5, 1.5, 4)},
    **{f"zoom {percent:+g} %": Step(zoom=percent) for percent in (-3, -1, -0.3, 0.3, 1, 3)},
    **{f"turn {degrees:+g}°": Step(turn=degrees) for degrees in (-3, -1, -0.2, 0.2, 1, 3)},
    "pan, tilt, zoom and turn": Step(pan=1.2, tilt=-0.7, zoom=0.6, turn=-0.4),
    "fast pan, zoom out": Step(pan=-4, zoom=-1),
    "slow pan, slow turn": Step(pan=0.4, turn=0.2),
}


def moves_of(names: Sequence[str] = ()) -> dict[str, Step]:
    """The camera's moves of the grid, or some of them."""
    return {name: step for name, step in MOVES.items() if not names or name in names}
