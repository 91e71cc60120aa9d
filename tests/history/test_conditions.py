"""Asking for runs by any knob or metric."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from svdlab.errors import BadInput
from svdlab.history.conditions import MAX_CONDITIONS, Condition, parse_where
from svdlab.history.queue import History
from svdlab.history.search import MAX_LIMIT, RunQuery
from svdlab.metrics.definitions import METRICS
from svdlab.recipes.records import Recipe, Run
from svdlab.recipes.settings import KNOBS, GenerationSettings
from tests.synthetic import fill


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    history = History(tmp_path_factory.mktemp("many"))
    fill(history, 150)
    settings = GenerationSettings(seed=2**63 - 1, schedule="ays", playback_fps=12.5)
    history.add(Recipe(checkpoint="svd", picture_sha256="a" * 64, settings=settings))
    yield history
    history.close()


def flicker(run: Run) -> float:
    return run.outcome.metrics.get("flicker", float("nan"))


ASKED: dict[str, Callable[[Run], bool]] = {
    "flicker>0.5": lambda run: flicker(run) > 0.5,
    "flicker <= 0.5": lambda run: flicker(run) <= 0.5,
    "flicker=none": lambda run: "flicker" not in run.outcome.metrics,
    "flicker!=none, flicker<0.1": lambda run: flicker(run) < 0.1,
    "fps=7": lambda run: run.settings.fps == 7,
    "fps!=7": lambda run: run.settings.fps != 7,
    "motion-bucket-id≥100 motion_bucket_id<200": lambda run: 100 <= run.settings.motion_bucket_id < 200,
    "schedule=ays": lambda run: run.settings.schedule == "ays",
    "schedule!=ays": lambda run: run.settings.schedule != "ays",
    "playback_fps=none": lambda run: run.settings.playback_fps is None,
    "playback_fps!=12.5": lambda run: run.settings.playback_fps != 12.5,
    f"seed={2**63 - 1}": lambda run: run.settings.seed == 2**63 - 1,
    "rating>=4": lambda run: (run.rating or 0) >= 4,
    "seconds>100,zoom>0.2": lambda run: (
        sum(v for k, v in run.outcome.seconds.items() if k != "load") > 100
        and run.outcome.metrics["zoom"] > 0.2
    ),
}


@pytest.mark.parametrize(("text", "holds"), ASKED.items(), ids=ASKED)
def test_what_is_asked_is_found_and_all_of_it(many: History, text: str, holds: Callable[[Run], bool]) -> None:
    query = RunQuery(where=parse_where(text))
    wanted = {run.id for run in many.runs(MAX_LIMIT) if holds(run)}
    assert {run.id for run in many.every(query)} == wanted
    assert many.count(query) == len(wanted)
    assert wanted


@pytest.mark.parametrize("name", [*KNOBS, *METRICS])
def test_every_knob_and_metric_can_be_asked_for(many: History, name: str) -> None:
    knob = KNOBS.get(name)
    value = knob.choices[0] if knob is not None and knob.choices else 1
    both = [RunQuery(where=(Condition(name, sign, value),)) for sign in ("=", "!=")]
    unmeasured = 0 if knob is not None else many.count(RunQuery(where=(Condition(name, "=", None),)))
    assert sum(many.count(query) for query in both) + unmeasured == many.count()


def test_conditions_are_typed_as_they_are_said() -> None:
    text = "camera_motion>2 fps=6 schedule!=ays playback_fps=none flicker<=0.25"
    assert " ".join(map(str, parse_where(text))) == text
    assert parse_where(" ") == ()


def test_comparisons_are_asked_for_by_a_side(many: History) -> None:
    pairs = many.find_comparisons(limit=MAX_LIMIT).comparisons
    query = RunQuery(where=parse_where("fps=7"))
    wanted = {pair.id for pair in pairs if 7 in (pair.a.settings.fps, pair.b.settings.fps)}
    assert {pair.id for pair in many.find_comparisons(query, limit=MAX_LIMIT).comparisons} == wanted
    assert wanted


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("beauty>2", "runs have no 'beauty' to ask for; there are motion_bucket_id, fps"),
        ("fps", "ask for a knob or metric as in camera_motion>2, fps=6 or schedule!=ays, got 'fps'"),
        ("fps=>6", "ask for a knob or metric as in"),
        ("=6", "ask for a knob or metric as in"),
        ("fps=6; DROP TABLE runs", "fps must be asked for with a number, got '6;'"),
        ("fps=none", "fps is given in every run, so none of them has it empty"),
        ("fps>nan", "fps must be asked for with a number, got 'nan'"),
        (f"seed={2**70}", "seed must be asked for with a number"),
        ("schedule>ays", "schedule > ays has no meaning; ask with = or !="),
        ("schedule=linear", "schedule must be karras or ays or lcm, got 'linear'"),
        ("flicker>none", "flicker > none has no meaning"),
        (
            " ".join(["fps=6"] * (MAX_CONDITIONS + 1)),
            "at most 16 conditions can be asked for at once, got 17",
        ),
    ],
)
def test_a_condition_that_cannot_be_is_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(BadInput) as refused:
        parse_where(text)
    assert str(refused.value).startswith(sentence)
    assert "\n" not in str(refused.value)
