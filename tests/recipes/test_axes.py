"""Axes as people write them: lists, ranges, steps, drawn seeds; and one sentence for what is wrong."""

from __future__ import annotations

import pytest

from svdlab.errors import BadInput, BadSettings
from svdlab.recipes.axes import MAX_VALUES, NAMES, Axis, axis_of, read_axis
from svdlab.recipes.settings import KNOBS


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("motion_bucket_id=20, 80, 127", (20, 80, 127)),
        ("motion-bucket-id=20", (20,)),
        ("seed=1..4", (1, 2, 3, 4)),
        ("fps=8..6", (8, 7, 6)),
        ("motion_bucket_id=1..255[6]", (1, 52, 103, 153, 204, 255)),
        ("motion_bucket_id=0..100+20", (0, 20, 40, 60, 80, 100)),
        ("motion_bucket_id=0..100+30, 7", (0, 30, 60, 90, 7)),
        ("noise_aug_strength=0..0.3+0.1", (0.0, 0.1, 0.2, 0.3)),
        ("max_guidance_scale=1.0..3.0[4]", (1.0, 1.6667, 2.3333, 3.0)),
        ("schedule=karras,ays", ("karras", "ays")),
        ("playback_fps=none, 6", (None, 6.0)),
        ("checkpoint=demo-1-0,demo-1-1", ("demo-1-0", "demo-1-1")),
    ],
)
def test_an_axis_has_the_values_that_are_written(text: str, values: tuple[object, ...]) -> None:
    assert read_axis(text).values == values


@pytest.mark.parametrize("text", ["1..9", "9..1", "0..100+20", "20, 80, 127", "1, 2, 3", "1, 2, 4, 5", "7"])
def test_values_are_written_as_they_are_read(text: str) -> None:
    assert axis_of("seed" if text[0] != "9" else "fps", text).text == text


def test_drawn_seeds_are_seeds_and_stay_what_they_are() -> None:
    drawn = read_axis("seed=random[3], 7").values
    assert len(set(drawn)) == 4
    assert drawn[-1] == 7
    assert all(isinstance(seed, int) and 0 <= seed < 2**32 for seed in drawn)


def test_every_knob_is_an_axis_and_reads_what_it_says() -> None:
    for name, knob in KNOBS.items():
        axis = Axis(name, tuple({knob.default: 0, **dict.fromkeys(knob.choices)}))
        assert axis_of(name, axis.text) == axis
        assert axis.label == knob.label
    assert set(NAMES) == {*KNOBS, "checkpoint", "lora", "preset", "picture"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("motion_bukcet=3", "there is no knob called 'motion_bukcet'; did you mean motion_bucket_id?"),
        ("seed", "an axis is a name and its values, as in motion_bucket_id=20,80,127, got 'seed'"),
        ("seed=", "seed has no values; give some, as in seed=1..4"),
        ("seed=1,,2", "a value of seed is missing"),
        ("seed=1..1000000", f"seed has 1,000,000 values, and an axis may have {MAX_VALUES:,}"),
        ("seed=random[99999]", "seed has 99,999 values"),
        ("fps=99", "fps must be a whole number from 1 to 60, got '99'"),
        ("fps=1..99", "fps must be a whole number from 1 to 60, got 61"),
        ("fps=1..3[9]", "fps has no 9 different values from 1 to 3, only 3"),
        ("fps=1..3[1]", "fps needs 2 values or more"),
        ("fps=1..9+0", "fps needs a step above 0"),
        ("width=5..x", "width has a range that cannot be read; write 1..10, 0..100+20 or 1..255[6]"),
        ("schedule=1..3", "schedule must be karras or ays or lcm, got '1..3'"),
        ("max_guidance_scale=1.5..3", "needs a step or a count between 1.5 and 3"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(text: str, said: str) -> None:
    with pytest.raises(BadInput) as error:
        read_axis(text)
    assert said in str(error.value)
    assert isinstance(error.value, BadSettings) or "\n" not in str(error.value)


def test_values_are_shown_with_their_units_and_pictures_by_their_names() -> None:
    assert read_axis("fps=6,8").shown(1) == "8 fps"
    assert read_axis("playback_fps=none,6").shown(0) == "not given"
    assert Axis("picture", ("a" * 64,), ("beach",)).shown(0) == "beach"
