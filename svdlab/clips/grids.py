"""Many clips on one page, each under what it is: the frames of a captioned grid, one at a time.

No label is ever cut off: what does not fit on a line goes on in the next, and the bars grow with it. Knows Pillow and
its one bundled font; nothing of what the labels mean, of models or of screens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from svdlab.clips.sheets import BAR, INK, drawable
from svdlab.errors import BadInput

EMPTY = (44, 44, 42)
GAP = 4
MOST_WIDTH, MOST_HEIGHT = 3840, 2160  # of a page
LEAST_CELL = 32  # pixels across
LEFT_SHARE = 0.22  # of a page's width that the names of the rows may take


@dataclass(frozen=True)
class Tile:
    """One place of a page: a clip's frames, read at about a width in pixels when the page is made, or words."""

    read: Callable[[int], np.ndarray] | None = None  # width → (n, height, width, 3) uint8
    words: str = ""  # what stands where there is no clip


@dataclass(frozen=True)
class Page:
    """Rows of tiles with what stands above the columns and beside the rows.

    Where `captions` are given, one for each tile, they stand under the tiles instead.
    """

    title: str
    rows: tuple[tuple[Tile, ...], ...]
    above: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    captions: tuple[tuple[str, ...], ...] = ()

    @property
    def across(self) -> int:
        """How many columns there are."""
        return max(map(len, self.rows))


class Sheet:
    """A page laid out for clips of a size in pixels; `most` is the widest and highest that it may become.

    Raises `BadInput` where the cells would be too small to see.
    """

    def __init__(
        self, page: Page, clip: tuple[int, int], most: tuple[int, int] = (MOST_WIDTH, MOST_HEIGHT)
    ) -> None:
        self._page = page
        width, height = clip
        across, down = page.across, len(page.rows)
        wide = min(
            width, (most[0] - GAP) // across - GAP, round(((most[1] - GAP) / down - GAP) * width / height)
        )
        while True:
            if wide < LEAST_CELL:
                raise BadInput(
                    f"a grid of {across}×{down} clips does not fit into {most[0]}×{most[1]} pixels with its captions; "
                    f"export one page of it, or a table"
                )
            self.cell = wide, max(2, round(wide * height / width))
            self._lay_out()
            if self.size[0] <= most[0] and self.size[1] <= most[1]:
                break
            over = max(self.size[0] / most[0], self.size[1] / most[1])
            wide = min(wide - 1, int(wide / over))

    def _lay_out(self) -> None:
        page, (wide, tall) = self._page, self.cell
        self._text = max(11, min(26, tall // 9))
        self._font: Any = ImageFont.load_default(self._text)
        self._line = round(self._text * 1.35)
        room = round(LEFT_SHARE / (1 - LEFT_SHARE) * page.across * (wide + GAP))
        self._beside = [wrapped(text, self._font, max(room, 3 * self._text)) for text in page.beside]
        widest = max((self._font.getlength(line) for lines in self._beside for line in lines), default=0)
        self._left = GAP + (int(widest) + 2 * GAP if page.beside else 0)
        whole = self._left + page.across * (wide + GAP)
        self._title = wrapped(page.title, self._font, whole - 2 * GAP) if page.title else []
        self._above = [wrapped(text, self._font, wide) for text in page.above]
        self._under = [[wrapped(text, self._font, wide) for text in row] for row in page.captions]
        self._head = GAP + self._lines(len(self._title))
        self._top = self._head + self._lines(max(map(len, self._above), default=0))
        self._down: list[int] = []
        y = self._top
        for place in range(len(page.rows)):
            self._down.append(y)
            under = max(map(len, self._under[place]), default=0) if self._under else 0
            beside = self._lines(len(self._beside[place])) if self._beside else 0
            y += max(tall + self._lines(under), beside) + GAP
        self.size = whole + whole % 2, y + y % 2

    def _lines(self, count: int) -> int:
        return count * self._line + (GAP if count else 0)

    def frames(self, out: np.ndarray) -> np.ndarray:
        """Fills (n, height, width, 3) uint8, one clip after the other; a shorter clip stays at its last frame.

        Only one clip is in memory at a time; `out` may lie on the disk.
        """
        out[:] = np.asarray(self._still())
        for place, row in enumerate(self._page.rows):
            for column, tile in enumerate(row):
                if tile.read is not None:
                    self._put(out, tile.read(self.cell[0]), self.at(place, column))
        return out

    def _put(self, out: np.ndarray, clip: np.ndarray, at: tuple[int, int]) -> None:
        (x, y), (wide, tall) = at, self.cell
        for index in range(len(out)):
            if index < len(clip):
                small = clip[index]
                if small.shape[:2] != (tall, wide):
                    small = np.asarray(Image.fromarray(small).resize((wide, tall), Image.Resampling.LANCZOS))
            out[index, y : y + tall, x : x + wide] = small

    def at(self, place: int, column: int) -> tuple[int, int]:
        """Where a tile's left upper corner is: x and y."""
        return self._left + column * (self.cell[0] + GAP), self._down[place]

    def _still(self) -> Image.Image:
        """All that does not move."""
        sheet = Image.new("RGB", self.size, BAR)
        pen = ImageDraw.Draw(sheet)
        self._write(pen, self._title, GAP, GAP)
        for column, lines in enumerate(self._above):
            self._write(pen, lines, self.at(0, column)[0], self._head)
        for place, row in enumerate(self._page.rows):
            if self._beside:
                self._write(pen, self._beside[place], GAP, self._down[place])
            for column, tile in enumerate(row):
                (x, y), (wide, tall) = self.at(place, column), self.cell
                pen.rectangle((x, y, x + wide - 1, y + tall - 1), EMPTY)
                if tile.read is None:
                    self._write(pen, wrapped(tile.words, self._font, wide - 2 * GAP), x + GAP, y + GAP)
                if self._under:
                    self._write(pen, self._under[place][column], x, y + tall)
        return sheet

    def _write(self, pen: ImageDraw.ImageDraw, lines: Sequence[str], x: int, y: int) -> None:
        for index, line in enumerate(lines):
            pen.text((x, y + index * self._line + self._line // 2), line, INK, self._font, anchor="lm")


def wrapped(text: str, font: Any, room: float) -> list[str]:
    """A text in lines of at most `room` pixels; a word that is wider goes on in the next line."""
    lines: list[str] = []
    line = ""
    for word in drawable(text, font).split():
        joined = f"{line} {word}" if line else word
        if font.getlength(joined) <= room:
            line = joined
            continue
        if line:
            lines.append(line)
        line = ""
        for letter in word:
            if line and font.getlength(line + letter) > room:
                lines.append(line)
                line = ""
            line += letter
    return [*lines, line] if line else lines
