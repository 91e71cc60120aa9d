"""What must not lose anything: processes killed at every step, full disks, locked databases, clocks, missing files.

Every fault is a real one, met by the real program on the real demo checkpoints; only the moment of dying is chosen,
by a failpoint. `scripts/test -m slow` adds a loop of random kills.
"""

from __future__ import annotations

import hashlib
import os
import random
import re
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from svdlab import failpoints
from svdlab.cli import main
from svdlab.clips import video
from svdlab.clips.frames import read_frames_zip
from svdlab.engine.renderer import Renderer
from svdlab.errors import BadInput, DataFolderError, NotFound, RenderFailed
from svdlab.exchange import tables
from svdlab.history.queue import LEASE_SECONDS
from svdlab.history.run_files import read_result
from svdlab.lab.desk import Desk
from svdlab.lab.lab import Lab
from svdlab.recipes.records import Run
from svdlab.workers import Compute, InProcess, LocalWorker
from tests import crash, made, rows
from tests.conftest import ROOT
from tests.waiting import until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="kills and limits processes as POSIX does")

ACCEPTING = ("picture-written", "picture-stored", "row-inserted", "accepted")
SAMPLING = ("claimed", "loading", "encoding", "step", "step:2", "decoding")
WRITING = ("video-written", "frames-written", "poster-written", "result-written", "synced")
ENDING = ("published", "ending", "ended")
RENDERING_A_PAIR = ("row-inserted:2", "claimed", "step:3", "video-written:2", "published:2", "ended")
RESUMING = ("requeuing", "requeued")
EMPTYING = ("bin-marked", "bin-files-removed", "bin-rows-removed")
SWEEPING = ("sweep-inserted", "sweep-accepted", "cell-queued", "cells-taken-up")
SWEEP_KILLS = (*SWEEPING[:3], "cell-queued:3", "step:3", "published:2", "ended:4")
OTHERS = ("recovered", "old-files-removed")

KILLS = 120


