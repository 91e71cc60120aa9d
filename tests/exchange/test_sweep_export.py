"""A sweep as a file of each kind, whole or as a view shows it."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from svdlab.clips.provenance import PNG_KEYWORD
from svdlab.clips.video import read_mp4_frames
from svdlab.errors import BadInput, NotFound
from svdlab.exchange.sweep_export import KINDS, caption, file_name, said, write_sweep
from svdlab.lab.lab import Lab
from svdlab.recipes.sweeps import Sweep, View
from svdlab.workers import InProcess
from tests.made import SMALL, draw, picture_of

AXES = {"checkpoint": "demo-1-0,demo-1-1", "seed": "1..3", "fps": "6,8"}


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Lab, Sweep]]:
    with Lab(tmp_path_factory.mktemp("swept") / "data") as lab:
        base = lab.recipe("demo-1-0", lab.add_picture(picture_of(0)), lab.settings("demo-1-0", SMALL, seed=1))
        sweep = lab.sweeps.submit(lab.sweeps.plan(base, lab.sweeps.grid(AXES, skip=["seed=2 fps=6"])))
        with InProcess(lab, draw):
            pass
        yield lab, sweep


@pytest.mark.parametrize("kind", KINDS)
def test_a_sweep_is_written_as_each_kind(swept: tuple[Lab, Sweep], tmp_path: Path, kind: str) -> None:
    lab, sweep = swept
    path = write_sweep(lab, sweep, tmp_path / file_name(sweep, kind))
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    if kind == "mp4":
        frames, fps = read_mp4_frames(path)
        assert (len(frames), fps) == (SMALL["num_frames"], sweep.base.settings.effective_playback_fps)
    elif kind == "webp":
        with Image.open(path) as clip:
            assert clip.n_frames == SMALL["num_frames"]
    elif kind == "png":
        with Image.open(path) as sheet:
            assert sheet.height > 6 * SMALL["height"]
            assert PNG_KEYWORD in sheet.info
    elif kind == "csv":
        rows = list(csv.DictReader(path.read_text("utf-8").splitlines()))
        assert len(rows) == 10
        assert [row["cell"] for row in rows[:3]] == ["0", "1", "3"]
        assert {row["checkpoint"] for row in rows} == {"demo-1-0", "demo-1-1"}
    elif kind == "zip":
        assert len([name for name in zipfile.ZipFile(path).namelist() if name.endswith("video.mp4")]) == 10


def test_a_view_writes_what_it_shows(swept: tuple[Lab, Sweep], tmp_path: Path) -> None:
    lab, sweep = swept
    view = View(rows=(2,), columns=(1,), at={0: 1})
    write_sweep(lab, sweep, tmp_path / "page.csv", view)
    rows = list(csv.DictReader((tmp_path / "page.csv").read_text("utf-8").splitlines()))
    assert {row["checkpoint"] for row in rows} == {"demo-1-1"}
    assert [(row["fps"], row["seed"]) for row in rows] == [
        ("6", "1"),
        ("6", "3"),
        ("8", "1"),
        ("8", "2"),
        ("8", "3"),
    ]
    assert caption(lab, sweep, view).startswith("Checkpoint × Seed × Frame rate · Demo 1.1 · frames 4")


def test_values_are_said_as_people_call_them(swept: tuple[Lab, Sweep]) -> None:
    lab, sweep = swept
    assert [said(lab, axis, 1) for axis in sweep.grid.axes] == ["Demo 1.1", "Seed 2", "Frame rate 8 fps"]


def test_what_cannot_be_written_is_one_sentence(swept: tuple[Lab, Sweep], tmp_path: Path) -> None:
    lab, sweep = swept
    with pytest.raises(BadInput, match="a sweep can be written as mp4, webp, png"):
        write_sweep(lab, sweep, tmp_path / "grid.avi")
    for view in (View((0,), (0,), {}), View((7,), (0,), {}), View((0,), (1,), {2: 5})):
        with pytest.raises(BadInput, match=r"different axes|no such page"):
            write_sweep(lab, sweep, tmp_path / "grid.mp4", view)
    waiting = lab.sweeps.submit(lab.sweeps.plan(sweep.base, lab.sweeps.grid({"seed": "90..91"})))
    with pytest.raises(NotFound, match="no cell of this sweep is rendered yet"):
        write_sweep(lab, waiting, tmp_path / "grid.mp4")
