"""What a browser has asked for is its own, whatever it says; what a page follows is new each time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from svdlab.environment import Environment
from svdlab.lab.lab import Lab
from svdlab.ui.parts import follow
from svdlab.ui.visitor import (
    KEPT_IDS,
    kept_ids,
    latest_comparisons,
    latest_runs,
    with_own,
)
from tests.made import make_pair, make_run


@pytest.mark.parametrize("sent", [None, "abc", 7, {"a": 1}, [None, 7, {}]])
def test_what_is_no_list_of_ids_is_none(sent: Any) -> None:
    assert kept_ids(sent) == []


def test_the_newest_id_stands_first_once_and_the_oldest_goes() -> None:
    many = [f"{n:03}" for n in range(KEPT_IDS)]
    kept = with_own("new", with_own("007", many))
    assert kept[:2] == ["new", "007"]
    assert (len(kept), kept.count("007")) == (KEPT_IDS, 1)
    assert many[-1] not in kept


def test_at_ones_own_machine_everything_is_seen_and_on_a_shared_one_ones_own(tmp_path: Path) -> None:
    with Lab(tmp_path / "data") as lab:
        runs = [make_run(lab, seed=seed) for seed in range(3)]
        pair = make_pair(lab)
        lab.delete([runs[1].id])
        everything = {pair.a.id, pair.b.id, runs[0].id, runs[2].id}
        assert {run.id for run in latest_runs(lab, [], 9)} == everything
        assert [one.id for one in latest_comparisons(lab, [], 9)] == [pair.id]
        with Lab(lab.data_dir, environment=Environment.read({"SPACE_ID": "someone/svdlab"})) as shared:
            mine = [runs[0].id, runs[1].id, "nothing", runs[2].id, runs[0].id]
            assert [run.id for run in latest_runs(shared, mine, 9)] == [runs[2].id, runs[0].id]
            assert [run.id for run in latest_runs(shared, mine, 1)] == [runs[2].id]
            assert latest_runs(shared, [], 9) == []
            assert [one.id for one in latest_comparisons(shared, ["nothing", pair.id], 9)] == [pair.id]


def test_following_the_same_run_again_is_a_change() -> None:
    assert follow.value("explore", "1") != follow.value("explore", "1")
