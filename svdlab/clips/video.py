"""Frames ↔ MP4 with the recipe inside; side by side, WebP, stills and numbered PNGs for taking elsewhere.

Knows imageio, PyAV and Pillow; nothing of torch, models, databases or screens. A clip is one array everywhere:
(frames, height, width, 3) uint8, sRGB. Files from outside are untrusted: only MP4 is opened (a playlist would
make FFmpeg fetch what it names), and size, side and length are capped before and while decoding.

MP4 is read through imageio and written with PyAV itself: imageio's writer takes neither a quality nor a colour
matrix, and its BT.601 would shift every colour in a file that says BT.709.
"""

from __future__ import annotations

import io
import os
import unicodedata
import zipfile
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
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from svdlab.errors import BadVideo

MAX_COMMENT_BYTES = 64 * 1024  # a recipe takes about 2 KB
MAX_FILE_BYTES = 64 * 2**20
MAX_FRAMES = 1024
MAX_SIDE = 4096  # pixels
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

PNG_KEY = "svdlab_recipe"  # under which a PNG carries a recipe
IMAGE_DESCRIPTION = 0x010E  # the EXIF tag in which a WebP carries one, as UTF-8
PNG_LEVEL = 2  # of 9: a third of the time of the default 6, files 5 % larger
ZIP_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest a ZIP can say; the same for everyone

INK = (235, 235, 230)
BAR = (24, 24, 23)
PLAIN = str.maketrans("–—‘’“”×", "--''\"\"x")  # Pillow's bundled font is small


def write_mp4(
    path: Path,
    frames: np.ndarray,
    fps: float,
    comment: str | None = None,
    *,
    every_frame_key: bool = True,
    crf: int = 14,
) -> None:
    """Write H.264/yuv420p, BT.709 limited range, index first; the same bytes for the same input.

    `comment` (the recipe as JSON) goes into the container's comment. `every_frame_key` makes seeking exact at the
    price of a larger file. Raises `ValueError` on frames, rates or comments that no MP4 of ours may have.
    """
    frames = _checked(frames)
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
    """Write an animated WebP that loops for ever, with `comment` (the recipe as JSON) in its EXIF."""
    Path(path).write_bytes(webp_bytes(frames, fps, quality, comment))


def webp_bytes(frames: np.ndarray, fps: float, quality: int = 80, comment: str | None = None) -> bytes:
    """An animated WebP that loops for ever, as bytes; durations are whole milliseconds and do not drift."""
    frames = _checked(frames)
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
        exif=_exif(comment),
    )
    return out.getvalue()


def write_poster(path: Path, frames: np.ndarray, side: int, comment: str | None = None) -> None:
    """Write the first frame as a WebP at most `side` pixels long, with `comment` (the recipe) in its EXIF."""
    still = poster(frames)
    still.thumbnail((side, side))
    still.save(path, format="WEBP", quality=85, exif=_exif(comment))


def _exif(comment: str | None) -> bytes:
    if comment is None:
        return b""
    exif = Image.Exif()
    exif[IMAGE_DESCRIPTION] = comment.encode()
    return exif.tobytes()


