"""What processes do that are killed: each function is one life, in a process of its own.

Processes are forked from a server that has torch and svdlab loaded and has used neither, so that a life costs a second.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Barrier, Event
from pathlib import Path
from typing import Any

import pytest

from svdlab.failpoints import VARIABLE
from svdlab.lab.desk import Desk
from svdlab.lab.lab import Lab
from svdlab.recipes.records import Recipe
from svdlab.workers import Compute, LocalWorker
from tests.made import picture_of

TINY = {"width": 64, "height": 64, "num_frames": 2, "num_inference_steps": 2}
PAIR = "demo-1-0", "demo-1-1"
DAY = 86_400.0

context = multiprocessing.get_context("forkserver")


def start_server() -> None:
    """Starts the process that the others are forked from, if it does not run yet."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")  # no thread pool that a fork would lose
        context.set_forkserver_preload(["svdlab.engine.renderer", "svdlab.engine.latents", "tests.crash"])
        forkserver.ensure_running()


def start(life: Callable[..., None], *arguments: Any, armed: str = "") -> BaseProcess:
    """Starts a life, killed at the failpoint `armed` if one is named."""
    process = context.Process(target=_live, args=(life, arguments, armed))
    process.start()
    return process


def _live(life: Callable[..., None], arguments: Sequence[Any], armed: str) -> None:
    if armed:
        os.environ[VARIABLE] = armed
    gc.freeze()  # what the server has loaded: see tests.conftest
    life(*arguments)


def recipe(lab: Lab, seed: int, checkpoint: str = "demo-1-0", **changes: object) -> Recipe:
    """A tiny clip of one of three pictures."""
    settings = lab.settings(checkpoint, {**TINY, **changes}, seed=seed)
    return lab.recipe(checkpoint, lab.add_picture(picture_of(seed % 3)), settings)


def submit(lab: Lab, ledger: Path, seed: int, pair: bool = False, **changes: object) -> list[str]:
    """Accepts a run or a comparison; what was accepted is in the ledger, whatever happens to the process after it."""
    if pair:
        comparison = lab.submit_comparison(*(recipe(lab, seed, id, **changes) for id in PAIR))
        ids = [comparison.a.id, comparison.b.id]
    else:
        ids = [lab.submit(recipe(lab, seed, **changes)).id]
    with ledger.open("a") as file:
        file.writelines(f"{id}\n" for id in ids)
        file.flush()
        os.fsync(file.fileno())
    return ids


def accepted(ledger: Path) -> list[str]:
    """The ids in the ledger."""
    return ledger.read_text().split() if ledger.exists() else []


# Lives


def render_one(data: Path, ledger: Path, pair: bool = False, steps: int = 2) -> None:
    """Accepts something and renders it."""
    with Lab(data) as lab:
        ids = submit(lab, ledger, 7, pair, num_inference_steps=steps)
        LocalWorker(lab, Compute("cpu")).start()
        lab.wait(*ids)


def render_all(data: Path) -> None:
    """Queues again what was interrupted and renders all there is."""
    with Lab(data) as lab:
        lab.resume(*(run.id for run in lab.history.runs(1000, states=("interrupted",))))
        LocalWorker(lab, Compute("cpu")).start()
        lab.wait(*(run.id for run in lab.history.unfinished()))


def accept_and_render(data: Path, ledger: Path, seeds: Sequence[int]) -> None:
    """Queues interrupted runs again, accepts new ones, every third a comparison, and renders until it is killed."""
    with Lab(data) as lab:
        LocalWorker(lab, Compute("cpu")).start()
        lab.resume(*(run.id for run in lab.history.runs(1000, states=("interrupted",))))
        for seed in seeds:
            submit(lab, ledger, seed, pair=seed % 3 == 0)
        time.sleep(60)


def render_sweep(data: Path) -> None:
    """Accepts a sweep of four cells over both checkpoints and renders it."""
    with Lab(data) as lab:
        grid = lab.sweeps.grid({"seed": "1..2", "checkpoint": list(PAIR)})
        sweep = lab.sweeps.submit(lab.sweeps.plan(recipe(lab, 1), grid))
        LocalWorker(lab, Compute("cpu")).start()
        for _ in lab.sweeps.watch(sweep.id):
            pass


def serve(data: Path) -> None:
    """What any later start does: renders whatever goes on, until all sweeps are over."""
    with Lab(data) as lab:
        LocalWorker(lab, Compute("cpu")).start()
        for sweep in lab.history.sweeps():
            for _ in lab.sweeps.watch(sweep.id):
                pass


def share(data: Path, ready: Barrier, stop: Event) -> None:
    """Renders whatever another process accepts, until told to stop."""
    with Lab(data) as lab:
        LocalWorker(lab, Compute("cpu")).start()
        ready.wait()
        stop.wait()


def claim_and_wait(data: Path, claimed: Event) -> None:
    """Claims all that waits, one by one, and does nothing with it."""
    with Lab(data) as lab:
        while Desk(lab).claim():
            pass
        claimed.set()
        time.sleep(60)


def open_and_close(data: Path) -> None:
    """What every start does: settling what dead workers left."""
    Lab(data).close()


def set_clock_back_and(life: Callable[..., None], *arguments: Any) -> None:
    """Lives a day earlier. The kernel says so to everyone who asks for the time, and moves the boot with it."""
    import psutil._pslinux as linux

    now, nanoseconds, boot = time.time, time.time_ns, linux.boot_time
    time.time = lambda: now() - DAY
    time.time_ns = lambda: nanoseconds() - int(DAY * 1e9)
    linux.boot_time = lambda: boot() - DAY
    life(*arguments)


def resume(data: Path) -> None:
    """Queues again what was interrupted, without rendering it."""
    with Lab(data) as lab:
        lab.resume(*(run.id for run in lab.history.runs(1000, states=("interrupted",))))


def empty_bin(data: Path) -> None:
    """Removes for good all that is in the bin."""
    with Lab(data) as lab:
        lab.history.empty_bin(0)


def hold_lock(data: Path, locked: Event, release: Event) -> None:
    """Another program that writes to the database and takes its time."""
    with closing(sqlite3.connect(data / "svdlab.db", isolation_level=None, timeout=30)) as db:
        db.execute("BEGIN IMMEDIATE")
        locked.set()
        release.wait(60)
        db.execute("ROLLBACK")
