"""Pictures are drawn from a seed alone, and kept on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from training import pool
from training.pictures import PictureMaker


def test_pictures_are_made_from_the_seed_alone() -> None:
    one, two = (PictureMaker(np.random.default_rng(9), textures=4)() for _ in range(2))
    assert np.array_equal(one, two)
    assert one.dtype == np.float32
    assert 0 <= one.min() < one.max() <= 1
    assert one.std() > 0.02


def test_a_pool_is_drawn_once_and_grows(tmp_path: Path, pictures: np.ndarray) -> None:
    np.save(
        tmp_path / "pictures.npy", pictures
    )  # one whole series of three, and a picture more: the rest is drawn
    before = pool.pictures(tmp_path, 3)
    assert np.array_equal(before, pictures)
    after = pool.pictures(tmp_path, 5, processes=1, series=3)
    assert after.shape == (6, *pictures.shape[1:])
    assert np.array_equal(after[:3], pictures[:3])
    assert not np.array_equal(after[3], pictures[3])
    assert len(pool.pictures(tmp_path, 6, series=3)) == 6
    assert [path.name for path in tmp_path.iterdir()] == ["pictures.npy"]
