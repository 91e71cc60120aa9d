"""Frames ↔ MP4 with the recipe inside, and animated WebP for taking elsewhere.

Knows imageio, PyAV and Pillow; nothing of torch, models, databases or screens. Files from outside are untrusted:
only MP4 is opened (a playlist would make FFmpeg fetch what it names), and size, side and length are capped before
and while decoding.

MP4 is read through imageio and written with PyAV itself: imageio's writer takes neither a quality nor a colour
matrix, and its BT.601 would shift every colour in a file that says BT.709.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import imageio.v3 as iio
import numpy as np
from av.video.reformatter import (
    ColorPrimaries,
    ColorRange,
    Colorspace,
    ColorTrc,
    Interpolation,
    VideoReformatter,
)
from PIL import Image

from svdlab.clips import provenance
from svdlab.clips.frames import MAX_FILE_BYTES, MAX_FRAMES, MAX_SIDE, checked
from svdlab.errors import BadVideo

MAX_COMMENT_BYTES = 64 * 1024  # a recipe takes about 2 KB
MAX_DECODED_BYTES = 2**30  # 606 frames of 1024×576
MAX_FPS = 240

WEBM_MAGIC = b"\x1aE\xdf\xa3"
BT709 = 1  # AVCOL_SPC_BT709, AVCOL_PRI_BT709 and AVCOL_TRC_BT709 alike
LIMITED = ColorRange.MPEG
# Rounding without the x86 shortcuts: the same bytes on every processor, and flat colours come back right.
EXACT = (
    Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INP | Interpolation.BITEXACT
)
EXACTLY = [
    ("scale", "flags=bicubic+accurate_rnd+full_chroma_int+bitexact"),
    ("format", "rgb24"),
]  # the way back
X264_THREADS = 2  # fixed: x264 decides a little differently for every number of threads

IMAGE_DESCRIPTION = 0x010E  # the EXIF tag in which a WebP carries one, as UTF-8


def write_mp4(
    path: Path,
    frames: np.ndarray,
    fps: float,
    comment: str | None = None,
    *,
    every_frame_key: bool = True,
    crf: int = 14,
) -> None:
    """Write H.264/yuv420p, BT.709 limited range, index first; the same bytes for the same input. Says it is generated.

    `comment` (the recipe as JSON) goes into the container's comment. `every_frame_key` makes seeking exact at the
    price of a larger file. Raises `ValueError` on frames, rates or comments that no MP4 of ours may have.
    """
    frames = checked(frames)
    height, width = frames.shape[1:3]
    if width % 2 or height % 2:
        raise ValueError(f"an MP4 needs an even width and height, got {width}×{height}")
    if comment is not None and len(comment.encode()) > MAX_COMMENT_BYTES:
        raise ValueError(f"a comment may have {MAX_COMMENT_BYTES} bytes, got {len(comment.encode())}")
    with av.open(os.fspath(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        if comment is not None:
            container.metadata["comment"] = comment
        stream = container.add_stream(
            "libx264", rate=_rate(fps), options={"crf": str(crf), "preset": "veryfast"}
        )
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        context = stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = LIMITED
        context.thread_count = X264_THREADS
        context.max_b_frames = 0
        if every_frame_key:
            context.gop_size = 1
        reformatter = VideoReformatter()
        for index, frame in enumerate(frames):
            picture = reformatter.reformat(
                av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24"),
                format="yuv420p",
                dst_colorspace=Colorspace.ITU709,
                src_color_range=ColorRange.JPEG,
                dst_color_range=LIMITED,
                interpolation=EXACT,
                threads=1,
            )
            picture.pts, picture.time_base = index, 1 / _rate(fps)
            picture.color_primaries, picture.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    provenance.mark_mp4(path)


def read_mp4_frames(path: str | Path) -> tuple[np.ndarray, float]:
    """All frames, (frames, height, width, 3) uint8, and the rate in frames per second.

    Raises `BadVideo` on whatever is not a whole MP4 within the limits above.
    """
    name, data = _whole(path)
    with _reader(data, name) as file:
        height, width = file.properties(0).shape[:2]
        if max(height, width) > MAX_SIDE:
            raise BadVideo(f"{name} is {width}×{height} pixels; the limit is {MAX_SIDE} a side.")
        most = min(MAX_FRAMES, MAX_DECODED_BYTES // (height * width * 3))
        frames: list[np.ndarray] = []
        for frame in file.iter(format="rgb24", filter_sequence=EXACTLY, thread_count=1):
            if len(frames) == most:
                raise BadVideo(
                    f"{name} has more than {most} frames of {width}×{height}; make it shorter or smaller."
                )
            if frame.shape != (height, width, 3):
                raise BadVideo(f"{name} changes its size on the way, which is not read here.")
            frames.append(frame)
        fps = file.metadata().get("fps") or 0.0
        if not frames or not 0 < fps <= MAX_FPS:
            raise BadVideo(f"{name} has no frames that can be played.")
        return np.stack(frames), float(fps)


def small_frames(path: str | Path, width: int) -> np.ndarray:
    """All frames of an MP4 of ours at a smaller width, (frames, height, width, 3) uint8: for grids and pages.

    Reduced while decoding, which takes a tenth of the time of `read_mp4_frames`; the last bit of a colour may differ.
    Raises `BadVideo`.
    """
    name, data = _whole(path)
    reformatter = VideoReformatter()
    stills: list[np.ndarray] = []
    with _container(data, name) as file:
        for frame in file.decode(video=0):
            if len(stills) == MAX_FRAMES:
                break
            small = reformatter.reformat(
                frame,
                width=min(width, frame.width),
                height=max(1, round(min(width, frame.width) * frame.height / frame.width)),
                format="rgb24",
                src_colorspace=Colorspace.ITU709,
                src_color_range=LIMITED,
                dst_color_range=ColorRange.JPEG,
                interpolation=Interpolation.AREA,
                threads=1,
            )
            stills.append(small.to_ndarray())
    if not stills:
        raise BadVideo(f"{name} has no frames that can be played.")
    return np.stack(stills)


def read_comment(path: str | Path) -> str | None:
    """The comment of an MP4, untrusted and at most `MAX_COMMENT_BYTES` long; None where there is none.

    Raises `BadVideo` if it is no MP4, or its comment is longer.
    """
    name, data = _whole(path)
    with _container(data, name) as file:
        comment = file.metadata.get("comment")
        if comment is not None and len(comment.encode(errors="replace")) > MAX_COMMENT_BYTES:
            raise BadVideo(f"The comment in {name} is larger than a recipe can be; it was not read.")
        return comment or None


def read_tags(data: bytes, name: str = "the file") -> dict[str, str]:
    """All text tags of an MP4's or WebM's container, untrusted and of any length, by names in small letters.

    Raises `BadVideo`, which calls it `name`, if it is neither.
    """
    with _container(data, name, webm=data[:4] == WEBM_MAGIC) as file:
        return {str(key).lower(): str(value) for key, value in file.metadata.items()}


def write_webp(
    path: Path, frames: np.ndarray, fps: float, quality: int = 80, comment: str | None = None
) -> None:
    """Write an animated WebP that loops for ever and says it is generated; `comment` (the recipe) is in its EXIF."""
    Path(path).write_bytes(webp_bytes(frames, fps, quality, comment, marked=True))


def webp_bytes(
    frames: np.ndarray, fps: float, quality: int = 80, comment: str | None = None, marked: bool = False
) -> bytes:
    """An animated WebP that loops for ever, as bytes; durations are whole milliseconds and do not drift.

    One that is `marked` says that it is generated; what a page shows for a moment need not.
    """
    frames = checked(frames)
    _rate(fps)
    marks = [round(1000 * i / fps) for i in range(len(frames) + 1)]
    stills = [Image.fromarray(frame) for frame in frames]
    out = io.BytesIO()
    stills[0].save(
        out,
        format="WEBP",
        save_all=True,
        append_images=stills[1:],
        duration=[after - before for before, after in pairwise(marks)],
        loop=0,
        quality=quality,
        method=2,  # of 6: half the time of the default 4
        minimize_size=False,
        allow_mixed=False,
        exif=webp_exif(comment),
        xmp=provenance.PACKET.encode() if marked else b"",
    )
    return out.getvalue()


def webp_exif(comment: str | None) -> bytes:
    """The EXIF in which a WebP carries a comment; empty without one."""
    if comment is None:
        return b""
    exif = Image.Exif()
    exif[IMAGE_DESCRIPTION] = comment.encode()
    return exif.tobytes()


def _rate(fps: float) -> Fraction:
    if not 0 < fps <= MAX_FPS:
        raise ValueError(f"fps must be above 0 and at most {MAX_FPS}, got {fps}")
    return Fraction(fps).limit_denominator(1001)


def _whole(path: str | Path) -> tuple[str, bytes]:
    """An untrusted file's name and bytes; `BadVideo` if it is not there or too large."""
    path = Path(path)
    name = path.name
    try:
        if not path.is_file():
            raise BadVideo(f"There is no file {name}.")
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise BadVideo(f"{name} is {size / 2**20:.0f} MB; the limit is {MAX_FILE_BYTES // 2**20} MB.")
        return name, path.read_bytes()
    except (OSError, ValueError) as error:
        raise BadVideo(f"{name} is not an MP4 video that can be read.") from error


@contextmanager
def _refused(name: str, kind: str = "an MP4") -> Iterator[None]:
    """Whatever goes wrong inside, with a file that may be anything, becomes `BadVideo`."""
    try:
        yield
    except (
        av.FFmpegError,
        OSError,
        ValueError,
        IndexError,
        TypeError,
        AttributeError,
        RuntimeError,
    ) as error:
        raise BadVideo(f"{name} is not {kind} video that can be read.") from error


@contextmanager
def _reader(data: bytes, name: str) -> Iterator[Any]:
    """An untrusted MP4 as imageio's reader of frames."""
    imopen: Any = iio.imopen  # its overloads do not know what it passes on to av.open
    with _refused(name), imopen(data, "r", plugin="pyav", format="mp4") as file:
        yield file


@contextmanager
def _container(data: bytes, name: str, webm: bool = False) -> Iterator[Any]:
    """An untrusted file as PyAV's container: for tags alone, seven times as fast as a reader of frames."""
    kind, format_ = ("a WebM", "matroska") if webm else ("an MP4", "mp4")
    with _refused(name, kind), av.open(io.BytesIO(data), format=format_) as file:
        if not file.streams.video:
            raise ValueError("no pictures")
        yield file
