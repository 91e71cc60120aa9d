"""The example pictures and their clips: rendered once, so that a first visit has something to look at before it asks.

They are runs like any others: made by the embedded checkpoint with its official settings and one seed, and found by
that recipe. Knows the lab; nothing of who renders or of pages.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from svdlab.clips.pictures import load_picture
from svdlab.errors import SvdlabError
from svdlab.lab.lab import Lab
from svdlab.lab.pictures import StoredPicture
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
    return _recipe(lab, lab.add_picture(picture))


def _recipe(lab: Lab, stored: StoredPicture) -> Recipe:
    return lab.recipe(CHECKPOINT, stored, lab.settings(CHECKPOINT, seed=SEED, picture=stored))


@cache
def _sha256(picture: Path) -> str:
    """By what a lab keeps an example picture; read once, since every first visit asks."""
    return load_picture(picture).sha256


def clip_of(lab: Lab, place: int) -> Run | None:
    """The clip of an example by its place, if it has been rendered."""
    try:
        stored = lab.picture(_sha256(example_pictures()[place]))
        run = lab.before.run(_recipe(lab, stored))
    except (SvdlabError, IndexError):
        return None
    return run if run is not None and TAG in run.tags else None


def missing(lab: Lab) -> list[Path]:
    """The examples whose clips are not here."""
    return [path for place, path in enumerate(example_pictures()) if clip_of(lab, place) is None]
