"""A kind of worker is one file: added to a copy of the tree, it is in the help, is opened by name and renders."""

from __future__ import annotations

from pathlib import Path

import pytest

from svdlab.errors import BadInput
from svdlab.workers import LocalWorker, open_lab
from svdlab.workers.kinds import kind, kinds
from tests.tree import copy_tree, run_on

PAPER = '''"""Draws every clip as a still, for whoever has no device at all."""

from __future__ import annotations

from collections.abc import Generator, Sequence

import numpy as np

from svdlab.recipes.records import Outcome
from svdlab.recipes.work import Job, Rendered, Stop, Update
from svdlab.workers.contract import Worker


class PaperWorker(Worker):
    """Knows no model."""

    def render(self, jobs: Sequence[Job], stop: Stop) -> Generator[Update, None, None]:
        """Each job's picture, again and again."""
        for job in jobs:
            frames = np.repeat(job.picture[None], job.settings.num_frames, axis=0)
            yield Rendered(job.id, frames, b"", {}, Outcome(device="paper"))
'''
SCRIPT = """
import sys
from PIL import Image
from svdlab import open_lab

with open_lab(sys.argv[1]) as lab:
    run = lab.generate(Image.new("RGB", (64, 64), "red"), "demo-1-0", width=64, height=64, num_frames=2)
    print(run.state, run.outcome.device, "torch" in sys.modules)
"""


def test_a_kind_that_is_added_is_in_the_help_and_renders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = copy_tree(tmp_path)
    (tree / "svdlab" / "workers" / "paper.py").write_text(PAPER, encoding="utf-8")
    said = run_on(tree, "from svdlab.cli import main; main(['app', '--help'])")
    workers = " ".join(said.partition("Workers:\n")[2].split())
    assert workers == (
        "cluster A Ray cluster: a warm actor on each GPU, or on every few cores where there is none. "
        "local A thread of this program that renders on one device of this machine. "
        "paper Draws every clip as a still, for whoever has no device at all. "
        "zerogpu A GPU that is lent for each clip or pair, in a forked process (ZeroGPU)."
    )
    monkeypatch.setenv("SVDLAB_WORKER", "paper")
    assert run_on(tree, SCRIPT, tmp_path / "data") == "done paper False\n"


def test_kinds_are_those_with_a_worker_in_them() -> None:
    assert "local" in kinds()
    assert not {"contract", "kinds", "in_process"} & kinds().keys()
    assert kind("local") is LocalWorker
    assert all(said.endswith(".") for said in kinds().values())


def test_a_kind_that_is_not_there_is_answered_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"^worker must be .*local.*, got 'cloud'$"):
        open_lab(tmp_path / "data", worker="cloud")
    assert not (tmp_path / "data").exists()