def side_by_side(a: np.ndarray, b: np.ndarray, label_a: str, label_b: str, *, gap: int = 8) -> np.ndarray:
    """Two clips of one frame size beside each other, a labelled bar above: (min(n_a, n_b), H, W, 3) uint8.

    H and W are even, whatever `gap` is.
    """
    a, b = _checked(a), _checked(b)
    if a.shape[1:] != b.shape[1:]:
        raise ValueError(f"side by side needs one frame size, got {_size(a)} and {_size(b)}")
    count, (height, width) = min(len(a), len(b)), a.shape[1:3]
    text = max(12, min(30, height // 20))
    bar = 2 * text + height % 2
    whole = 2 * width + gap + gap % 2
    page = Image.new("RGB", (whole, bar), BAR)
    for left, label in ((0, label_a), (width + gap, label_b)):
        _write(page, label, (left + text // 2, bar // 2), text, width - text)
    out = np.empty((count, bar + height, whole, 3), np.uint8)
    out[:, :bar] = np.asarray(page)
    out[:, bar:] = BAR
    out[:, bar:, :width] = a[:count]
    out[:, bar:, width + gap : 2 * width + gap] = b[:count]
    return out


def poster(frames: np.ndarray) -> Image.Image:
    """The first frame."""
    return Image.fromarray(_checked(frames)[0])


def contact_sheet(frames: np.ndarray, columns: int = 7, width: int = 1400) -> Image.Image:
    """Every frame with its number (from 1), in rows of `columns`, on one picture `width` pixels wide."""
    frames = _checked(frames)
    columns = max(1, min(columns, len(frames)))
    gap, text = 6, 13
    cell = (width - gap * (columns + 1)) // columns
    if cell < 1:
        raise ValueError(f"{columns} columns do not fit into {width} pixels")
    tall = max(1, round(cell * frames.shape[1] / frames.shape[2]))
    step = tall + text + 2 * gap
    sheet = Image.new("RGB", (width, gap + step * -(-len(frames) // columns)), BAR)
    for index, frame in enumerate(frames):
        x = gap + (index % columns) * (cell + gap)
        y = gap + (index // columns) * step
        sheet.paste(Image.fromarray(frame).resize((cell, tall), Image.Resampling.LANCZOS), (x, y))
        _write(sheet, str(index + 1), (x, y + tall + gap // 2 + text // 2 + 1), text, cell)
    return sheet


def write_frames_zip(path: Path, frames: np.ndarray, comment: str | None = None) -> None:
    """Write `frame_000.png` … and, with a comment, `recipe.json`; the same bytes for the same input."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:  # PNGs do not deflate any further
        for index, frame in enumerate(_checked(frames)):
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
    for path, frame in zip(paths, _checked(frames), strict=True):
        path.write_bytes(_png(frame, comment))
    return paths


def _checked(frames: np.ndarray) -> np.ndarray:
    if frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != np.uint8 or 0 in frames.shape:
        raise ValueError(
            f"frames must be (frames, height, width, 3) uint8, got {frames.shape} {frames.dtype}"
        )
    return frames


def _rate(fps: float) -> Fraction:
    if not 0 < fps <= MAX_FPS:
        raise ValueError(f"fps must be above 0 and at most {MAX_FPS}, got {fps}")
    return Fraction(fps).limit_denominator(1001)


def _size(frames: np.ndarray) -> str:
    return f"{frames.shape[2]}×{frames.shape[1]}"


def _frame_name(index: int) -> str:
    return f"frame_{index:03d}.png"


def _png(frame: np.ndarray, comment: str | None = None) -> bytes:
    out, text = io.BytesIO(), PngInfo()
    if comment is not None:
        text.add_itxt(PNG_KEY, comment)
    Image.fromarray(frame).save(out, format="PNG", compress_level=PNG_LEVEL, pnginfo=text)
    return out.getvalue()


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


def _write(page: Image.Image, text: str, at: tuple[int, int], size: int, room: int) -> None:
    """Draw one line, its left middle at `at`, shortened with … to `room` pixels."""
    font = ImageFont.load_default(size)
    text = _drawable(text, font)
    if font.getlength(text) > room:
        while text and font.getlength(text + "…") > room:
            text = text[:-1]
        text = text.rstrip() + "…"
    ImageDraw.Draw(page).text(at, text, INK, font, anchor="lm")


def _drawable(text: str, font: Any) -> str:
    """The text in what the bundled font has: accents fall off, other scripts become question marks."""
    text = unicodedata.normalize("NFKD", " ".join(text.split())).translate(PLAIN)
    missing = bytes(font.getmask("\uffff"))
    return "".join(
        "?" if bytes(font.getmask(c)) == missing else c for c in text if not unicodedata.combining(c)
    )
