"""A Ray cluster: a warm actor on each GPU, or on every few cores where there is none.

This process alone claims and writes: it hands jobs to actors, one claim at a time each, and takes back frames. An actor
that is lost, with its node or by itself, costs what it was rendering; that is rendered again elsewhere. Knows Ray.
"""

from __future__ import annotations

import logging
import os
import queue
import secrets
import socket
import threading
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any, Self

import numpy as np

from svdlab import __version__
from svdlab.environment import Environment
from svdlab.errors import BadInput, RenderFailed, SvdlabError
from svdlab.history.turns import Only
from svdlab.lab.examiner import Examiner
from svdlab.lab.lab import Lab
from svdlab.recipes.work import Failed, Job, Rendered, Stop, Stopped, Update
from svdlab.weights.catalogue import Catalogue
from svdlab.weights.content import Hashes
from svdlab.workers.contract import Compute, Worker
from svdlab.workers.local import LocalExaminer, Rendering

log = logging.getLogger(__name__)

MOST_TRIES = 3  # of a claim whose actor is lost: it may be the claim that kills it
POLL_SECONDS = 0.5  # how long an actor waits for something to tell, and so how late a cancel reaches it
ANSWER_SECONDS = 60.0  # an actor that does not answer for so long is taken for lost
CONNECT_SECONDS = 10.0
START_SECONDS = 600.0  # how long an actor may take to come up: a node may have to be started for it
NEEDS_RAY = 'rendering on a cluster needs the package ray; pip install "svdlab[cluster]"'


@dataclass(frozen=True)
class Over:
    """Nothing more comes of a claim; `error` says why, if its jobs have not all ended."""

    error: str = ""


@dataclass
class Connection:
    """This process's connection to Ray: whether it is ours to end, and how many workers use it."""

    ours: bool = False
    workers: int = 0
    address: str = ""


_connection = Connection()


class Seat:
    """What lives in an actor: one renderer, which works in a thread, so that every call is answered at once."""

    def __init__(self, compute: Compute, safety_checker: str | None) -> None:
        environment = Environment.read()
        asked = Environment(safety_checker=safety_checker)
        self._rendering = Rendering(compute, asked, Hashes(environment.data_folder))
        self._catalogue = Catalogue()
        self._claim = ""
        self._told: queue.SimpleQueue[Update | Over] = queue.SimpleQueue()
        self._stops: set[str] = set()
        self._thread: threading.Thread | None = None

    def hello(self) -> tuple[str, str]:
        """Which svdlab this is, and where."""
        return __version__, socket.gethostname()

    def begin(self, claim: str, jobs: list[Job]) -> None:
        """Begins with a claim's jobs, once, and lets another claim's go."""
        if claim == self._claim:
            return
        self._claim, self._told, self._stops = claim, queue.SimpleQueue(), set()
        work = (
            claim,
            [_as_here(job, self._catalogue) for job in jobs],
            self._told,
            self._stops,
            self._thread,
        )
        self._thread = threading.Thread(target=self._work, args=work, daemon=True)
        self._thread.start()

    def take(self, claim: str, stops: list[str]) -> list[Update | Over]:
        """What there is to tell of a claim, in order, waiting a moment for it; these of its jobs are to stop."""
        if claim != self._claim:
            return [Over("another claim was begun in its place")]
        self._stops.update(stops)
        told: list[Update | Over] = []
        try:
            told.append(self._told.get(timeout=POLL_SECONDS))
            while True:
                told.append(self._told.get_nowait())
        except queue.Empty:
            return told

    def leave(self, claim: str) -> None:
        """Lets a claim's jobs go."""
        if claim == self._claim:
            self._claim = ""

    def _work(
        self,
        claim: str,
        jobs: list[Job],
        told: queue.SimpleQueue[Update | Over],
        stops: set[str],
        before: threading.Thread | None,
    ) -> None:
        if before is not None:  # one at a time: what was let go ends within a step
            before.join()
        try:
            for update in self._rendering.render(jobs, lambda id: id in stops or self._claim != claim):
                if isinstance(update, Failed):
                    self._end_if_broken()
                told.put(update)
            told.put(Over())
        except SvdlabError as error:
            told.put(Over(str(error)))
        except Exception as error:
            self._end_if_broken()
            told.put(Over(f"rendering failed: {type(error).__name__}: {error}"))

    def _end_if_broken(self) -> None:
        """Ends the process if its GPU answers no more: raised, the error would only come again at the next claim."""
        from svdlab.engine.memory import answers

        if self._rendering.loaded is not None and not answers(self._rendering.loaded.residency.device):
            os._exit(1)


