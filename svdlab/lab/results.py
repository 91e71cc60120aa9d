"""A rendered run's files, written into a folder aside: video, lossless frames, poster, latents, what the row will say.

Knows clips, metrics and the names of the files; nothing of queues, owners or models. Whoever shares a disk with the lab
can call it where it renders; only the desk puts the folder in place.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from svdlab.clips import video, watermark
from svdlab.clips.frames import write_frames_zip
from svdlab.clips.sheets import write_poster
from svdlab.failpoints import failpoint
from svdlab.history.run_files import write_measured, write_result
from svdlab.metrics.definitions import edition
from svdlab.metrics.measure import Measurement, measure
from svdlab.recipes.records import Outcome, Recipe, Run
from svdlab.recipes.work import Rendered

POSTER_SIDE = 480  # pixels, long side


def write_files(
    folder: Path,
    run: Run,
    rendered: Rendered,
    picture: np.ndarray | None,
    kept_latents_bytes: int,
    mark: str | None = None,
) -> tuple[Recipe, Outcome]:
    """Writes all files of a run into an empty folder, measures the clip, and returns what its row will say.

    `picture` is what the model was given, (height, width, 3) uint8; latents are kept up to that many bytes. With a
    `mark`, all that is kept of the frames has those letters in it; they are measured without. Raises `OSError`.
    """
    started = time.perf_counter()
    marked = {"watermark": mark} if mark else {}
    recipe = run.recipe.model_copy(update={"versions": {**rendered.versions, **marked}})
    comment = recipe.to_json()
    frames = watermark.embed(rendered.frames, mark) if mark else rendered.frames
    video.write_mp4(folder / "video.mp4", frames, run.settings.effective_playback_fps, comment)
    failpoint("video-written")
    write_frames_zip(folder / "frames.zip", frames, comment)
    failpoint("frames-written")
    write_poster(folder / "poster.webp", frames, POSTER_SIDE, comment)
    failpoint("poster-written")
    if run.latents_of is None and 0 < len(rendered.latents) <= kept_latents_bytes:
        (folder / "latents.safetensors").write_bytes(rendered.latents)
    measured = measure(rendered.frames, picture, run.settings.effective_playback_fps)
    spent = {**rendered.outcome.seconds, "write": time.perf_counter() - started}
    outcome = replace(
        as_measured(rendered.outcome, measured),
        seconds={name: round(seconds, 3) for name, seconds in spent.items()},
        video_sha256=hashlib.sha256((folder / "video.mp4").read_bytes()).hexdigest(),
    )
    write_measured(folder, edition(), measured.series, measured.path)
    write_result(folder, recipe, outcome)
    failpoint("result-written")
    return recipe, outcome


def as_measured(outcome: Outcome, measured: Measurement) -> Outcome:
    """An outcome with what was measured by today's definitions."""
    return replace(
        outcome,
        metrics=measured.values,
        spreads=measured.spreads,
        flaws=measured.flaws,
        measured_as=edition(),
    )
