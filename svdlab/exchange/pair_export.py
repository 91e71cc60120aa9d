"""A comparison as one file: both clips side by side, each under its label.

Knows the lab and a path; nothing of pages. The file appears whole or not at all.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from svdlab.errors import BadInput, NotFound
from svdlab.files import write_whole
from svdlab.lab.lab import Lab
from svdlab.recipes.records import Comparison

Kind = Literal["mp4", "webp"]
KINDS: tuple[Kind, ...] = ("mp4", "webp")


def file_name(pair: Comparison, kind: str = "mp4") -> str:
    """What the file is called. Raises `BadInput` for a kind there is not."""
    if kind not in KINDS:
        raise BadInput(f"a pair can be exported as {' or '.join(KINDS)}, got {kind[:40]!r}")
    return f"svdlab-{pair.a.recipe.checkpoint}-beside-{pair.b.recipe.checkpoint}-{pair.id[-6:]}.{kind}"


def write_pair(lab: Lab, pair: Comparison, path: Path) -> Path:
    """Writes both sides to `path`, MP4 or animated WebP by its ending. Raises `NotFound`, `BadInput`."""
    if not (pair.a.done and pair.b.done):
        raise NotFound("both sides must be rendered first")
    write_whole(path, lambda temporary: lab.export_side_by_side(pair, temporary))
    return path
