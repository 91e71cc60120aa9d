"""Waiting for what is to come true: tests wait for conditions, never for time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Answer = TypeVar("Answer")

LONGEST = 60.0  # seconds; a busy machine is no fault, a test that hangs is one


def until(condition: Callable[[], Answer | None], what: str = "it", seconds: float = LONGEST) -> Answer:
    """The condition's first true answer; fails the test where it never becomes true."""
    last = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < last, f"{what} did not come true within {seconds:g} seconds"
        time.sleep(0.02)
    return answer
