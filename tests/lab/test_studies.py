"""Studies: pairs of ordinary runs, found again, and what they say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from svdlab.errors import BadInput
from svdlab.exchange import study_report
from svdlab.lab.bits import Numbers
from svdlab.lab.lab import Lab
from svdlab.lab.studies import (
    Made,
    Study,
    StudyPair,
    answers,
    flaws_said,
    made_of,
    pairs_of,
    under_way,
    wanted,
)
from svdlab.lab.study_sweeps import made_in, sides_of
from svdlab.metrics.definitions import METRICS, edition
from svdlab.metrics.measure import measure
from svdlab.recipes.records import Outcome
from svdlab.workers import InProcess
from tests.made import SMALL, draw, make_run, picture_of, render
from tests.metrics.truth import Scene, Step, film

NUMBERS = Numbers("cpu", "float32")


def study(lab: Lab, seeds: int = 2) -> Study:
    """The pair over two pictures."""
    pictures = tuple(lab.add_picture(picture_of(number)) for number in (0, 1))
    return Study("demo-1-0", "demo-1-1", (None,), pictures, tuple(range(seeds)), SMALL)


def test_a_study_is_ordinary_runs_that_are_found_again(tmp_path: Path) -> None:
    with Lab(tmp_path) as lab:
        pairs = pairs_of(lab, study(lab))
        recipes = wanted(pairs)
        assert (len(pairs), len(recipes)) == (4, 8)
        assert [recipe.checkpoint for recipe, _ in recipes.values()] == ["demo-1-0"] * 4 + ["demo-1-1"] * 4
        assert all(replace_checkpoint(pair) == pair.b for pair in pairs)
        done, waiting = under_way(lab, recipes, NUMBERS)
        assert (len(done), len(waiting)) == (0, 8)
        again = under_way(lab, recipes, NUMBERS)[1]
        assert {run.id for run in again.values()} == {
            run.id for run in waiting.values()
        }  # none is asked for twice
        for run in waiting.values():
            render(lab, run, picture_of(0))
        done, waiting = under_way(lab, recipes, NUMBERS)
        assert (len(done), len(waiting)) == (8, 0)
        made = made_of(lab, pairs, done)
        assert len(made) == 4
        assert all(one.a.outcome.noise_sha256 == one.b.outcome.noise_sha256 for one in made)
        assert all(
            "the same on" in one.sentence for one in answers(made, "A", "B")
        )  # drawn alike on both sides


def replace_checkpoint(pair: StudyPair):
    return pair.a.model_copy(update={"checkpoint": "demo-1-1"})


def test_an_interrupted_run_is_taken_up_and_an_old_one_measured_again(tmp_path: Path) -> None:
    with Lab(tmp_path) as lab:
        plan = study(lab, seeds=1)
        recipes = wanted(pairs_of(lab, plan))
        _, waiting = under_way(lab, recipes, NUMBERS)
        first = next(iter(waiting.values()))
        lab.history.claim("somebody who died", only=[first.id])
        lab.history.finish(
            first.id, "interrupted", error="The program was closed.", owner="somebody who died"
        )
        _, again = under_way(lab, recipes, NUMBERS)
        assert {run.id for run in again.values()} == {run.id for run in waiting.values()}
        run = make_run(lab, seed=77)
        old = replace(run, outcome=replace(run.outcome, measured_as=""))
        lab.history.measured_again(run, old.outcome)
        pair = StudyPair("s", None, run.recipe.picture_sha256, 77, run.recipe, run.recipe)
        [made] = made_of(lab, [pair], {run.recipe.hash: lab.history.get(run.id)})
        assert made.a.outcome.measured_as == edition()


def test_a_study_without_pairs_or_with_far_too_many_is_refused(tmp_path: Path) -> None:
    with Lab(tmp_path) as lab:
        for wrong in ({"pictures": ()}, {"seeds": ()}, {"seeds": tuple(range(9000))}):
            with pytest.raises(BadInput, match="study"):
                pairs_of(lab, replace(study(lab), **wrong))
    assert answers([], "A", "B") == []


def filmed(lab: Lab, pairs: int, sway: float) -> list[Made]:
    """Pairs of clips whose cameras pan at a speed of their own on both sides, on b also swaying."""
    rng = np.random.default_rng(0)
    run = make_run(lab)
    made = []
    for seed in range(pairs):
        speed = rng.uniform(0.5, 2.0)
        sides = []
        for share in (0.0, sway):
            away = share * speed * np.cos(2 * np.pi * np.arange(8) / 4 + rng.uniform(0, 6))
            steps = tuple(Step(pan=-speed + float(x), tilt=float(rng.normal(0, 0.05))) for x in np.diff(away))
            found = measure(film(Scene("coffee", steps, (128, 80), grain=2, seed=seed)))
            outcome = Outcome(
                metrics=found.values, spreads=found.spreads, flaws=found.flaws, measured_as=edition()
            )
            sides.append(replace(run, outcome=outcome))
        pair = StudyPair("pans", None, run.recipe.picture_sha256, seed, run.recipe, run.recipe)
        made.append(Made(pair, sides[0], sides[1]))
    return made


def test_a_planted_sway_is_found_and_nothing_is_where_there_is_none(tmp_path: Path) -> None:
    with Lab(tmp_path) as lab:
        swaying = filmed(lab, 14, 0.4)
        by_name = {one.metric: one for one in answers(swaying, "1.1", "1.0")}
        assert by_name["camera_jerk"].sentence.startswith("Camera jerk: higher on 1.0 in 14 of 14 pairs")
        few = {one.metric: one.sentence for one in answers(swaying[:3], "1.1", "1.0")}
        assert "not enough to say" in few["camera_jerk"]
        alike = answers(filmed(lab, 10, 0.0), "A", "B")
        assert [one.sentence for one in alike if "certain enough" in one.sentence] == []


def test_the_report_is_one_file_with_answers_recipes_and_command(tmp_path: Path) -> None:
    with Lab(tmp_path / "data") as lab:
        made = filmed(lab, 4, 0.4)
        found = answers(made, "<b>A</b>", "B")
        command = ["svdlab", "study", "a picture.png"]
        study_report.write_html(tmp_path / "r.html", "What <differs>?", ["4 pairs."], found, made, command)
        study_report.write_measures(tmp_path / "r.csv", made)
        text = (tmp_path / "r.html").read_text(encoding="utf-8")
        assert "What &lt;differs&gt;?" in text
        assert "<b>A</b>" not in text
        assert "svdlab study &#x27;a picture.png&#x27;" in text
        assert text.count("<svg") == len(found)
        assert made[0].a.recipe.picture_sha256 in text
        assert "http" not in text.replace("http://www.w3.org", "")
        rows = (tmp_path / "r.csv").read_text(encoding="utf-8").splitlines()
        assert len(rows) == 1 + 4 * (len(METRICS) - 3)  # without picture and rate
        said = study_report.as_json("What?", [], found, made)
        assert said["pairs"] == 4
        assert flaws_said(made, "A", "B") == []


def test_a_sweep_over_checkpoints_is_read_as_a_study(tmp_path: Path) -> None:
    with Lab(tmp_path) as lab:
        picture = lab.add_picture(picture_of(0))
        base = lab.recipe("demo-1-0", picture, lab.settings("demo-1-0", SMALL, seed=1))
        axes = {"checkpoint": "demo-1-0,demo-1-1", "motion_bucket_id": "20,127", "seed": "1..3"}
        sweep = lab.sweeps.submit(
            lab.sweeps.plan(base, lab.sweeps.grid(axes, skip=["seed=2 motion_bucket_id=20"]))
        )
        assert sides_of(sweep) == ("demo-1-0", "demo-1-1")
        assert made_in(lab, sweep, lab.sweeps.standing(sweep.id).cells, *sides_of(sweep)) == []
        with InProcess(lab, draw):
            pass
        made = made_in(lab, sweep, lab.sweeps.standing(sweep.id).cells, *sides_of(sweep))
        assert sorted((one.pair.setting, one.pair.seed) for one in made) == [
            *(("Motion bucket 127", seed) for seed in (1, 2, 3)),
            *(("Motion bucket 20", seed) for seed in (1, 3)),
        ]
        for one in made:
            assert (one.a.recipe.checkpoint, one.b.recipe.checkpoint) == sides_of(sweep)
            assert one.a.settings == one.b.settings
        turned = made_in(lab, sweep, lab.sweeps.standing(sweep.id).cells, "demo-1-1", "demo-1-0")
        assert [(one.b.id, one.a.id) for one in turned] == [(one.a.id, one.b.id) for one in made]
        lab.delete([made[0].a.id])
        assert len(made_in(lab, sweep, lab.sweeps.standing(sweep.id).cells, *sides_of(sweep))) == 4
        for wrong in (("demo-1-0", "demo-1-0"), ("demo-1-0", "svd")):
            with pytest.raises(BadInput, match="two of this study's checkpoints"):
                made_in(lab, sweep, (), *wrong)
        alone = lab.sweeps.submit(lab.sweeps.plan(base, lab.sweeps.grid({"seed": "1..2"})))
        assert sides_of(alone) == ()
