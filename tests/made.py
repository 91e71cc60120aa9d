"""Finished runs without a model: frames drawn here, measured, written and recorded by the lab as any worker's are."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import numpy as np
from PIL import Image

from svdlab.lab.desk import Desk
from svdlab.lab.lab import Lab
from svdlab.recipes.records import Comparison, Outcome, Run
from svdlab.recipes.settings import GenerationSettings
from svdlab.recipes.visitors import OPERATOR, Visitor
from svdlab.recipes.work import Job, Rendered, Stop, Update

SMALL = {"width": 96, "height": 64, "num_frames": 4, "num_inference_steps": 3}


def picture_of(number: int) -> Image.Image:
    """A picture of hills that differs with its number."""
    y, x = np.mgrid[0:64, 0:96]
    hills = np.stack([120 + 80 * np.sin(x / (5 + number)), y * 3, 255 - y * 3], axis=2)
    return Image.fromarray(hills.astype(np.uint8))


def make_run(
    lab: Lab,
    seed: int = 7,
    picture: Image.Image | None = None,
    checkpoint: str = "demo-1-0",
    latents: bytes = b"",
    preset: str | None = None,
    by: Visitor = OPERATOR,
    **changes: Any,
) -> Run:
    """A finished run of a few drawn frames, asked for by somebody."""
    picture = picture or picture_of(0)
    settings = lab.settings(checkpoint, {**SMALL, **changes}, seed=seed)
    run = lab.submit(lab.recipe(checkpoint, lab.add_picture(picture), settings), preset, by)
    return render(lab, run, picture, latents)


def make_pair(lab: Lab, seed: int = 7, by: Visitor = OPERATOR) -> Comparison:
    """A finished comparison of the two demo checkpoints, asked for by somebody."""
    recipes = lab.comparison_recipes(
        lab.add_picture(picture_of(0)), "demo-1-0", "demo-1-1", seed=seed, changes=SMALL
    )
    pair = lab.submit_comparison(*recipes, by=by)
    desk = Desk(lab, only=[pair.a.id, pair.b.id])
    for run in desk.claim():
        finish(desk, run, picture_of(0))
    return lab.history.comparison(pair.id)


def render(lab: Lab, run: Run, picture: Image.Image, latents: bytes = b"") -> Run:
    """What a worker does with a queued run."""
    desk = Desk(lab, only=[run.id])
    [claimed] = desk.claim()
    return finish(desk, claimed, picture, latents)


def finish(desk: Desk, run: Run, picture: Image.Image, latents: bytes = b"") -> Run:
    """Ends a claimed run as done, with a few drawn frames."""
    still = np.asarray(picture)
    return desk.finish(run, drawn(run.id, run.settings, still, latents, run.latents_of or ""), still)


def draw(jobs: Sequence[Job], stop: Stop) -> Generator[Update, None, None]:
    """What whoever renders does, with frames that are drawn: for tests of all that is around it."""
    for job in jobs:
        yield drawn(job.id, job.settings, job.picture, b"", job.latents_of)


def drawn(
    id: str, settings: GenerationSettings, still: np.ndarray, latents: bytes, latents_of: str
) -> Rendered:
    """A clip of a picture that moves to the right, by a seed's number of pixels a frame."""
    shift = 1 + settings.seed % 5
    frames = np.stack([np.roll(still, shift * index, axis=1) for index in range(settings.num_frames)])
    outcome = Outcome(
        noise_sha256=f"{settings.seed:064x}",
        noise_frames=tuple(f"{index:012x}" for index in range(settings.num_frames + 1)),
        seconds={"load": 5.0, "encode": 0.1, "denoise": 1.0 + settings.seed, "decode": 0.4},
        device="cpu",
        dtype="float32",
        peak_memory_bytes=123_456_789,
        decode_chunk_size=settings.num_frames,
        offload="none",
        latents_of=latents_of,
    )
    return Rendered(id, frames, latents, {"svdlab": "0.1.0", "torch": "2.8.0"}, outcome)
