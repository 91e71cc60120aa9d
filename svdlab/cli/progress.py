"""Renders runs and shows how far they are: bars on a terminal, nothing elsewhere. Knows the lab's events."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Protocol

from svdlab.errors import Cancelled, CheckpointUnavailable
from svdlab.recipes.events import Event
from svdlab.recipes.records import Run
from svdlab.weights.availability import availability

if TYPE_CHECKING:
    from svdlab.history.turns import Only
    from svdlab.lab.lab import Lab
    from svdlab.recipes.checkpoint import Checkpoint
    from svdlab.workers import Compute, Worker

DENOISING_SHARE = 0.9  # of a bar; the rest is decoding
CANCEL_SECONDS = (
    60.0  # how long a cancelled run may take to end: one step of a large model on a small machine
)


class Bars(Protocol):
    """What shows events."""

    def show(self, event: Event) -> None:
        """Shows one event of one run."""


class Quiet:
    """Shows nothing: a log or a pipe wants the result."""

    def show(self, event: Event) -> None:
        """Shows nothing."""


def must_be_here(checkpoint: Checkpoint) -> None:
    """Raises `CheckpointUnavailable` before anything is queued if the weights can surely not be had."""
    here = availability(checkpoint)
    if not here.obtainable:
        raise CheckpointUnavailable(f"{checkpoint.id}: {here.sentence}")


def can_render(lab: Lab, device: str, dtype: str) -> Compute:
    """What to render with here. Raises `BadInput` before anything is queued if that device is not there."""
    from svdlab.workers import Compute

    compute = Compute.of(lab.environment, device, dtype)
    worker_for(lab, compute).check()
    return compute


def worker_for(lab: Lab, compute: Compute, only: Only = None) -> Worker:
    """Who renders what a command asks for: this machine, or the environment's cluster."""
    from svdlab.workers import LocalWorker

    if not lab.environment.cluster:
        return LocalWorker(lab, compute, only)
    from svdlab.workers.cluster import Cluster

    return Cluster(lab, compute, only)


def render(lab: Lab, runs: Sequence[Run], compute: Compute) -> list[Run]:
    """Renders queued runs here, or watches whoever claimed them first; returns them finished.

    Only these runs are taken from the queue. Ctrl-C cancels them. Raises `RenderFailed`, `Cancelled`.
    """
    bars = _bars({run.id: run.recipe.checkpoint for run in runs})
    ids = [run.id for run in runs]
    _follow(lab, ids, compute, bars, lambda: "cancelled; nothing was written")
    return lab.wait(*ids)


def render_each(lab: Lab, names: Mapping[str, str], compute: Compute) -> dict[str, Run]:
    """Renders queued runs, given with their names, and returns them as they ended, by id; one that fails stops none.

    Ctrl-C cancels all that is left of them. Raises `Cancelled`.
    """

    def kept() -> str:
        done = sum(lab.history.get(id).done for id in names)
        return f"cancelled; {done} of {len(names)} clips were finished and are kept"

    if names:
        _follow(lab, list(names), compute, _total(names), kept)
    return {id: lab.history.get(id) for id in names}


def _follow(
    lab: Lab,
    ids: Sequence[str],
    compute: Compute,
    shown: AbstractContextManager[Bars],
    cancelled: Callable[[], str],
) -> None:
    """Renders these runs here and shows them to their ends. Ctrl-C cancels them: then raises `Cancelled`."""
    worker_for(lab, compute, ids).start()
    try:
        with shown as bars:
            for event in lab.watch(*ids):
                bars.show(event)
    except KeyboardInterrupt:
        _cancel(lab, ids)
        raise Cancelled(cancelled()) from None


def _cancel(lab: Lab, ids: Sequence[str]) -> None:
    """Cancels and waits for the step in progress; a second Ctrl-C does not wait."""
    print("svdlab: cancelling after this step; Ctrl-C again leaves at once", file=sys.stderr)
    for id in ids:
        lab.cancel(id)
    end = time.monotonic() + CANCEL_SECONDS
    while any(lab.history.get(id).unfinished for id in ids) and time.monotonic() < end:
        time.sleep(0.05)


@contextmanager
def _bars(labels: dict[str, str]) -> Iterator[Bars]:
    if not sys.stderr.isatty():
        yield Quiet()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        TimeElapsedColumn(),
        TextColumn("{task.fields[said]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        tasks = {id: progress.add_task(label, total=1.0, said="") for id, label in labels.items()}

        class Shown:
            """One bar a run."""

            def show(self, event: Event) -> None:
                """Moves the run's bar and says what is going on."""
                progress.update(tasks[event.run_id], completed=fraction(event), said=event.text)

        yield Shown()


@contextmanager
def _total(names: Mapping[str, str]) -> Iterator[Bars]:
    """One bar over all runs, and what is going on with the one that is being rendered."""
    if not sys.stderr.isatty():
        yield Quiet()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.fields[count]}"),
        BarColumn(bar_width=30),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[said]}"),
    )
    shares = dict.fromkeys(names, 0.0)
    ended: set[str] = set()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=float(len(names)), said="", count=f"0 of {len(names)}")

        class Shown:
            """The sum of all runs."""

            def show(self, event: Event) -> None:
                """Moves the bar; a run that waits says nothing."""
                if event.final:
                    ended.add(event.run_id)
                shares[event.run_id] = 1.0 if event.final else fraction(event)
                count = f"{len(ended)} of {len(names)}"
                progress.update(task, completed=sum(shares.values()), count=count)
                if event.kind != "queued":
                    progress.update(task, said=f"{names[event.run_id]}: {event.text}")

        yield Shown()


def fraction(event: Event) -> float:
    """How far a run is, 0 to 1."""
    part = event.step / event.steps if event.steps else 0.0
    match event.kind:
        case "step":
            return DENOISING_SHARE * part
        case "decoding":
            return DENOISING_SHARE + (1 - DENOISING_SHARE) * part
        case "saving" | "done":
            return 1.0
        case _:
            return 0.0
