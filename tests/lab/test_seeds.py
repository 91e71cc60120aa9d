"""What another seed changes, from runs there are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from statistics import stdev

import pytest

from svdlab.lab.lab import Lab
from svdlab.lab.seeds import FEWEST, Seeds, seeds_like
from svdlab.recipes.records import Run
from svdlab.recipes.visitors import Visitor
from svdlab.ui.parts.compare_result import measures
from tests.made import make_run


def test_only_runs_that_differ_in_the_seed_alone_count(tmp_path: Path) -> None:
    with Lab(tmp_path) as lab:
        runs = [make_run(lab, seed=seed) for seed in range(FEWEST)]
        for other in ({"motion_bucket_id": 9}, {"checkpoint": "demo-1-1"}, {"by": Visitor("somebody")}):
            make_run(lab, seed=50, **other)
        found = seeds_like(lab.history, runs[0])
        assert found.count == FEWEST
        grains = [run.outcome.metrics["sharpness"] for run in runs]
        assert found.spreads["sharpness"] == pytest.approx(stdev(grains))
        make_run(lab, seed=1)  # the same once more says nothing new
        assert seeds_like(lab.history, runs[0]).count == FEWEST


def test_too_few_seeds_say_nothing(tmp_path: Path) -> None:
    with Lab(tmp_path) as lab:
        run = make_run(lab)
        assert seeds_like(lab.history, run).spreads == {}


def test_the_table_says_whether_a_difference_is_more_than_grain_and_than_another_seed(tmp_path: Path) -> None:
    with Lab(tmp_path) as lab:
        run = make_run(lab)

    def with_zoom(zoom: float) -> Run:
        return replace(run, outcome=replace(run.outcome, metrics={"zoom": zoom}, spreads={"zoom": 0.1}))

    def said(zoom: float, spread: float | None) -> str:
        seeds = [] if spread is None else [Seeds(5, {"zoom": spread})] * 2
        rows = measures(with_zoom(0.0), with_zoom(zoom), seeds)
        return next(row["beside"] for row in rows if row["label"] == "Zoom")

    assert said(0.2, 1.0) == "within the clips' own grain"
    assert said(2.0, 1.0) == "within what another seed does"
    assert said(4.0, 1.0) == "more than another seed"
    assert said(4.0, None) == ""
