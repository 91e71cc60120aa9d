"""Ids of runs and comparisons."""

from __future__ import annotations

import secrets
import time


def new_id() -> str:
    """An id that sorts by time: 11 hex digits of milliseconds and 6 random ones."""
    return f"{time.time_ns() // 1_000_000:011x}{secrets.token_hex(3)}"