@pytest.fixture(scope="module", autouse=True)
def _server() -> None:
    crash.start_server()


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    """The weights, loaded once for all the tests that render in this process."""
    return Renderer("cpu")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder whose database notes every beginning and end of a run."""
    folder = tmp_path / "data"
    Lab(folder).close()
    with closing(sqlite3.connect(folder / "svdlab.db")) as db:
        db.execute("CREATE TABLE told (run, state, owner)")
        db.execute(
            "CREATE TRIGGER telling AFTER UPDATE OF state ON runs WHEN NEW.state <> OLD.state BEGIN"
            " INSERT INTO told VALUES (NEW.id, NEW.state, NEW.owner); END"
        )
    return folder


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """Where the ids go that a process was given before it died."""
    return tmp_path / "ledger"


def told(data: Path, state: str) -> Counter[str]:
    """How often each run came into a state."""
    with closing(sqlite3.connect(data / "svdlab.db")) as db:
        return Counter(row[0] for row in db.execute("SELECT run FROM told WHERE state = ?", (state,)))


def check_whole(run: Run) -> None:
    """Every file of a finished run is there, can be used and is the one that was written."""
    assert hashlib.sha256(run.video.read_bytes()).hexdigest() == run.outcome.video_sha256
    assert len(video.read_mp4_frames(run.video)[0]) == run.settings.num_frames
    assert len(read_frames_zip(run.frames_zip)) == run.settings.num_frames
    assert read_result(run.folder) == (run.recipe, run.outcome)
    assert run.poster.stat().st_size > 0


def check_nothing_is_lost(lab: Lab, ledger: Path) -> None:
    """Every accepted run is there, finished ones whole and unfinished ones without files that could be shown."""
    assert lab.history.runs(states=("running",)) == []
    for id in crash.accepted(ledger):
        run = lab.history.get(id)
        if run.done:
            check_whole(run)
        else:
            assert run.state in ("queued", "interrupted")
            assert not run.folder.exists()
            assert lab.picture(run.recipe.picture_sha256).path.is_file()


def check_mended(lab: Lab) -> None:
    """Whatever the doctor finds can be mended, and then nothing is found."""
    for folder in (lab.history.runs_folder, lab.history.pictures_folder):
        for path in folder.glob(".*"):
            os.utime(path, (0, 0))  # as if it had been left long ago
    assert [found for found in lab.doctor(repair=True) if not found.repaired] == []
    assert lab.doctor() == []
    assert [*lab.history.runs_folder.glob(".*"), *lab.history.pictures_folder.glob(".*")] == []


def finish_all(lab: Lab, renderer: Renderer) -> None:
    """Queues again what was interrupted and renders everything."""
    lab.resume(*(run.id for run in lab.history.runs(1000, states=("interrupted",))))
    waiting = [run.id for run in lab.history.unfinished()]
    InProcess(lab, renderer.render).drain()
    lab.wait(*waiting)


def killed(life: Callable[..., None], *arguments: object, at: str) -> None:
    """Lives until the failpoint, and dies of nothing else."""
    process = crash.start(life, *arguments, armed=at)
    process.join(60)
    assert process.exitcode == -signal.SIGKILL, f"the program never came past {at}"


def check_after_the_kill(data: Path, ledger: Path, renderer: Renderer) -> None:
    with Lab(data) as lab:
        check_nothing_is_lost(lab, ledger)
        check_mended(lab)
        finish_all(lab, renderer)
        for run in lab.history.runs():
            check_whole(run)
            assert told(data, "done")[run.id] == 1
        assert lab.doctor() == []


# Killed at every step


def test_every_failpoint_is_one_of_these() -> None:
    placed = set()
    for path in (ROOT / "svdlab").rglob("*.py"):
        placed.update(re.findall(r'failpoint\("([a-z-]+)"\)', path.read_text("utf-8")))
    here = {*ACCEPTING, *SAMPLING, *WRITING, *ENDING, *EMPTYING, *RESUMING, *SWEEPING, *OTHERS}
    assert placed == here - {"step:2"}


@pytest.mark.parametrize("at", [*ACCEPTING, *SAMPLING, *WRITING, *ENDING])
def test_a_program_killed_while_rendering_loses_nothing(
    data: Path, ledger: Path, renderer: Renderer, at: str
) -> None:
    killed(crash.render_one, data, ledger, at=at)
    check_after_the_kill(data, ledger, renderer)


@pytest.mark.parametrize("at", RENDERING_A_PAIR)
def test_a_program_killed_while_rendering_a_comparison_loses_neither_side(
    data: Path, ledger: Path, renderer: Renderer, at: str
) -> None:
    killed(crash.render_one, data, ledger, True, at=at)
    with Lab(data) as lab:
        pairs = lab.history.comparisons()
        assert len(pairs) == (at != "row-inserted:2")
        assert len(lab.history.runs()) == 2 * len(pairs)  # both or neither
    check_after_the_kill(data, ledger, renderer)
    with Lab(data) as lab:
        fair = [lab.fairness(pair).fair for pair in lab.history.comparisons()]
        assert fair == [True] * len(pairs)


@pytest.mark.parametrize("at", RESUMING)
def test_a_program_killed_while_resuming_loses_nothing(
    data: Path, ledger: Path, renderer: Renderer, at: str
) -> None:
    killed(crash.render_one, data, ledger, at="step")
    Lab(data).close()
    killed(crash.resume, data, at=at)
    check_after_the_kill(data, ledger, renderer)


def test_a_program_killed_while_settling_after_a_kill_loses_nothing(
    data: Path, ledger: Path, renderer: Renderer
) -> None:
    killed(crash.render_one, data, ledger, True, at="step")
    killed(crash.open_and_close, data, at="recovered")
    check_after_the_kill(data, ledger, renderer)


def test_a_program_killed_while_replacing_damaged_files_loses_nothing(
    data: Path, ledger: Path, renderer: Renderer
) -> None:
    with Lab(data) as lab:
        run = made.make_run(lab, **crash.TINY)
        run.video.write_bytes(run.video.read_bytes()[:100])
        assert [found.repaired for found in lab.doctor(repair=True)] == [True]
        ledger.write_text(run.id)
    killed(crash.render_all, data, at="old-files-removed")
    with Lab(data) as lab:
        assert lab.history.get(run.id).state == "interrupted"
        check_mended(lab)
        finish_all(lab, renderer)
        check_whole(lab.history.get(run.id))


@pytest.mark.parametrize("left", [0, 100], ids=["video gone", "video damaged"])
def test_files_left_of_an_earlier_life_are_not_taken_for_a_finished_run(
    data: Path, ledger: Path, renderer: Renderer, left: int
) -> None:
    with Lab(data) as lab:
        run = made.make_run(lab, **crash.TINY)
        rest = run.video.read_bytes()[:left]
        run.video.unlink()  # by hand; result.json and the frames are still there
        if rest:
            run.video.write_bytes(rest)
        lab.doctor(repair=True)
    killed(crash.render_all, data, at="step")
    with Lab(data) as lab:
        assert lab.history.get(run.id).state == "interrupted"
        finish_all(lab, renderer)
        check_whole(lab.history.get(run.id))


@pytest.mark.parametrize("at", EMPTYING)
def test_a_program_killed_while_emptying_the_bin_goes_on_where_it_was(data: Path, at: str) -> None:
    with Lab(data) as lab:
        kept, *binned = [made.make_run(lab, seed, **crash.TINY) for seed in range(3)]
        lab.delete([run.id for run in binned])
    killed(crash.empty_bin, data, at=at)
    with Lab(data) as lab:
        for run in binned:
            with pytest.raises((BadInput, NotFound), match=r"removed for good|no run"):
                lab.history.take_back([run.id])  # nothing comes back by halves
        check_mended(lab)
        assert [run.id for run in lab.history.runs()] == [kept.id]
        assert [path.name for path in lab.history.runs_folder.iterdir()] == [kept.id]
        check_whole(kept)


# Sweeps


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What the clips of a sweep are that nothing broke off, cell by cell."""
    folder = tmp_path_factory.mktemp("unbroken")
    process = crash.start(crash.render_sweep, folder)
    process.join(120)
    assert process.exitcode == 0
    with Lab(folder) as lab:
        return clips_of_the_sweep(lab)


