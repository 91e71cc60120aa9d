"""Workflows that we write: pixel for pixel what we do ourselves, and readable for ever."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from svdlab.clips.fitting import fit_picture
from svdlab.exchange.comfyui import read_workflow, write_workflow
from svdlab.exchange.restore import restore
from svdlab.lab.lab import Lab
from svdlab.recipes.records import Recipe
from svdlab.recipes.settings import GenerationSettings
from svdlab.weights.catalogue import Catalogue

WRITTEN = sorted((Path(__file__).parent.parent / "written_by_0_1").glob("*.json"))
SIZES = [
    (1200, 900),
    (900, 1200),
    (1023, 577),
    (577, 1023),
    (333, 331),
    (4096, 100),
    (17, 900),
    (1024, 576),
    (64, 64),
]
TARGETS = [(1024, 576), (576, 1024), (832, 448), (256, 256), (320, 192)]


def written(size: tuple[int, int] | None, **changes: Any) -> dict[str, Any]:
    settings = GenerationSettings.parse(changes)
    recipe = Recipe(checkpoint="svd-xt", picture_sha256="ab" * 32, settings=settings)
    return write_workflow(recipe, Catalogue(), size).api


# ComfyUI's own arithmetic on pictures: (height, width, 3), 0 to 1, as its nodes hand them on. Source: nodes.py
# (LoadImage, ImageScale, EmptyImage), comfy/utils.py (lanczos) and comfy_extras/nodes_mask.py (composite).


def loaded(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture.convert("RGB")).astype(np.float32) / 255.0


def scaled(image: np.ndarray, width: int, height: int) -> np.ndarray:
    whole = Image.fromarray(np.clip(255.0 * image, 0, 255).astype(np.uint8))
    return np.asarray(whole.resize((width, height), Image.Resampling.LANCZOS)).astype(np.float32) / 255.0


def run(api: dict[str, Any], id: str, picture: Image.Image) -> np.ndarray:
    """What a node of a written workflow makes of a picture, done as ComfyUI does it."""
    inputs = api[id]["inputs"]
    match api[id]["class_type"]:
        case "LoadImage":
            return loaded(picture)
        case "ImageScale":
            assert (inputs["upscale_method"], inputs["crop"]) == ("lanczos", "disabled")
            return scaled(run(api, inputs["image"][0], picture), inputs["width"], inputs["height"])
        case "EmptyImage":
            assert (inputs["color"], inputs["batch_size"]) == (0, 1)
            return np.zeros((inputs["height"], inputs["width"], 3), np.float32)
        case "ImageCompositeMasked":
            assert not inputs["resize_source"]
            below = run(api, inputs["destination"][0], picture).copy()
            above = run(api, inputs["source"][0], picture)
            height, width = above.shape[:2]
            below[inputs["y"] : inputs["y"] + height, inputs["x"] : inputs["x"] + width] = above
            return below
        case other:
            raise AssertionError(other)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_a_padded_picture_is_ours_to_the_pixel(size: tuple[int, int], target: tuple[int, int]) -> None:
    rng = np.random.default_rng(4)
    coarse = Image.fromarray(rng.integers(0, 255, (9, 9, 3), dtype=np.uint8))
    picture = coarse.resize(size, Image.Resampling.BICUBIC)
    api = written(size, fit="pad", width=target[0], height=target[1])
    [conditioning] = [node for node in api.values() if node["class_type"] == "SVD_img2vid_Conditioning"]
    theirs = run(api, conditioning["inputs"]["init_image"][0], picture)
    ours = np.asarray(fit_picture(picture, *target, "pad"))
    assert np.array_equal(np.rint(theirs * 255).astype(np.uint8), ours)


def test_without_the_pictures_size_comfyuis_own_node_pads_and_the_difference_is_said() -> None:
    settings = GenerationSettings(fit="pad")
    made = Recipe(checkpoint="svd-xt", picture_sha256="ab" * 32, settings=settings)
    types = [node["class_type"] for node in write_workflow(made, Catalogue()).api.values()]
    assert "ResizeAndPadImage" in types
    said = "The picture is not here, so its bars may be a row of pixels off there."
    assert said in write_workflow(made, Catalogue()).notes
    assert said not in write_workflow(made, Catalogue(), (900, 900)).notes


@pytest.mark.parametrize("size", [None, (1200, 900), (900, 1200)])
def test_a_padded_workflow_says_pad_by_its_nodes_alone(size: tuple[int, int] | None) -> None:
    api = written(size, fit="pad")
    for node in api.values():
        del node["_meta"]
    found = read_workflow(api, None, Catalogue())
    assert found.knobs["fit"] == "pad"
    assert not any("not mapped" in note or "colour" in note for note in found.notes)


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.stem)
@pytest.mark.parametrize("format", ["api", "ui"])
def test_what_version_0_1_wrote_is_read_as_it_was_meant(path: Path, format: str) -> None:
    kept = json.loads(path.read_text())
    found = read_workflow(kept[format], kept[format], Catalogue())
    assert GenerationSettings.model_validate(found.knobs) == GenerationSettings.model_validate(
        kept["settings"]
    )
    assert (found.checkpoint, found.picture, found.lost) == ("svd-xt", "ab" * 32, ())
    assert not any("was changed after svdlab wrote it" in note for note in found.notes)


def test_a_seed_of_more_than_32_bits_in_a_workflow_is_the_same_seed_and_that_is_said(tmp_path: Path) -> None:
    kept = json.loads((WRITTEN[0].parent / "seed_of_60_bits.json").read_text())
    with Lab(tmp_path) as lab:
        found = restore(lab, json.dumps(kept["api"]).encode())
    assert found.settings.seed == 7 == (2**60 + 7) % 2**32
    assert (
        f"The seed {2**60 + 7} has more than the 32 bits that torch's generator uses; 7 is the same seed and gives the "
        "same clip." in found.notes
    )


def test_there_are_workflows_of_version_0_1() -> None:
    assert len(WRITTEN) == 5
