"""Whether the queue moves: when each worker's seat was last heard, and what is wrong with a lab as sentences.

Knows the history and clocks; nothing of what is rendered or of screens.
"""

from __future__ import annotations

import shutil
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from svdlab.errors import DataFolderError

if TYPE_CHECKING:
    from svdlab.lab.lab import Lab

SILENT_SECONDS = 60.0  # a seat that has nothing to do is heard once a second
STUCK_SECONDS = 1800.0  # the longest that loading weights or one step of a large clip may take
FREE_BYTES = 200_000_000  # on the data folder's disk


class Pulse:
    """The seats of one process's workers and when each was last heard. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seats: dict[int, tuple[float, bool]] = {}

    def beat(self, seat: object, rendering: bool = False) -> None:
        """A seat is alive, and renders or not."""
        with self._lock:
            self._seats[id(seat)] = (time.monotonic(), rendering)

    def leave(self, seat: object) -> None:
        """A seat has ended as it was asked to."""
        with self._lock:
            self._seats.pop(id(seat), None)

    def problems(self, now: float | None = None) -> list[str]:
        """What is wrong with the seats; `now` as by `time.monotonic`."""
        now = time.monotonic() if now is None else now
        with self._lock:
            seats = list(self._seats.values())
        said = []
        for heard, rendering in seats:
            quiet = now - heard
            if quiet > (STUCK_SECONDS if rendering else SILENT_SECONDS):
                what = "has rendered nothing" if rendering else "has looked at no run"
                said.append(f"a worker {what} for {quiet / 60:.0f} minutes")
        return said


@dataclass(frozen=True)
class Health:
    """How a lab is. `problems` are sentences; none of them says whose anything is."""

    problems: tuple[str, ...]
    waiting: int
    rendering: int

    @property
    def well(self) -> bool:
        return not self.problems


def health(lab: Lab) -> Health:
    """Looks at workers, database and disk; writes to the database, so that it is known that one can."""
    problems = lab.pulse.problems()
    waiting = rendering = 0
    try:
        lab.history.prove_writable()
        waiting, rendering = lab.history.load()
    except DataFolderError:
        problems.append("the database cannot be written")
    try:
        if shutil.disk_usage(lab.data_dir).free < FREE_BYTES:
            problems.append("the disk of the data folder is full")
    except OSError:
        problems.append("the data folder cannot be read")
    if lab.live.closed:
        problems.append("svdlab is being closed")
    return Health(tuple(problems), waiting, rendering)
