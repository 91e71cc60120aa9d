"""The catalogue and what it makes of settings."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from svdlab.errors import BadCheckpoint, BadSettings, NotFound
from svdlab.recipes import limits
from svdlab.weights.availability import availability
from svdlab.weights.catalogue import Catalogue
from svdlab.weights.layouts.folders import read_layout
from svdlab.weights.sources.folder import local_checkpoint

CATALOGUE = Catalogue()


def test_the_catalogue_names_the_articles_models_and_the_demo_pair() -> None:
    assert {c.id for c in CATALOGUE} == {
        "demo-1-0",
        "demo-1-1",
        "svd",
        "svd-xt",
        "svd-xt-image-decoder",
        "svd-xt-1-1",
    }


@pytest.mark.parametrize("checkpoint", list(CATALOGUE), ids=lambda c: c.id)
def test_official_settings_are_possible_and_need_no_notes(checkpoint) -> None:
    settings = limits.defaults_for(checkpoint)
    assert limits.check(checkpoint, settings) == ()
    assert settings.num_frames == checkpoint.native_frames
    assert checkpoint.licence
    assert checkpoint.summary
    assert checkpoint.limits


def test_an_unknown_id_is_answered_with_the_known_ones() -> None:
    with pytest.raises(NotFound, match="no checkpoint 'svd-2'; there are demo-1-0"):
        CATALOGUE.get("svd-2")


def test_sizes_must_fit_the_networks_levels() -> None:
    xt = CATALOGUE.get("svd-xt")
    with pytest.raises(
        BadSettings, match="width must be a multiple of 64 for svd-xt, got 1000; try 960 or 1024"
    ) as no:
        limits.check(xt, limits.defaults_for(xt).but(width=1000))
    assert no.value.field == "width"


def test_a_decoder_the_checkpoint_lacks_is_refused() -> None:
    xt = CATALOGUE.get("svd-xt")
    with pytest.raises(BadSettings, match="decoder must be temporal for svd-xt, got image"):
        limits.check(xt, limits.defaults_for(xt).but(decoder="image"))


def test_more_frames_than_can_be_decoded_are_refused_with_the_number_that_can() -> None:
    xt = CATALOGUE.get("svd-xt")
    settings = limits.defaults_for(xt).but(width=2048, height=2048, num_frames=64)
    with pytest.raises(BadSettings, match="num_frames must be at most 32"):
        limits.check(xt, settings)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"fps": 24}, "fps"),
        ({"motion_bucket_id": 200}, "motion_bucket_id"),
        ({"num_frames": 14}, "num_frames"),
        ({"width": 768}, "width"),
        ({"noise_aug_strength": 2}, "noise_aug_strength"),
        ({"schedule": "ays", "num_inference_steps": 12}, "schedule"),
    ],
)
def test_leaving_what_it_was_trained_for_is_allowed_and_said(change: dict, field: str) -> None:
    tuned = CATALOGUE.get("svd-xt-1-1")
    notes = limits.check(tuned, limits.defaults_for(tuned).but(**change))
    assert [note.field for note in notes] == [field]
    assert notes[0].sentence.endswith(".")


FEW = {
    "schedule": "lcm",
    "num_inference_steps": 4,
    "min_guidance_scale": 1.0,
    "max_guidance_scale": 1.0,
}


def test_a_consistency_sampler_has_at_most_the_steps_it_was_distilled_from() -> None:
    xt = CATALOGUE.get("svd-xt")
    few = limits.defaults_for(xt).but(**FEW)
    assert [note.field for note in limits.check(xt, few)] == ["schedule"]
    assert "not known to be" in limits.check(xt, few)[0].sentence
    limits.check(xt, few.but(num_inference_steps=40))
    with pytest.raises(
        BadSettings, match="num_inference_steps must be at most 40 with the schedule lcm, got 41"
    ):
        limits.check(xt, few.but(num_inference_steps=41))


def test_weights_distilled_to_few_steps_say_when_they_are_sampled_otherwise() -> None:
    xt = CATALOGUE.get("svd-xt")
    distilled = replace(xt, official={**xt.official, **FEW})
    own = limits.defaults_for(distilled)
    assert not limits.check(distilled, own)
    for change, field in (
        ({"num_inference_steps": 12}, "num_inference_steps"),
        ({"max_guidance_scale": 2.0}, "max_guidance_scale"),
        ({"schedule": "karras"}, "schedule"),
    ):
        assert [note.field for note in limits.check(distilled, own.but(**change))] == [field]


def test_one_dot_one_is_tuned_at_what_stabilitys_scripts_send() -> None:
    tuned = CATALOGUE.get("svd-xt-1-1")
    assert limits.defaults_for(tuned).conditioning_fps == 6 == tuned.tuned_fps
    assert limits.defaults_for(tuned).motion_bucket_id == 127


def test_without_stabilitys_weights_the_demo_pair_is_compared(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert [c.id for c in Catalogue().pair()] == ["demo-1-0", "demo-1-1"]
    assert Catalogue().default().id == "demo-1-1"


def test_availability_says_what_to_do() -> None:
    assert availability(CATALOGUE.get("demo-1-0")).state == "embedded"
    offline = availability(CATALOGUE.get("svd"))  # the tests run with HF_HUB_OFFLINE=1
    assert offline.state == "offline"
    assert "unset it" in offline.sentence
    assert not offline.ready


def test_a_users_own_folder_becomes_a_checkpoint() -> None:
    folder = Path(CATALOGUE.get("demo-1-0").source.location)
    own = local_checkpoint(folder, "mine")
    assert (own.id, own.size_step) == ("mine", CATALOGUE.get("demo-1-0").size_step)
    assert availability(own).ready


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"block_out_channels": "x", "num_frames": 1}'])
def test_a_folder_that_is_no_svd_is_refused_by_name(tmp_path: Path, content: str) -> None:
    for part in ("unet", "vae"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "config.json").write_text(content)
    with pytest.raises(BadCheckpoint, match="is not a Stable Video Diffusion folder"):
        read_layout(tmp_path)


def test_the_size_step_is_derived_from_the_configuration(tmp_path: Path) -> None:
    configs = {
        "unet": {"block_out_channels": [320, 640, 1280, 1280], "num_frames": 25, "out_channels": 4},
        "vae": {"block_out_channels": [128, 256, 512, 512]},
    }
    for part, config in configs.items():
        (tmp_path / part).mkdir()
        (tmp_path / part / "config.json").write_text(json.dumps(config))
    assert read_layout(tmp_path).size_step == 64
