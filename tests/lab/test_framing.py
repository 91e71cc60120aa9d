"""A picture gets the native size that fits its shape unless told otherwise, and what a crop cuts is said."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from svdlab.cli import main
from svdlab.lab.framing import crop_note, native_sizes, shaped, size_for
from svdlab.lab.lab import Lab
from svdlab.lab.pictures import StoredPicture


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with Lab(tmp_path / "data") as lab:
        yield lab


def kept(lab: Lab, width: int, height: int) -> StoredPicture:
    return lab.add_picture(Image.new("RGB", (width, height), "teal"))


@pytest.mark.parametrize(
    ("picture", "size"),
    [
        ((4000, 3000), (1024, 576)),
        ((3000, 4000), (576, 1024)),
        ((1080, 1920), (576, 1024)),
        ((1000, 1000), (1024, 576)),
        ((1000, 1001), (576, 1024)),
        ((4096, 16), (1024, 576)),
    ],
)
def test_the_native_size_is_turned_for_an_upright_picture(
    lab: Lab, picture: tuple[int, int], size: tuple[int, int]
) -> None:
    assert size_for(lab.catalogue.get("svd-xt"), picture) == size


def test_the_demo_pair_turns_its_own_size(lab: Lab) -> None:
    pair = lab.catalogue.get("demo-1-1")
    assert native_sizes(pair) == ((256, 144), (144, 256))
    assert size_for(pair, (1080, 1920)) == (144, 256)


def test_settings_for_a_picture_take_its_shape_unless_a_size_was_asked_for(lab: Lab) -> None:
    upright = kept(lab, 90, 160)
    made = lab.settings("svd", {"fps": 8}, seed=1, picture=upright)
    assert (made.width, made.height, made.fps) == (576, 1024, 8)
    told = lab.settings("svd", {"width": "1024"}, seed=1, picture=upright)
    assert (told.width, told.height) == (1024, 576)
    assert lab.settings("svd", seed=1).width == 1024
    official = lab.settings("svd", seed=1)
    assert shaped(lab.catalogue.get("svd"), official, (90, 160), {"height"}) == official


def test_both_sides_of_a_comparison_take_the_pictures_shape(lab: Lab) -> None:
    for one in lab.comparison_recipes(kept(lab, 90, 160), "demo-1-0", "demo-1-1", seed=1):
        assert (one.settings.width, one.settings.height) == (144, 256)


def test_what_a_crop_leaves_out_is_said_with_what_would_leave_out_less(lab: Lab) -> None:
    svd = lab.catalogue.get("svd")
    settings = lab.settings("svd", seed=1)
    note = crop_note(svd, settings, (3000, 4000))
    assert note is not None
    assert note.sentence == "The crop leaves out 58% of the picture; 576×1024 would leave out 25%."
    square = crop_note(svd, settings, (1000, 1000))
    assert square is not None
    assert square.sentence == "The crop leaves out 44% of the picture; fit pad keeps all."
    assert crop_note(svd, settings, (1920, 1080)) is None
    assert crop_note(svd, settings.but(fit="pad"), (3000, 4000)) is None


def test_the_shell_turns_the_clip_and_says_what_is_cut(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.radial_gradient("L").resize((150, 200)).save(tmp_path / "upright.png")
    small = ["--num-frames", "2", "--num-inference-steps", "1", "--seed", "1", "--json"]
    command = [
        "generate",
        str(tmp_path / "upright.png"),
        "-c",
        "demo-1-0",
        "--data-dir",
        str(tmp_path / "data"),
    ]
    assert main([*command, *small]) == 0
    said = capsys.readouterr()
    settings = json.loads(said.out)["recipe"]["settings"]
    assert (settings["width"], settings["height"]) == (144, 256)
    assert "Note: The crop leaves out 25% of the picture; fit pad keeps all." in said.err
    assert main([*command, *small, "--width", "256", "--height", "144"]) == 0
    assert "leaves out 58% of the picture; 144×256 would leave out 25%" in capsys.readouterr().err
