"""How a number is said to a person, wherever it is said. Knows numbers; nothing of what they are of."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """Seconds as a person says them: '8 s', '1:20 min'."""
    whole = max(1, round(seconds))
    return f"{whole} s" if whole < 60 else f"{whole // 60}:{whole % 60:02d} min"
