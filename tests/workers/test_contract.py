"""What every kind of worker may rely on: seats, a start that checks first, jobs and updates that can be sent."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Generator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from svdlab.engine.renderer import Renderer
from svdlab.environment import Environment
from svdlab.errors import BadInput
from svdlab.lab.lab import Lab
from svdlab.recipes.records import Outcome
from svdlab.recipes.work import Job, Rendered, Stop, Update
from svdlab.workers import Compute, InProcess, LocalWorker, Worker, open_lab
from tests.made import SMALL, picture_of


def submit(lab: Lab, seed: int) -> str:
    settings = lab.settings("demo-1-0", {**SMALL, "num_inference_steps": 1}, seed=seed)
    return lab.submit(lab.recipe("demo-1-0", lab.add_picture(picture_of(0)), settings)).id


def test_what_a_worker_is_sent_and_sends_can_leave_the_process(tmp_path: Path) -> None:
    renderer = Renderer("cpu")

    def far_away(jobs: Sequence[Job], stop: Stop) -> Generator[Update, None, None]:
        for update in renderer.render(pickle.loads(pickle.dumps(jobs)), stop):
            yield pickle.loads(pickle.dumps(update))

    with Lab(tmp_path / "data") as lab:
        here = submit(lab, 1)
        InProcess(lab, renderer.render).drain()
        there = submit(lab, 1)
        InProcess(lab, far_away).drain()
        one, two = lab.history.get(here), lab.history.get(there)
        assert one.video.read_bytes() == two.video.read_bytes()
        assert one.latents.read_bytes() == two.latents.read_bytes()
        pair = lab.decode_again(there, decode_chunk_size=1)
        InProcess(lab, far_away).drain()
        assert lab.history.get(pair.b.id).done


class TwoSeats(Worker):
    """Renders only if both of its seats are taken."""

    seats = 2
    both = threading.Barrier(2)

    def render(self, jobs: Sequence[Job], stop: Stop) -> Generator[Update, None, None]:
        self.both.wait(60)
        for job in jobs:
            frames = np.repeat(job.picture[None], job.settings.num_frames, axis=0)
            yield Rendered(job.id, frames, b"", {}, Outcome())


def test_a_worker_renders_as_many_claims_at_a_time_as_it_has_seats(tmp_path: Path) -> None:
    with Lab(tmp_path / "data") as lab:
        TwoSeats(lab).start()
        assert [run.state for run in lab.wait(submit(lab, 1), submit(lab, 2))] == ["done", "done"]


def test_what_to_render_with_is_the_environments_unless_it_is_named() -> None:
    environment = Environment(device="cpu", dtype="bfloat16", memory_bytes=10, offload="model")
    assert Compute.of(environment) == Compute("cpu", "bfloat16", 10, "model")
    assert Compute.of(environment, "cuda:1", "float16") == Compute("cuda:1", "float16", 10, "model")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_a_lab_is_not_opened_for_a_device_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="there is no CUDA device"):
        open_lab(tmp_path / "data", device="cuda")
    with open_lab(tmp_path / "data", device="cpu") as lab:  # it was left in order
        assert lab.history.runs() == []


def test_the_environments_memory_reaches_the_renderer(tmp_path: Path) -> None:
    with Lab(
        tmp_path / "data", environment=Environment(device="cpu", memory_bytes=10, offload="model")
    ) as lab:
        residency = LocalWorker(lab).renderer.residency
        assert (residency.budget_bytes, residency.offload) == (10, "model")


class Counting(TwoSeats):
    """Counts how often it was asked to get ready."""

    seats = 1
    both = threading.Barrier(1)

    def __init__(self, lab: Lab, warm: bool) -> None:
        super().__init__(lab, warm=warm)
        self.ready = threading.Semaphore(0)

    def prepare(self) -> None:
        self.ready.release()


def test_a_warm_worker_gets_ready_once_while_nothing_is_asked(tmp_path: Path) -> None:
    with Lab(tmp_path / "data") as lab:
        cold, warm = Counting(lab, warm=False), Counting(lab, warm=True)
        for worker in (cold, warm):
            worker.start()
        assert warm.ready.acquire(timeout=60)
        assert lab.wait(submit(lab, 1))[0].done
        assert not warm.ready.acquire(blocking=False)
        assert not cold.ready.acquire(blocking=False)
