"""Ids of runs and comparisons.

An id begins with its time, so ids sort as what they name was asked for, and ends in chance. Whoever has the id of a run
on a public lab may see it, so it must not be guessed: 96 bits of chance. Ids had 24 of them once; those stay readable
everywhere, but open nothing to strangers.
"""

from __future__ import annotations

import re
import secrets
import time

PATTERN = r"[0-9a-f]{17}(?:[0-9a-f]{18})?"
ID = re.compile(PATTERN)
_TIME_DIGITS, _CHANCE_BYTES = 11, 12
_LENGTH = _TIME_DIGITS + 2 * _CHANCE_BYTES


def new_id() -> str:
    """An id that sorts by time: 11 hex digits of milliseconds and 24 random ones."""
    return f"{time.time_ns() // 1_000_000:0{_TIME_DIGITS}x}{secrets.token_hex(_CHANCE_BYTES)}"


def unguessable(id: str) -> bool:
    """Whether knowing an id says that somebody handed it on: older ones could be found by trying."""
    return len(id) >= _LENGTH
