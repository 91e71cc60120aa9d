"""What decides the bits: an id with other weights, another number format or device is another question."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch

from svdlab.engine.renderer import Renderer
from svdlab.exchange.reproduce import judge, prepare
from svdlab.lab.bits import Numbers
from svdlab.lab.lab import Lab
from svdlab.recipes.records import Recipe, Run
from svdlab.workers import InProcess
from tests import original_layout, rows
from tests.made import picture_of

SMALL = {"width": 64, "height": 64, "num_frames": 2, "num_inference_steps": 1}


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with Lab(tmp_path / "data") as lab:
        yield lab


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two files that differ in the UNet alone."""
    folder = tmp_path_factory.mktemp("weights")
    parts = original_layout.components()
    first = original_layout.to_original(parts)
    other = {n: t * 1.05 if n.startswith(original_layout.UNET) else t for n, t in first.items()}
    for name, tensors in (("a", first), ("b", other)):
        safetensors.torch.save_file(tensors, folder / f"{name}.safetensors", {"format": "pt"})
    return folder / "a.safetensors", folder / "b.safetensors"


def asked(lab: Lab, checkpoint: str = "my") -> Recipe:
    return lab.recipe(checkpoint, lab.add_picture(picture_of(0)), lab.settings(checkpoint, SMALL, seed=7))


def rendered(lab: Lab, recipe: Recipe, renderer: Renderer) -> Run:
    with InProcess(lab, renderer.render):
        run = lab.submit(recipe)
    done = lab.history.get(run.id)
    assert done.done, done.error
    return done


def register(lab: Lab, file: Path, id: str = "my") -> None:
    if lab.registry.has(id):
        lab.remove_checkpoint(id)
    lab.add_checkpoint(file, id, 14)


def test_an_id_that_is_given_to_another_file_is_rendered_with_that(
    lab: Lab, files: tuple[Path, Path]
) -> None:
    renderer = Renderer("cpu", hashes=lab.hashes)
    register(lab, files[0])
    first = rendered(lab, asked(lab), renderer)
    assert lab.before.run(asked(lab)) == first
    assert lab.bits.sentence(first.recipe) == ""
    register(lab, files[1])
    assert lab.before.run(asked(lab)) is None
    second = rendered(lab, asked(lab), renderer)
    assert second.recipe.hash == first.recipe.hash
    assert second.outcome.video_sha256 != first.outcome.video_sha256
    assert lab.before.run(asked(lab)) == second
    assert lab.bits.sentence(first.recipe) == (
        "Rendered with other weights than my has now: its UNet is not the same, "
        "so rendering it again gives another clip."
    )
    assert lab.bits.sentence(second.recipe) == ""
    register(lab, files[0])
    assert lab.before.run(asked(lab)) == first  # these weights are what it was rendered with


def test_a_file_that_is_written_over_is_noticed_in_an_open_lab(
    lab: Lab, files: tuple[Path, Path], tmp_path: Path
) -> None:
    renderer, own = Renderer("cpu", hashes=lab.hashes), tmp_path / "own.safetensors"
    own.write_bytes(files[0].read_bytes())
    register(lab, own)
    first = rendered(lab, asked(lab), renderer)
    own.write_bytes(files[1].read_bytes())
    assert lab.before.run(asked(lab)) is None
    assert rendered(lab, asked(lab), renderer).outcome.video_sha256 != first.outcome.video_sha256


def test_what_another_process_registers_is_noticed(lab: Lab, files: tuple[Path, Path]) -> None:
    renderer = Renderer("cpu", hashes=lab.hashes)
    register(lab, files[0])
    first = rendered(lab, asked(lab), renderer)
    with Lab(lab.data_dir) as other:
        register(other, files[1])
    again = rendered(lab, asked(lab), renderer)
    assert again.recipe.versions["unet_sha256"] != first.recipe.versions["unet_sha256"]


