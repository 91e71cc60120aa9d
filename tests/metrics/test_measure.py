"""Measurements against moves that are known because the test made them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from svdlab.metrics.definitions import METRICS
from svdlab.metrics.measure import measure
from svdlab.metrics.words import in_words


def texture(seed: int = 0, size: tuple[int, int] = (288, 512)) -> np.ndarray:
    rng = np.random.default_rng(seed)
    layers = [
        cv2.resize(rng.random((size[0] // k, size[1] // k, 3)), size[::-1], interpolation=cv2.INTER_CUBIC)
        for k in (4, 12, 36)
    ]
    mixed = sum(layers) / len(layers)
    return ((mixed - mixed.min()) / (mixed.max() - mixed.min()) * 255).astype(np.uint8)


def clip(moves: list[np.ndarray], size: tuple[int, int] = (144, 256)) -> np.ndarray:
    """Frames of a texture under absolute similarities about its middle."""
    picture = texture()
    frames = []
    for move in moves:
        centre = np.array([[1, 0, (512 - size[1]) / 2], [0, 1, (288 - size[0]) / 2], [0, 0, 1.0]])
        to_source = np.linalg.inv(np.vstack([move, [0, 0, 1]]))
        matrix = (centre @ to_source)[:2]
        frames.append(
            cv2.warpAffine(picture, matrix, size[::-1], flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP)
        )
    return np.stack(frames)


def shift(x: float, y: float) -> np.ndarray:
    return np.array([[1, 0, x], [0, 1, y]], dtype=float)


def turned(angle: float, scale: float) -> np.ndarray:
    return cv2.getRotationMatrix2D((128, 72), -angle, scale)


def test_a_pan_is_measured_in_pixels_and_named() -> None:
    values = measure(clip([shift(-2 * i, 0) for i in range(6)])).values
    assert values["pan_x"] == pytest.approx(-2, abs=0.1)
    assert values["pan_y"] == pytest.approx(0, abs=0.1)
    assert values["camera_motion"] == pytest.approx(2, abs=0.1)
    assert values["object_motion"] < 0.15
    assert in_words(values, 256) == "medium pan right · steady"


def test_zoom_and_rotation_are_told_apart() -> None:
    zoomed = measure(clip([turned(0, 1.01**i) for i in range(6)])).values
    assert zoomed["zoom"] == pytest.approx(1, abs=0.1)
    assert abs(zoomed["rotation"]) < 0.05
    rotated = measure(clip([turned(0.8 * i, 1) for i in range(6)])).values
    assert rotated["rotation"] == pytest.approx(0.8, abs=0.1)
    assert abs(rotated["zoom"]) < 0.1
    assert "zoom in" in in_words(zoomed, 256)


def test_a_shaking_camera_has_more_jerk_than_a_steady_one() -> None:
    rng = np.random.default_rng(1)
    steady = measure(clip([shift(i, 0) for i in range(10)])).values
    shaking = measure(clip([shift(i + rng.normal(0, 0.7), rng.normal(0, 0.7)) for i in range(10)])).values
    assert shaking["camera_jerk"] > 5 * steady["camera_jerk"]


def test_an_object_that_moves_before_a_still_scene_is_not_camera_motion() -> None:
    frames = clip([shift(0, 0)] * 6)
    patch = texture(5)[:60, :60]
    for i, frame in enumerate(frames):
        frame[40:100, 60 + 3 * i : 120 + 3 * i] = patch
    values = measure(frames).values
    assert values["camera_motion"] < 0.05
    assert values["object_motion"] > 0.15


def test_flicker_is_seen_and_motion_is_not_taken_for_it() -> None:
    moving = clip([shift(1.5 * i, 0) for i in range(6)])
    bright = moving.astype(int) + np.array([0, 12] * 3)[:, None, None, None]
    flickering = bright.clip(0, 255).astype(np.uint8)
    assert measure(moving).values["flicker"] < 1
    assert measure(flickering).values["flicker"] > 8


def test_a_clip_that_blurs_loses_sharpness() -> None:
    frames = clip([shift(0, 0)] * 6)
    blurred = np.stack([cv2.GaussianBlur(f, (0, 0), 0.01 + i) for i, f in enumerate(frames)])
    assert measure(frames).values["sharpness_kept"] == pytest.approx(1, abs=0.02)
    assert measure(blurred).values["sharpness_kept"] < 0.2


def test_a_large_clip_is_measured_in_its_own_pixels() -> None:
    small = clip([shift(-1 * i, 0) for i in range(4)])
    large = np.stack([cv2.resize(f, (1024, 576), interpolation=cv2.INTER_CUBIC) for f in small])
    assert measure(large).values["pan_x"] == pytest.approx(-4, abs=0.3)


def test_two_frames_are_enough_and_stillness_is_said() -> None:
    values = measure(clip([shift(0, 0)] * 2), picture=clip([shift(0, 0)])[0]).values
    assert values["fidelity"] == pytest.approx(1)
    assert values["loop_closure"] == pytest.approx(1)
    assert in_words(values, 256) == "no motion"


def test_without_a_picture_fidelity_is_left_out() -> None:
    assert "fidelity" not in measure(clip([shift(0, 0)] * 2)).values


def test_everything_declared_is_measured_and_nothing_else() -> None:
    measured = measure(clip([shift(i, 0) for i in range(3)]), clip([shift(0, 0)])[0], rate=7)
    assert list(measured.values) == list(measured.spreads) == list(METRICS)
    assert {len(series) for series in measured.series.values()} == {3}
    assert len(measured.path) == 3
