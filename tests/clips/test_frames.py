"""A clip survives the trip into numbered PNGs and back, and an archive from outside cannot do harm."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from svdlab.clips.frames import read_frames_zip, write_frames_dir, write_frames_zip
from svdlab.errors import BadVideo
from tests.clips.made_clips import patches


def test_frames_come_back_from_the_archive_without_loss(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, 16, 24, 3), dtype=np.uint8)
    for name in ("a.zip", "b.zip"):
        write_frames_zip(tmp_path / name, frames, '{"seed": 1}')
    assert (read_frames_zip(tmp_path / "a.zip") == frames).all()
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.namelist() == ["frame_000.png", "frame_001.png", "frame_002.png", "recipe.json"]
        assert archive.read("recipe.json") == b'{"seed": 1}'


@pytest.mark.parametrize("content", [b"", b"PK\3\4 no archive", None], ids=["empty", "damaged", "missing"])
def test_a_broken_archive_is_bad_video(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(BadVideo, match=r"a\.zip"):
        read_frames_zip(tmp_path / "a.zip")


def test_an_archive_without_frames_is_bad_video(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("notes.txt", "nothing")
    with pytest.raises(BadVideo):
        read_frames_zip(tmp_path / "a.zip")


def test_frames_go_into_a_folder_in_order(tmp_path: Path) -> None:
    paths = write_frames_dir(tmp_path / "new" / "frames", patches(3))
    assert [path.name for path in paths] == ["frame_000.png", "frame_001.png", "frame_002.png"]
    for path, frame in zip(paths, patches(3), strict=True):
        with Image.open(path) as image:
            assert (np.asarray(image) == frame).all()
