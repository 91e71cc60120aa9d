"""The desk: what a worker yields becomes events, files and rows; what it fails to say ends in a sentence.

The workers here are a few lines each and need no model: whatever implements the one verb is served the same.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from svdlab.errors import BadInput, OutOfMemory
from svdlab.lab.desk import UNSAID, Desk
from svdlab.lab.lab import Lab
from svdlab.recipes import work
from svdlab.recipes.events import Event
from svdlab.recipes.records import Comparison, Outcome, Run
from svdlab.recipes.work import Job, Rendered, Stop, Update
from svdlab.workers import InProcess
from tests import rows
from tests.made import SMALL, make_run, picture_of

Work = Generator[Update, None, None]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with Lab(tmp_path / "data") as lab:
        yield lab


def submit(lab: Lab, seed: int = 7, **changes: object) -> Run:
    settings = lab.settings("demo-1-0", {**SMALL, **changes}, seed=seed)
    return lab.submit(lab.recipe("demo-1-0", lab.add_picture(picture_of(0)), settings))


def submit_pair(lab: Lab) -> Comparison:
    picture = lab.add_picture(picture_of(0))
    return lab.submit_comparison(
        *lab.comparison_recipes(picture, "demo-1-0", "demo-1-1", seed=7, changes=SMALL)
    )


def still(job: Job) -> Rendered:
    """The job's picture, held for as long as the clip lasts."""
    frames = np.repeat(job.picture[None], job.settings.num_frames, axis=0)
    return Rendered(job.id, frames, b"latents", {"svdlab": "test"}, Outcome(device="paper"))


def draw(jobs: Sequence[Job], stop: Stop) -> Work:
    """A worker that draws; it says everything there is to say on the way."""
    for job in jobs:
        yield work.Loading(job.id)
        yield work.Encoding(job.id)
        for step in range(1, job.settings.num_inference_steps + 1):
            preview = np.zeros((job.settings.num_frames, 8, 12, 3), np.uint8)
            yield work.Stepped(job.id, step, job.settings.num_inference_steps, 1.0, preview)
            if stop(job.id):
                yield work.Stopped(job.id)
                break
        else:
            yield work.Decoding(job.id, job.settings.num_frames, job.settings.num_frames, 0.0)
            yield still(job)


def test_what_is_drawn_is_measured_written_and_done(lab: Lab) -> None:
    run = submit(lab)
    InProcess(lab, draw).drain()
    done = lab.history.get(run.id)
    assert done.done
    assert done.outcome.device == "paper"
    assert done.outcome.metrics
    assert done.recipe.versions == {"svdlab": "test"}
    assert done.latents.read_bytes() == b"latents"
    assert lab.doctor() == []


def test_a_job_holds_the_picture_as_the_model_is_to_see_it(lab: Lab) -> None:
    seen: list[Job] = []

    def look(jobs: Sequence[Job], stop: Stop) -> Work:
        seen.extend(jobs)
        yield from draw(jobs, stop)

    first, second = submit(lab), submit(lab, seed=8, focus_x=0.9, width=64)
    InProcess(lab, look).drain()
    assert [job.id for job in seen] == [first.id, second.id]
    assert [job.picture.shape for job in seen] == [(64, 96, 3), (64, 64, 3)]
    assert seen[0].picture_key != seen[1].picture_key
    assert [job.latents for job in seen] == [None, None]


def test_a_comparison_is_one_call_and_a_run_another(lab: Lab) -> None:
    calls: list[list[str]] = []

    def count(jobs: Sequence[Job], stop: Stop) -> Work:
        calls.append([job.id for job in jobs])
        yield from draw(jobs, stop)

    pair, run = submit_pair(lab), submit(lab)
    InProcess(lab, count).drain()
    assert calls == [[pair.a.id, pair.b.id], [run.id]]


def test_every_update_is_told_while_the_run_goes_on(lab: Lab) -> None:
    run = submit(lab)
    told: list[Event] = []

    def listen(jobs: Sequence[Job], stop: Stop) -> Work:
        for update in draw(jobs, stop):
            told.append(lab.live.present(run.id))
            yield update
        told.append(lab.live.present(run.id))

    InProcess(lab, listen).drain()
    kinds = " ".join(event.kind for event in told)
    assert kinds == "loading loading encoding step step step decoding done"
    assert told[0].message == f"Loading {lab.name(run)}."
    assert [event.step for event in told if event.kind == "step"] == [1, 2, 3]
    assert all(event.preview for event in told if event.kind == "step")


def test_a_worker_that_is_asked_to_stop_stops_and_nothing_is_written(lab: Lab) -> None:
    run = submit(lab)

    def cancelled(jobs: Sequence[Job], stop: Stop) -> Work:
        for update in draw(jobs, stop):
            if isinstance(update, work.Stepped):
                assert update.step == 1
                lab.cancel(run.id)
            yield update

    InProcess(lab, cancelled).drain()
    assert lab.history.get(run.id).state == "cancelled"
    assert not run.folder.exists()


