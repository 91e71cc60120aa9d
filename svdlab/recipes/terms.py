"""A condition as it is typed: a name, a sign, a value, as in `fps>=6` or `schedule!=ays`.

Knows how it is spelled; nothing of what there is to ask for.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

from svdlab.errors import BadInput

Sign = Literal["<=", ">=", "!=", "=", "<", ">"]
SIGNS: tuple[Sign, ...] = get_args(Sign)
Value = int | float | str | None  # None is typed "none"
MAX_TERMS = 16
_SPELLED = {"==": "=", "≤": "<=", "≥": ">=", "≠": "!="}
_COMPARED: dict[str, Callable[[Any, Any], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}


@dataclass(frozen=True)
class Term:
    """One condition."""

    name: str
    sign: Sign
    value: Value

    def __str__(self) -> str:
        return f"{self.name}{self.sign}{said(self.value)}"

    def holds(self, value: Value) -> bool:
        """Whether it holds of that value; a size or order of what is no number never does."""
        if self.sign in ("=", "!="):
            return (value == self.value) == (self.sign == "=")
        numbers = isinstance(value, int | float) and isinstance(self.value, int | float)
        return numbers and _COMPARED[self.sign](value, self.value)


def said(value: Value) -> str:
    """A value as it is typed."""
    return "none" if value is None else f"{value}"


def terms(text: str, example: str) -> Iterator[Term]:
    """Conditions separated by spaces or commas, read as they are taken.

    Raises `BadInput` with one sentence, which shows `example`.
    """
    for spelled, sign in _SPELLED.items():
        text = text.replace(spelled, sign)
    joined = re.sub(rf"\s*({'|'.join(SIGNS)})\s*", r"\1", text.strip())
    parts = [part for part in re.split(r"[\s,]+", joined) if part]
    if len(parts) > MAX_TERMS:
        raise BadInput(f"at most {MAX_TERMS} conditions can be asked for at once, got {len(parts)}")
    return (_term(part, example) for part in parts)


def _term(part: str, example: str) -> Term:
    found = re.fullmatch(rf"([^<>=!]+)({'|'.join(SIGNS)})([^<>=!]+)", part)
    if found is None:
        raise BadInput(f"{example}, got {part[:40]!r}")
    name, sign, value = found.groups()
    return Term(name.replace("-", "_"), sign, typed(value))  # type: ignore[arg-type]  # one of SIGNS


def typed(text: str) -> Value:
    """The value that a text stands for: a number where it is one."""
    if text.lower() == "none":
        return None
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text
