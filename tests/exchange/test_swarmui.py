"""SwarmUI's own parameters, out of a picture's texts and out of the file beside it."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from svdlab.errors import BadInput
from svdlab.exchange.restore import Restored, restore
from svdlab.lab.lab import Lab

GIVEN = {
    "prompt": "a pond",
    "model": "sd_xl_base_1.0",
    "seed": 31295,
    "steps": 20,
    "width": 1344,
    "height": 768,
    "videomodel": "svd_xt",
    "videoframes": 21,
    "videosteps": 17,
    "videocfg": 3.3,
    "videomincfg": 1.4,
    "videofps": 9,
    "videomotionbucket": 201,
    "videoaugmentationlevel": 0.07,
    "videoresolution": "Model Preferred",
    "swarm_version": "0.9.7",
}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


def text_of(given: dict[str, Any]) -> str:
    return json.dumps({"sui_image_params": given, "sui_extra_data": {"date": "2026-01-01"}})


def in_png(text: str) -> bytes:
    out, info = io.BytesIO(), PngInfo()
    info.add_text("parameters", text)
    Image.new("RGB", (16, 16)).save(out, "PNG", pnginfo=info)
    return out.getvalue()


def in_exif(kind: str, text: str) -> bytes:
    out, exif = io.BytesIO(), Image.Exif()
    exif[0x8769] = {0x9286: b"UNICODE\0" + text.encode("utf-16-be")}
    Image.new("RGB", (16, 16)).save(out, kind, exif=exif.tobytes())
    return out.getvalue()


def told(lab: Lab, **changes: Any) -> Restored:
    given = {name: value for name, value in {**GIVEN, **changes}.items() if value is not ...}
    return restore(lab, text_of(given).encode())


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "beside it"])
def test_the_parameters_are_read_from_every_file_that_swarmui_writes(lab: Lab, kind: str) -> None:
    text = text_of(GIVEN)
    data = {"PNG": lambda: in_png(text), "beside it": text.encode}.get(kind, lambda: in_exif(kind, text))()
    found = restore(lab, data)
    s = found.settings
    assert (found.origin, found.checkpoint) == ("SwarmUI parameters", "svd-xt")
    assert (s.width, s.height, s.num_frames, s.num_inference_steps) == (1024, 576, 21, 17)
    assert (s.fps, s.motion_bucket_id, s.noise_aug_strength, s.playback_fps) == (9, 201, 0.07, 9.0)
    assert (s.min_guidance_scale, s.max_guidance_scale, s.seed) == (1.4, 3.3, 31337)  # SwarmUI adds 42
    assert "The picture that the clip starts from is not in the file; drop it in as well." in found.notes


def test_what_was_not_set_by_hand_is_as_swarmui_has_it_and_that_is_said(lab: Lab) -> None:
    found = told(lab, videofps=..., videomotionbucket=..., videocfg=...)
    assert (found.settings.fps, found.settings.motion_bucket_id, found.settings.max_guidance_scale) == (
        6,
        127,
        2.5,
    )
    [said] = [note for note in found.notes if "by default: " in note and "max_guidance" in note]
    assert said.endswith("max_guidance_scale 2.5, fps 6, motion_bucket_id 127.")


@pytest.mark.parametrize(
    ("given", "size"),
    [
        ({"videoresolution": "Image", "width": 640, "height": 384}, (640, 384)),
        ({"videoresolution": "Image Aspect, Model Res", "width": 1024, "height": 1024}, (768, 768)),
        ({"videoresolution": "Image Aspect, Model Res", "width": 768, "height": 1344}, (576, 1024)),
        ({"videoresolution": "Image Aspect, Model Res"}, (1024, 576)),
    ],
)
def test_the_size_is_worked_out_as_swarmui_does(
    lab: Lab, given: dict[str, Any], size: tuple[int, int]
) -> None:
    s = told(lab, **given).settings
    assert (s.width, s.height) == size


def test_guidance_that_is_the_same_for_all_frames(lab: Lab) -> None:
    assert told(lab, videomincfg=-1).settings.min_guidance_scale == 3.3


@pytest.mark.parametrize("seed", ["x", None, -1, [5], True])
def test_a_seed_that_is_none_is_lost_and_said(lab: Lab, seed: Any) -> None:
    found = told(lab, seed=seed)
    assert found.settings.seed == 42
    assert found.notes[0].endswith(", so seed is 42 here.")


def test_an_unknown_model_is_said(lab: Lab) -> None:
    found = told(lab, videomodel="<b>dream</b>")
    assert found.checkpoint is None
    assert "There is no checkpoint ?b?dream??b? here; choose another, or add that file." in found.notes


@pytest.mark.parametrize("model", [..., "", 5, None, ["svd"]])
def test_a_picture_that_became_no_clip_is_one_sentence(lab: Lab, model: Any) -> None:
    with pytest.raises(BadInput, match="have no video model"):
        told(lab, videomodel=model)


@pytest.mark.parametrize("value", [None, [], {}, "x", True, float("nan"), 1e999])
def test_values_of_any_kind_give_settings_that_can_be_rendered(lab: Lab, value: Any) -> None:
    for name in GIVEN:
        if name != "videomodel":
            found = told(lab, **{name: value})
            lab.recipe("svd-xt", "ab" * 32, found.settings)
            assert not any({"<", "{", "["} & set(note) or "None" in note for note in found.notes)


def test_a_workflow_in_the_same_file_goes_before_the_parameters(lab: Lab) -> None:
    from tests.exchange.comfyui.told import api

    whole = {**json.loads(text_of(GIVEN | {"videosteps": 99})), "prompt": api()}
    assert restore(lab, json.dumps(whole).encode()).settings.num_inference_steps == 17


def test_the_consistency_sampler_is_a_schedule_here(lab: Lab) -> None:
    found = told(lab, sampler="lcm")
    assert found.settings.schedule == "lcm"
    assert any("other noise levels" in note for note in found.notes)
    assert not any("always euler" in note for note in found.notes)