def clips_of_the_sweep(lab: Lab) -> list[str]:
    [sweep] = lab.history.sweeps()
    standing = lab.sweeps.standing(sweep.id)
    assert standing.counts == {"done": 4}
    assert standing.sweep.state == "ended"
    runs = [lab.history.get(cell.run or "") for cell in standing.cells]
    for run in runs:
        check_whole(run)
    assert len({run.id for run in runs}) == len(lab.history.runs()) == 4
    return [run.outcome.video_sha256 for run in runs]


def check_the_sweep_goes_on(data: Path, unbroken: list[str]) -> None:
    """Nobody asks for anything: the next start goes on with it, no cell is lost, none is rendered twice."""
    with Lab(data) as lab:
        check_mended(lab)
    process = crash.start(crash.serve, data)
    process.join(120)
    assert process.exitcode == 0
    with Lab(data) as lab:
        assert clips_of_the_sweep(lab) == unbroken
        assert set(told(data, "done").values()) == {1}
        assert lab.doctor() == []


@pytest.mark.parametrize("at", SWEEP_KILLS)
def test_a_program_killed_in_a_sweep_leaves_one_that_goes_on(
    data: Path, unbroken: list[str], at: str
) -> None:
    killed(crash.render_sweep, data, at=at)
    if at == "sweep-inserted":  # nothing was accepted yet, and nothing of it is there
        with Lab(data) as lab:
            assert (lab.history.sweeps(), lab.history.runs()) == ([], [])
    else:
        check_the_sweep_goes_on(data, unbroken)


def test_a_program_killed_while_taking_up_a_broken_cell_loses_nothing(
    data: Path, unbroken: list[str]
) -> None:
    killed(crash.render_sweep, data, at="step")
    killed(crash.serve, data, at="cells-taken-up")
    killed(crash.serve, data, at="published")
    check_the_sweep_goes_on(data, unbroken)


# Several programs on one data folder


def test_two_programs_share_one_folder_and_render_each_run_once(data: Path, ledger: Path) -> None:
    ready, stop = crash.context.Barrier(3), crash.context.Event()
    programs = [crash.start(crash.share, data, ready, stop) for _ in range(2)]
    with Lab(data) as lab:
        ready.wait(60)
        ids = [id for seed in range(9) for id in crash.submit(lab, ledger, seed, pair=seed % 3 == 0)]
        lab.wait(*ids)
        for id in ids:
            check_whole(lab.history.get(id))
    stop.set()
    for program in programs:
        program.join(30)
    assert told(data, "running") == told(data, "done") == Counter(ids)
    with closing(sqlite3.connect(data / "svdlab.db")) as db:
        owners = db.execute("SELECT DISTINCT owner FROM told WHERE state = 'running'").fetchall()
    assert len(owners) == 2


