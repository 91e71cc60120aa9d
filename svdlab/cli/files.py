"""Where results are written: checked before anything is rendered, never left half-written.

Knows paths; what is written comes from outside.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from svdlab.errors import BadInput
from svdlab.files import write_whole

if TYPE_CHECKING:
    from svdlab.recipes.records import Run

VIDEO_ENDINGS = (".mp4", ".webp")
PICTURE_ENDINGS = (
    ".png",
    ".jpg",
    ".jpeg",
    ".webp",
    ".avif",
    ".gif",
    ".bmp",
    ".tif",
    ".tiff",
    ".heic",
    ".heif",
)
MOST_PICTURES = 1000  # in one go
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
    check_parent(path)


def pictures_in(given: Sequence[str]) -> list[Path] | None:
    """The pictures that several names stand for, those of a folder in the order of their names; None for one picture.

    Raises `BadInput` with one sentence for a folder without pictures and for more than 1,000 of them.
    """
    if len(given) < 2 and not (given and Path(given[0]).is_dir()):
        return None
    found: list[Path] = []
    for path in map(Path, given):
        if not path.is_dir():
            found.append(path)
            continue
        inside = [p for p in sorted(path.iterdir()) if p.suffix.lower() in PICTURE_ENDINGS and p.is_file()]
        if not inside:
            raise BadInput(
                f"there is no picture in the folder {path}; pictures end in {', '.join(PICTURE_ENDINGS)}"
            )
        found += inside
    found = list(dict.fromkeys(found))
    if len(found) > MOST_PICTURES:
        raise BadInput(
            f"{len(found)} pictures are more than the {MOST_PICTURES} that can be asked for at once"
        )
    return found


def check_folder(folder: Path | None, what: str) -> None:
    """Raises `BadInput` with one sentence if several clips' files cannot be written there."""
    if folder is not None and folder.suffix.lower() in VIDEO_ENDINGS and not folder.is_dir():
        raise BadInput(f"several pictures make several {what}; give a folder for them, got {folder}")
    check_frames_folder(folder)


def check_frames_folder(folder: Path | None) -> None:
    """Raises `BadInput` with one sentence if no frames can be written there."""
    if folder is None:
        return
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{folder} is a file; give a folder for the frames")
    if folder.is_dir():
        _check_writable(folder)
    else:
        check_parent(folder)


def check_path(path: Path, endings: Sequence[str]) -> None:
    """Raises `BadInput` with one sentence if no file of one of these kinds can be written there."""
    if path.suffix.lower() not in endings:
        raise BadInput(f"the file's name must end in {', '.join(endings)}, got {path.name}")
    check_parent(path)


def check_tables(as_table: Mapping[str, Path]) -> None:
    """`check_path` for each table that was asked for, by its format."""
    for name, path in as_table.items():
        check_path(path, (f".{name}",))


def check_parent(path: Path) -> None:
    """Raises `BadInput` with one sentence if no file can be written beside it."""
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


def write_video(run: Run, output: Path | None) -> None:
    """Writes a run's clip as MP4 or WebP, by the ending. Raises `BadInput`."""
    if output is None:
        return
    if output.suffix.lower() == ".mp4":
        write_whole(output, copy_to(run.video))
        return
    from svdlab.clips import video
    from svdlab.clips.frames import read_frames_zip

    clip = read_frames_zip(run.frames_zip)
    rate = run.settings.effective_playback_fps
    write_whole(output, lambda path: video.write_webp(path, clip, rate, comment=run.recipe.to_json()))


def write_frames_of(run: Run, folder: Path | None) -> None:
    """Writes a run's lossless frames. Raises `BadInput`."""
    if folder is None:
        return
    from svdlab.clips.frames import read_frames_zip, write_frames_dir

    clip = read_frames_zip(run.frames_zip)
    write_frames(folder, lambda path: write_frames_dir(path, clip, run.recipe.to_json()))
