"""The pictures a lab keeps: untrusted ones in, upright RGB by the hash of their pixels, whole or not at all.

Knows pictures and one folder; nothing of runs, models or screens.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from svdlab.clips import pictures
from svdlab.errors import DataFolderError, NotFound, reason
from svdlab.failpoints import failpoint
from svdlab.files import sync
from svdlab.history.ids import new_id
from svdlab.history.queue import History

PictureSource = str | Path | bytes | Image.Image | pictures.Picture


@dataclass(frozen=True)
class StoredPicture:
    """A picture the lab keeps: upright RGB, by the hash of its pixels."""

    sha256: str
    path: Path
    width: int
    height: int
    notes: tuple[str, ...] = ()


def keep(history: History, source: PictureSource) -> StoredPicture:
    """Checks an untrusted picture and keeps it by hash; one that is read already is not read again.

    Raises `BadPicture`, `DataFolderError`.
    """
    history.must_be_writable()
    if isinstance(source, pictures.Picture):
        picture = source
    elif isinstance(source, Image.Image):
        picture = pictures.picture_from_image(source)
    else:
        picture = pictures.load_picture(source)
    path = history.picture_path(picture.sha256)
    try:
        _write(picture, path)
    except OSError as error:
        raise DataFolderError(
            f"the picture could not be written to {history.folder}: {reason(error)}"
        ) from error
    return StoredPicture(picture.sha256, path, picture.image.width, picture.image.height, picture.notes)


def _write(picture: pictures.Picture, path: Path) -> None:
    if pictures.is_whole(path, picture.image.size):
        os.utime(path)  # in use again: removing unused pictures lets it be for a while
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{new_id()}.png")
    try:
        pictures.save_picture(picture, temporary)
        sync(temporary)
        failpoint("picture-written")
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync(path.parent)
    failpoint("picture-stored")


def stored(history: History, sha256: str) -> StoredPicture:
    """A kept picture by hash. Raises `NotFound`, also for one whose file is damaged."""
    path = history.picture_path(sha256)
    if not sha256.isalnum() or not path.is_file():
        raise NotFound("the picture of that recipe is not in this lab; drop it in again")
    try:
        with Image.open(path) as image:
            return StoredPicture(sha256, path, *image.size)
    except OSError as error:
        raise NotFound("the picture of that recipe is damaged; drop it in again") from error
