"""Drawn pictures, made once and kept on disk, memory-mapped: drawing one takes as long as a clip of it.

Knows files and processes; what a picture looks like is `training/pictures.py`'s.
"""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from training.pictures import PictureMaker

TRAINED, HELD_OUT = 50_000, 90_000  # first seeds of pictures to train on and of pictures never trained on
SERIES = 50  # pictures of one seed, that share a bank of textures


def draw(seed: int, count: int, textures: int = 24) -> np.ndarray:
    """Pictures of one seed, (count, height, width, 3) uint8."""
    cv2.setNumThreads(1)
    maker = PictureMaker(np.random.default_rng(seed), textures=textures)
    return np.stack([(maker() * 255).round().astype(np.uint8) for _ in range(count)])


def pictures(folder: Path, count: int, processes: int | None = None, series: int = SERIES) -> np.ndarray:
    """At least `count` pictures to train on, from `folder/pictures.npy`; draws what is not there yet."""
    path = folder / "pictures.npy"
    known = np.load(path, mmap_mode="r") if path.is_file() else np.empty((0, 208, 320, 3), np.uint8)
    if len(known) < count:
        folder.mkdir(parents=True, exist_ok=True)
        first = len(known) // series
        seeds = range(TRAINED + first, TRAINED - (-count // series))
        with ProcessPoolExecutor(processes or os.cpu_count()) as executor:
            made = list(executor.map(draw, seeds, [series] * len(seeds)))
        temporary = folder / "pictures.new.npy"
        np.save(temporary, np.concatenate([known[: first * series], *made]))
        temporary.replace(path)
    return np.load(path, mmap_mode="r")
