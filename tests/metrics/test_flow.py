"""What moved between two frames, and how much of it the camera did."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from svdlab.metrics.flow import camera_field, camera_move, flow
from tests.metrics.test_measure import clip, shift


def test_the_flow_of_a_pan_is_the_pan_everywhere() -> None:
    a, b = (cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in clip([shift(0, 0), shift(-3, 1)]))
    field = flow(a, b)
    assert field.shape == (*a.shape, 2)
    assert np.median(field, axis=(0, 1)) == pytest.approx([-3, 1], abs=0.1)


def test_a_camera_field_is_found_again_as_the_move_it_was_made_from() -> None:
    move = np.array([[1.01, -0.02, 1.5], [0.02, 1.01, -0.5]])
    assert camera_move(camera_field(move, (144, 256)).astype(np.float32)) == pytest.approx(move, abs=1e-3)
