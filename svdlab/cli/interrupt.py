"""Ctrl-C: the first cancels what is being done, in order; the second leaves at once. Knows signals, no commands."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED = 130  # the exit code of a program that was interrupted


@contextmanager
def second_leaves_at_once(*more: signal.Signals) -> Iterator[None]:
    """The first interrupt raises KeyboardInterrupt, any after it ends this process without waiting for anything.

    What is on the disk stays right: that is made to survive a kill. `more` are signals that mean the same. Signals that
    are ignored, as by a job in the background, stay ignored, and outside the main thread nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {
        sign: signal.getsignal(sign)
        for sign in (signal.SIGINT, *more)
        if signal.getsignal(sign) is not signal.SIG_IGN
    }

    def first(number: int, frame: FrameType | None) -> None:
        for sign in before:
            signal.signal(sign, lambda *_: os._exit(INTERRUPTED))
        raise KeyboardInterrupt

    for sign in before:
        signal.signal(sign, first)
    try:
        yield
    finally:
        for sign, handler in before.items():
            signal.signal(sign, handler)
