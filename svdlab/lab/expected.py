"""What a run will take, told from the newest finished ones: seconds and bytes. Knows the history; nothing of models."""

from __future__ import annotations

from functools import cached_property

from svdlab.history.queue import History
from svdlab.recipes.records import Run
from svdlab.recipes.settings import GenerationSettings
from svdlab.recipes.shortcuts import unet_calls

LOOKED_AT = 30  # of the newest finished runs
USUAL_BYTES = 2.0  # of a run's folder for each pixel of each frame: photos as PNG, the clip and the latents


class Expected:
    """What one history says of it; reads the history once, so make a new one for each question or plan."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._rates: dict[str, float | None] = {}

    @cached_property
    def _newest(self) -> list[Run]:
        return self._history.runs(limit=LOOKED_AT, states=("done",))

    def seconds(self, checkpoint: str, settings: GenerationSettings) -> float | None:
        """Seconds of rendering, from the newest finished run of that checkpoint; None if there is none."""
        if checkpoint not in self._rates:
            self._rates[checkpoint] = self._rate(checkpoint)
        rate = self._rates[checkpoint]
        return None if rate is None else rate * work(settings)

    def _rate(self, checkpoint: str) -> float | None:
        for run in self._newest:
            spent = run.outcome.spent
            if run.recipe.checkpoint == checkpoint and spent:
                return spent / work(run.settings)
        return None

    def bytes(self, settings: GenerationSettings) -> int:
        """Bytes on the disk, from the newest finished run."""
        return round(self._bytes_each * _pixels(settings))

    @cached_property
    def _bytes_each(self) -> float:
        for run in self._newest:
            if run.folder.is_dir():
                return sum(path.stat().st_size for path in run.folder.iterdir()) / _pixels(run.settings)
        return USUAL_BYTES


def work(settings: GenerationSettings) -> float:
    """Relative cost of a run: model evaluations times pixels."""
    return _pixels(settings) * (unet_calls(settings) + 4)


def _pixels(settings: GenerationSettings) -> int:
    return settings.num_frames * settings.width * settings.height
