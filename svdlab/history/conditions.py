"""What may be asked of any knob or number of a run: `camera_motion>2`, `fps=6`, `schedule!=ays`, `playback_fps=none`.

Knows the names of knobs and metrics and how a condition is said in SQL; opens no database.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from svdlab.errors import BadInput
from svdlab.metrics.definitions import METRICS
from svdlab.recipes.settings import KNOBS
from svdlab.recipes.terms import MAX_TERMS, SIGNS, Sign, said, terms

OTHER_NUMBERS = ("seconds", "peak_memory_bytes", "rating")  # of every run, beside knobs and metrics
NAMES: tuple[str, ...] = (*KNOBS, *METRICS, *OTHER_NUMBERS)
MAX_CONDITIONS = MAX_TERMS


@dataclass(frozen=True)
class Condition:
    """One thing that must hold of a run. `value` None stands for "not given" or "not measured".

    Raises `BadInput` with one sentence.
    """

    name: str
    sign: Sign
    value: int | float | str | None

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            raise BadInput(f"runs have no {self.name[:40]!r} to ask for; there are {', '.join(NAMES)}")
        knob = KNOBS.get(self.name)
        words = knob.choices if knob is not None else ()
        if self.sign not in SIGNS:
            raise BadInput(
                f"{self.name} can be asked for with {', '.join(SIGNS)}, got {str(self.sign)[:10]!r}"
            )
        if (words or self.value is None) and self.sign not in ("=", "!="):
            raise BadInput(f"{self.name} {self.sign} {self.said} has no meaning; ask with = or !=")
        if self.value is None:
            if knob is not None and not knob.optional:
                raise BadInput(f"{self.name} is given in every run, so none of them has it empty")
        elif words:
            if self.value not in words:
                raise BadInput(f"{self.name} must be {' or '.join(words)}, got {str(self.value)[:40]!r}")
        elif not _is_number(self.value):
            raise BadInput(f"{self.name} must be asked for with a number, got {str(self.value)[:40]!r}")

    def __str__(self) -> str:
        return f"{self.name}{self.sign}{self.said}"

    @property
    def said(self) -> str:
        """The value as it is typed."""
        return said(self.value)

    def sql(self) -> tuple[str, list[int | float | str]]:
        """The condition on a row of `finding` and its parameters."""
        column = f"[{self.name}]"
        if self.value is None:
            return f"{column} IS {'NOT ' * (self.sign == '!=')}NULL", []
        # A knob that is not given is another value; what was not measured is no answer.
        sign = "IS NOT" if self.sign == "!=" and self.name in KNOBS else self.sign
        return f"{column} {sign} ?", [self.value]


def parse_where(text: str) -> tuple[Condition, ...]:
    """Conditions as a person types them, separated by spaces or commas. Raises `BadInput` with one sentence."""
    example = "ask for a knob or metric as in camera_motion>2, fps=6 or schedule!=ays"
    return tuple(Condition(term.name, term.sign, term.value) for term in terms(text, example))


def _is_number(value: object) -> bool:
    """Whether SQLite can hold it as a number."""
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63
