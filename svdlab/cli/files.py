"""Where results are written: checked before anything is rendered, never left half-written.

Knows paths; what is written comes from outside.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from svdlab.errors import BadInput

VIDEO_ENDINGS = (".mp4", ".webp")
FRAME_NAME = re.compile(r"frame_\d+\.png")


def check_video_path(path: Path | None, picture: str) -> None:
    """Raises `BadInput` with one sentence if no video can be written there, or it would replace the picture."""
    if path is None:
        return
    if path.is_dir():
        raise BadInput(f"{path} is a folder; give the name of a file in it, such as {path / 'out.mp4'}")
    if path.suffix.lower() not in VIDEO_ENDINGS:
        raise BadInput(f"the video's name must end in {' or '.join(VIDEO_ENDINGS)}, got {path.name}")
    if path.is_file() and Path(picture).is_file() and path.samefile(picture):
        raise BadInput(f"{path} is the picture itself; give the video another name")
    _check_parent(path)


def check_frames_folder(folder: Path | None) -> None:
    """Raises `BadInput` with one sentence if no frames can be written there."""
    if folder is None:
        return
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{folder} is a file; give a folder for the frames")
    if folder.is_dir():
        _check_writable(folder)
    else:
        _check_parent(folder)


def _check_parent(path: Path) -> None:
    parent = path.absolute().parent
    if not parent.is_dir():
        raise BadInput(f"there is no folder {path.parent}; make it first")
    _check_writable(parent)


def _check_writable(folder: Path) -> None:
    if not os.access(folder, os.W_OK):
        raise BadInput(f"the folder {folder} cannot be written to; choose another")


def write_frames(folder: Path, write: Callable[[Path], object]) -> None:
    """Has `write` fill an empty folder with numbered frames, then moves them to `folder`.

    Numbered frames of an earlier clip are removed, anything else in the folder stays.
    """
    try:
        folder.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".svdlab-", dir=folder) as filled:
            write(Path(filled))
            for old in folder.iterdir():
                if FRAME_NAME.fullmatch(old.name):
                    old.unlink()
            for frame in sorted(Path(filled).iterdir()):
                frame.replace(folder / frame.name)
    except OSError as error:
        raise BadInput(
            f"the frames could not be written to {folder}: {(error.strerror or str(error)).lower()}"
        ) from error


def copy_to(source: Path) -> Callable[[Path], object]:
    """A writer for `write_whole` that copies a file."""
    return lambda target: shutil.copyfile(source, target)
