"""The examples' clips: rendered by the command, and taken in aside when the page is served."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from svdlab.cli.examples import have_examples
from svdlab.environment import Environment
from svdlab.lab.examples import TAG, clip_of, example_pictures, missing
from svdlab.lab.lab import Lab


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_lab_takes_in_what_a_process_aside_has_rendered(tmp_path: Path) -> None:
    with Lab(tmp_path / "data", environment=dataclasses.replace(Environment(), device="cpu")) as lab:
        thread = have_examples(lab)
        assert thread is not None
        thread.join()
        assert missing(lab) == []
        clips = [clip_of(lab, place) for place in range(len(example_pictures()))]
        assert all(run is not None and run.frames_zip.is_file() and TAG in run.tags for run in clips)
        assert have_examples(lab) is None  # once
        assert lab.doctor() == []


def test_closing_a_lab_ends_the_process_aside(tmp_path: Path) -> None:
    with Lab(tmp_path / "data", environment=Environment()) as lab:
        thread = have_examples(lab)
        assert thread is not None
    thread.join(60)
    assert not thread.is_alive()
    assert not list((tmp_path / "data" / "runs").glob("*")) if (tmp_path / "data" / "runs").exists() else True
