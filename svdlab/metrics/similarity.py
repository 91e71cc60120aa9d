"""Two pictures of one size → how alike they are. Knows pixels; nothing of clips."""

from __future__ import annotations

import cv2
import numpy as np


def ssim(a: np.ndarray, b: np.ndarray, where: np.ndarray | None = None) -> float:
    """Structural similarity of two pictures, RGB or grey, of RGB ones the grey versions'; 1 for equal.

    With `where` (height, width), the mean over these pixels alone. Source: Wang et al. 2004, with its Gaussian window
    (σ 1.5) and constants 0.01 and 0.03.
    """
    x, y = (_grey(one).astype(np.float32) for one in (a, b))

    def blur(i: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(i, (11, 11), 1.5, borderType=cv2.BORDER_REFLECT)

    offset = np.float32(x.mean())  # near zero, where single precision is enough for differences of squares
    p, q = x - offset, y - offset
    mean_p, mean_q = blur(p), blur(q)
    var_x, var_y = blur(p * p) - mean_p**2, blur(q * q) - mean_q**2
    cov = blur(p * q) - mean_p * mean_q
    mean_x, mean_y = mean_p + offset, mean_q + offset
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    index = (
        (2 * mean_x * mean_y + c1) * (2 * cov + c2) / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
    )
    inner = index[5:-5, 5:-5]
    return float(inner.mean(dtype=float) if where is None else inner[where[5:-5, 5:-5]].mean(dtype=float))


def _grey(picture: np.ndarray) -> np.ndarray:
    grey: np.ndarray = picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return grey


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Peak signal to noise ratio in dB over all channels; infinite for equal pictures."""
    error = float(np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2))
    return float("inf") if error == 0 else 10 * float(np.log10(255**2 / error))
