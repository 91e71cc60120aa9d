"""A picture is kept whole or not at all, and decoded once on its way in."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from svdlab.clips.pictures import load_picture
from svdlab.lab.lab import Lab
from tests.clips.made_pictures import encoded, scene


@contextmanager
def decoders() -> Iterator[list[Any]]:
    """The decoders of files that Pillow runs meanwhile, each once."""
    run: list[Any] = []

    def see(frame: Any, event: str, called: Any) -> None:
        if (
            event == "c_call" and called.__name__ == "decode" and frame.f_code.co_name == "load"
        ):  # not of raw rows
            run.extend([called.__self__] if not any(called.__self__ is one for one in run) else [])

    before = sys.getprofile()
    sys.setprofile(see)
    try:
        yield run
    finally:
        sys.setprofile(before)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with Lab(tmp_path / "data") as lab:
        yield lab


def test_a_picture_is_decoded_once_though_it_is_kept_and_comes_again(lab: Lab) -> None:
    jpeg = encoded(scene(), "JPEG")
    with decoders() as run:
        picture = load_picture(jpeg)
        stored = lab.add_picture(picture)
        assert lab.add_picture(picture) == stored
        assert lab.picture(stored.sha256).width == 48
    assert len(run) == 1
    with decoders() as run:
        assert lab.add_picture(jpeg) == stored
    assert len(run) == 1


@pytest.mark.parametrize("harm", ["cut", "one bit", "another size"])
def test_a_kept_file_that_is_not_whole_is_written_again(lab: Lab, harm: str) -> None:
    stored = lab.add_picture(encoded(scene()))
    whole = stored.path.read_bytes()
    if harm == "another size":
        Image.new("RGB", (20, 20)).save(stored.path)
    else:
        stored.path.write_bytes(
            whole[:-20] if harm == "cut" else whole[:60] + bytes([whole[60] ^ 1]) + whole[61:]
        )
    assert lab.add_picture(encoded(scene())) == stored
    assert stored.path.read_bytes() == whole
