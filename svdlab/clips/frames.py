"""A clip as an array and as numbered PNGs without loss, in a zip or in a folder.

Knows numpy, Pillow and zip files; nothing of videos, models or screens. A clip is one array everywhere: (frames,
height, width, 3) uint8, sRGB. Files from outside are untrusted: count, size and side are capped before decoding.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from svdlab.clips.provenance import PACKET, PNG_KEYWORD
from svdlab.errors import BadVideo

MAX_FILE_BYTES = 64 * 2**20
MAX_FRAMES = 1024
MAX_SIDE = 4096  # pixels

PNG_KEY = "svdlab_recipe"  # under which a PNG carries a recipe
PNG_LEVEL = 2  # of 9: a third of the time of the default 6, files 5 % larger
ZIP_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest a ZIP can say; the same for everyone


def checked(frames: np.ndarray) -> np.ndarray:
    """The clip itself. Raises `ValueError` if it is not one."""
    if frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != np.uint8 or 0 in frames.shape:
        raise ValueError(
            f"frames must be (frames, height, width, 3) uint8, got {frames.shape} {frames.dtype}"
        )
    return frames


def write_frames_zip(path: Path, frames: np.ndarray, comment: str | None = None) -> None:
    """Write `frame_000.png` … and, with a comment, `recipe.json`; the same bytes for the same input."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:  # PNGs do not deflate any further
        for index, frame in enumerate(checked(frames)):
            archive.writestr(zipfile.ZipInfo(_frame_name(index), ZIP_DATE), _png(frame))
        if comment is not None:
            archive.writestr(zipfile.ZipInfo("recipe.json", ZIP_DATE), comment.encode())


def read_frames_zip(path: str | Path) -> np.ndarray:
    """What `write_frames_zip` wrote, without loss: (frames, height, width, 3) uint8. Raises `BadVideo`."""
    name = Path(path).name
    try:
        with zipfile.ZipFile(path) as archive:
            members = {member.filename: member for member in archive.infolist()}
            stills: list[np.ndarray] = []
            while (member := members.get(_frame_name(len(stills)))) is not None and len(stills) < MAX_FRAMES:
                if member.file_size > MAX_FILE_BYTES:
                    raise BadVideo(f"{name} holds a frame larger than any of ours.")
                with Image.open(io.BytesIO(archive.read(member)), formats=["PNG"]) as still:
                    if max(still.size) > MAX_SIDE:
                        raise BadVideo(f"{name} holds a frame of {still.width}×{still.height} pixels.")
                    stills.append(np.asarray(still.convert("RGB")))
        return np.stack(stills)
    except (OSError, ValueError, SyntaxError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise BadVideo(f"{name} is not an archive of numbered frames that can be read.") from error


def write_frames_dir(folder: Path, frames: np.ndarray, comment: str | None = None) -> list[Path]:
    """Write `frame_000.png` … into a folder, made if needed; returns the paths in order.

    `comment` (the recipe as JSON) goes into each PNG as text.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / _frame_name(index) for index in range(len(frames))]
    for path, frame in zip(paths, checked(frames), strict=True):
        path.write_bytes(_png(frame, comment))
    return paths


def _frame_name(index: int) -> str:
    return f"frame_{index:03d}.png"


def _png(frame: np.ndarray, comment: str | None = None) -> bytes:
    out, text = io.BytesIO(), PngInfo()
    if comment is not None:
        text.add_itxt(PNG_KEY, comment)
    text.add_itxt(PNG_KEYWORD, PACKET)
    Image.fromarray(frame).save(out, format="PNG", compress_level=PNG_LEVEL, pnginfo=text)
    return out.getvalue()
