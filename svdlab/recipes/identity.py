"""What makes two recipes one and the same, for ever: the canonical form of what is asked, and its hash.

Rows, videos, links and "rendered before" go by this hash, so it must not move when svdlab learns to ask for more. The
first form names every knob there was, always. What came later is named where it is not as it was introduced; a recipe
that does not name it means that value, whatever default people are shown by then.

Knows the declarations of knobs; nothing of files, databases or models.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from svdlab.recipes.settings import FIRST_FORM, KNOBS

# What a recipe asks for beside checkpoint, picture and knobs: the name of a later field of `Recipe` → the value that
# every recipe without it means. A field that decides the bits and comes later gets its line here. What rendered a run
# (its weights' content, number format, device) is not asked for by a recipe: the run's versions and outcome say it.
LATER_PARTS: dict[str, Any] = {"loras": []}
_INTRODUCED = {name: knob.introduced for name, knob in KNOBS.items()}


def canonical(content: Mapping[str, Any]) -> dict[str, Any]:
    """What is asked, in plain JSON values, without what came later and is as it was introduced."""
    settings = {
        name: value
        for name, value in content["settings"].items()
        if KNOBS[name].since == FIRST_FORM or value != KNOBS[name].introduced
    }
    parts = {
        name: value
        for name, value in content.items()
        if name not in LATER_PARTS or value != LATER_PARTS[name]
    }
    return parts | {"settings": settings}


def complete(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Stored settings with every knob they do not name at the value it was introduced with."""
    return _INTRODUCED | dict(settings)


def hash_of(content: Mapping[str, Any]) -> str:
    """SHA-256 of a canonical form: the bytes are those of the first svdlab."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