@pytest.mark.parametrize(
    ("last", "sentence"),
    [
        (lambda job: work.Failed(job.id, OutOfMemory("no room")), "no room"),
        (lambda job: work.Loading(job.id), UNSAID),
        (lambda job: still(job) and (_ for _ in ()).throw(OSError("x")), "rendering failed: OSError: x"),
        (lambda job: (_ for _ in ()).throw(BadInput("not so")), "not so"),
    ],
    ids=["it says that it failed", "it says nothing", "it breaks", "it refuses"],
)
def test_however_a_worker_fails_it_is_one_sentence_and_the_next_run_works(
    lab: Lab, last: Callable[[Job], Update], sentence: str
) -> None:
    bad = submit(lab)

    def fail(jobs: Sequence[Job], stop: Stop) -> Work:
        for job in jobs:
            if job.id == bad.id:
                yield last(job)
            else:
                yield from draw([job], stop)

    good = submit(lab, seed=8)
    InProcess(lab, fail).drain()
    assert (lab.history.get(bad.id).state, lab.history.get(bad.id).error) == ("failed", sentence)
    assert lab.history.get(good.id).done


def test_one_side_that_breaks_leaves_the_finished_one_as_it_is(lab: Lab) -> None:
    pair = submit_pair(lab)

    def half(jobs: Sequence[Job], stop: Stop) -> Work:
        yield from draw(jobs[:1], stop)
        raise MemoryError("there was not enough")

    InProcess(lab, half).drain()
    assert lab.history.get(pair.a.id).done
    assert lab.history.get(pair.b.id).error == "rendering failed: MemoryError: there was not enough"
    assert lab.doctor() == []


def test_a_worker_is_closed_when_the_desk_is_through_with_it(lab: Lab) -> None:
    submit(lab)
    closed = []

    def endless(jobs: Sequence[Job], stop: Stop) -> Work:
        try:
            yield still(jobs[0])
            yield work.Loading("of nobody")
            raise AssertionError("not asked for")
        finally:
            closed.append(True)

    InProcess(lab, endless).drain()
    assert closed == [True]


def test_a_run_that_cannot_be_prepared_never_reaches_the_worker(lab: Lab) -> None:
    run = submit(lab)
    run.picture.unlink()
    InProcess(lab, draw).drain()
    assert lab.history.get(run.id).error == "the picture of that recipe is not in this lab; drop it in again"


def test_latents_go_along_with_a_run_that_decodes_them_again(lab: Lab) -> None:
    source = make_run(lab, latents=b"the latents")
    seen: list[Job] = []

    def look(jobs: Sequence[Job], stop: Stop) -> Work:
        seen.extend(jobs)
        yield from draw(jobs, stop)

    pair = lab.decode_again(source.id, decode_chunk_size=1)
    InProcess(lab, look).drain()
    assert [(job.latents, job.latents_of) for job in seen] == [(b"the latents", source.id)]
    assert not lab.history.get(pair.b.id).latents.exists()  # once is enough
    gone = lab.decode_again(source.id, decode_chunk_size=2)
    source.latents.unlink()
    InProcess(lab, look).drain()
    assert lab.history.get(gone.b.id).error == (
        "the kept latents cannot be read (No such file or directory); render the run again"
    )


def test_only_the_named_runs_are_taken(lab: Lab) -> None:
    mine, other = submit(lab), submit(lab, seed=8)
    with InProcess(lab, draw, only=[mine.id]):
        pass  # leaving drains
    assert lab.history.get(mine.id).done
    assert lab.history.get(other.id).state == "queued"


# What is told is not kept


def test_nothing_is_kept_of_runs_that_have_ended(lab: Lab) -> None:
    pair, failing, stopped = submit_pair(lab), submit(lab, seed=8), submit(lab, seed=9)

    def mixed(jobs: Sequence[Job], stop: Stop) -> Work:
        for job in jobs:
            assert job.id in lab.live.told
            if job.id == failing.id:
                yield work.Failed(job.id, OutOfMemory("no room"))
            elif job.id == stopped.id:
                lab.cancel(job.id)
                yield work.Stopped(job.id)
            else:
                yield from draw([job], stop)

    InProcess(lab, mixed).drain()
    states = [lab.history.get(id).state for id in (pair.a.id, pair.b.id, failing.id, stopped.id)]
    assert states == ["done", "done", "failed", "cancelled"]
    assert lab.live.told == frozenset()
    assert [event.kind for event in lab.watch(pair.a.id)] == ["done"]


def test_nothing_is_kept_of_a_run_that_another_took_over(lab: Lab) -> None:
    run = submit(lab)
    desk = Desk(lab, owner="another-host|1|0.00")
    [claimed] = desk.claim()
    lab.live.publish(Event(run.id, "step", 1, 3))
    rows.change(lab.history, "UPDATE runs SET owner = 'a-third-host|1|0.00'")
    desk.settle(claimed.id, "it broke off")
    assert lab.history.get(run.id).state == "running"
    assert lab.live.told == frozenset()
