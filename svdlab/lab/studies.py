"""A study: pictures × seeds × settings on two checkpoints, as ordinary runs, and what differs in numbers.

A pair is one picture, seed and setting on both sides, with the same noise. Runs are kept, found again when the study is
asked for once more, and taken up where it broke off. Knows the lab's verbs and numbers; nothing of workers or screens.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from svdlab.errors import BadInput
from svdlab.lab.before import asked
from svdlab.lab.measuring import Measuring
from svdlab.metrics.definitions import METRICS, edition
from svdlab.metrics.flaws import FLAWS
from svdlab.metrics.paired import Paired, holm, paired, sentence
from svdlab.recipes.records import Recipe, Run

if TYPE_CHECKING:
    from svdlab.lab.bits import Numbers
    from svdlab.lab.lab import Lab
    from svdlab.lab.pictures import StoredPicture

ARTICLE = ("article-4-pair-6-127", "article-5-pair-8-135")  # the built-in study: 1.0 against 1.1, both pairs
SAID_ALREADY = ("motion_per_second",)  # measures that are another one times a number
MOST_RUNS = 10_000
PICTURES = 5  # from which an interval is drawn over pictures


@dataclass(frozen=True)
class Study:
    """What is asked: two checkpoints by id, presets (None: the checkpoint's own settings), pictures and seeds."""

    a: str
    b: str
    presets: tuple[str | None, ...]
    pictures: tuple[StoredPicture, ...]
    seeds: tuple[int, ...]
    changes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StudyPair:
    """One picture, seed and setting, and the recipe of each side."""

    setting: str
    preset: str | None
    picture: str
    seed: int
    a: Recipe
    b: Recipe


@dataclass(frozen=True)
class Made:
    """A pair that was rendered on both sides."""

    pair: StudyPair
    a: Run
    b: Run


@dataclass(frozen=True)
class Answer:
    """What one measure says under one setting. `corrected` is its chance after all measures that were looked at."""

    setting: str
    metric: str
    found: Paired
    corrected: float
    sentence: str


def pairs_of(lab: Lab, study: Study) -> list[StudyPair]:
    """All pairs. Raises `BadInput` for none or far too many, `BadSettings`, `NotFound`."""
    count = len(study.presets) * len(study.pictures) * len(study.seeds)
    if not count:
        raise BadInput("a study needs at least one picture, one seed and one setting")
    if 2 * count > MOST_RUNS:
        raise BadInput(f"that study would be {2 * count} runs; at most {MOST_RUNS} can be asked for at once")
    found = []
    for preset in study.presets:
        label = lab.presets.get(preset).name if preset else "Checkpoint's own settings"
        for picture in study.pictures:
            for seed in study.seeds:
                a, b = lab.comparison_recipes(picture, study.a, study.b, preset, seed, study.changes)
                found.append(StudyPair(label, preset, picture.sha256, seed, a, b))
    return found


def wanted(pairs: Iterable[StudyPair]) -> dict[str, tuple[Recipe, str | None]]:
    """The recipes of both sides by hash, each once, those of a checkpoint together, with the preset they come from."""
    sides = [(recipe, pair.preset) for pair in pairs for recipe in (pair.a, pair.b)]
    sides.sort(key=lambda one: one[0].checkpoint)
    return {asked(recipe): (recipe, preset) for recipe, preset in sides}


def under_way(
    lab: Lab, recipes: Mapping[str, tuple[Recipe, str | None]], numbers: Numbers
) -> tuple[dict[str, Run], dict[str, Run]]:
    """What is finished, and what waits: each other recipe is asked for, or taken up where it was interrupted."""
    finished = lab.before.runs(recipes, numbers)
    waiting = {}
    for hash, (recipe, preset) in recipes.items():
        if hash in finished:
            continue
        broken = next(
            (run for run in lab.history.same(hash, ("interrupted",)) if run.comparison is None), None
        )
        if (found := lab.before.waiting(recipe)) is not None:
            waiting[hash] = found
        elif broken is not None:
            [waiting[hash]] = lab.resume(broken.id)
        else:
            waiting[hash] = lab.submit(recipe, preset)
    return finished, waiting


def made_of(lab: Lab, pairs: Iterable[StudyPair], done: Mapping[str, Run]) -> list[Made]:
    """The pairs whose two sides are finished, measured as today's are."""
    measured = as_measured_today(lab, done.values())
    fresh = {hash: measured[run.id] for hash, run in done.items() if run.id in measured}
    both = ((pair, fresh.get(asked(pair.a)), fresh.get(asked(pair.b))) for pair in pairs)
    return [Made(pair, a, b) for pair, a, b in both if a is not None and b is not None]


def as_measured_today(lab: Lab, runs: Iterable[Run]) -> dict[str, Run]:
    """Finished runs by id, those of older definitions measured anew; without those that cannot be."""
    measuring = Measuring(lab)
    fresh = {}
    for run in runs:
        again = run.outcome.measured_as != edition() and measuring.again(run)
        now = lab.history.get(run.id) if again else run
        if now.outcome.measured_as == edition():
            fresh[run.id] = now
    return fresh


def answers(made: Sequence[Made], a: str, b: str) -> list[Answer]:
    """What each measure says under each setting; the sides are called `a` and `b`. Empty where there are no pairs."""
    found: dict[tuple[str, str], Paired] = {}
    for setting in dict.fromkeys(one.pair.setting for one in made):
        of_setting = [one for one in made if one.pair.setting == setting]
        for name in METRICS:
            both = [
                (one.a.outcome.metrics[name], one.b.outcome.metrics[name], one.pair.picture)
                for one in of_setting
                if name in one.a.outcome.metrics and name in one.b.outcome.metrics
            ]
            if both and name not in SAID_ALREADY:
                x, y, pictures = zip(*both, strict=True)
                enough = len(set(pictures)) >= PICTURES  # of fewer, each pair stands for itself
                found[setting, name] = paired(x, y, pictures if enough else None)
    keys = {f"{place}": key for place, key in enumerate(found)}
    corrected = holm({place: found[key].chance for place, key in keys.items()})
    return [
        Answer(
            *key, found[key], corrected[place], sentence(METRICS[key[1]], found[key], corrected[place], a, b)
        )
        for place, key in keys.items()
    ]


def flaws_said(made: Sequence[Made], a: str, b: str) -> list[str]:
    """What is wrong with how many clips of each side, in sentences."""
    said = []
    for name, flaw in FLAWS.items():
        counts = Counter({side: sum(name in run.outcome.flaws for run in runs) for side, runs in (
            (a, {one.a.id: one.a for one in made}.values()), (b, {one.b.id: one.b for one in made}.values())
        )})  # fmt: skip
        if any(counts.values()):
            both = " and ".join(f"{count} on {side}" for side, count in counts.items())
            said.append(f"{flaw.label.capitalize()}: {both}.")
    return said
