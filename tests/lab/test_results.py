"""A run's files: what is in them beside the recipe."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from svdlab.clips import provenance, video, watermark
from svdlab.clips.frames import read_frames_zip
from svdlab.environment import Environment
from svdlab.history.doctor import recipe_inside
from svdlab.lab.lab import Lab
from tests.made import make_run


def test_a_clip_says_that_it_is_generated_and_carries_its_recipe(tmp_path: Path) -> None:
    with Lab(tmp_path / "data", environment=Environment()) as lab:
        run = make_run(lab)
        assert provenance.says_generated(provenance.packet_of_mp4(run.video))
        assert recipe_inside(run.video) == run.recipe
        assert "watermark" not in run.recipe.versions


def test_an_operators_mark_is_in_every_kept_frame_and_in_the_recipe(tmp_path: Path) -> None:
    with Lab(tmp_path / "plain", environment=Environment()) as lab:
        plain = make_run(lab)
        bare = read_frames_zip(plain.frames_zip)
    with Lab(tmp_path / "marked", environment=Environment(watermark="svdlab")) as lab:
        run = make_run(lab)
        assert run.recipe.versions["watermark"] == "svdlab"
        assert recipe_inside(run.video) == run.recipe
        frames = read_frames_zip(run.frames_zip)
        assert not np.array_equal(frames, bare)
        assert watermark.read(frames, 6) == b"svdlab"
        assert watermark.read(video.read_mp4_frames(run.video)[0], 6) == b"svdlab"
        assert run.outcome.metrics == plain.outcome.metrics  # of the clip, not of the mark
        assert lab.doctor() == []
