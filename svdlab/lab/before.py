"""Was this rendered before? One answer, for a run, for one that is on its way, for a pair. Knows the history's index.

Whatever decides the bits is part of the question, and the question is put together here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from svdlab.history.queue import History
from svdlab.lab.bits import Bits, Numbers
from svdlab.recipes.records import Comparison, Recipe, Run


class Before:
    """What one history knows of recipes that are asked for again. Each answer is one indexed query.

    A finished run answers only if it was rendered with the weights that are here now, and with the device and number
    format that are asked for: `numbers`, else what the lab's worker renders with.
    """

    def __init__(self, history: History, bits: Bits, numbers: Callable[[], Numbers]) -> None:
        self._history, self._bits, self._numbers = history, bits, numbers

    def run(self, recipe: Recipe, numbers: Numbers | None = None, visitor: str | None = None) -> Run | None:
        """The newest finished run of that recipe outside the bin whose video is there; that visitor's, if named."""
        runs = self._history.same(asked(recipe), ("done",), visitor)
        return next((run for run in runs if _shows(run) and self._answers(run, numbers)), None)

    def runs(
        self, hashes: Iterable[str], numbers: Numbers | None = None, visitor: str | None = None
    ) -> dict[str, Run]:
        """As `run`, for many recipes at once, given and answered by what is `asked` of each."""
        found: dict[str, Run] = {}
        for run in self._history.same_of(hashes, ("done",), visitor):
            hash = asked(run.recipe)
            if hash not in found and _shows(run) and self._answers(run, numbers):
                found[hash] = run
        return found

    def waiting(self, recipe: Recipe, visitor: str | None = None) -> Run | None:
        """The run of that recipe that is on its way: the one being rendered, else the first that waits."""
        runs = self._history.same(asked(recipe), ("running", "queued"), visitor)
        return min(runs, key=lambda run: (run.state != "running", run.created, run.id), default=None)

    def pair(
        self, a: Recipe, b: Recipe, numbers: Numbers | None = None, visitor: str | None = None
    ) -> Comparison | None:
        """The newest finished comparison of these two recipes outside the bin whose clips and frames are there."""
        for pair in self._pairs(a, b, visitor):
            if all(_whole(side) and self._answers(side, numbers) for side in (pair.a, pair.b)):
                return pair
        return None

    def waiting_pair(self, a: Recipe, b: Recipe, visitor: str | None = None) -> Comparison | None:
        """The newest comparison of these two recipes that is on its way: neither side has failed."""
        pairs = (pair for pair in self._pairs(a, b, visitor) if pair.unfinished)
        return next(
            (pair for pair in pairs if all(one.unfinished or _whole(one) for one in (pair.a, pair.b))), None
        )

    def _answers(self, run: Run, numbers: Numbers | None) -> bool:
        return self._bits.of_today(run.recipe, numbers or self._numbers())

    def _pairs(self, a: Recipe, b: Recipe, visitor: str | None) -> Iterator[Comparison]:
        return self._history.same_pairs(asked(a), asked(b), visitor)


def asked(recipe: Recipe) -> str:
    """What must be equal for one clip to answer for another, as far as recipes say; the rest is `Bits`'."""
    return recipe.hash


def _shows(run: Run) -> bool:
    return run.done and run.video.is_file()


def _whole(run: Run) -> bool:
    """Whether it can be put beside another one, frame by frame."""
    return _shows(run) and run.frames_zip.is_file()
