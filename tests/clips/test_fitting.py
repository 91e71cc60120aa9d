"""A crop, a padding and a stretch cover exactly what the table of cases says, in sizes and in pixels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from svdlab.clips.fitting import cut_share, fit_box, fit_picture, pad_box
from svdlab.clips.pictures import picture_from_image
from svdlab.errors import BadPicture
from tests.clips.made_pictures import scene

CASES = json.loads((Path(__file__).parent / "crop_cases.json").read_text("utf-8"))["cases"]


def of(case: dict[str, Any]) -> str:
    """A case's name in pytest's list."""
    shape = "x".join(map(str, case["picture"])) + " in " + "x".join(map(str, case["clip"]))
    return f"{case['fit']} {shape} at {case['focus']}"


@pytest.mark.parametrize("case", CASES, ids=of)
def test_every_case_of_the_table_covers_what_it_says(case: dict[str, Any]) -> None:
    width, height = case["picture"]
    if case["fit"] == "crop":
        assert fit_box(width, height, *case["clip"], *case["focus"]) == tuple(case["box"])
    else:
        assert case["box"] == [0, 0, width, height]
    if case["fit"] == "pad":
        assert pad_box(width, height, *case["clip"]) == tuple(case["place"])
    else:
        assert case["place"] == [0, 0, *case["clip"]]


@pytest.mark.parametrize("case", [case for case in CASES if max(case["picture"]) < 2000], ids=of)
def test_the_pixels_are_those_of_the_table(case: dict[str, Any]) -> None:
    (width, height), clip = case["picture"], tuple(case["clip"])
    picture = Image.effect_noise((width, height), 90).convert("RGB")
    part, place = tuple(case["box"]), tuple(case["place"])
    wanted = Image.new("RGB", clip)
    size = place[2] - place[0], place[3] - place[1]
    wanted.paste(picture.resize(size, Image.Resampling.LANCZOS, box=part), place[:2])
    assert fit_picture(picture, *clip, case["fit"], *case["focus"]).tobytes() == wanted.tobytes()


def test_a_portrait_picture_loses_two_thirds_at_the_landscape_size() -> None:
    assert cut_share(1080, 1920, 1024, 576) == pytest.approx(1 - (9 / 16) ** 2, abs=1e-3)
    assert cut_share(1080, 1920, 576, 1024) == 0
    assert cut_share(1920, 1080, 1024, 576) == 0


@pytest.mark.parametrize("focus", [float("nan"), float("inf"), -0.01, 1.01])
def test_an_impossible_focus_is_refused_by_name(focus: float) -> None:
    with pytest.raises(BadPicture, match="focus_x must be between 0 and 1"):
        fit_box(100, 100, 64, 64, focus, 0.5)
    with pytest.raises(BadPicture, match="focus_y must be between 0 and 1"):
        fit_picture(scene(), 64, 64, "pad", 0.5, focus)


def test_impossible_sizes_and_fits_are_refused() -> None:
    with pytest.raises(BadPicture, match="target_width"):
        fit_box(100, 100, 0, 64)
    with pytest.raises(BadPicture, match="crop, pad or stretch"):
        fit_picture(scene(), 64, 64, "squash")


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("size", [(1024, 576), (576, 1024), (64, 64), (1, 1)])
@pytest.mark.parametrize("source", [(48, 32), (400, 20), (16, 900)])
def test_every_fit_gives_exactly_the_size(fit: str, size: tuple[int, int], source: tuple[int, int]) -> None:
    fitted = fit_picture(scene(*source), *size, fit)
    assert fitted.size == size
    assert fitted.mode == "RGB"


def test_crop_cuts_pad_adds_black_bars_and_stretch_keeps_all() -> None:
    wide = Image.new("RGB", (200, 100), "red")
    wide.paste("blue", (190, 0, 200, 100))
    assert fit_picture(wide, 64, 64, "crop").getpixel((63, 32)) == (255, 0, 0)
    assert fit_picture(wide, 64, 64, "crop", 1.0).getpixel((63, 32)) == (0, 0, 255)
    assert fit_picture(wide, 64, 64, "stretch").getpixel((63, 32)) == (0, 0, 255)
    padded = fit_picture(wide, 64, 64, "pad")
    assert padded.getpixel((32, 2)) == padded.getpixel((32, 61)) == (0, 0, 0)
    assert padded.getpixel((10, 32)) == (255, 0, 0)
    assert padded.getpixel((63, 32)) == (0, 0, 255)


def test_a_picture_of_the_right_size_is_not_touched() -> None:
    exact = picture_from_image(Image.effect_noise((128, 64), 80)).image
    for fit in ("crop", "pad", "stretch"):
        assert fit_picture(exact, 128, 64, fit).tobytes() == exact.tobytes()
