"""What a shortcut costs: a clip made with it held against the exact one, in seconds, likeness and every metric.

Knows finished runs and their frames; nothing of models or screens. The runs are ordinary ones of the history.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from svdlab.clips.frames import read_frames_zip
from svdlab.metrics.definitions import METRICS
from svdlab.metrics.similarity import psnr, ssim
from svdlab.recipes.records import Recipe, Run
from svdlab.recipes.shortcuts import SHORTCUTS, Shortcut, exact_of


@dataclass(frozen=True)
class Loss:
    """One shortcut's run against the exact one."""

    shortcut: Shortcut
    run: Run
    seconds: float  # without loading the weights
    faster: float | None  # times; None where a time is not known
    psnr: float  # dB over all frames and colours; infinite for equal clips
    ssim: float  # of the frames, averaged; 1 for equal ones
    changes: Mapping[str, float]  # metric → how much larger it is than the exact clip's


def exact_recipe(recipe: Recipe) -> Recipe:
    """The recipe not rendered yet, with nothing used again."""
    return recipe.model_copy(update={"settings": exact_of(recipe.settings), "versions": {}})


def recipes_of(exact: Recipe) -> dict[Shortcut, Recipe]:
    """The exact recipe with each shortcut that saves something, in the order of the list."""
    taken = {shortcut: shortcut.of(exact.settings) for shortcut in SHORTCUTS}
    return {
        shortcut: exact.model_copy(update={"settings": settings})
        for shortcut, settings in taken.items()
        if settings is not None
    }


def losses(exact: Run, runs: Mapping[Shortcut, Run]) -> list[Loss]:
    """Finished runs of shortcuts against the finished exact one; their frames are read. Raises `BadVideo`."""
    frames = read_frames_zip(exact.frames_zip)
    return [_loss(exact, frames, shortcut, run) for shortcut, run in runs.items()]


def _loss(exact: Run, frames: np.ndarray, shortcut: Shortcut, run: Run) -> Loss:
    theirs = read_frames_zip(run.frames_zip)
    before, seconds, whole = exact.outcome.metrics, run.outcome.spent, exact.outcome.spent
    return Loss(
        shortcut,
        run,
        seconds,
        whole / seconds if whole and seconds else None,
        psnr(frames, theirs),
        float(np.mean([ssim(a, b) for a, b in zip(frames, theirs, strict=True)])),
        {
            name: value - before[name]
            for name, value in run.outcome.metrics.items()
            if name in METRICS and name in before
        },
    )
