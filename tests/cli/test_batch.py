"""`svdlab generate` of several pictures: a run each, one seed, and what cannot be used stops none of the others."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from svdlab.cli import main
from svdlab.clips.video import read_mp4_frames
from svdlab.lab.lab import Lab

SMALL = (
    "--width",
    "64",
    "--height",
    "64",
    "--num-frames",
    "2",
    "--num-inference-steps",
    "1",
    "-c",
    "demo-1-0",
)
Shell = Callable[..., tuple[int, str, str]]


@pytest.fixture
def shell(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        return (code, *capsys.readouterr())

    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pictures, one that is none, and a file of another kind."""
    folder = tmp_path / "my pictures"
    folder.mkdir()
    Image.linear_gradient("L").convert("RGB").save(folder / "a.png")
    Image.radial_gradient("L").convert("RGB").save(folder / "c.JPG", "JPEG")
    (folder / "b.png").write_bytes(b"no picture at all")
    (folder / "notes.txt").write_text("not looked at")
    return folder


def test_a_folder_makes_a_clip_of_each_picture_in_it(
    shell: Shell, folder: Path, tmp_path: Path, data_dir: Path
) -> None:
    clips, frames = tmp_path / "clips", tmp_path / "frames"
    code, out, err = shell("generate", folder, *SMALL, "-o", clips, "--frames", frames)
    assert code == 2
    a, b, c = out.splitlines()
    assert [line.split(": ")[0] for line in (a, b, c)] == [
        str(folder / name) for name in ("a.png", "b.png", "c.JPG")
    ]
    assert "not a picture" in b
    assert "1 of 3 pictures made no clip" in err
    assert sorted(path.name for path in clips.iterdir()) == ["a.mp4", "c.mp4"]
    assert len(read_mp4_frames(clips / "c.mp4")[0]) == 2
    assert len(list((frames / "a").iterdir())) == 2
    with Lab(data_dir) as lab:
        runs = lab.history.runs()
        assert [run.done for run in runs] == [True, True]
        assert len({run.settings.seed for run in runs}) == 1
        assert len({run.recipe.picture_sha256 for run in runs}) == 2


def test_what_was_rendered_before_is_not_rendered_again(shell: Shell, folder: Path, data_dir: Path) -> None:
    pictures = [folder / "a.png", folder / "c.JPG"]
    asked = ("generate", *pictures, *SMALL, "--seed", "3", "--json")
    first = json.loads(shell(*asked)[1])
    code, out, err = shell(*asked)
    again = json.loads(out)
    assert code == 0
    assert [one["run"] for one in again] == [one["run"] for one in first]
    assert [one["rendered_before"] for one in first + again] == [False, False, True, True]
    assert [one["given"] for one in again] == [str(path) for path in pictures]
    assert "2 of 2 were rendered before" in err


def test_two_pictures_of_one_name_do_not_overwrite_each_other(
    shell: Shell, folder: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    Image.radial_gradient("L").convert("RGB").save(other / "a.png")
    code, _, _ = shell("generate", folder / "a.png", other / "a.png", *SMALL, "-o", tmp_path / "clips")
    assert code == 0
    assert sorted(path.name for path in (tmp_path / "clips").iterdir()) == ["a-2.mp4", "a.mp4"]


def test_what_cannot_be_asked_for_is_one_sentence_and_nothing_is_queued(
    shell: Shell, folder: Path, tmp_path: Path, data_dir: Path
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    for arguments, said in (
        ((empty,), f"there is no picture in the folder {empty}"),
        ((folder, "-o", tmp_path / "out.mp4"), "several pictures make several clips; give a folder"),
        ((folder, "--motion-bucket-id", "9999"), "motion_bucket_id must be a whole number"),
    ):
        code, out, err = shell("generate", *arguments, *SMALL)
        assert (code, out) == (2, "")
        assert said in err
        assert err.count("\n") == 1
    with Lab(data_dir) as lab:
        assert lab.history.runs() == []
