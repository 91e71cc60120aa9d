"""Whether rows, files, pictures and hashes still belong together, what can be mended, and what takes how much room.

Knows the history's folders, videos and pictures; nothing of the queue's workers, of models or of screens.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from svdlab.clips import pictures, video
from svdlab.errors import BadPicture, BadVideo
from svdlab.files import entries, remove_folder, sha256_of
from svdlab.history.bin import BEING_REMOVED
from svdlab.history.database import FILE_NAME
from svdlab.history.ids import ID
from svdlab.history.kept import PICTURE_NAME
from svdlab.history.queue import History
from svdlab.history.run_files import read_result, write_result
from svdlab.recipes.records import Outcome, Recipe, Run

LEFTOVER_SECONDS = 3600.0  # a temporary folder that nobody has touched for this long belongs to nobody
GONE = "The files of this run are gone; resume it to render it again."

Kind = Literal["database", "row", "files", "orphan", "leftover", "picture", "bin"]


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be. `about` is a run's id or a file's name."""

    kind: Kind
    about: str
    sentence: str
    repaired: bool = False


@dataclass(frozen=True)
class DiskUse:
    """Bytes in the data folder by kind. What lies in the bin is counted there and nowhere else."""

    videos: int = 0
    frames: int = 0
    latents: int = 0
    pictures: int = 0
    other: int = 0  # posters, recipes, and what is not ours
    bin: int = 0
    leftovers: int = 0
    database: int = 0
    backups: int = 0  # copies made before migrations
    free: int = 0  # of the disk; not part of the total

    @property
    def total(self) -> int:
        """All that is in the data folder."""
        return sum(vars(self).values()) - self.free


def examine(history: History, repair: bool = False) -> list[Finding]:
    """Everything that is wrong, in the order of `Kind`; with `repair`, mended where it can be.

    Reads every video and picture. Nothing a person made is removed: what cannot be mended is only reported. Raises
    `DataFolderError` if it should repair what can only be read.
    """
    if repair:
        history.must_be_writable()
    return [
        *_database(history, repair),
        *_half_removed(history, repair),
        *_rows(history, repair),
        *_orphans(history, repair),
        *_leftovers(history, repair),
        *_pictures(history, repair),
    ]


def _database(history: History, repair: bool) -> Iterator[Finding]:
    for row in history._rows("PRAGMA quick_check(5)"):
        if row[0] != "ok":
            yield Finding(
                "database", FILE_NAME, f"The database is damaged: {row[0]}. Put back an older copy of it."
            )
            return
    differing = "SELECT * FROM {} EXCEPT SELECT * FROM {} LIMIT 1"
    pairs = (("found", "finding"), ("finding", "found"))
    if any(history._rows(differing.format(*pair)) for pair in pairs):
        if repair:
            with history._transaction() as db:
                db.execute("DELETE FROM finding")
                db.execute("INSERT INTO finding SELECT * FROM found")
        yield Finding("database", "finding", "The list that is searched differed from the runs.", repair)


def _half_removed(history: History, repair: bool) -> Iterator[Finding]:
    for row in history._rows("SELECT id FROM runs WHERE deleted = ?", (BEING_REMOVED,)):
        yield Finding(
            "bin", row["id"], "The program ended while this was being removed from the bin.", repair
        )
    if repair:
        history.empty_bin(float("inf"))  # nothing is that old: it only ends what was begun


def _rows(history: History, repair: bool) -> Iterator[Finding]:
    rows = history._rows(
        "SELECT id, recipe_hash, comparison, comparison IN (SELECT id FROM comparisons) AS paired FROM runs"
        " WHERE deleted IS NOT ? ORDER BY created, id",
        (BEING_REMOVED,),
    )
    for row in rows:
        id = row["id"]
        try:
            run = history.get(id)
        except (BadVideo, ValueError, TypeError):
            yield Finding("row", id, "Its recipe or outcome in the database cannot be read.")
            continue
        if run.recipe.hash != row["recipe_hash"]:
            if repair:
                _set(history, "recipe_hash", run.recipe.hash, id)
            yield Finding("row", id, "Its recipe's hash did not belong to the recipe.", repair)
        if row["comparison"] is not None and not row["paired"]:
            if repair:
                _set(history, "comparison", None, id)
            yield Finding("row", id, "It named a comparison that is not there.", repair)
        if run.done:
            yield from _files(history, run, repair)


def _set(history: History, column: str, value: str | None, id: str) -> None:
    with history._transaction() as db:
        db.execute(f"UPDATE runs SET {column} = ? WHERE id = ?", (value, id))


def _files(history: History, run: Run, repair: bool) -> Iterator[Finding]:
    """What is wrong with the files of a finished run."""
    try:
        inside = recipe_inside(run.video)
    except BadVideo as error:
        if repair:
            history.lose(run.id, GONE)
        yield Finding("files", run.id, f"Its video cannot be shown: {error}", repair)
        return
    if inside != run.recipe:
        yield Finding("files", run.id, "The recipe inside its video is not the one in the database.")
    elif run.outcome.video_sha256 not in ("", sha256_of(run.video)):
        yield Finding("files", run.id, "Its video is not the file that was rendered: the hash differs.")
    for path in (run.poster, run.frames_zip):
        if not path.is_file():
            yield Finding("files", run.id, f"Its {path.name} is gone; render it again to have it.")
    if _result(run.folder) != (run.recipe, run.outcome):
        if repair:
            write_result(run.folder, run.recipe, run.outcome)
        yield Finding("files", run.id, "Its result.json did not say what the database says.", repair)


