"""Runs by older definitions are measured again without anybody waiting."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from svdlab.history.run_files import read_measured, read_result
from svdlab.lab.lab import Lab
from svdlab.lab.measuring import Measuring
from svdlab.metrics.definitions import METRICS, edition
from svdlab.recipes.records import Run
from tests.made import make_run
from tests.rows import opened
from tests.waiting import until


def made_by_an_older(lab: Lab) -> Run:
    """A finished run whose row has only what older versions measured."""
    run = make_run(lab)
    old = json.loads(run.outcome.to_json())
    for later in ("spreads", "flaws", "measured_as"):
        del old[later]
    old["metrics"] = {"camera_motion": 99.0}
    with opened(lab.history) as db:
        db.execute("UPDATE runs SET outcome = ? WHERE id = ?", (json.dumps(old), run.id))
    return lab.history.get(run.id)


def test_a_run_of_an_older_version_is_measured_again_and_found_by_the_new_numbers(tmp_path: Path) -> None:
    with Lab(tmp_path) as lab:
        old = made_by_an_older(lab)
        assert old.outcome.measured_as == ""
        measuring = Measuring(lab)
        assert [run.id for run in measuring.outdated()] == [old.id]
        assert measuring.again(old)
        now = lab.history.get(old.id)
        assert now.outcome.measured_as == edition()
        assert set(now.outcome.metrics) <= set(METRICS)
        assert now.outcome.metrics["camera_motion"] != 99.0
        assert replace(now.outcome, metrics={}, spreads={}, flaws={}, measured_as="") == replace(
            old.outcome, metrics={}
        )
        assert read_result(now.folder) == (now.recipe, now.outcome)
        assert read_measured(now.folder).edition == edition()
        assert list(measuring.outdated()) == []
        assert lab.doctor() == []


def test_what_changed_meanwhile_or_cannot_be_read_is_left_as_it_is(tmp_path: Path) -> None:
    with Lab(tmp_path) as lab:
        old = made_by_an_older(lab)
        measuring = Measuring(lab)
        stale = replace(old, outcome=replace(old.outcome, device="another"))
        assert not measuring.again(stale)
        old.frames_zip.write_bytes(b"no zip")
        assert not measuring.again(old)
        assert lab.history.get(old.id).outcome == old.outcome
        assert list(measuring.outdated()) == []  # and it is not tried again and again


def test_it_begins_with_a_server_and_ends_with_the_lab(tmp_path: Path) -> None:
    with Lab(tmp_path) as lab:
        old = made_by_an_older(lab)
        measuring = Measuring(lab)
        measuring.start()
        until(lambda: lab.history.get(old.id).outcome.measured_as == edition())
        assert measuring.alive
    assert not measuring.alive
