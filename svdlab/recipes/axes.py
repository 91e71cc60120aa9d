"""An axis of a sweep: one thing that varies and the values it takes, as a person writes them.

    20, 80, 127          a list
    1..10                whole numbers from one to the other
    0..100+20            in steps: 0, 20, 40, 60, 80, 100
    1..255[6]            six values, evenly: 1, 52, 103, 153, 204, 255
    random[4]            four seeds, drawn when it is read

All of these may stand in one list. Axes are made from the knobs' declarations, so a knob that comes later is an axis by
itself. Knows knobs and words; nothing of checkpoints, of files or of what becomes of the values.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise

from svdlab.errors import BadInput, BadSettings
from svdlab.recipes.settings import KNOBS, GenerationSettings, random_seed
from svdlab.recipes.terms import Value, said
from svdlab.words import meant

# What varies beside knobs. A LoRA is its id, with `:STRENGTH` behind it or not; "none" is none.
PARTS = {"checkpoint": "Checkpoint", "lora": "LoRA", "preset": "Preset", "picture": "Picture"}
NAMES: tuple[str, ...] = (*PARTS, *KNOBS)
MAX_VALUES = 10_000  # of one axis
LONGEST_LIST = 3  # values that are written one by one though they are a range
MAX_DIGITS = 4  # behind the point, of a value that is worked out
_NUMBER = r"[+-]?\d{1,20}(?:\.\d{1,12})?"
_RANGE = re.compile(rf"({_NUMBER})\s*\.\.\s*({_NUMBER})\s*(?:\+\s*({_NUMBER})|\[\s*(\d{{1,9}})\s*\])?")
_RANDOM = re.compile(r"random(?:\s*\[\s*(\d{1,9})\s*\])?")


@dataclass(frozen=True)
class Axis:
    """What varies, by name, and its values in order. Raises `BadInput` for a name there is not, or no values.

    `labels` stand for the values where a person reads them: a picture's value is its hash, its label a file's name.
    """

    name: str
    values: tuple[Value, ...]
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        known(self.name)
        if not self.values:
            raise BadInput(f"{self.name} has no values; give some, as in {self.name}={_example(self.name)}")
        if len(self.values) > MAX_VALUES:
            raise BadInput(_too_many(self.name, len(self.values)))

    @property
    def label(self) -> str:
        """What it is called where a person reads it."""
        return label_of(self.name)

    @property
    def text(self) -> str:
        """The values as they are typed: as a range, where they are one."""
        first, last, whole = self.values[0], self.values[-1], [v for v in self.values if isinstance(v, int)]
        steps = {after - before for before, after in pairwise(whole)}
        if len(whole) == len(self.values) > LONGEST_LIST and len(steps) == 1:
            step = abs(steps.pop())
            return f"{first}..{last}" + (f"+{step}" if step > 1 else "")
        return ", ".join(map(said, self.values))

    def shown(self, place: int) -> str:
        """One value as a person reads it: '127', '6 fps', 'demo-1-0'."""
        if self.labels:
            return self.labels[place]
        value = self.values[place]
        if value is None:
            return "not given"
        return KNOBS[self.name].said(value) if self.name in KNOBS else said(value)


def known(name: str) -> str:
    """The name itself. Raises `BadInput` with the nearest one if nothing of that name varies."""
    if name not in NAMES:
        raise BadInput(f"there is no knob called {name[:40]!r}; {meant(name, NAMES)}")
    return name


def label_of(name: str) -> str:
    """What something that varies is called where a person reads it."""
    return PARTS[name] if name in PARTS else KNOBS[name].label


def read_axis(text: str) -> Axis:
    """An axis as it is typed in one piece: `motion_bucket_id=20,80,127`. Raises `BadInput`."""
    name, equals, values = text.partition("=")
    if not equals:
        raise BadInput(
            f"an axis is a name and its values, as in motion_bucket_id=20,80,127, got {text[:60]!r}"
        )
    return axis_of(name, values)


def axis_of(name: str, values: str | Iterable[object]) -> Axis:
    """An axis from what a person typed, or from values; a number out of bounds is said. Raises `BadInput`."""
    name = known(name.strip().replace("-", "_"))
    if not isinstance(values, str):
        return Axis(name, tuple(_checked(name, value) for value in values))
    if not values.strip():
        return Axis(name, ())
    found: list[Value] = []
    for part in values.split(","):
        if not part.strip():
            raise BadInput(
                f"a value of {name} is missing: two commas stand beside each other, or one at an end"
            )
        for value in _expanded(name, part.strip()):
            found.append(_checked(name, value))
    return Axis(name, tuple(found))


def _checked(name: str, value: object) -> Value:
    """The value as the knob has it. Raises `BadSettings` with the knob's own sentence."""
    if name not in KNOBS:
        if not isinstance(value, str) or not value.strip():
            raise BadInput(f"{name} must be a name, got {str(value)[:40]!r}")
        return value.strip()
    if KNOBS[name].optional and isinstance(value, str) and value.lower() == "none":
        value = None
    if name == "seed" and value == "random":
        value = random_seed()
    checked: Value = getattr(GenerationSettings.parse({name: value}), name)
    return checked


