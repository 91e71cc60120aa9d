"""Files and folders that appear whole or not at all, that are on the disk when it is said, and their hashes.

Knows paths; what is written comes from outside.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from svdlab.errors import BadInput
from svdlab.failpoints import failpoint

T = TypeVar("T")


def write_whole(path: Path, write: Callable[[Path], T]) -> T:
    """Has `write` fill a temporary file beside `path`, puts it in place and returns what `write` returned.

    The temporary file has the same ending, and is gone afterwards whatever happened. Raises `BadInput` with one
    sentence if the disk refuses.
    """
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}{path.suffix}")
    try:
        made = write(temporary)
        temporary.replace(path)
    except OSError as error:
        raise BadInput(f"{path} could not be written: {(error.strerror or str(error)).lower()}") from error
    finally:
        temporary.unlink(missing_ok=True)
    return made


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSON list in a file; none where it is not there or is no such list."""
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [row for row in (content if isinstance(content, list) else []) if isinstance(row, dict)]


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes what `read_rows` reads, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    temporary.replace(path)


def publish_folder(temporary: Path, final: Path) -> None:
    """Makes a folder of finished files appear whole: sync each file, sync, rename, sync the parent."""
    sync_folder(temporary)
    put_in_place(temporary, final)


def sync_folder(folder: Path) -> None:
    """Waits until a folder and the files in it are on the disk."""
    for path in (*sorted(folder.iterdir()), folder):
        sync(path)


def put_in_place(temporary: Path, final: Path) -> None:
    """Renames a synced folder to where it is looked for, in place of what was there."""
    if final.exists():  # a rerun of an interrupted run whose row was never committed
        shutil.rmtree(final)
        failpoint("old-files-removed")
    temporary.rename(final)
    sync(final.parent)


def sync(path: Path) -> None:
    """fsync of a file or, where the system has it, a folder."""
    if os.name == "nt" and path.is_dir():
        return
    # Windows flushes only what is open for writing.
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def entries(folder: Path) -> list[Path]:
    """What is in a folder, by name; nothing where somebody removed it."""
    return sorted(folder.iterdir()) if folder.is_dir() else []


def remove_folder(folder: Path) -> bool:
    """Removes a folder and says whether it is gone; a file held open (Windows) is left for the next time."""
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()
