"""A clip and what metrics are made of: motion, the camera's part of it, sharpness; worked out once, when asked for.

Knows pixels; nothing of what a metric is called, of models, runs or screens. Camera and object motion are kept apart,
because a still scene under a moving camera and a moving thing under a still one are different results. Flicker is
measured after undoing the motion, because the raw frame difference only rewards standing still.
"""

from __future__ import annotations

import itertools
import math
from functools import cached_property

import cv2
import numpy as np

from svdlab.metrics.flow import camera_field, camera_move, flow, warped_difference
from svdlab.metrics.similarity import ssim

FLOW_WIDTH = 512  # pixels: larger frames are measured at this width and the result scaled back


class Footage:
    """A clip and what metrics are made of, worked out once and when it is first asked for.

    Lengths are in pixels of the clip. What belongs to two neighbours is a list of one fewer than there are frames.
    """

    def __init__(self, frames: np.ndarray, picture: np.ndarray | None = None) -> None:
        self.frames = frames
        self.picture = picture

    @cached_property
    def grey(self) -> list[np.ndarray]:
        """(height, width) uint8 of each frame."""
        return [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in self.frames]

    @property
    def scale(self) -> float:
        """How many pixels of `small` a pixel of the clip is."""
        return min(1.0, FLOW_WIDTH / self.frames.shape[2])

    @cached_property
    def small(self) -> list[np.ndarray]:
        """`grey`, no wider than `FLOW_WIDTH`."""
        if self.scale == 1:
            return self.grey
        return [
            cv2.resize(one, None, fx=self.scale, fy=self.scale, interpolation=cv2.INTER_AREA)
            for one in self.grey
        ]

    @cached_property
    def flows(self) -> list[np.ndarray]:
        """The optical flow (height, width, 2) between neighbours, in pixels of `small`."""
        return [flow(a, b) for a, b in itertools.pairwise(self.small)]

    @cached_property
    def cameras(self) -> list[np.ndarray]:
        """The camera's move between neighbours, a similarity (2, 3)."""
        return [camera_move(one) for one in self.flows]

    @cached_property
    def camera_fields(self) -> list[np.ndarray]:
        """What the camera's moves do to each pixel (height, width, 2), in pixels of `small`."""
        return [camera_field(move, one.shape[:2]) for move, one in zip(self.cameras, self.flows, strict=True)]

    @cached_property
    def camera_steps(self) -> list[float]:
        """Mean displacement the camera's move gives a pixel, px."""
        return [self._length(field) for field in self.camera_fields]

    @cached_property
    def object_steps(self) -> list[float]:
        """Mean displacement the camera's move does not explain, px."""
        return [self._length(one - field) for one, field in zip(self.flows, self.camera_fields, strict=True)]

    @cached_property
    def camera_changes(self) -> list[float]:
        """Mean change of the camera's displacement from one move to the next, px; one fewer than there are moves."""
        return [self._length(b - a) for a, b in itertools.pairwise(self.camera_fields)]

    @cached_property
    def pans(self) -> list[tuple[float, float]]:
        """The camera's displacement of the middle: content moves right and down where positive, px."""
        middles = [
            field[field.shape[0] // 2, field.shape[1] // 2] / self.scale for field in self.camera_fields
        ]
        return [(float(x), float(y)) for x, y in middles]

    @cached_property
    def zooms(self) -> list[float]:
        """By what the camera's move enlarges the content: 1 not at all."""
        return [math.hypot(move[0, 0], move[1, 0]) for move in self.cameras]

    @cached_property
    def turns(self) -> list[float]:
        """By how many degrees the camera's move turns the content, clockwise where positive."""
        return [math.degrees(math.atan2(move[1, 0], move[0, 0])) for move in self.cameras]

    @cached_property
    def flickers(self) -> list[float]:
        """Mean difference of neighbours after undoing the motion, grey levels of 255."""
        pairs = zip(itertools.pairwise(self.small), self.flows, strict=True)
        return [warped_difference(a, b, one) for (a, b), one in pairs]

    @cached_property
    def sharpness(self) -> list[float]:
        """The variance of the Laplacian of each frame."""
        return [float(cv2.Laplacian(one, cv2.CV_64F).var()) for one in self.grey]

    def likeness(self, a: np.ndarray, b: np.ndarray) -> float:
        """Structural similarity of two RGB pictures, 1 for equal."""
        return ssim(a, b)

    def _length(self, field: np.ndarray) -> float:
        return float(np.linalg.norm(field, axis=2).mean()) / self.scale
