"""How long what is not wanted any more is kept. Knows two environment variables; nothing of rows or files."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

from svdlab.errors import BadInput

DAY = 86_400.0  # seconds


@dataclass(frozen=True)
class Retention:
    """Days until the lab tidies up by itself; None is never."""

    bin_days: float | None = 30.0  # what has been in the bin for longer is removed for good
    keep_days: float | None = None  # finished runs that nobody marked go to the bin when they are older

    @classmethod
    def from_environment(cls) -> Retention:
        """`SVDLAB_BIN_DAYS` and `SVDLAB_KEEP_DAYS`, each a number of days or 'never'. Raises `BadInput`."""
        return cls(_days("SVDLAB_BIN_DAYS", cls.bin_days), _days("SVDLAB_KEEP_DAYS", cls.keep_days))


def _days(name: str, default: float | None) -> float | None:
    given = os.environ.get(name, "").strip()
    if not given:
        return default
    if given.lower() == "never":
        return None
    try:
        days = float(given)
    except ValueError:
        days = math.nan
    if not (days > 0 and math.isfinite(days)):
        raise BadInput(f"{name} must be a number of days above 0, or never, got {given[:40]!r}")
    return days
