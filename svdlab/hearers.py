"""Who hears of what happens: functions that are called until they are taken off. Knows nothing of what is told."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, ParamSpec

Told = ParamSpec("Told")


class Hearers(Generic[Told]):
    """Functions that hear of something, in the thread of whoever tells. They must return at once and raise nothing.

    Thread-safe.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._hearers: list[Callable[Told, None]] = []

    def add(self, hear: Callable[Told, None]) -> Callable[[], None]:
        """Has `hear` called from now on. Returns what ends it."""
        with self._lock:
            self._hearers.append(hear)

        def end() -> None:
            with self._lock:
                self._hearers.remove(hear)

        return end

    def tell(self, *args: Told.args, **kwargs: Told.kwargs) -> None:
        """Calls all of them."""
        for hear in tuple(self._hearers):
            hear(*args, **kwargs)