def recipe_inside(path: Path) -> Recipe:
    """The recipe in a video. Raises `BadVideo` if there is no video, it cannot be read or carries none."""
    return Recipe.from_json(video.read_comment(path) or "")


def _result(folder: Path) -> tuple[Recipe, Outcome] | None:
    """What result.json says; None where it is not there or not ours."""
    try:
        return read_result(folder)
    except (BadVideo, ValueError, TypeError, AttributeError, OSError, RecursionError):
        return None


def _orphans(history: History, repair: bool) -> Iterator[Finding]:
    """Folders of finished runs that no row knows: after a database was lost or put back."""
    known = {row["id"] for row in history._rows("SELECT id FROM runs")}
    for folder in entries(history.runs_folder):
        if folder.name in known or folder.name.startswith("."):
            continue
        run = _finished(history, folder)
        if run is None:
            said = "No run has this folder, and no whole result is in it; look at it and remove it by hand."
            yield Finding("orphan", folder.name, said)
            continue
        yield Finding(
            "orphan", folder.name, "A finished run that no row knew.", repair and history.adopt(run)
        )


def _finished(history: History, folder: Path) -> Run | None:
    """The run whose files are whole in a folder, if they are."""
    if not ID.fullmatch(folder.name) or not folder.is_dir():
        return None
    result = _result(folder)
    if result is None:
        return None
    recipe, outcome = result
    try:
        if recipe_inside(folder / "video.mp4") != recipe:
            return None
    except BadVideo:
        return None
    return Run(
        id=folder.name,
        state="done",
        recipe=recipe,
        folder=folder,
        picture=history.picture_path(recipe.picture_sha256),
        created=int(folder.name[:11], 16) / 1000,  # an id begins with its milliseconds
        finished=(folder / "video.mp4").stat().st_mtime,
        step=recipe.settings.num_inference_steps,
        latents_of=outcome.latents_of or None,
        outcome=outcome,
    )


def _leftovers(history: History, repair: bool) -> Iterator[Finding]:
    """Temporary files and folders of writers that were killed."""
    rendering = {row["id"] for row in history._rows("SELECT id FROM runs WHERE state = 'running'")}
    before = time.time() - LEFTOVER_SECONDS
    for path in leftovers(history):
        if path.name.lstrip(".").split(".")[0] in rendering or path.lstat().st_mtime > before:
            continue
        if repair and path.is_dir() and not path.is_symlink():
            remove_folder(path)
        elif repair:
            path.unlink(missing_ok=True)
        yield Finding("leftover", path.name, "Left by a program that was ended while writing.", repair)


def remove_leftovers(history: History) -> None:
    """Removes temporary files and folders of writers that were killed an hour ago or longer."""
    for _ in _leftovers(history, repair=True):
        pass


def leftovers(history: History) -> list[Path]:
    """Everything that is temporary by its name, whoever may still be writing it."""
    hidden = [path for part in (history.runs_folder, history.pictures_folder) for path in part.glob(".*")]
    return sorted([*hidden, *history.folder.glob(f"{FILE_NAME}.before-*.part")])


def _pictures(history: History, repair: bool) -> Iterator[Finding]:
    for path in entries(history.pictures_folder):
        name = PICTURE_NAME.fullmatch(path.name)
        if name is None:
            continue
        try:
            whole = pictures.load_picture(path).sha256 == name[1]
        except BadPicture:
            whole = False
        if not whole:
            if repair:  # out of the way, so that the right one can be stored when it is dropped in again
                path.replace(path.with_name(f"{path.name}.broken"))
            yield Finding(
                "picture", path.name, "The picture is not what its hash says; drop it in again.", repair
            )
    wanted = "SELECT DISTINCT picture FROM runs WHERE deleted IS NULL ORDER BY picture"
    for row in history._rows(wanted):
        path = history.picture_path(row["picture"])
        if not path.is_file():
            yield Finding("picture", path.name, "Runs name this picture and it is gone; drop it in again.")


def disk_use(history: History) -> DiskUse:
    """What takes how much room, in bytes; one look at every file."""
    binned = {row["id"] for row in history._rows("SELECT id FROM runs WHERE deleted IS NOT NULL")}
    kinds = {"video.mp4": "videos", "frames.zip": "frames", "latents.safetensors": "latents"}
    sums = dict.fromkeys(vars(DiskUse()), 0)
    for folder in entries(history.runs_folder):
        for path, size in _sizes(folder):
            if folder.name.startswith("."):
                kind = "leftovers"
            elif folder.name in binned:
                kind = "bin"
            else:
                kind = kinds.get(path.name, "other")
            sums[kind] += size
    for path, size in _sizes(history.pictures_folder):
        sums["leftovers" if path.name.startswith(".") else "pictures"] += size
    for path in history.folder.glob(f"{FILE_NAME}*"):
        sums["backups" if ".before-" in path.name else "database"] += path.stat().st_size
    sums["free"] = shutil.disk_usage(history.folder).free
    return DiskUse(**sums)


def _sizes(path: Path) -> Iterator[tuple[Path, int]]:
    """The files of a folder and below, or a file itself, with their bytes; what vanishes meanwhile is passed over."""
    for one in path.rglob("*") if path.is_dir() else (path,):
        try:
            if one.is_file() and not one.is_symlink():
                yield one, one.stat().st_size
        except OSError:
            continue