def _as_here(job: Job, own: Catalogue) -> Job:
    """A job whose embedded weights are this machine's: svdlab may be installed elsewhere than where it was asked.

    What Ray brings can only be read, and torch wants arrays that can be written to.
    """
    lent = job.decoder_from
    return replace(
        job,
        picture=np.array(job.picture),
        checkpoint=own.get(job.checkpoint.id) if job.checkpoint.demo else job.checkpoint,
        decoder_from=own.get(lent.id) if lent is not None and lent.demo else lent,
    )


class Cluster(Worker):
    """Renders on a cluster's actors, as many claims at a time as there are.

    `address` is `auto` (the cluster this machine is a node of), `local` (one that is started here), host:port of a head
    node, or ray://host:port of its client server; unless given, the environment's.
    """

    def __init__(
        self,
        lab: Lab,
        compute: Compute | None = None,
        only: Only = None,
        warm: bool = False,
        address: str | None = None,
    ) -> None:
        super().__init__(lab, compute, only, warm)
        self.address = address or lab.environment.cluster or "auto"
        self._ray: Any = None
        self._actors: list[Any] = []
        self._free: queue.Queue[Any] = queue.Queue()
        self._unfit: list[str] = []  # what is said of each actor with another svdlab

    # Life

    def check(self) -> None:
        """Connects. Raises `BadInput` without Ray, or if no cluster can be reached there."""
        if self._ray is not None:
            return
        ray = _imported()
        if _connection.ours and not _connection.workers and _connection.address != self.address:
            ray.shutdown()  # another cluster was looked for, and nobody uses it
        if not ray.is_initialized():
            self._connect(ray)
            _connection.ours, _connection.address = True, self.address
        self._ray = ray

    def _connect(self, ray: ModuleType) -> None:
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        if self.address == "local":
            options["include_dashboard"] = False
        else:
            options["address"] = self.address
        try:
            _must_listen(self.address)
            ray.init(**options)
        except Exception as error:  # each kind of address has its own ways to fail
            first = str(error).strip().partition("\n")[0][:200].rstrip(".")
            raise BadInput(
                f"no Ray cluster can be reached at {self.address[:80]} ({first}); start one with ray start --head"
            ) from None

    def start(self) -> Self:
        """Has an actor made for each seat there is room for, and serves as they come up."""
        self.check()
        cpus = self.lab.environment.cluster_cpus
        on_gpus = self.compute.device != "cpu" and any(_room(node, "GPU") for node in self._ray.nodes())
        room = [_room(node, "GPU") if on_gpus else _room(node, "CPU") // cpus for node in self._ray.nodes()]
        self.seats = sum(room)
        if not self.seats:
            raise BadInput(
                f"the cluster at {self.address[:80]} has no node with {cpus} cores; lower SVDLAB_CLUSTER_CPUS"
            )
        needs = {"num_gpus": 1, "num_cpus": 1} if on_gpus else {"num_cpus": cpus}
        made = self._ray.remote(Seat).options(max_restarts=-1, scheduling_strategy="SPREAD", **needs)
        checker = self.lab.environment.safety_checker
        self._actors = [made.remote(self.compute, checker) for _ in range(self.seats)]
        for actor in self._actors:
            self._await(actor)
        _connection.workers += 1
        return super().start()

    def stop(self) -> None:
        """Ends the threads, then the actors and the connection."""
        super().stop()
        if not self._actors:
            return
        for actor in self._actors:
            self._ray.kill(actor)
        self._actors = []
        _connection.workers -= 1
        if _connection.ours and not _connection.workers:  # Ray has one connection a process
            self._ray.shutdown()
            _connection.ours = False
        self._ray = None

    def examiner(self) -> Examiner:
        """Reads weights here, in whoever's thread asks."""
        return LocalExaminer(self.lab.hashes)

    # Actors

    def _await(self, actor: Any) -> None:
        """Has an actor take claims once it is up, or up again."""
        threading.Thread(target=self._welcome, args=(actor,), daemon=True, name="svdlab-cluster").start()

    def _welcome(self, actor: Any) -> None:
        ray = self._ray
        while ray is not None and not self._stopping.is_set():
            try:
                version, host = ray.get(actor.hello.remote(), timeout=START_SECONDS)
            except Exception as error:  # Ray's own kinds, and whatever its shutting down raises
                log.warning("an actor of the cluster is not up yet: %s", _said(error))
                self._stopping.wait(1.0)
                ray = self._ray
                continue
            if version == __version__:
                self._free.put(actor)
            else:
                self._unfit.append(
                    f"{host} has svdlab {version}, this is {__version__}; install the same on every node"
                )
                log.error("%s", self._unfit[-1])
            return

    # Rendering

    def render(self, jobs: Sequence[Job], stop: Stop) -> Generator[Update, None, None]:
        """Renders all jobs of a claim on one actor; of what an actor is lost with, again on another."""
        left = {job.id: job for job in jobs}
        lost = ""
        for _ in range(MOST_TRIES):
            actor = None
            while actor is None:
                for id in [id for id in left if stop(id)]:
                    del left[id]
                    yield Stopped(id)
                if not left:
                    return
                actor = self._next()
            try:
                yield from self._on(actor, left, stop)
            except self._ray.exceptions.RayError as error:
                lost = _said(error)
                log.warning("an actor was lost with %d jobs: %s", len(left), lost)
                self._await(actor)
                continue
            self._free.put(actor)
            return
        raise RenderFailed(f"the cluster lost whoever rendered this {MOST_TRIES} times ({lost})")

    def _next(self) -> Any:
        """An actor that does nothing now; None if none is free for a moment. Raises `RenderFailed` if none fits."""
        try:
            return self._free.get(timeout=POLL_SECONDS)
        except queue.Empty:
            if len(self._unfit) == len(self._actors):
                raise RenderFailed(self._unfit[-1]) from None
            return None

    def _on(self, actor: Any, left: dict[str, Job], stop: Stop) -> Generator[Update, None, None]:
        """The updates of jobs on one actor; each that ends leaves `left`. Raises Ray's errors if it is lost."""
        claim, over = secrets.token_hex(8), False
        try:
            self._answer(actor.begin.remote(claim, list(left.values())))
            while not over:
                stops = [id for id in left if stop(id)]
                for update in self._answer(actor.take.remote(claim, stops)):
                    if isinstance(update, Over):
                        over = True
                        if update.error:
                            raise RenderFailed(update.error)
                        break
                    if isinstance(update, Rendered | Failed | Stopped):
                        left.pop(update.job, None)
                    yield (
                        replace(update, frames=np.array(update.frames))
                        if isinstance(update, Rendered)
                        else update
                    )
        finally:
            if not over:
                actor.leave.remote(claim)

    def _answer(self, ref: Any) -> Any:
        return self._ray.get(ref, timeout=ANSWER_SECONDS)


def _imported() -> ModuleType:
    """Ray, which reports nothing home. Raises `BadInput`."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault(
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0"
    )  # an actor without a GPU sees what there is
    try:
        import ray
        import ray.exceptions
    except ImportError:
        raise BadInput(NEEDS_RAY) from None
    return ray


def _must_listen(address: str) -> None:
    """Raises `OSError` at once if nobody listens where an address says, where Ray would try for a minute."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS).close()


def _room(node: dict[str, Any], of: str) -> int:
    """How many whole ones of a resource a living node has."""
    return int(node["Resources"].get(of, 0)) if node["Alive"] else 0


def _said(error: Exception) -> str:
    """The first line of what Ray says, without the traceback it brings along."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
