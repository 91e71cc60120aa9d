"""The LoRA files that are added to the UNet, a row each with its strength: part of the knob panel, in whose value they
are as `_loras`.

Knows LoRAs and words; nothing of knobs or the page.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from svdlab.errors import BadSettings, SvdlabError
from svdlab.lab.lab import Lab
from svdlab.recipes.loras import MOST_LORAS, Lora, together
from svdlab.words import counted

FIELD = "loras"  # where an error's sentence stands
KEY = "_loras"  # in the panel's value


def choices(lab: Lab) -> list[dict[str, str]]:
    """Those that can be added, and what is said of each."""
    return [{"id": one.id, "said": f"{counted(one.layers, 'layer')}, rank {one.rank}"} for one in lab.loras]


def value(lab: Lab, chosen: Iterable[Lora]) -> list[dict[str, str]]:
    """What the panel's value holds."""
    return [{"id": lab.loras.name(lora), "strength": f"{lora.strength:g}"} for lora in chosen]


def read(lab: Lab, given: Any) -> tuple[Lora, ...]:
    """The LoRAs of a panel's untrusted value. Raises `BadSettings` with the sentence, for `FIELD`."""
    rows = [row for row in given if isinstance(row, dict)] if isinstance(given, list) else []
    try:
        return together(
            lab.loras.named(str(row.get("id")), str(row.get("strength"))) for row in rows[: MOST_LORAS + 1]
        )
    except SvdlabError as error:
        raise BadSettings(str(error), FIELD) from None
