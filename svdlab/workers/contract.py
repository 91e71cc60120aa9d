"""What a kind of worker is: one verb, `render`, and what it may add to it. Knows the lab's desk; nothing of torch.

A kind is one file of this package with a subclass of `Worker` in it. It is found by the file's name, and the first line
of the file is its line of help (`svdlab.workers.kinds`). Three shapes that this is made for:

- a thread with a renderer of its own (`local`);
- a call that leaves the process, as into a forked one that is lent a GPU for that call: one call is one claim, so a
  comparison's two jobs go together; jobs and updates can be pickled, and previews come back as they are made;
- devices elsewhere, each with an actor: `seats` is how many claims are rendered at a time, and each seat is a thread
  here that waits for its actor. What comes back names its run, and what was taken over meanwhile is not overwritten.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Self

from svdlab.environment import Acceleration, Environment, Offload
from svdlab.history.turns import Only
from svdlab.lab.bits import Numbers
from svdlab.lab.desk import Desk
from svdlab.lab.examiner import Examiner, NoExaminer
from svdlab.lab.lab import Lab
from svdlab.lab.measuring import Measuring
from svdlab.recipes.checkpoint import Checkpoint
from svdlab.recipes.plan import Plan
from svdlab.recipes.records import Resident
from svdlab.recipes.settings import GenerationSettings
from svdlab.recipes.work import Job, Stop, Update

STOP_SECONDS = 30.0  # how long closing waits for the step in progress
WARM_SECONDS = 4.0  # a page is served by then


@dataclass(frozen=True)
class Compute:
    """What to render with: a device and number format by name, and what the environment says of memory."""

    device: str = "auto"
    dtype: str = "auto"
    budget_bytes: int | None = None  # of weights to keep; None: most of what there is
    offload: Offload | None = None  # where weights wait; None: chosen from free memory
    acceleration: Acceleration | None = None  # None: exact on a GPU, off on a CPU

    @classmethod
    def of(cls, environment: Environment, device: str | None = None, dtype: str | None = None) -> Compute:
        """What an environment asks for, unless a device or dtype is named."""
        return cls(
            device or environment.device,
            dtype or environment.dtype,
            environment.memory_bytes,
            environment.offload,
            environment.acceleration,
        )

    @property
    def numbers(self) -> Numbers:
        """What decides the bits of it."""
        return Numbers(self.device, self.dtype, self.acceleration == "fast")


class Worker(ABC):
    """Renders what a lab is asked for. A kind implements `render`; all else has a default.

    `only` limits it to some run ids, or to one sweep's cells. With `warm` it gets ready a few seconds after the start
    even if nothing is asked: a server's page is up by then, and its first visitor does not wait for it.
    """

    seats = 1  # how many claims are rendered at a time

    def __init__(
        self,
        lab: Lab,
        compute: Compute | None = None,
        only: Only = None,
        warm: bool = False,
    ) -> None:
        self.lab = lab
        self.compute = compute or Compute.of(lab.environment)
        self.desk = Desk(lab, only)
        self._warm_at = time.monotonic() + WARM_SECONDS if warm else float("inf")
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    @abstractmethod
    def render(self, jobs: Sequence[Job], stop: Stop) -> Generator[Update, None, None]:
        """Renders all jobs of one claim, in lockstep where it can; what a generator of updates owes: `work.Render`."""

    def check(self) -> None:  # noqa: B027  # a default that a kind may do without
        """Raises `BadInput` if this machine cannot render so; asked before anything is accepted."""

    def prepare(self) -> None:  # noqa: B027
        """Gets ready for the first run."""

    def resident(self) -> list[Resident]:
        """What it holds in memory now."""
        return []

    def plan(self, checkpoints: Sequence[Checkpoint], settings: GenerationSettings) -> Plan | None:
        """How a clip of the first of these would fit in memory now; None where that is not known. May take seconds."""
        return None

    def examiner(self) -> Examiner:
        """Who reads weights whole for the lab."""
        return NoExaminer()

    def start(self) -> Self:
        """Serves the lab, in threads of its own, until the lab is closed."""
        self.lab.on_close(self.stop)
        self.lab.on_resident(self.resident)
        self.lab.examiner = self.examiner()
        self.lab.planner = self.plan
        self.lab.numbers = self.compute.numbers
        if self._warm_at != float("inf"):  # a server: it stays long enough
            Measuring(self.lab).start()
        for seat in range(self.seats):
            thread = threading.Thread(target=self._serve, name=f"svdlab-worker-{seat}", daemon=True)
            self._threads.append(thread)
            thread.start()
        return self

    def stop(self) -> None:
        """Asks the threads to end and waits for the step in progress."""
        self._stopping.set()
        self.lab.live.notify()
        until = time.monotonic() + STOP_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _serve(self) -> None:
        self.desk.serve(self.render, self._stopping, self._idle)

    def _idle(self) -> None:
        if time.monotonic() > self._warm_at:
            self._warm_at = float("inf")
            self.prepare()
