"""The LoRA files that are added to the UNet, a row each with its strength, and with the side it is for where there are
two: part of the knob panel, in whose value they are as `_loras`.

Knows LoRAs and words; nothing of knobs or the page.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from svdlab.errors import BadSettings, SvdlabError
from svdlab.lab.lab import Lab
from svdlab.recipes.loras import MOST_LORAS, Lora, together
from svdlab.words import counted

FIELD = "loras"  # where an error's sentence stands
KEY = "_loras"  # in the panel's value
ALL = ""  # the side of a LoRA that is for all of them


def choices(lab: Lab) -> list[dict[str, str]]:
    """Those that can be added, and what is said of each."""
    return [{"id": one.id, "said": f"{counted(one.layers, 'layer')}, rank {one.rank}"} for one in lab.loras]


def value(lab: Lab, chosen: Iterable[Iterable[Lora]], sides: Sequence[str] = ()) -> list[dict[str, str]]:
    """What the panel's value holds of LoRAs for all sides, then of those for each of `sides` alone."""
    return [
        {"id": lab.loras.name(one), "strength": f"{one.strength:g}", "on": side}
        for side, added in zip((ALL, *sides), chosen, strict=False)
        for one in added
    ]


def read(lab: Lab, given: Any, sides: Sequence[str] = ()) -> tuple[tuple[Lora, ...], ...]:
    """The LoRAs of a panel's untrusted value: those for all sides, then those for each of `sides` alone.

    Raises `BadSettings` with the sentence, for `FIELD`.
    """
    rows = [row for row in given if isinstance(row, dict)] if isinstance(given, list) else []
    asked: dict[str, list[Lora]] = {side: [] for side in (ALL, *sides)}
    try:
        for row in rows[: MOST_LORAS * len(asked) + 1]:
            lora = lab.loras.named(str(row.get("id")), str(row.get("strength")))
            asked.get(str(row.get("on")), asked[ALL]).append(lora)
        everywhere, *own = asked.values()
        for one in own:
            together([*everywhere, *one])
        return tuple(together(one) for one in (everywhere, *own))
    except SvdlabError as error:
        raise BadSettings(str(error), FIELD) from None


def turned(rows: Any, sides: tuple[str, str]) -> Any:
    """The rows of a panel's untrusted value with two sides in each other's place."""
    other = dict(zip(sides, reversed(sides), strict=True))
    known = isinstance(rows, list) and all(isinstance(row, dict) for row in rows)
    return [{**row, "on": other.get(str(row.get("on")), ALL)} for row in rows] if known else rows


def shared(sides: Sequence[Iterable[Lora]]) -> tuple[tuple[Lora, ...], ...]:
    """The LoRAs that every side has, then what each has besides."""
    sets = [set(side) for side in sides]
    everywhere = set.intersection(*sets)
    return tuple(together(one) for one in (everywhere, *(side - everywhere for side in sets)))
