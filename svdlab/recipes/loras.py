"""LoRA files as values: what a recipe says of one, and one that lies on this disk. Knows numbers; reads nothing.

A LoRA is a small file of changes to a model's layers, each the product of two thin matrices. A recipe names it by its
content and says how strongly it is added.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from svdlab.errors import BadInput

STRONGEST = 10.0  # either way; 1 is as its makers trained it, and beyond 2 hardly any keeps a picture
MOST_LORAS = 8  # in one recipe


class Lora(BaseModel):
    """A LoRA as a recipe names it: its file's SHA-256, and what its changes are multiplied by."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    strength: float = Field(1.0, ge=-STRONGEST, le=STRONGEST)


@dataclass(frozen=True)
class LoraFile:
    """A LoRA on this disk: `layers` it changes, `rank` of the widest of them."""

    id: str
    path: str
    sha256: str
    bytes: int
    layers: int
    rank: int


@dataclass(frozen=True)
class AddedLora:
    """A LoRA to be added to a model."""

    file: LoraFile
    strength: float

    def __str__(self) -> str:
        """'tdd 0.8'."""
        return f"{self.file.id} {self.strength:g}"


def strength_of(text: str | float) -> float:
    """A strength that a person gave. Raises `BadInput`."""
    try:
        value = float(text)
    except (TypeError, ValueError):
        value = math.nan
    if not -STRONGEST <= value <= STRONGEST:  # not a number is not within
        shown = str(text).strip()[:40] or "nothing"
        raise BadInput(
            f"a LoRA's strength must be a number from {-STRONGEST:g} to {STRONGEST:g}, got {shown}; 1 is as it was made"
        )
    return value


def together(loras: Iterable[Lora]) -> tuple[Lora, ...]:
    """Several in one recipe, in the order of their hashes. Raises `BadInput` on too many, or one twice."""
    found = sorted(loras, key=lambda one: one.sha256)
    if len(found) > MOST_LORAS:
        raise BadInput(f"at most {MOST_LORAS} LoRA files can be added at once, got {len(found)}")
    if len({one.sha256 for one in found}) != len(found):
        raise BadInput("one LoRA file was given twice; give it once, with one strength")
    return tuple(found)
