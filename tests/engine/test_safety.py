"""A safety checker that the operator names: a small one of the real class and layout, and what it lets through."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from PIL import Image
from transformers import CLIPConfig, CLIPImageProcessor

from svdlab.engine.safety import REFUSED, WITHHELD, SafetyCheck, guarded
from svdlab.environment import Environment
from svdlab.errors import CheckpointUnavailable
from svdlab.lab.lab import Lab
from svdlab.recipes.records import Run
from svdlab.recipes.work import Job, Stepped, Update
from svdlab.weights.safety import checker_folder
from svdlab.workers import Compute, InProcess, LocalWorker
from tests.made import SMALL, draw, picture_of


def direction_of(checker: StableDiffusionSafetyChecker, still: np.ndarray) -> torch.Tensor:
    pixels = CLIPImageProcessor()(images=[Image.fromarray(still)], return_tensors="pt").pixel_values
    with torch.no_grad():
        return checker.visual_projection(checker.vision_model(pixels)[1])[0]


@pytest.fixture(scope="module")
def forbidden() -> np.ndarray:
    """What the checker below is told to look for."""
    return np.asarray(picture_of(3))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, forbidden: np.ndarray) -> Path:
    """A checker in the layout of CompVis/stable-diffusion-safety-checker, a thousandth of its size."""
    torch.manual_seed(0)
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = CLIPConfig(
        vision_config={**small, "image_size": 224, "patch_size": 32},
        text_config=small,
        projection_dim=16,
    )
    checker = StableDiffusionSafetyChecker(config).eval()
    with torch.no_grad():
        for name, weights in checker.named_parameters():
            if "patch_embedding" in name or "proj" in name or "fc" in name:
                weights.mul_(6)  # drawn small, they would find every picture much like any other
        checker.concept_embeds.copy_(-direction_of(checker, forbidden).expand(17, -1))
        checker.concept_embeds[0] = direction_of(checker, forbidden)
        checker.concept_embeds_weights.fill_(0.98)
        checker.special_care_embeds.copy_(-direction_of(checker, forbidden).expand(3, -1))
    folder = tmp_path_factory.mktemp("checker")
    checker.save_pretrained(folder)
    described = {
        "crop_size": 224,
        "do_resize": True,
        "feature_extractor_type": "CLIPFeatureExtractor",
        "size": 224,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(described), encoding="utf-8")
    return folder


def submit(lab: Lab, number: int) -> Run:
    settings = lab.settings("demo-1-0", {**SMALL, "num_inference_steps": 1}, seed=1)
    return lab.submit(lab.recipe("demo-1-0", lab.add_picture(picture_of(number)), settings))


def test_it_flags_what_it_looks_for_and_nothing_else(folder: Path, forbidden: np.ndarray) -> None:
    check = SafetyCheck(folder, torch.device("cpu"))
    pictures = np.stack([np.asarray(picture_of(n % 3)) for n in range(12)])
    pictures[[3, 10]] = forbidden
    assert check.flagged(pictures) == [3, 10]
    assert check.flagged(np.zeros((1, 64, 96, 3), np.uint8)) == []


def test_a_refused_picture_is_not_rendered_and_a_flagged_clip_is_withheld(
    folder: Path, forbidden: np.ndarray, tmp_path: Path
) -> None:
    check = SafetyCheck(folder, torch.device("cpu"))
    given: list[str] = []

    def render(jobs: list[Job], stop: object) -> object:
        given.extend(job.id for job in jobs)
        for job in jobs:
            yield Stepped(job.id, 1, 1, 0.0, job.picture[None])
        yield from draw([Job(j.id, j.checkpoint, j.settings, forbidden, "") for j in jobs], lambda _: False)

    seen: list[Update] = []

    def watched(jobs: list[Job], stop: object) -> object:
        for update in guarded(render, check)(jobs, lambda _: False):  # type: ignore[arg-type]
            seen.append(update)
            yield update

    with Lab(tmp_path / "data", environment=Environment()) as lab:
        refused, withheld = submit(lab, 3), submit(lab, 0)
        InProcess(lab, watched).drain()  # type: ignore[arg-type]
        assert given == [withheld.id]
        assert lab.history.get(refused.id).error == REFUSED
        assert lab.history.get(withheld.id).error == WITHHELD
        assert not lab.history.get(withheld.id).video.exists()
    assert [update.preview for update in seen if isinstance(update, Stepped)] == [None]


def test_a_worker_looks_with_the_checker_of_its_environment(folder: Path, tmp_path: Path) -> None:
    environment = Environment(device="cpu", safety_checker=str(folder))
    with Lab(tmp_path / "data", environment=environment) as lab:
        worker = LocalWorker(lab, Compute("cpu"))
        worker.check()
        refused = submit(lab, 3)
        InProcess(lab, worker.render).drain()
        assert lab.history.get(refused.id).error == REFUSED
        assert worker.safety is worker.safety


def test_without_one_nothing_is_looked_at(tmp_path: Path) -> None:
    with Lab(tmp_path / "data", environment=Environment(device="cpu")) as lab:
        assert LocalWorker(lab, Compute("cpu")).safety is None


@pytest.mark.parametrize("place", ["/nowhere/at/all", "one"])
def test_a_checker_that_is_not_there_is_said_before_anything_is_asked(place: str, tmp_path: Path) -> None:
    said = r"^there is no safety checker at "
    environment = Environment(device="cpu", safety_checker=place)
    with (
        Lab(tmp_path / "data", environment=environment) as lab,
        pytest.raises(CheckpointUnavailable, match=said),
    ):
        LocalWorker(lab, Compute("cpu")).check()


def test_what_is_no_checker_is_said(tmp_path: Path) -> None:
    with pytest.raises(CheckpointUnavailable, match=r"^the safety checker .* has no config.json$"):
        checker_folder(str(tmp_path))
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    assert checker_folder(str(tmp_path)) == tmp_path
    with pytest.raises(CheckpointUnavailable, match="is no safety checker: "):
        SafetyCheck(tmp_path, torch.device("cpu"))


def test_a_repository_that_cannot_be_reached_is_said() -> None:
    with pytest.raises(CheckpointUnavailable, match=r"^the safety checker no/checker could not be fetched: "):
        checker_folder("no/checker")
