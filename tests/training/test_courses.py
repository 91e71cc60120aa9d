"""All stages train, stop, go on and are exported; diffusers runs what comes out, with no further argument."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableVideoDiffusionPipeline
from PIL import Image

from training import courses, decoder
from training.codec import CHANNELS
from training.courses import Course, Shape
from training.export import export
from training.runs import load_state

# The real stages on a network of 0.3 M parameters.
SMALL = Course(shapes=(Shape(2, 4, 8, 1.0, (3, 4)),), widths=(32, 32), watched=("left",), drifting=1.0)
TUNED = replace(SMALL, name="tuned", start="unet", restless=0.0, fixed=(6, 127))


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory, pictures: np.ndarray) -> Path:
    folder = tmp_path_factory.mktemp("training")
    np.save(folder / "pictures.npy", pictures)
    courses.train(folder, 0, "cpu", course=SMALL, pictures=4)
    decoder.train(folder, 0, "cpu", pictures=4, linear=2)
    courses.train(folder, 0, "cpu", course=TUNED, pictures=4)
    return folder


def test_a_course_goes_on_from_its_state(work: Path) -> None:
    before = load_state(work / "unet")
    courses.train(work, 0, "cpu", course=SMALL, pictures=4)
    after = load_state(work / "unet")
    assert before is not None
    assert after is not None
    assert before["trainer"]["steps"] == 1
    assert after["trainer"]["steps"] == 2
    assert after["best"] >= before["best"] > 0


def test_a_stopped_course_goes_on_within_its_minutes(work: Path) -> None:
    run = courses.Run(work, 60, SMALL, torch.device("cpu"), 4)
    run.clock.spent = 1800
    run.keep()
    assert 0.5 <= courses.Run(work, 60, SMALL, torch.device("cpu"), 4).clock.done < 0.6
    assert courses.Run(work, 60, replace(SMALL, rate=0.5), torch.device("cpu"), 4).clock.done < 0.1


def test_a_fine_tuned_network_starts_from_the_first_ones_best(work: Path, tmp_path: Path) -> None:
    courses.train(work, 0, "cpu", course=TUNED, pictures=4)
    tuned = load_state(work / "tuned")
    assert tuned is not None
    assert tuned["trainer"]["steps"] == 1  # a second run begins anew, from what the first network has become
    np.save(tmp_path / "pictures.npy", np.load(work / "pictures.npy"))
    with pytest.raises(SystemExit, match="train unet first"):
        courses.train(tmp_path, 0, "cpu", course=TUNED, pictures=4)


def test_the_decoder_also_learns_what_the_denoiser_gives(work: Path) -> None:
    run = decoder.Run(work, 0, torch.device("cpu"), 4, 2)
    latents, wanted = run.given_window()
    assert latents.shape == (decoder.FRAMES, CHANNELS, decoder.CELLS, decoder.CELLS)
    assert wanted.shape == (decoder.FRAMES, 3, decoder.CROP, decoder.CROP)
    assert run.trainer.steps == 1


def test_diffusers_runs_an_exported_checkpoint_with_no_further_argument(work: Path, tmp_path: Path) -> None:
    for name in ("unet", "tuned"):
        export(work, name, tmp_path / name, "# Card\n")
    one, two = (
        (tmp_path / name / "vae" / "diffusion_pytorch_model.safetensors").read_bytes()
        for name in ("unet", "tuned")
    )
    assert one == two  # one autoencoder, shared
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what libraries say about their own code
        pipe = StableVideoDiffusionPipeline.from_pretrained(tmp_path / "tuned")
        pipe.set_progress_bar_config(disable=True)
        picture = Image.new("RGB", (64, 32), "teal")
        made = pipe(
            picture, height=32, width=64, num_frames=2, num_inference_steps=1, output_type="np"
        ).frames
    assert made.shape == (1, 2, 32, 64, 3)
    assert np.isfinite(made).all()
    assert {part.dtype for part in (pipe.unet, pipe.vae, pipe.image_encoder)} == {torch.float32}


def test_a_checkpoint_of_the_true_widths_is_small_enough() -> None:
    from training import unet, vae

    parameters = sum(p.numel() for model in (unet.build(), vae.build()) for p in model.parameters())
    assert 2 * parameters <= 29_000_000  # bytes in float16
