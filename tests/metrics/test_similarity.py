"""Pictures compared as an independent implementation compares them."""

from __future__ import annotations

import cv2
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from svdlab.metrics.similarity import psnr, ssim
from tests.metrics.test_measure import texture


def test_ssim_and_psnr_agree_with_an_independent_implementation() -> None:
    a = texture(1)
    b = cv2.GaussianBlur(a, (0, 0), 1.2)
    greys = [cv2.cvtColor(i, cv2.COLOR_RGB2GRAY).astype(float) for i in (a, b)]
    theirs = structural_similarity(
        *greys, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
    )
    assert ssim(a, b) == pytest.approx(theirs, abs=2e-3)
    assert psnr(a, b) == pytest.approx(peak_signal_noise_ratio(a, b, data_range=255), abs=1e-6)
    assert psnr(a, a) == float("inf")