def test_reproducing_says_which_weights_are_others(lab: Lab, files: tuple[Path, Path]) -> None:
    renderer = Renderer("cpu", hashes=lab.hashes)
    register(lab, files[0])
    first = rendered(lab, asked(lab), renderer)
    register(lab, files[1])
    question = prepare(lab, first.video)
    found = judge(question, rendered(lab, question.to_render, renderer))
    then, now = (run.recipe.versions["unet_sha256"][:8] for run in (first, found.run))
    assert found.verdict == "different"
    assert found.differences == (f"my has other weights now: its UNet was {then} then and is {now} now.",)


@pytest.mark.parametrize(
    ("device", "dtype", "numbers", "fits"),
    [
        ("cpu", "float32", Numbers(), True),
        ("cpu", "float32", Numbers("cpu", "float32"), True),
        ("cpu", "float32", Numbers(dtype="float16"), False),
        ("cpu", "float16", Numbers(), False),  # auto is float32 there
        ("cpu", "float16", Numbers(dtype="float16"), True),
        ("cuda (NVIDIA H100)", "float16", Numbers(), True),
        ("cuda (NVIDIA H100)", "float32", Numbers(), False),
        ("cuda (NVIDIA H100)", "float16", Numbers("cpu"), False),
        ("cuda (NVIDIA H100)", "float16", Numbers("cuda:1"), True),
        ("mps", "float32", Numbers("cuda"), False),
        ("", "", Numbers("cuda", "bfloat16"), True),  # a clip of before that was said
    ],
)
def test_another_number_format_or_device_is_another_question(
    device: str, dtype: str, numbers: Numbers, fits: bool, lab: Lab
) -> None:
    versions = {"device": device, "dtype": dtype} if device else {}
    recipe = asked(lab, "demo-1-0").model_copy(update={"versions": versions})
    assert numbers.fits(recipe) is fits


def test_a_lab_asks_for_what_its_worker_renders_with(lab: Lab) -> None:
    first = rendered(lab, asked(lab, "demo-1-0"), Renderer("cpu", "float32", hashes=lab.hashes))
    assert lab.before.run(asked(lab, "demo-1-0")) == first
    lab.numbers = replace(lab.numbers, dtype="bfloat16")
    assert lab.before.run(asked(lab, "demo-1-0")) is None
    assert lab.before.run(asked(lab, "demo-1-0"), Numbers()) == first


def test_weights_that_are_not_here_leave_their_clips_alone(
    lab: Lab, files: tuple[Path, Path], tmp_path: Path
) -> None:
    own = tmp_path / "own.safetensors"
    own.write_bytes(files[0].read_bytes())
    register(lab, own)
    recipe = asked(lab)
    first = rendered(lab, recipe, Renderer("cpu", hashes=lab.hashes))
    own.unlink()
    assert lab.before.run(recipe) == first
    assert lab.bits.sentence(first.recipe) == ""
    own.write_bytes(b"broken")
    assert lab.before.run(recipe) is None


@pytest.mark.parametrize(("steps", "answers"), [(3, False), (10, True)])
def test_a_clip_by_the_schedule_of_an_older_version_is_no_answer(lab: Lab, steps: int, answers: bool) -> None:
    settings = lab.settings("demo-1-0", {**SMALL, "schedule": "ays", "num_inference_steps": steps}, seed=7)
    recipe = lab.recipe("demo-1-0", lab.add_picture(picture_of(0)), settings)
    done = rendered(lab, recipe, Renderer("cpu", hashes=lab.hashes))
    assert lab.before.run(recipe) == done
    versions = {name: said for name, said in done.recipe.versions.items() if name != "ays_levels"}
    assert len(versions) == len(done.recipe.versions) - 1
    older = done.recipe.model_copy(update={"versions": versions})
    rows.change(lab.history, "UPDATE runs SET recipe = ? WHERE id = ?", older.to_json(), done.id)
    assert (lab.before.run(recipe) is not None) == answers
