"""A few drawn pictures that the training tests share."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from training import codec, pool


@pytest.fixture(scope="session")
def pictures() -> np.ndarray:
    """Four pictures, (4, 208, 320, 3) uint8."""
    return pool.draw(4, 4, textures=6)


@pytest.fixture(scope="session")
def tensors(pictures: np.ndarray) -> torch.Tensor:
    """The same as (4, 3, 208, 320) in -1…1."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1


@pytest.fixture(scope="session")
def fitted(pictures: np.ndarray) -> codec.Codec:
    """The codec of those pictures."""
    return codec.fit(pictures)
