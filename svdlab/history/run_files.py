"""What lies in a run's folder beside its clip, so that a lost row can be made again. Knows names and hashes of files;
nothing of rows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from svdlab.errors import SvdlabError
from svdlab.files import sha256_of
from svdlab.recipes.records import Outcome, Recipe

RESULT_NAME = "result.json"
MEASURED_NAME = "measured.json"
MAX_MEASURED_BYTES = 4 * 2**20


def write_result(folder: Path, recipe: Recipe, outcome: Outcome) -> None:
    """Writes what a row will say beside the files, so that recovery can adopt them."""
    _write(folder / RESULT_NAME, f"{recipe.to_json()}\n{outcome.to_json()}\n")


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


@dataclass(frozen=True)
class ByFrame:
    """What was measured of a clip frame by frame: numbers by metric, and the camera's path in px from where it began.

    `edition` is that of the definitions; None stands in a series where there is nothing to say.
    """

    edition: str = ""
    series: dict[str, tuple[float | None, ...]] = field(default_factory=dict)
    path: tuple[tuple[float, float], ...] = ()


def write_measured(
    folder: Path,
    edition: str,
    series: Mapping[str, Sequence[float | None]],
    path: Sequence[tuple[float, float]],
) -> None:
    """Writes what was measured frame by frame. Raises `OSError`."""
    _write(folder / MEASURED_NAME, json.dumps({"edition": edition, "series": series, "path": path}))


def read_measured(folder: Path) -> ByFrame:
    """What `write_measured` wrote; nothing where it is not there or not ours."""
    try:
        path = folder / MEASURED_NAME
        if path.stat().st_size > MAX_MEASURED_BYTES:
            return ByFrame()
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        series = {
            str(name): tuple(None if x is None else float(x) for x in values)
            for name, values in content["series"].items()
        }
        places = tuple((float(x), float(y)) for x, y in content["path"])
        return ByFrame(str(content["edition"]), series, places)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return ByFrame()


def _write(path: Path, text: str) -> None:
    """Whole, and as a file of its own: runs of one rendering share theirs by hard links."""
    part = path.with_name(f".{path.name}")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
