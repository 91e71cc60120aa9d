"""`svdlab runs …` and `svdlab doctor`: finding, marking, the bin, tables, zips, checking.

The clips are drawn by the tests and recorded by the lab as any worker's are.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas
import pytest

from svdlab.cli import main
from svdlab.lab.lab import Lab
from svdlab.recipes.records import Run
from tests.made import make_pair, make_run, picture_of


@dataclass(frozen=True)
class Said:
    """What a command printed."""

    code: int
    out: str
    err: str


Shell = Callable[..., Said]


@pytest.fixture
def shell(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    """Runs a command in this process on the test's own data folder."""

    def run(*arguments: object) -> Said:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        return Said(code, *capsys.readouterr())

    return run


@pytest.fixture
def runs(data_dir: Path) -> tuple[Run, ...]:
    """Four finished runs of two pictures, and a pair."""
    with Lab(data_dir) as lab:
        make_pair(lab, seed=90)
        made = tuple(
            make_run(lab, seed, picture_of(1 + seed // 2), motion_bucket_id=60 + 40 * seed)
            for seed in range(4)
        )
    return made


def ids(said: Said) -> list[str]:
    return [line.split()[0] for line in said.out.splitlines()[1:]]


def test_runs_are_found_and_sorted(shell: Shell, runs: tuple[Run, ...]) -> None:
    assert len(ids(shell("runs"))) == 6
    assert ids(shell("runs", "list", "--picture", runs[0].recipe.picture_sha256[:8])) == [
        runs[1].id,
        runs[0].id,
    ]
    by_bucket = ids(shell("runs", "list", "--sort", "motion-bucket-id", "--ascending"))
    assert by_bucket[0] == runs[0].id
    assert by_bucket[-1] == runs[3].id
    assert shell("runs", "list", "--tag", "nowhere").err == "There are no such runs.\n"


def test_marks_are_kept_and_found(shell: Shell, runs: tuple[Run, ...]) -> None:
    assert shell("runs", "star", runs[0].id, runs[1].id).code == 0
    assert shell("runs", "rate", runs[1].id, "4").out == f"{runs[1].id}: 4 of 5\n"
    shell("runs", "note", runs[1].id, "Steady to the end")
    shell("runs", "tag", runs[1].id, "Beach", "keep")
    assert ids(shell("runs", "list", "--starred")) == [runs[1].id, runs[0].id]
    assert ids(shell("runs", "list", "--rating", 3, "--tag", "beach", "--text", "steady")) == [runs[1].id]
    shown = json.loads(shell("runs", "show", runs[1].id, "--json").out)
    assert shown["tags"] == ["beach", "keep"]
    assert shell("runs", "rate", runs[1].id, "6").code == 2
    shell("runs", "star", runs[1].id, "--off")
    assert ids(shell("runs", "list", "--starred")) == [runs[0].id]


def test_the_bin_gives_back_until_it_is_emptied(shell: Shell, runs: tuple[Run, ...]) -> None:
    shell("runs", "delete", runs[0].id, runs[1].id)
    assert ids(shell("runs", "list", "--bin")) == [runs[1].id, runs[0].id]
    shell("runs", "take-back", runs[1].id)
    assert ids(shell("runs", "list", "--bin")) == [runs[0].id]
    assert "0 runs" in shell("runs", "empty-bin", "--days", 1).out
    assert shell("runs", "empty-bin", "--days", 0, "--pictures").out.startswith("1 run and ")
    assert not runs[0].folder.exists()
    assert shell("runs", "take-back", runs[0].id).err.startswith("svdlab: there is no run")


def test_runs_go_to_tables(shell: Shell, runs: tuple[Run, ...], tmp_path: Path) -> None:
    csv, parquet = tmp_path / "runs.csv", tmp_path / "runs.parquet"
    assert shell("runs", "export", "--csv", csv, "--parquet", parquet).code == 0
    for table in (pandas.read_csv(csv), pandas.read_parquet(parquet)):
        assert len(table) == 6
        assert sorted(table["motion_bucket_id"])[:2] == [60, 100]
        assert table["camera_motion"].notna().all()
    assert "must end in .csv" in shell("runs", "export", "--csv", tmp_path / "runs.txt").err


def test_a_zip_is_read_on_another_machine(
    shell: Shell, runs: tuple[Run, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell("runs", "tag", runs[2].id, "mine")
    packed = tmp_path / "runs.zip"
    assert "6 runs, 1 comparisons" in shell("runs", "export", "--zip", packed).out
    monkeypatch.setenv("SVDLAB_DATA_DIR", str(tmp_path / "elsewhere"))
    assert shell("runs", "import", packed).code == 0
    assert ids(shell("runs", "list", "--tag", "mine")) == [runs[2].id]
    assert len(ids(shell("runs"))) == 6
    findings = json.loads(shell("doctor", "--json").out)["findings"]
    assert {finding["sentence"] for finding in findings} == {
        "Its frames.zip is gone; render it again to have it."
    }
    packed.write_bytes(packed.read_bytes()[:-2000])
    assert shell("runs", "import", packed).code == 2


def test_the_doctor_reports_and_mends(shell: Shell, runs: tuple[Run, ...]) -> None:
    assert shell("doctor").code == 0
    runs[0].video.unlink()
    (runs[1].folder / "result.json").write_text("{}")
    said = shell("doctor")
    assert said.code == 2
    assert runs[0].id in said.out
    assert shell("doctor", "--repair").code == 0
    assert shell("doctor").code == 0
    assert json.loads(shell("runs", "show", runs[0].id, "--json").out)["state"] == "interrupted"


@pytest.mark.parametrize(("old", "new"), [("sweep", "empty-bin"), ("restore", "take-back")])
def test_an_old_name_of_a_command_is_answered_with_the_new_one(shell: Shell, old: str, new: str) -> None:
    said = shell("runs", old, "last")
    assert (said.code, said.err) == (2, f"svdlab: svdlab runs {old} is called svdlab runs {new} now\n")
