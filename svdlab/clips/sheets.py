"""Pictures made from clips: two side by side, a contact sheet, a poster.

Knows Pillow and its one bundled font; nothing of what the labels mean, of models or of screens.
"""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from svdlab.clips.frames import checked
from svdlab.clips.provenance import PACKET
from svdlab.clips.video import webp_exif

INK = (235, 235, 230)
BAR = (24, 24, 23)
PLAIN = str.maketrans("–—‘’“”×", "--''\"\"x")  # Pillow's bundled font is small


def side_by_side(a: np.ndarray, b: np.ndarray, label_a: str, label_b: str, *, gap: int = 8) -> np.ndarray:
    """Two clips of one frame size beside each other, a labelled bar above: (min(n_a, n_b), H, W, 3) uint8.

    H and W are even, whatever `gap` is.
    """
    a, b = checked(a), checked(b)
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
    out[:, bar:] = beside(a[:count], b[:count], whole - 2 * width, BAR)
    return out


def beside(
    a: np.ndarray, b: np.ndarray, gap: int, between: tuple[int, int, int] = (128, 128, 128)
) -> np.ndarray:
    """Two clips of one size and length as one, with nothing said of either: (n, H, 2·W + gap, 3) uint8."""
    a, b = checked(a), checked(b)
    if a.shape != b.shape:
        raise ValueError(f"two clips as one need one shape, got {a.shape} and {b.shape}")
    count, height, width = a.shape[:3]
    out = np.full((count, height, 2 * width + gap, 3), between, np.uint8)
    out[:, :, :width] = a
    out[:, :, width + gap :] = b
    return out


def poster(frames: np.ndarray) -> Image.Image:
    """The first frame."""
    return Image.fromarray(checked(frames)[0])


def write_poster(path: Path, frames: np.ndarray, side: int, comment: str | None = None) -> None:
    """Write the first frame as a WebP at most `side` pixels long, with `comment` (the recipe) in its EXIF."""
    still = poster(frames)
    still.thumbnail((side, side))
    still.save(path, format="WEBP", quality=85, exif=webp_exif(comment), xmp=PACKET.encode())


def contact_sheet(frames: np.ndarray, columns: int = 7, width: int = 1400) -> Image.Image:
    """Every frame with its number (from 1), in rows of `columns`, on one picture `width` pixels wide."""
    frames = checked(frames)
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


def _size(frames: np.ndarray) -> str:
    return f"{frames.shape[2]}×{frames.shape[1]}"


def _write(page: Image.Image, text: str, at: tuple[int, int], size: int, room: int) -> None:
    """Draw one line, its left middle at `at`, shortened with … to `room` pixels."""
    font = ImageFont.load_default(size)
    text = drawable(text, font)
    if font.getlength(text) > room:
        while text and font.getlength(text + "…") > room:
            text = text[:-1]
        text = text.rstrip() + "…"
    ImageDraw.Draw(page).text(at, text, INK, font, anchor="lm")


def drawable(text: str, font: Any) -> str:
    """The text in what the bundled font has: accents fall off, other scripts become question marks."""
    text = unicodedata.normalize("NFKD", " ".join(text.split())).translate(PLAIN)
    missing = bytes(font.getmask("\uffff"))
    return "".join(
        "?" if bytes(font.getmask(c)) == missing else c for c in text if not unicodedata.combining(c)
    )


def film_sheet(frames: np.ndarray, columns: int) -> Image.Image:
    """Every frame in rows of `columns` without gaps: a page plays them from one picture."""
    count, height, width = checked(frames).shape[:3]
    sheet = np.zeros((-(-count // columns) * height, columns * width, 3), np.uint8)
    for index, frame in enumerate(frames):
        y, x = index // columns * height, index % columns * width
        sheet[y : y + height, x : x + width] = frame
    return Image.fromarray(sheet)
