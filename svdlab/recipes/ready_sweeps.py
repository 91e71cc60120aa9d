"""Sweeps that are there to be begun with, declared once: the page's list and the shell's `--ready` are made from them.

Knows axes as text; nothing of what is swept.
"""

from __future__ import annotations

from dataclasses import dataclass

from svdlab.errors import NotFound
from svdlab.words import meant


@dataclass(frozen=True)
class ReadySweep:
    """Axes by name as they are typed; `{a}` and `{b}` stand for the lab's usual pair of 1.0 and 1.1."""

    id: str
    name: str
    summary: str
    axes: tuple[tuple[str, str], ...]
    rows: str = ""  # the axis that runs downwards, where it is not the first

    def texts(self, pair: tuple[str, str]) -> tuple[tuple[str, str], ...]:
        """Name and values of each axis, the pair's ids in place."""
        a, b = pair
        return tuple((name, values.format(a=a, b=b)) for name, values in self.axes)


READY: tuple[ReadySweep, ...] = (
    ReadySweep(
        "bucket-ladder",
        "Bucket ladder",
        "The motion bucket from calm to lively, on two seeds: how far it moves, and where it turns the camera.",
        (("motion_bucket_id", "1..255[6]"), ("seed", "1..2")),
    ),
    ReadySweep(
        "fps-bucket",
        "Frame rate × bucket",
        "The article's frame rates against its motion buckets, all else equal.",
        (("fps", "6, 8"), ("motion_bucket_id", "127, 135, 154")),
    ),
    ReadySweep(
        "versions",
        "1.0 against 1.1 over seeds",
        "Two checkpoints on the same noise, seed by seed: what is the checkpoint's doing, and what the seed's.",
        (("checkpoint", "{a}, {b}"), ("seed", "1..6")),
    ),
    ReadySweep(
        "scout",
        "Seed scout",
        "Sixteen seeds at a few steps: the seed picks the camera's move as much as any knob does, and early. "
        "Choose the best and have them rendered in full.",
        (("seed", "1..16"), ("num_inference_steps", "6")),
    ),
)


def ready_sweep(id: str) -> ReadySweep:
    """The one of that id. Raises `NotFound` with the nearest."""
    for one in READY:
        if one.id == id:
            return one
    raise NotFound(f"there is no ready-made sweep {id[:40]!r}; {meant(id, [one.id for one in READY])}")
