"""A GPU lent for each claim: what is forked, what comes back, whose seconds it takes, what is said without one."""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
from collections.abc import Callable, Generator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from svdlab.clips.frames import read_frames_zip
from svdlab.engine.renderer import Renderer
from svdlab.environment import Environment
from svdlab.lab.lab import Lab
from svdlab.recipes.records import Run
from svdlab.workers import Compute, InProcess
from svdlab.workers.zerogpu import ZeroGpu
from tests.forked import Lender
from tests.made import SMALL, picture_of
from tests.on_zerogpu import TOKEN

ROOT = Path(__file__).resolve().parents[2]
TWO_STEPS = {**SMALL, "num_inference_steps": 2}
who: ContextVar[str] = ContextVar("who", default="nobody")


def submit(lab: Lab, seed: int = 1, **changes: Any) -> Run:
    settings = lab.settings("demo-1-0", {**TWO_STEPS, **changes}, seed=seed)
    return lab.submit(lab.recipe("demo-1-0", lab.add_picture(picture_of(0)), settings))


@pytest.fixture
def lab(tmp_path: Path) -> Generator[Lab, None, None]:
    with Lab(tmp_path / "data", environment=Environment(device="cpu", placed=())) as lab:
        yield lab


def served(lab: Lab, lend: Callable[..., Any]) -> ZeroGpu:
    worker = ZeroGpu(lab, Compute("cpu"), lend=lend)
    worker.ready()
    return worker


def test_a_pair_is_one_call_and_gives_what_one_process_gives(lab: Lab) -> None:
    lender = Lender()
    worker = served(lab, lender)
    recipes = lab.comparison_recipes(
        lab.add_picture(picture_of(0)), "demo-1-0", "demo-1-1", seed=3, changes=TWO_STEPS
    )
    there = lab.submit_comparison(*recipes)
    previews: list[tuple[str, bool]] = []
    told = lab.live.publish
    lab.live.publish = lambda event: (previews.append((event.run_id, event.preview is not None)), told(event))  # type: ignore[method-assign]
    InProcess(lab, worker.render).drain()
    assert lab.fairness(lab.history.comparison(there.id)).fair
    assert (len(lender.asked), lender.ended) == (1, [0])
    assert {id for id, preview in previews if preview} == {
        there.a.id,
        there.b.id,
    }  # they came while it rendered
    here = lab.submit_comparison(*recipes)
    InProcess(lab, Renderer("cpu").render).drain()
    for one, other in ((there.a, here.a), (there.b, here.b)):
        frames = [read_frames_zip(lab.history.get(run.id).frames_zip).astype(int) for run in (one, other)]
        assert np.abs(frames[0] - frames[1]).max() <= 1  # another number of threads


def test_a_cancelled_run_ends_its_call(lab: Lab) -> None:
    lender = Lender()
    worker = served(lab, lender)
    run = submit(lab, num_inference_steps=25)

    def cancelled_at_once(jobs: Any, stop: Any) -> Generator[Any, None, None]:
        lab.cancel(run.id)
        yield from worker.render(jobs, stop)

    InProcess(lab, cancelled_at_once).drain()
    assert lab.history.get(run.id).state == "cancelled"
    assert lender.asked == []  # nobody's seconds were taken

    later = submit(lab, seed=2, num_inference_steps=25)

    def cancelled_on_the_way(jobs: Any, stop: Any) -> Generator[Any, None, None]:
        for update in worker.render(jobs, stop):
            lab.cancel(later.id)
            yield update

    InProcess(lab, cancelled_on_the_way).drain()
    assert lab.history.get(later.id).state == "cancelled"
    assert lender.ended == [0]  # it ended by itself, with steps left


def test_a_call_is_made_in_the_context_that_its_run_was_asked_for_in(lab: Lab) -> None:
    payers: list[str] = []

    def lend(duration: Callable[..., int]) -> Callable[..., Any]:
        def decorated(task: Callable[..., Any]) -> Callable[..., Any]:
            def call(jobs: Any) -> Generator[Any, None, None]:
                payers.append(who.get())
                yield from task(jobs)

            return call

        return decorated

    worker = served(lab, lend)
    lab.on_asked(worker.remember)
    for name in ("ada", "bob"):
        token = who.set(name)
        submit(lab, seed=len(name) + len(payers))
        who.reset(token)
    cancelled = submit(lab, seed=9)
    lab.cancel(cancelled.id)
    lab.resume(cancelled.id)
    InProcess(lab, worker.render).drain()
    assert payers == ["ada", "bob", "nobody"]


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (
            RuntimeError('You have exceeded your quota. <a href="https://x">Log in</a> for more'),
            "no GPU was lent: You have exceeded your quota. Log in for more",
        ),
        (RuntimeError("GPU task aborted"), "the GPU was taken back before the clip was finished"),
    ],
)
def test_what_the_lender_says_is_the_runs_sentence(lab: Lab, raised: Exception, said: str) -> None:
    def lend(duration: Callable[..., int]) -> Callable[..., Any]:
        def call(jobs: Any) -> Generator[Any, None, None]:
            raise raised
            yield

        return lambda task: call

    run = submit(lab)
    InProcess(lab, served(lab, lend).render).drain()
    ended = lab.history.get(run.id)
    assert ended.state == "failed"
    assert (ended.error or "").startswith(said)


def test_a_process_that_is_killed_fails_its_run_in_words(lab: Lab) -> None:
    run = submit(lab, num_inference_steps=25)
    worker = served(lab, Lender())

    def killed(jobs: Any, stop: Any) -> Generator[Any, None, None]:
        for update in worker.render(jobs, stop):
            for child in multiprocessing.active_children():
                child.kill()
            yield update

    InProcess(lab, killed).drain()
    ended = lab.history.get(run.id)
    assert (ended.state, (ended.error or "")[:42]) == ("failed", "the GPU was taken back before the clip was")


@pytest.mark.slow
def test_the_real_package_places_packs_and_asks_for_the_visitors_seconds(tmp_path: Path) -> None:
    pytest.importorskip("spaces")
    command = [sys.executable, "-m", "tests.on_zerogpu", str(tmp_path)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout.splitlines()[-1])
    assert (told["worker"], told["devices"]) == ("zerogpu", ["cuda"])
    assert told["resident"] == ["demo-1-0", "demo-1-1"]
    assert told["packed"] > 10_000_000  # their weights, where forks read them
    steps = [step for step, _ in told["asked"]]
    assert steps == ["/startup-report", "/schedule", "/allow", "/release"]  # a pair is one call
    [asked] = [asked for step, asked in told["asked"] if step == "/schedule"]
    assert asked["token"] == TOKEN  # of the visitor whose call it is
    assert 1 <= int(asked["durationSeconds"]) <= 10
    assert told["error"].startswith("no GPU was lent: ")
    assert told["states"] == ["failed", "failed"]
