"""The knobs: declared once, refused in one sentence."""

from __future__ import annotations

import json
import math

import pytest

from svdlab.errors import BadSettings
from svdlab.recipes.settings import KNOBS, MAX_SEED, GenerationSettings, resolve_seed

BAD_VALUES = {
    "motion_bucket_id": ["lots", -1, 1024, 12.5, math.nan, True],
    "fps": [0, 61, "6 fps", math.inf, None],
    "num_frames": [1, 129, "", 2.5],
    "seed": [-1, 2**32, 2**63, "seven", 0.5],
    "noise_aug_strength": [-0.1, 10.1, math.nan, "none"],
    "num_inference_steps": [0, 201],
    "min_guidance_scale": [-1, 21, math.inf],
    "max_guidance_scale": [-1, 21, math.nan],
    "schedule": ["linear", "", 3],
    "feature_reuse": [0, 11, 1.5, math.nan],
    "width": [63, 2049, "wide"],
    "height": [0, 10**9],
    "fit": ["cover"],
    "focus_x": [-0.1, 1.1, math.nan],
    "focus_y": [2, "top"],
    "decoder": ["both"],
    "decode_chunk_size": [0, 129, "all"],
    "playback_fps": [0, 61, math.nan],
}


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, vs in BAD_VALUES.items() for v in vs])
def test_an_impossible_value_is_refused_with_one_sentence_naming_the_knob(name: str, value: object) -> None:
    with pytest.raises(BadSettings) as refused:
        GenerationSettings.parse({name: value})
    sentence = str(refused.value)
    assert refused.value.field == name
    assert sentence.startswith(f"{name} must be ")
    assert "\n" not in sentence
    assert len(sentence) < 160


def test_every_knob_has_its_bad_values_tested() -> None:
    assert set(BAD_VALUES) == set(KNOBS)


@pytest.mark.parametrize("knob", KNOBS.values(), ids=KNOBS.keys())
def test_every_knob_says_what_it_is(knob) -> None:
    assert knob.label
    assert knob.help.endswith(".")
    assert len(knob.help) < 120
    if knob.kind != "choice":
        assert knob.minimum is not None
        assert knob.maximum is not None
        assert (
            knob.minimum <= knob.usual[0] < knob.usual[1] <= knob.maximum
            if knob.usual
            else knob.name == "seed"
        )


def test_an_unknown_knob_is_named_with_the_known_ones() -> None:
    with pytest.raises(BadSettings, match=r"no knob called 'motion'.*motion_bucket_id"):
        GenerationSettings.parse({"motion": 3})


def test_values_as_text_boxes_and_flags_give_them_are_read() -> None:
    read = GenerationSettings.parse(
        {"fps": "8", "seed": str(MAX_SEED), "decode_chunk_size": "", "num_frames": 25.0}
    )
    assert (read.fps, read.seed, read.decode_chunk_size, read.num_frames) == (8, MAX_SEED, None, 25)


def test_guidance_that_needs_a_missing_branch_is_refused() -> None:
    with pytest.raises(BadSettings, match="max_guidance_scale must be above 1"):
        GenerationSettings.parse({"min_guidance_scale": 2, "max_guidance_scale": 1})
    assert not GenerationSettings.parse({"min_guidance_scale": 1, "max_guidance_scale": 1}).guided


def test_the_three_rates_are_kept_apart() -> None:
    asked = GenerationSettings(fps=6)
    assert (asked.fps, asked.conditioning_fps, asked.effective_playback_fps) == (6, 5, 6.0)
    assert asked.but(playback_fps=12).conditioning_fps == 5
    assert asked.but(playback_fps=12, num_frames=24).duration == 2.0


def test_settings_survive_json_and_know_their_differences() -> None:
    one = GenerationSettings(seed=MAX_SEED, noise_aug_strength=0.1, playback_fps=7.5)
    again = GenerationSettings.model_validate(json.loads(one.model_dump_json()))
    assert again == one
    assert hash(again) == hash(one)
    assert one.differences(one.but(fps=9)) == {"fps": (6, 9)}


def test_a_stored_seed_of_more_than_32_bits_stays_as_it_is_and_cannot_be_asked_for() -> None:
    old = GenerationSettings.model_validate({"seed": 2**40 + 7})
    assert old.but(fps=9).seed == old.seed == 2**40 + 7
    assert old.drawn_seed == GenerationSettings(seed=7).drawn_seed == 7
    with pytest.raises(
        BadSettings, match="seed must be a whole number from 0 to 4294967295, got 1099511627783"
    ):
        old.but(seed=old.seed)


@pytest.mark.parametrize("open_seed", [None, "", "random", -1, " Random "])
def test_an_open_seed_is_drawn_anew(open_seed: object) -> None:
    assert len({resolve_seed(open_seed) for _ in range(8)}) > 1


def test_a_given_seed_is_kept() -> None:
    assert resolve_seed("17") == 17


def test_a_value_is_said_with_its_unit() -> None:
    said = [
        KNOBS[name].said(value)
        for name, value in (("fps", 1), ("num_inference_steps", 1), ("feature_reuse", 2), ("seed", 1))
    ]
    assert said == ["1 fps", "1 step", "2 steps", "1"]
