"""Any clip a person has → its frames: videos, animated pictures, folders of frames, made anywhere.

Knows PyAV and Pillow; nothing of models, databases or screens. Files are untrusted: the container is chosen by their
first bytes and read from memory, as a playlist would make FFmpeg fetch what it names; count, side, size are capped.
What is odd about a clip is said in sentences, and what can be read of it is read.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageSequence

from svdlab.clips.frames import MAX_FRAMES, MAX_SIDE
from svdlab.errors import BadVideo

MAX_BYTES = 512 * 2**20
MAX_PIXELS = 2**30 // 3  # of all frames together
UNEVEN = 0.1  # of the mean interval between frames by which one may be off
STILLS = (".png", ".jpg", ".jpeg", ".webp", ".avif", ".bmp", ".tif", ".tiff")
PICTURE_BRANDS = (b"avif", b"avis", b"heic", b"mif1", b"msf1")


@dataclass(frozen=True)
class ForeignClip:
    """Frames (n, height, width, 3) uint8, frames per second where they are known, and what is odd, in sentences."""

    name: str
    frames: np.ndarray
    rate: float | None = None
    notes: tuple[str, ...] = ()


def read_clip(path: Path) -> ForeignClip:
    """Reads a video, an animated picture, a picture or a folder of frames. Raises `BadVideo` with one sentence."""
    if path.is_dir():
        return _folder(path)
    name = path.name
    try:
        if not path.is_file():
            raise BadVideo(f"There is no file {path}.")
        if (size := path.stat().st_size) > MAX_BYTES:
            raise BadVideo(f"{name} is {size / 2**20:.0f} MB; the limit is {MAX_BYTES // 2**20} MB.")
        data = path.read_bytes()
    except OSError as error:
        raise BadVideo(f"{name} cannot be read: {(error.strerror or str(error)).lower()}.") from error
    kind = _container(data)
    return _video(name, data, kind) if kind else _animation(name, data)


def _container(data: bytes) -> str | None:
    """FFmpeg's name for a file of video, by its first bytes; None for anything else."""
    if data[4:8] == b"ftyp":
        return None if data[8:12] in PICTURE_BRANDS else "mp4"
    if data[:4] == b"RIFF":
        return "avi" if data[8:12] == b"AVI " else None
    begins = {b"\x1aE\xdf\xa3": "matroska", b"FLV": "flv", b"OggS": "ogg", b"\0\0\1\xba": "mpeg"}
    for magic, kind in begins.items():
        if data.startswith(magic):
            return kind
    return "mpegts" if data[:1] == data[188:189] == b"G" else None


def _video(name: str, data: bytes, kind: str) -> ForeignClip:
    frames: list[np.ndarray] = []
    times: list[float | None] = []
    notes: list[str] = []
    try:
        with av.open(io.BytesIO(data), format=kind) as container:
            if not container.streams.video:
                raise BadVideo(f"{name} has no pictures in it.")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            rate = float(stream.average_rate) if stream.average_rate else None
            for frame in container.decode(stream):
                _check_size(name, (frame.width, frame.height), len(frames))
                if len(frames) == MAX_FRAMES:
                    notes.append(f"It is longer than {MAX_FRAMES} frames; those are measured.")
                    break
                frames.append(frame.to_ndarray(format="rgb24"))
                times.append(frame.time)
    except (av.FFmpegError, OSError, ValueError, RuntimeError) as error:
        if not frames:
            raise BadVideo(f"{name} is not a video that can be read.") from error
        notes.append(f"It is damaged after {len(frames)} frames; those are measured.")
    spaced, said = _rate_of([time for time in times if time is not None])
    return _of_one_size(name, frames, spaced or rate, [*notes, *said])


def _rate_of(times: list[float]) -> tuple[float | None, list[str]]:
    """Frames per second by the times they are shown at, and what is odd about those."""
    steps = np.diff(times)
    if not len(steps) or steps.mean() <= 0:
        return None, []
    rate = float(1 / steps.mean())
    if np.abs(steps - steps.mean()).max() <= max(UNEVEN * steps.mean(), 0.002):
        return rate, []
    return rate, [f"Its frames are not evenly spaced in time; {rate:.3g} per second is the mean."]


def _animation(name: str, data: bytes) -> ForeignClip:
    try:
        with Image.open(io.BytesIO(data)) as image:
            frames, times = [], [0.0]
            for index, frame in enumerate(ImageSequence.Iterator(image)):
                _check_size(name, frame.size, index)
                if index == MAX_FRAMES:
                    break
                frames.append(np.asarray(frame.convert("RGB")))
                times.append(times[-1] + float(frame.info.get("duration") or 0) / 1000)
    except BadVideo:
        raise
    except Exception as error:  # a hostile file can make a decoder raise anything
        raise BadVideo(f"{name} is neither a video nor an animated picture that can be read.") from error
    rate, notes = _rate_of(times)
    return _of_one_size(name, frames, rate if len(frames) > 1 else None, notes)


def _folder(path: Path) -> ForeignClip:
    files = sorted((file for file in path.iterdir() if file.suffix.lower() in STILLS), key=_natural)
    if not files:
        raise BadVideo(f"There are no frames in the folder {path}; frames end in {', '.join(STILLS)}.")
    notes = []
    if len(files) > MAX_FRAMES:
        notes.append(f"It has more than {MAX_FRAMES} frames; the first ones are measured.")
    frames, broken = [], []
    for index, file in enumerate(files[:MAX_FRAMES]):
        try:
            with Image.open(file) as image:
                _check_size(file.name, image.size, index)
                frames.append(np.asarray(image.convert("RGB")))
        except BadVideo:
            raise
        except Exception:
            broken.append(file.name)
    if broken:
        more = f" and {len(broken) - 3} more" if len(broken) > 3 else ""
        notes.append(f"{', '.join(broken[:3])}{more} cannot be read and is left out.")
    if not frames:
        raise BadVideo(f"None of the frames in the folder {path} can be read.")
    return _of_one_size(path.name, frames, None, notes)


def _natural(file: Path) -> list[tuple[int, str]]:
    """So that frame_10 comes after frame_9."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", file.name)]


def _check_size(name: str, size: tuple[int, int], count: int) -> None:
    if max(size) > MAX_SIDE:
        raise BadVideo(f"{name} has frames of {size[0]}×{size[1]}; the limit is {MAX_SIDE} a side.")
    if size[0] * size[1] * (count + 1) > MAX_PIXELS:
        raise BadVideo(
            f"{name} has more than {count} frames of {size[0]}×{size[1]}, too many to be measured."
        )


def _of_one_size(
    name: str, frames: list[np.ndarray], rate: float | None, notes: Iterable[str]
) -> ForeignClip:
    if not frames:
        raise BadVideo(f"{name} has no frames in it.")
    sizes = Counter(frame.shape for frame in frames)
    (height, width, _), count = sizes.most_common(1)[0]
    said = list(notes)
    if len(sizes) > 1:
        said.append(f"Its frames have {len(sizes)} sizes; the {count} of {width}×{height} are measured.")
    kept = list(_of_shape(frames, (height, width, 3)))
    if len(kept) == 1:
        said.append("It is one frame, so nothing can be said of motion.")
    return ForeignClip(name, np.stack(kept), rate, tuple(said))


def _of_shape(frames: list[np.ndarray], shape: tuple[int, int, int]) -> Iterator[np.ndarray]:
    return (frame for frame in frames if frame.shape == shape)
