"""Presets load, suit every checkpoint, and hold the values their sources use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from svdlab.errors import BadPreset, NotFound
from svdlab.recipes import limits
from svdlab.recipes.presets import GROUPS, MAX_PRESET_BYTES, Preset, Presets, load_preset
from svdlab.recipes.settings import GenerationSettings
from svdlab.weights.catalogue import Catalogue

ALL = list(Presets())
COMFYUI: dict[str, Any] = {
    "num_inference_steps": 20,
    "min_guidance_scale": 1.0,
    "max_guidance_scale": 2.5,
    "noise_aug_strength": 0.0,
}
STABILITY: dict[str, Any] = {"fps": 7, "motion_bucket_id": 127, "noise_aug_strength": 0.02}  # fps_id 6
XT: dict[str, Any] = {
    **STABILITY,
    "num_frames": 25,
    "num_inference_steps": 30,
    "min_guidance_scale": 1.5,
    "max_guidance_scale": 3.0,
}
VALUES: dict[str, dict[str, Any]] = {
    "stability-svd": {
        **STABILITY,
        "num_frames": 14,
        "num_inference_steps": 25,
        "min_guidance_scale": 1.0,
        "max_guidance_scale": 2.5,
        "decode_chunk_size": 14,
    },
    "stability-svd-xt": {**XT, "decode_chunk_size": 14},
    "stability-svd-xt-1-1": {**XT, "decode_chunk_size": 14},
    "stability-demo-1-1": {**XT, "decode_chunk_size": 7, "playback_fps": 7.0},
    "diffusers": {
        **STABILITY,
        "num_inference_steps": 25,
        "min_guidance_scale": 1.0,
        "max_guidance_scale": 3.0,
        "decode_chunk_size": None,
    },
    "comfyui": {**COMFYUI, "num_frames": 14, "fps": 6, "motion_bucket_id": 127, "playback_fps": 10.0},
    "ays-10-steps": {"num_inference_steps": 10, "schedule": "ays"},
    "lcm-4-steps": {
        "num_inference_steps": 4,
        "min_guidance_scale": 1.0,
        "max_guidance_scale": 1.0,
        "schedule": "lcm",
    },
    "zerogpu-small": {
        "width": 512,
        "height": 320,
        "num_frames": 14,
        "num_inference_steps": 10,
        "schedule": "ays",
    },
    "article-1-first-run": {**COMFYUI, "num_frames": 14, "fps": 6, "motion_bucket_id": 127},
    "article-2-fps-8-25-frames": {**COMFYUI, "num_frames": 25, "fps": 8, "motion_bucket_id": 127},
    "article-3-bucket-154": {**COMFYUI, "num_frames": 25, "fps": 8, "motion_bucket_id": 154},
    "article-4-pair-6-127": {**COMFYUI, "num_frames": 25, "fps": 6, "motion_bucket_id": 127},
    "article-5-pair-8-135": {**COMFYUI, "num_frames": 25, "fps": 8, "motion_bucket_id": 135},
}


def all_values(preset: str, checkpoint: str) -> dict[str, Any]:
    return Presets().get(preset).settings_for(Catalogue().get(checkpoint)).model_dump()


@pytest.mark.parametrize("preset", ALL, ids=lambda preset: preset.id)
@pytest.mark.parametrize("checkpoint", list(Catalogue()), ids=lambda checkpoint: checkpoint.id)
def test_every_preset_suits_every_checkpoint(preset: Preset, checkpoint: Any) -> None:
    limits.check(checkpoint, preset.settings_for(checkpoint))


@pytest.mark.parametrize("preset", ALL, ids=lambda preset: preset.id)
def test_a_preset_says_what_it_is_and_what_to_look_for(preset: Preset) -> None:
    assert preset.group in GROUPS[:-1]
    assert preset.summary.endswith(".")
    assert len(preset.look_for) > 60
    assert preset.look_for.endswith(".")


@pytest.mark.parametrize("preset", ALL, ids=lambda preset: preset.id)
def test_a_preset_leaves_size_seed_and_crop_alone(preset: Preset) -> None:
    sized = preset.id == "zerogpu-small"  # its size is what it is about
    size = set() if sized else {"width", "height"}
    assert not {*size, "seed", "fit", "focus_x", "focus_y"} & preset.settings.keys()


@pytest.mark.parametrize(("preset", "values"), VALUES.items(), ids=VALUES)
def test_a_preset_has_exactly_its_sources_values(preset: str, values: dict[str, Any]) -> None:
    found = all_values(preset, "svd-xt-1-1")
    assert {name: found[name] for name in values} == values


def test_every_preset_with_a_source_is_held_to_it() -> None:
    assert {preset.id for preset in ALL if preset.group in ("official", "speed", "article")} == set(VALUES)


@pytest.mark.parametrize(
    ("preset", "checkpoint"),
    [("stability-svd", "svd"), ("stability-svd-xt", "svd-xt"), ("stability-svd-xt-1-1", "svd-xt-1-1")],
)
def test_stabilitys_presets_are_the_checkpoints_own_settings(preset: str, checkpoint: str) -> None:
    assert all_values(preset, checkpoint) == limits.defaults_for(Catalogue().get(checkpoint)).model_dump()


def test_comfyuis_six_fps_is_one_less_to_the_model_than_stabilitys() -> None:
    seen = {
        name: Presets().get(name).settings_for(Catalogue().get("svd")).conditioning_fps
        for name in ("comfyui", "stability-svd", "diffusers")
    }
    assert seen == {"comfyui": 5, "stability-svd": 6, "diffusers": 6}


@pytest.mark.parametrize("preset", ["article-4-pair-6-127", "article-5-pair-8-135"])
def test_the_articles_pairs_name_their_checkpoints(preset: str) -> None:
    assert Presets().get(preset).compare == ("svd-xt-image-decoder", "svd-xt-1-1")


def test_compared_checkpoints_are_in_the_catalogue() -> None:
    for preset in ALL:
        for id in preset.compare or ():
            Catalogue().get(id)


def test_presets_come_group_by_group() -> None:
    groups = [GROUPS.index(preset.group) for preset in ALL]
    assert groups == sorted(groups)
    assert {preset.group for preset in ALL} == {"official", "speed", "motion", "article"}


def test_low_motion_is_calmer_than_high_motion() -> None:
    low, high = all_values("low-motion", "svd-xt"), all_values("high-motion", "svd-xt")
    assert low["motion_bucket_id"] < 127 < high["motion_bucket_id"]
    assert low["noise_aug_strength"] < high["noise_aug_strength"]


def test_a_decoder_the_checkpoint_lacks_is_left_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "sharp.toml"
    file.write_text('name = "Sharp"\nsummary = "s"\n[settings]\ndecoder = "image"\n', encoding="utf-8")
    preset = load_preset(file)
    assert preset.settings_for(Catalogue().get("svd-xt")).decoder == "temporal"
    assert preset.settings_for(Catalogue().get("svd-xt-image-decoder")).decoder == "image"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name = ", "not valid TOML"),
        ('name = "x"', "summary"),
        ('name = "x"\nsummary = "s"\nwhat = 1', "what"),
        ('name = "x"\nsummary = "s"\n[settings]\nfpss = 6', "no knob called 'fpss'"),
        ('name = "x"\nsummary = "s"\n[settings]\nfps = 0', "fps must be a whole number from 1 to 60, got 0"),
        ('name = "x"\nsummary = "s"\ngroup = "mine"', "group"),
        ('name = "x"\nsummary = "s"\n# ' + "x" * MAX_PRESET_BYTES, "larger than"),
    ],
    ids=["toml", "missing", "unknown key", "unknown knob", "bad value", "bad group", "too large"],
)
def test_a_broken_preset_is_named_with_its_defect(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(BadPreset, match=r"mine\.toml") as caught:
        load_preset(file)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadPreset, match=r"mine\.toml"):
        load_preset(file)


def test_an_unknown_preset_is_answered_with_those_there_are() -> None:
    with pytest.raises(NotFound, match="ays-10-steps"):
        Presets().get("nope")


def test_an_empty_value_means_all_frames() -> None:
    chosen = Presets().get("diffusers")
    assert chosen.settings["decode_chunk_size"] == ""
    assert GenerationSettings.parse(chosen.settings).decode_chunk_size is None
