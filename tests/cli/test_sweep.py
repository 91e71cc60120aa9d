"""`svdlab sweep`: a grid of clips from the shell, told before it starts, written as one file, resumed after Ctrl-C."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from svdlab.cli import main
from svdlab.clips.video import read_mp4_frames
from svdlab.lab.lab import Lab
from tests.conftest import ROOT
from tests.waiting import until

SMALL = ("--width", "64", "--height", "64", "--num-frames", "2", "--num-inference-steps", "1")
FOUR = ("--axis", "motion_bucket_id=20,200", "--axis", "seed=1..2", "-c", "demo-1-0")
Shell = Callable[..., tuple[int, str, str]]


@pytest.fixture
def shell(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        return (code, *capsys.readouterr())

    return run


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "beach.png"
    Image.linear_gradient("L").convert("RGB").resize((96, 64)).save(path)
    return path


def test_a_grid_is_told_rendered_written_and_used_again(shell: Shell, picture: Path, tmp_path: Path) -> None:
    code, out, _ = shell("sweep", picture, *FOUR, *SMALL, "--dry-run", "--json")
    told = json.loads(out)
    assert (code, told["cells"], told["to_render"], told["rendered_before"]) == (0, 4, 4, 0)
    grid, table = tmp_path / "grid.mp4", tmp_path / "grid.csv"
    code, out, err = shell("sweep", picture, *FOUR, *SMALL, "-o", grid)
    assert code == 0
    assert "4 cells: 4 to render" in err
    assert out.startswith(f"{grid}: 4 of 4 cells, Motion bucket × Seed, sweep ")
    frames, fps = read_mp4_frames(grid)
    assert (len(frames), fps) == (2, 6.0)
    assert frames.shape[1] > 2 * 64  # both rows, and their captions
    code, out, err = shell("sweep", picture, *FOUR, *SMALL, "--json", "-o", table)
    assert "4 cells: 4 rendered before, 0 to render" in err
    made = json.loads(out)
    assert made["counts"] == {"done": 4}
    assert [cell["values"]["motion_bucket_id"] for cell in made["cells"]] == [20, 20, 200, 200]
    rows = list(csv.DictReader(table.read_text("utf-8").splitlines()))
    assert [(row["cell"], row["id"]) for row in rows] == [
        (str(cell["number"]), cell["run"]) for cell in made["cells"]
    ]
    code, out, _ = shell("sweeps")
    assert out.count("4 of 4") == 2


def test_several_pictures_checkpoints_and_axes_that_go_together(
    shell: Shell, picture: Path, tmp_path: Path
) -> None:
    other = tmp_path / "rocks.png"
    Image.radial_gradient("L").convert("RGB").resize((96, 64)).save(other)
    axes = ("--axis", "fps=6,8", "--axis", "motion_bucket_id=127,135", "--zip", "fps,motion-bucket-id")
    more = (
        "-c",
        "demo-1-0,demo-1-1",
        "--skip",
        "fps=8 checkpoint=demo-1-0",
        "--seed",
        "3",
        "--dry-run",
        "--json",
    )
    told = json.loads(shell("sweep", picture, other, *axes, *more, *SMALL)[1])
    assert (told["cells"], told["left_out"]) == (6, 2)
    names = [[axis["name"] for axis in together] for together in told["grid"]["dimensions"]]
    assert names == [["fps", "motion_bucket_id"], ["checkpoint"], ["picture"]]
    assert told["grid"]["dimensions"][2][0]["labels"] == ["beach", "rocks"]


def test_ready_made_axes_may_be_changed(shell: Shell, picture: Path) -> None:
    asked = ("sweep", picture, "--ready", "versions", "--axis", "seed=1..2", *SMALL, "--dry-run", "--json")
    told = json.loads(shell(*asked)[1])
    values = {axis["name"]: axis["values"] for [axis] in told["grid"]["dimensions"]}
    assert values == {"checkpoint": ["demo-1-0", "demo-1-1"], "seed": [1, 2]}


def test_a_scout_renders_its_best_in_full(shell: Shell, picture: Path, data_dir: Path) -> None:
    asked = ("sweep", picture, "--ready", "scout", "--axis", "seed=1..3", "--axis", "num_inference_steps=1")
    code, out, err = shell(
        *asked, *SMALL[:-1], "2", "-c", "demo-1-0", "--best", 1, "--by", "fidelity", "--json"
    )
    assert code == 0
    assert "The best by fidelity, in full. 1 cell: 1 to render" in err
    [cell] = json.loads(out)["cells"]
    with Lab(data_dir) as lab:
        assert lab.history.get(cell["run"]).settings.num_inference_steps == 2
        assert len(lab.history.runs()) == 4


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--axis", "sead=1..3"), "there is no knob called 'sead'; did you mean seed?"),
        (("--axis", "seed=1..9000", "--axis", "fps=1..60"), "540,000 cells, and a sweep may have 20,000"),
        ((), "a sweep needs an axis"),
        (("--axis", "fps=0"), "fps must be a whole number from 1 to 60"),
        (("--axis", "width=66,70"), "none of the 2 cells can be rendered: width must be a multiple of"),
        (("--ready", "bucket-laddr"), "did you mean bucket-ladder?"),
        (("--axis", "seed=1..2", "-o", "grid.avi"), "the file's name must end in .mp4, .webp, .png"),
        (("--axis", "seed=1..2", "--resume", "last"), "give no picture and no axes with it"),
        (("--axis", "seed=1..2", "--zip", "seed"), "going together takes two axes"),
        (("--axis", "seed=1..2", "--best", "1"), "--best and --by go together"),
        (("--axis", "seed=1..2", "--best", "1", "--by", "beauty"), "nothing called 'beauty' is measured"),
        (("--axis", "picture=a.png"), "pictures are given by themselves"),
    ],
)
def test_what_cannot_be_is_one_sentence_and_nothing_is_queued(
    shell: Shell, picture: Path, data_dir: Path, arguments: tuple[str, ...], said: str
) -> None:
    code, out, err = shell("sweep", picture, *arguments)
    assert (code, out) == (2, "")
    assert said in err
    with Lab(data_dir) as lab:
        assert (lab.history.sweeps(), lab.history.runs()) == ([], [])


@pytest.mark.skipif(os.name == "nt", reason="sends an interrupt as a terminal on Unix does")
def test_ctrl_c_leaves_a_sweep_that_goes_on_with_resume(shell: Shell, picture: Path, data_dir: Path) -> None:
    asked = ("sweep", str(picture), "--axis", "seed=1..5", "-c", "demo-1-0", *SMALL[:-1], "12")
    with subprocess.Popen(
        [sys.executable, "-m", "svdlab", *asked],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        until(lambda: "done" in states(data_dir), "a first cell")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    last = err.splitlines()[-1]
    assert "of 5 cells are done and kept; svdlab sweep --resume " in last
    with Lab(data_dir) as lab:
        [sweep] = lab.history.sweeps()
        assert sweep.state == "paused"
        assert not lab.history.unfinished()[2:]  # of the cells, all but the next two are no runs yet
        kept = {run.id for run in lab.history.runs(states=("done",))}
    code, out, _ = shell("sweep", "--resume", "last")
    assert (code, "5 of 5 cells" in out) == (0, True)
    with Lab(data_dir) as lab:
        assert len(lab.history.runs()) == 5
        assert kept <= {run.id for run in lab.history.runs(states=("done",))}


def states(data_dir: Path) -> list[str]:
    """How the runs of a data folder are, as another process sees them."""
    if not (data_dir / "svdlab.db").is_file():
        return []
    with Lab(data_dir) as lab:
        return [run.state for run in lab.history.runs()]
