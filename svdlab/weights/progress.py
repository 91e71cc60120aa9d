"""How far a fetch of weights is, from wherever. A frozen value; knows nothing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """How far a download is. `bytes_done` counts what was here before; it never goes back."""

    file: str  # the one being fetched
    bytes_done: int
    bytes_total: int
    bytes_per_second: float  # over the last ten seconds
    seconds_left: float | None  # None while nothing comes
