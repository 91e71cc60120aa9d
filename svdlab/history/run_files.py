"""What lies in a run's folder beside its clip, so that a lost row can be made again. Knows names and hashes of files;
nothing of rows.
"""

from __future__ import annotations

from pathlib import Path

from svdlab.errors import SvdlabError
from svdlab.files import sha256_of
from svdlab.recipes.records import Outcome, Recipe

RESULT_NAME = "result.json"


def write_result(folder: Path, recipe: Recipe, outcome: Outcome) -> None:
    """Writes what a row will say beside the files, so that recovery can adopt them."""
    (folder / RESULT_NAME).write_text(recipe.to_json() + "\n" + outcome.to_json() + "\n", encoding="utf-8")


def read_result(folder: Path) -> tuple[Recipe, Outcome] | None:
    """What `write_result` wrote, or None where it is not there."""
    path = folder / RESULT_NAME
    if not path.is_file():
        return None
    recipe, outcome = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    return Recipe.from_json(recipe), Outcome.from_json(outcome)


def whole_result(folder: Path) -> tuple[Recipe, Outcome] | None:
    """What result.json says if it can be read and the video beside it is the one it names; else None."""
    try:
        result = read_result(folder)
        if result is not None:
            found = sha256_of(folder / "video.mp4")
            return result if result[1].video_sha256 in ("", found) else None
    except (SvdlabError, OSError, ValueError, TypeError, AttributeError, RecursionError):
        pass
    return None
