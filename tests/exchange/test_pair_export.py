"""A comparison as one file: whole, under a telling name, of what is there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from svdlab.clips.video import read_mp4_frames
from svdlab.errors import BadInput, NotFound
from svdlab.exchange.pair_export import file_name, write_pair
from svdlab.lab.lab import Lab
from tests.made import SMALL, make_pair, picture_of


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with Lab(tmp_path / "data") as lab:
        yield lab


def test_both_sides_stand_beside_each_other_and_nothing_else_is_left(lab: Lab, tmp_path: Path) -> None:
    pair, out = make_pair(lab), tmp_path / "out"
    out.mkdir()
    path = write_pair(lab, pair, out / file_name(pair))
    frames, _ = read_mp4_frames(path)
    assert len(frames) == SMALL["num_frames"]
    assert frames.shape[2] > 2 * SMALL["width"]
    assert list(path.parent.iterdir()) == [path]
    assert path.name.startswith("svdlab-demo-1-0-beside-demo-1-1-")


def test_a_pair_that_is_not_rendered_has_no_file(lab: Lab, tmp_path: Path) -> None:
    recipes = lab.comparison_recipes(lab.add_picture(picture_of(0)), seed=1, changes=SMALL)
    with pytest.raises(NotFound, match="both sides must be rendered first"):
        write_pair(lab, lab.submit_comparison(*recipes), tmp_path / "pair.mp4")
    assert not (tmp_path / "pair.mp4").exists()


def test_a_kind_there_is_not_gets_a_sentence(lab: Lab) -> None:
    with pytest.raises(BadInput, match=r"a pair can be exported as mp4 or webp, got 'exe'"):
        file_name(make_pair(lab), "exe")
