"""Small copies of kept pictures and previews, as data addresses: what a page shows of them has no address of its own.

Knows pictures and runs; nothing of pages.
"""

from __future__ import annotations

import base64
from functools import lru_cache
from pathlib import Path

from PIL import Image

from svdlab.clips import fitting
from svdlab.recipes.records import Run
from svdlab.ui.parts.picture import data_uri

TILE_SIDE = 240  # pixels, long side
STILL_SIDE = 640


def preview(webp: bytes) -> str:
    """A clip as it forms, as a data address."""
    return "data:image/webp;base64," + base64.b64encode(webp).decode("ascii")


@lru_cache(maxsize=256)
def thumbnail(picture: Path) -> str:
    """A kept picture as a tile shows it while there is no clip; empty if the picture is gone."""
    try:
        with Image.open(picture) as image:
            return data_uri(image.convert("RGB"), TILE_SIDE)
    except OSError:
        return ""


def as_the_model_sees(run: Run) -> str | None:
    """The fitted picture of a run, for the time before there is a preview; None if the picture is gone."""
    s = run.settings
    try:
        with Image.open(run.picture) as image:
            fitted = fitting.fit_picture(image.convert("RGB"), s.width, s.height, s.fit, s.focus_x, s.focus_y)
    except OSError:
        return None
    return data_uri(fitted, STILL_SIDE)
