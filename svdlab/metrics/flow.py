"""Two frames → what moved between them, and how much of that the camera did. Knows pixels; nothing of clips.

Optical flow needs no weights: DIS at its medium preset recovers a known pan to a hundredth of a pixel.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np


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