def test_a_program_takes_over_when_the_other_is_killed(
    data: Path, ledger: Path, renderer: Renderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Lab(data) as lab:
        program = crash.start(crash.render_one, data, ledger, False, 200)
        run = _wait_for_a_step(lab)
        assert Desk(lab).recover() == []  # it lives
        program.kill()
        program.join()
        assert [settled.id for settled in Desk(lab).recover()] == [run.id]
        assert lab.history.get(run.id).state == "interrupted"


def _wait_for_a_step(lab: Lab) -> Run:
    def begun() -> Run | None:
        return next((run for run in lab.history.runs(states=("running",)) if run.step), None)

    return until(begun, "a first step")


def test_a_killed_program_that_nobody_has_waited_for_is_dead(data: Path, ledger: Path) -> None:
    claiming = (
        "import sys, time; from svdlab.lab.desk import Desk; from svdlab.lab.lab import Lab; "
        "lab = Lab(sys.argv[1]); Desk(lab).claim(); "
        "print('claimed', flush=True); time.sleep(60)"
    )
    with Lab(data) as lab:
        [id] = crash.submit(lab, ledger, 1)
        with subprocess.Popen([sys.executable, "-c", claiming, str(data)], stdout=subprocess.PIPE) as program:
            assert program.stdout is not None
            assert program.stdout.readline() == b"claimed\n"
            assert Desk(lab).recover() == []
            program.kill()
            until(lambda: _is_gone(program.pid), "the end of the program")
            assert [run.id for run in Desk(lab).recover()] == [
                id
            ]  # its entry in the table of processes is still there


def _is_gone(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"


def test_a_worker_taken_for_dead_neither_ends_nor_overwrites_what_another_renders(data: Path) -> None:
    slow, quick = Lab(data), Lab(data)
    asleep = Desk(slow, owner="another-host|1|0.00")  # a machine that was asleep for longer than a lease
    awake = Desk(quick)
    run = slow.submit(crash.recipe(slow, 1))
    [claimed] = asleep.claim()
    rows.change(quick.history, "UPDATE runs SET lease_until = lease_until - ?", LEASE_SECONDS + 1)
    assert [settled.id for settled in awake.recover()] == [run.id]
    quick.resume(run.id)
    [rendering] = awake.claim()
    asleep.beat(run.id, 2)
    assert slow.live.stop_asked(run.id)
    for _ in range(2):  # while the other one renders, and when it has ended
        assert made.finish(asleep, claimed, made.picture_of(0)) == rendering
        asleep.fail(claimed, "no")
        asleep.stopped(claimed)
        asleep.settle(run.id, "no")
        assert quick.history.get(run.id) == rendering
        if rendering.unfinished:
            assert not quick.live.stop_asked(run.id)
            assert list(quick.history.runs_folder.iterdir()) == []
            rendering = made.finish(awake, rendering, made.picture_of(1))
        check_whole(rendering)
    assert [path.name for path in quick.history.runs_folder.iterdir()] == [run.id]
    slow.close()
    quick.close()


@contextmanager
def locked(data: Path) -> Iterator[None]:
    """Another program holds the database for as long as this lasts."""
    began, release = crash.context.Event(), crash.context.Event()
    program = crash.start(crash.hold_lock, data, began, release)
    assert began.wait(60)
    try:
        yield
    finally:
        release.set()
        program.join()


def test_a_locked_database_is_one_sentence_and_the_next_call_works(data: Path, ledger: Path) -> None:
    with Lab(data, busy_seconds=0.2) as lab:
        [first] = crash.submit(lab, ledger, 1)
        with locked(data):
            said = r"cannot be written: another program has kept it locked for 0.2 seconds; close it or try again$"
            with pytest.raises(DataFolderError, match=said):
                crash.submit(lab, ledger, 2)
            with pytest.raises(DataFolderError, match=said):
                Desk(lab).claim()
            assert [run.id for run in lab.history.runs()] == [first]  # reading goes on
            with Lab(data, busy_seconds=0.2) as second:
                assert second.history.get(first).state == "queued"
        assert len(crash.submit(lab, ledger, 2)) == 1
        assert [run.id for run in Desk(lab).claim()] == [first]


def test_a_database_locked_for_a_while_does_not_stop_the_rendering(
    data: Path, ledger: Path, renderer: Renderer, caplog: pytest.LogCaptureFixture
) -> None:
    with Lab(data, busy_seconds=0.1) as lab:
        _worker(lab, renderer)
        [id] = crash.submit(lab, ledger, 1, num_inference_steps=100)
        next(event for event in lab.watch(id) if event.kind == "step")
        with locked(data):
            until(lambda: "the progress could not be noted" in caplog.text, "the word about it")
        assert lab.wait(id)[0].done
        assert "the progress could not be noted: the data folder" in caplog.text


def test_a_run_whose_end_could_not_be_written_ends_as_soon_as_it_can(
    data: Path, ledger: Path, renderer: Renderer, caplog: pytest.LogCaptureFixture
) -> None:
    with Lab(data, busy_seconds=0.1) as lab:
        _worker(lab, renderer)
        [id] = crash.submit(lab, ledger, 1, num_inference_steps=5)
        next(event for event in lab.watch(id) if event.kind == "step")
        with locked(data):
            until(lambda: "a run could not be rendered: the data folder" in caplog.text, "the end")
            assert lab.history.get(id).state == "running"
        with pytest.raises(RenderFailed, match="cannot be written: another program has kept it locked"):
            lab.wait(id)
        assert list(lab.history.runs_folder.iterdir()) == []
        lab.resume(id)
        check_whole(lab.wait(id)[0])


def _worker(lab: Lab, renderer: Renderer) -> LocalWorker:
    return LocalWorker(lab, Compute("cpu"), renderer=renderer).start()


# Full disks


@pytest.mark.parametrize("at", WRITING)
def test_a_disk_that_is_full_at_any_moment_fails_the_run_in_one_sentence(
    data: Path, ledger: Path, renderer: Renderer, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    with Lab(data) as lab:
        _worker(lab, renderer)
        monkeypatch.setenv(failpoints.VARIABLE, f"{at}=full")
        [id] = crash.submit(lab, ledger, 1)
        said = "the video could not be written: the disk is full; free some room and try again"
        with pytest.raises(RenderFailed, match=f"^{said}$"):
            lab.wait(id)
        assert list(lab.history.runs_folder.iterdir()) == []
        monkeypatch.delenv(failpoints.VARIABLE)
        lab.resume(id)
        check_whole(lab.wait(id)[0])


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 4 MB; skips where none can be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    command = [mount or "mount", "-t", "tmpfs", "-o", "size=4m", "none", str(folder)]
    if mount is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a small disk can only be mounted by root")
    yield folder
    subprocess.run(
        ["umount", "--lazy", str(folder)], check=True
    )  # a writer that failed may not be closed yet


def fill(disk: Path) -> Path:
    """Takes all the room there is on a disk; removing the file gives it back."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    assert shutil.disk_usage(disk).free == 0
    return filler


def submit_until_it_fails(lab: Lab, ledger: Path) -> None:
    """Accepts runs of one picture: the database's log has some room left when the disk has none."""
    for _ in range(500):
        crash.submit(lab, ledger, 0)


def test_on_a_really_full_disk_nothing_is_accepted_and_nothing_is_lost(
    small_disk: Path, ledger: Path
) -> None:
    with Lab(small_disk / "data") as lab:
        [first] = crash.submit(lab, ledger, 0)
        filler = fill(small_disk)
        with pytest.raises(DataFolderError, match=r"cannot be written: the disk is full; free some room"):
            submit_until_it_fails(lab, ledger)
        with pytest.raises(
            DataFolderError, match=r"the picture could not be written to .*: the disk is full"
        ):
            crash.submit(lab, ledger, 1)
        assert [path.name for path in lab.history.pictures_folder.glob(".*")] == []
        assert {run.id for run in lab.history.runs(500)} == set(crash.accepted(ledger))
        filler.unlink()
        crash.submit(lab, ledger, 1)
        assert lab.history.runs(500)[-1].id == first
        assert lab.doctor() == []


def test_a_disk_that_fills_up_while_rendering_fails_the_run_and_it_can_be_resumed(
    small_disk: Path, ledger: Path, renderer: Renderer, caplog: pytest.LogCaptureFixture
) -> None:
    with Lab(small_disk / "data") as lab:
        _worker(lab, renderer)
        [id] = crash.submit(lab, ledger, 1, num_inference_steps=5)
        next(event for event in lab.watch(id) if event.kind == "step")
        filler = fill(small_disk)
        until(lambda: "could not be rendered" in caplog.text or lab.history.get(id).error, "the end")
        assert not lab.history.get(id).done
        filler.unlink()
        with pytest.raises(RenderFailed, match="the disk is full; free some room and try again"):
            lab.wait(id)
        assert list(lab.history.runs_folder.iterdir()) == []
        lab.resume(id)
        check_whole(lab.wait(id)[0])


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """The kernel refuses to let a file of this process grow beyond so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_database_that_cannot_grow_is_one_sentence_and_keeps_what_it_has(data: Path, ledger: Path) -> None:
    with Lab(data) as lab:
        crash.submit(lab, ledger, 0)
        size = (data / "svdlab.db-wal").stat().st_size
        with (
            files_no_larger_than(size + 20_000),
            pytest.raises(DataFolderError, match=r"cannot be written: (disk I/O error|the disk is full)"),
        ):
            submit_until_it_fails(lab, ledger)
        crash.submit(lab, ledger, 0)
        assert {run.id for run in lab.history.runs(500)} == set(crash.accepted(ledger))
        assert lab.doctor() == []


# The clock is set back a day


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere a start time does not move")
def test_a_run_being_rendered_is_not_taken_when_the_clock_is_set_back(data: Path, ledger: Path) -> None:
    with Lab(data) as lab:
        crash.submit(lab, ledger, 1)
        claimed = crash.context.Event()
        program = crash.start(crash.claim_and_wait, data, claimed)
        assert claimed.wait(60)
        for life in (crash.set_clock_back_and, crash.open_and_close):
            arguments = (crash.open_and_close, data) if life is crash.set_clock_back_and else (data,)
            other = crash.start(life, *arguments)
            other.join()
            assert other.exitcode == 0
            assert [run.state for run in lab.history.runs()] == ["running"]
        program.kill()
        program.join()
        other = crash.start(crash.set_clock_back_and, crash.open_and_close, data)
        other.join()
        assert [run.state for run in lab.history.runs()] == ["interrupted"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere a start time does not move")
def test_what_is_accepted_after_the_clock_was_set_back_waits_its_turn(
    data: Path, ledger: Path, renderer: Renderer
) -> None:
    with Lab(data) as lab:
        first = crash.submit(lab, ledger, 1)
        killed(crash.set_clock_back_and, crash.render_one, data, ledger, True, at="claimed")
        earlier = [run for run in lab.history.runs() if run.id not in first]
        assert len(earlier) == 2
        assert all(run.created < lab.history.get(first[0]).created - 0.9 * crash.DAY for run in earlier)
        Desk(lab).recover()
        pair = lab.history.comparisons()[0]
        assert {lab.history.get(id).state for id in first} == {
            "interrupted"
        }  # it was first, so it was the one claimed
        lab.resume(*first)
        last = crash.submit(lab, ledger, 2)
        assert [lab.history.position(id) for id in (*first, pair.a.id, pair.b.id, *last)] == [0, 1, 1, 3]
        assert len(lab.history.find().runs) == 4
        finish_all(lab, renderer)
        assert sorted(told(data, "done").values()) == [1, 1, 1, 1]
        assert [found.sentence for found in lab.doctor()] == []


# Files are deleted by hand


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.mark.parametrize(
    "gone", ["video.mp4", "poster.webp", "frames.zip", "result.json", "folder", "picture", "runs", "pictures"]
)
def test_files_deleted_by_hand_are_sentences_everywhere(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], renderer: Renderer, gone: str
) -> None:
    with Lab(data) as lab:
        pair = made.make_pair(lab)
        run = pair.a
        places = {"folder": run.folder, "picture": run.picture}
        places.update(runs=lab.history.runs_folder, pictures=lab.history.pictures_folder)
        _remove(places.get(gone, run.folder / gone))

        assert len(lab.history.find().runs) == 2
        assert lab.history.get(run.id).done
        assert lab.labels(lab.history.comparison(pair.id))
        assert lab.disk_use().total > lab.history.file.stat().st_size
        for make in (
            lambda: lab.export_side_by_side(pair, tmp_path / "pair.mp4"),
            lambda: tables.write_zip(lab, lab.history.runs(), tmp_path / "all.zip", frames=True),
            lambda: lab.decode_again(run.id, decode_chunk_size=1),
        ):
            with suppress(BadInput):  # whatever else is raised is no sentence
                make()
        assert tables.write_table(lab.history.runs(), tmp_path / "all.csv") == 2

        for words in (["runs"], ["runs", "show", run.id], ["runs", "resume", run.id], ["doctor"]):
            code = main([*words, "--data-dir", str(data)])
            said = capsys.readouterr()
            assert code in (0, 2)
            assert "SVDLAB_DEBUG" not in said.err
        assert code == 2  # the doctor says what is missing

        lab.doctor(repair=True)
        video_gone = gone in ("video.mp4", "folder", "runs")
        assert (lab.history.get(run.id).state == "interrupted") == video_gone
        made.picture_of(0).save(tmp_path / "again.png")
        stored = lab.add_picture(tmp_path / "again.png")  # dropped in again
        assert stored.path.is_file()
        finish_all(lab, renderer)
        assert lab.history.get(run.id).done
        if video_gone:
            check_whole(lab.history.get(run.id))
        left = {found.sentence.partition(" is gone")[0] for found in lab.doctor()}
        assert left <= ({f"Its {gone}"} if gone in ("poster.webp", "frames.zip") else set())


def test_a_run_whose_picture_is_gone_fails_in_one_sentence_and_the_next_one_works(
    data: Path, ledger: Path, renderer: Renderer
) -> None:
    with Lab(data) as lab:
        missing, damaged, fine = (crash.submit(lab, ledger, seed)[0] for seed in range(3))
        lab.history.get(missing).picture.unlink()
        lab.history.get(damaged).picture.write_bytes(lab.history.get(damaged).picture.read_bytes()[:200])
        _worker(lab, renderer)
        assert lab.wait(fine)[0].done
        assert (
            lab.history.get(missing).error
            == "the picture of that recipe is not in this lab; drop it in again"
        )
        assert lab.history.get(damaged).error == "the picture of that recipe is damaged; drop it in again"
        for id, number in ((missing, 0), (damaged, 1)):
            lab.add_picture(made.picture_of(number))
            lab.resume(id)
            check_whole(lab.wait(id)[0])


# Killed at random


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_hundred_random_kills_lose_nothing_and_render_nothing_twice(
    data: Path, ledger: Path, renderer: Renderer
) -> None:
    seed = int(os.environ.get("SVDLAB_KILL_SEED") or random.SystemRandom().randrange(10**6))
    print(f"SVDLAB_KILL_SEED={seed}")
    draw, began = random.Random(seed), time.monotonic()
    kills = both = resumed = number = 0
    whole: set[str] = set()
    while kills < KILLS:
        programs: list[tuple[float, BaseProcess]] = []
        for _ in range(1 + (draw.random() < 0.3)):  # now and then two programs on one folder
            count = draw.randrange(4) if len(crash.accepted(ledger)) < 3 * kills + 6 else 0
            seeds = range(number, number + count)
            number += count
            program = crash.start(crash.accept_and_render, data, ledger, seeds)
            programs.append((draw.uniform(0.05, 2.5), program))
        both += len(programs) > 1
        started = time.monotonic()
        for delay, program in sorted(programs, key=lambda one: one[0]):
            time.sleep(max(0.0, started + delay - time.monotonic()))
            assert program.is_alive(), f"a program ended by itself, seed {seed}"
            program.kill()
            program.join()
            kills += 1
            if draw.random() < 0.5:
                Lab(data).close()  # somebody looks while the other one may still be rendering
        with Lab(data) as lab:
            resumed += len(lab.history.runs(1000, states=("interrupted",)))
            for run in lab.history.runs(1000, states=("done",)):
                if run.id not in whole:
                    check_whole(run)
                    whole.add(run.id)
            states = Counter(lab.history.get(id).state for id in crash.accepted(ledger))  # none is lost
        assert set(states) <= {"queued", "interrupted", "done"}, f"{states}, seed {seed}"
    with Lab(data) as lab:
        check_mended(lab)
        finish_all(lab, renderer)
        runs = lab.history.runs(1000)
        assert set(crash.accepted(ledger)) <= {run.id for run in runs}
        for run in runs:
            check_whole(run)
        assert told(data, "done") == Counter(run.id for run in runs), f"seed {seed}"
        assert lab.doctor() == []
        print(
            f"{kills} kills, {both} rounds with two programs, {len(runs)} runs accepted and done, {len(whole)} of them "
            f"before the last kill, {resumed} resumed, {time.monotonic() - began:.0f} s"
        )
