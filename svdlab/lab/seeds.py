"""How much a change of the seed alone moves each number, from runs there are already.

A difference between two clips says something about checkpoints or knobs only where it is more than another seed makes.
Knows the history and numbers; nothing of screens.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from statistics import stdev

from svdlab.history.queue import History
from svdlab.history.search import RunQuery
from svdlab.recipes.records import Run

LOOKED_AT = 300  # runs of that picture, the newest
FEWEST = 3  # seeds of which a spread is told


@dataclass(frozen=True)
class Seeds:
    """The standard deviation of each metric over so many seeds, all else being equal; empty where there are too few."""

    count: int = 0
    spreads: dict[str, float] = field(default_factory=dict)


def seeds_like(history: History, run: Run) -> Seeds:
    """What the runs that differ from one in the seed alone say, those of the same visitor and measured alike."""
    query = RunQuery(
        checkpoint=run.recipe.checkpoint,
        picture=run.recipe.picture_sha256,
        states=("done",),
        visitor=run.visitor,
    )
    same = run.settings.model_dump(exclude={"seed"})
    values: dict[str, dict[int, float]] = defaultdict(dict)
    seen = set()
    for other in history.find(query, limit=LOOKED_AT).runs:
        alike = other.settings.model_dump(exclude={"seed"}) == same and other.recipe.loras == run.recipe.loras
        if not alike or other.outcome.measured_as != run.outcome.measured_as or other.visitor != run.visitor:
            continue
        seen.add(other.settings.seed)
        for name, value in other.outcome.metrics.items():
            values[name][other.settings.seed] = value
    if len(seen) < FEWEST:
        return Seeds(len(seen))
    return Seeds(
        len(seen), {name: stdev(of_one.values()) for name, of_one in values.items() if len(of_one) >= FEWEST}
    )