def _expanded(name: str, part: str) -> Iterator[object]:
    """The values that one part of a list stands for."""
    numeric = name in KNOBS and KNOBS[name].kind in ("int", "float")
    drawn = _RANDOM.fullmatch(part) if name == "seed" else None
    if drawn is not None:
        count = int(drawn[1] or 1)
        _must_be_few(name, count)
        return iter([random_seed() for _ in range(count)])
    found = _RANGE.fullmatch(part) if numeric else None
    if found is None:
        if numeric and ".." in part:
            raise BadSettings(
                f"{name} has a range that cannot be read; write 1..10, 0..100+20 or 1..255[6], got {part[:40]!r}",
                name,
            )
        return iter([part])
    first, last, step, count_text = found.groups()
    start, end = Decimal(first), Decimal(last)
    if count_text is not None:
        return _evenly(name, start, end, int(count_text))
    if step is None and (start % 1 or end % 1):
        raise BadSettings(
            f"{name} needs a step or a count between {first} and {last}: {first}..{last}+0.5 or {first}..{last}[5]",
            name,
        )
    return _stepped(name, start, end, Decimal(step or 1))


def _stepped(name: str, start: Decimal, end: Decimal, step: Decimal) -> Iterator[object]:
    if step <= 0:
        raise BadSettings(f"{name} needs a step above 0, got {step}", name)
    count = int(abs(end - start) // step) + 1
    _must_be_few(name, count)
    by = step if end >= start else -step
    return (_plain(start + place * by) for place in range(count))


def _evenly(name: str, start: Decimal, end: Decimal, count: int) -> Iterator[object]:
    if count < 2:
        raise BadSettings(f"{name} needs 2 values or more from one end to the other, got [{count}]", name)
    _must_be_few(name, count)
    digits = 0 if KNOBS[name].kind == "int" else MAX_DIGITS
    values = [round(start + (end - start) * place / (count - 1), digits) for place in range(count)]
    if len(set(values)) < count:
        raise BadSettings(
            f"{name} has no {count} different values from {start} to {end}, only {len(set(values))}", name
        )
    return map(_plain, values)


def _plain(number: Decimal) -> int | float:
    return int(number) if number == number.to_integral_value() else float(number)


def _must_be_few(name: str, count: int) -> None:
    """Raises `BadInput` before so many values are made."""
    if count > MAX_VALUES:
        raise BadInput(_too_many(name, count))


def _too_many(name: str, count: int) -> str:
    return f"{name} has {count:,} values, and an axis may have {MAX_VALUES:,}"


def _example(name: str) -> str:
    if name not in KNOBS:
        return {"checkpoint": "demo-1-0,demo-1-1", "lora": "none,tdd:0.8"}.get(name, "one,another")
    knob = KNOBS[name]
    return ",".join(knob.choices) if knob.choices else "1..4"
