"""Tidying up: what goes by itself after some days, what never does, and that no worker suffers from it."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from svdlab.cli import main
from svdlab.errors import BadInput, NotFound
from svdlab.history.retention import DAY, Retention
from svdlab.lab.desk import Desk
from svdlab.lab.lab import Lab
from svdlab.recipes.records import Run
from svdlab.workers import Compute, InProcess, LocalWorker
from tests import rows
from tests.made import draw, make_pair, make_run, picture_of
from tests.synthetic import fill
from tests.waiting import until


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    monkeypatch.setenv("SVDLAB_KEEP_DAYS", "10")
    with Lab(tmp_path / "data") as lab:
        yield lab


def make_old(lab: Lab, column: str, *ids: str, days: float) -> None:
    for table in ("runs", "comparisons"):
        if (table, column) != ("comparisons", "finished"):
            change = f"UPDATE {table} SET {column} = ? WHERE id = ?"
            rows.change_each(lab.history, change, [(time.time() - days * DAY, id) for id in ids])


def old_run(lab: Lab, seed: int = 1, days: float = 11) -> Run:
    run = make_run(lab, seed)
    make_old(lab, "finished", run.id, days=days)
    return lab.history.get(run.id)


@pytest.mark.parametrize(
    ("given", "days"), [("", 30.0), (" ", 30.0), ("7", 7.0), ("0.5", 0.5), ("never", None), ("Never", None)]
)
def test_days_are_read_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, days: float | None
) -> None:
    monkeypatch.setenv("SVDLAB_BIN_DAYS", given)
    monkeypatch.delenv("SVDLAB_KEEP_DAYS", raising=False)
    with Lab(tmp_path / "data") as lab:
        assert lab.retention == Retention(bin_days=days, keep_days=None)


@pytest.mark.parametrize("given", ["-1", "0", "nan", "inf", "a month", "1e400", "<b>30</b>"])
@pytest.mark.parametrize("name", ["SVDLAB_BIN_DAYS", "SVDLAB_KEEP_DAYS"])
def test_a_bad_number_of_days_is_one_sentence_and_nothing_is_touched(
    data_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    given: str,
) -> None:
    monkeypatch.setenv(name, given)
    said = f"{name} must be a number of days above 0, or never, got '{given}'"
    with pytest.raises(BadInput) as raised:
        Lab(data_dir)
    assert str(raised.value) == said
    assert not data_dir.exists()
    assert main(["runs"]) == 2
    assert capsys.readouterr().err == f"svdlab: {said}\n"


def test_what_is_in_the_bin_for_long_is_removed_with_its_picture(lab: Lab) -> None:
    old, fresh = make_run(lab, 1, picture_of(1)), make_run(lab, 2, picture_of(2))
    lab.delete([old.id, fresh.id])
    make_old(lab, "deleted", old.id, days=31)
    for run in (old, fresh):
        os.utime(run.picture, (time.time() - 40 * DAY,) * 2)
    assert Desk(lab).tidy() == []
    with pytest.raises(NotFound):
        lab.history.get(old.id)
    assert not old.folder.exists()
    assert not old.picture.exists()
    lab.history.take_back([fresh.id])
    assert lab.history.get(fresh.id).video.is_file()
    assert fresh.picture.is_file()
    assert lab.doctor() == []


def test_without_a_limit_nothing_goes_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SVDLAB_BIN_DAYS", "never")
    monkeypatch.delenv("SVDLAB_KEEP_DAYS", raising=False)
    with Lab(tmp_path / "data") as lab:
        kept, binned = old_run(lab, 1, days=4000), old_run(lab, 2, days=4000)
        lab.delete([binned.id])
        make_old(lab, "deleted", binned.id, days=4000)
        assert Desk(lab).tidy() == []
        assert lab.history.get(kept.id).deleted is None
        assert binned.video.is_file()


def test_old_runs_go_to_the_bin_and_can_be_taken_out(lab: Lab) -> None:
    old, young = old_run(lab, 1), old_run(lab, 2, days=9)
    assert Desk(lab).tidy() == [old.id]
    assert [run.id for run in lab.history.runs()] == [young.id]
    assert lab.history.get(old.id).deleted is not None
    lab.history.take_back([old.id])
    assert lab.history.get(old.id) == old
    assert old.video.is_file()


@pytest.mark.parametrize(
    "mark",
    [
        lambda lab, id: lab.history.set_star(id),
        lambda lab, id: lab.history.rate(id, 0),
        lambda lab, id: lab.history.note(id, "the sea"),
        lambda lab, id: lab.history.tag(id, "sea"),
    ],
    ids=["star", "rating", "note", "tag"],
)
def test_whatever_a_person_said_of_a_run_keeps_it(lab: Lab, mark: Callable[[Lab, str], None]) -> None:
    alone, pair, other, third = old_run(lab), make_pair(lab), make_pair(lab, 8), make_pair(lab, 9)
    sides = [run.id for each in (pair, other, third) for run in (each.a, each.b)]
    make_old(lab, "finished", *sides, days=11)
    mark(lab, alone.id)
    mark(lab, pair.id)  # of the comparison: both sides stay
    mark(lab, other.a.id)  # of one side: the other stays as well
    assert sorted(Desk(lab).tidy()) == sorted([third.a.id, third.b.id])
    assert {each.id for each in lab.history.comparisons()} == {pair.id, other.id}
    lab.history.take_back([third.id])
    assert len(lab.history.comparisons()) == 3
    assert len(lab.history.runs()) == 7


def test_a_comparison_goes_with_both_sides_or_not_at_all(lab: Lab) -> None:
    first, second = old_run(lab, 1), old_run(lab, 2, days=1)
    pair = lab.pair(first.id, second.id)
    assert Desk(lab).tidy() == []
    make_old(lab, "finished", second.id, days=11)
    assert sorted(Desk(lab).tidy()) == sorted([first.id, second.id])
    assert lab.history.comparisons() == []
    lab.history.take_back([pair.id, first.id, second.id])
    assert [each.id for each in lab.history.comparisons()] == [pair.id]


def test_what_is_not_finished_stays(lab: Lab) -> None:
    states = {}
    for state in ("queued", "failed", "cancelled", "interrupted"):
        run = make_run(lab, 5)
        rows.change(lab.history, "UPDATE runs SET state = ? WHERE id = ?", state, run.id)
        states[run.id] = state
        make_old(lab, "finished", run.id, days=100)
    assert Desk(lab).tidy() == []
    assert {run.id: run.state for run in lab.history.runs()} == states


def test_what_killed_writers_left_goes_after_an_hour(lab: Lab) -> None:
    old, fresh = (lab.history.runs_folder / f".{name * 17}.1" for name in "ab")
    for folder in (old, fresh):
        folder.mkdir()
        (folder / "video.mp4").write_bytes(b"half")
    os.utime(old, (0, 0))
    Desk(lab).tidy()
    assert not old.exists()
    assert fresh.exists()


def test_a_folder_that_is_only_read_is_left_alone(lab: Lab) -> None:
    old = old_run(lab)
    rows.change(lab.history, "PRAGMA user_version=99")
    with Lab(lab.data_dir) as newer:
        assert newer.history.read_only
        assert Desk(newer).tidy() == []
        assert newer.history.get(old.id) == old
        LocalWorker(newer, Compute("cpu")).start()  # and its worker starts all the same


def test_a_worker_tidies_up_when_it_starts(lab: Lab) -> None:
    old = old_run(lab)
    LocalWorker(lab, Compute("cpu")).start()
    until(lambda: lab.history.get(old.id).deleted is not None)
    assert old.video.is_file()  # in the bin, not gone


def test_a_fault_while_tidying_stops_no_worker(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    old = old_run(lab)
    lab.delete([old.id])
    make_old(lab, "deleted", old.id, days=31)
    broken = "CREATE TRIGGER broken BEFORE DELETE ON runs BEGIN SELECT RAISE(ABORT, 'no'); END"
    rows.change(lab.history, broken)
    with pytest.raises(sqlite3.IntegrityError, match="no"):
        Desk(lab).tidy()
    waiting = lab.submit(old.recipe)
    InProcess(lab, draw).drain()
    assert "tidying up failed: no" in caplog.text
    assert lab.history.get(waiting.id).done


def test_of_years_of_runs_the_marked_ones_are_left(lab: Lab) -> None:
    fill(lab.history, 5_000)
    marked = rows.read(
        lab.history,
        "SELECT COUNT(*) FROM runs WHERE state = 'done' AND (starred OR rating IS NOT NULL OR note <> '')",
    )[0][0]
    binned = lab.history.delete_unmarked(10 * DAY)
    left = {run.id for run in lab.history.every()}
    assert not left & set(binned)
    assert marked < len(left) < 5_000
