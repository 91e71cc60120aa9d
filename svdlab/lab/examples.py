"""The example pictures and their clips: rendered once, so that a first visit has something to look at before it asks.

They are runs like any others: made by the embedded checkpoint with its official settings and one seed, and found by
that recipe. Knows the lab; nothing of who renders or of pages.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from svdlab.errors import SvdlabError
from svdlab.lab.lab import Lab
from svdlab.recipes.records import Recipe, Run
from svdlab.resources import assets_dir

CHECKPOINT = "demo-1-1"
SEED = 7
TAG = "example"
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


@cache
def example_pictures() -> tuple[Path, ...]:
    """The example pictures, in file-name order."""
    folder = assets_dir() / "examples"
    return (
        tuple(sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)) if folder.is_dir() else ()
    )


def recipe_of(lab: Lab, picture: Path) -> Recipe:
    """What an example's clip is made by. Raises `BadPicture`, `DataFolderError`."""
    stored = lab.add_picture(picture)
    return lab.recipe(CHECKPOINT, stored, lab.settings(CHECKPOINT, seed=SEED, picture=stored))


def clip_of(lab: Lab, place: int) -> Run | None:
    """The clip of an example by its place, if it has been rendered."""
    try:
        run = lab.before.run(recipe_of(lab, example_pictures()[place]))
    except (SvdlabError, IndexError):
        return None
    return run if run is not None and TAG in run.tags else None


def missing(lab: Lab) -> list[Path]:
    """The examples whose clips are not here."""
    return [path for place, path in enumerate(example_pictures()) if clip_of(lab, place) is None]
