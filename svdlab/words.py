"""How a number is said to a person, wherever it is said. Knows numbers; nothing of what they are of."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches


def duration(seconds: float) -> str:
    """Seconds as a person says them: '8 s', '1:20 min'."""
    whole = max(1, round(seconds))
    return f"{whole} s" if whole < 60 else f"{whole // 60}:{whole % 60:02d} min"


def size(count: int) -> str:
    """Bytes as a person says them: '4.5 GB', '27.4 MB', '82.0 kB', '12 bytes'."""
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= unit / 10:
            return f"{count / unit:.1f} {name}"
    return counted(count, "byte")


def counted(count: int, what: str) -> str:
    """'1 tensor', '2 tensors'."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def meant(name: str, names: Sequence[str]) -> str:
    """What to say of a name there is not: 'did you mean fps?', else 'there are a, b, c'."""
    near = get_close_matches(name, names, 1)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"


def listed(words: Sequence[str]) -> str:
    """'a', 'a and b', 'a, b and c'."""
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1] if words else "")))
