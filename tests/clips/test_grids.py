"""Captioned grids of clips: every label whole, whatever its length, and every clip in its place."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import ImageFont

from svdlab.clips.grids import MOST_HEIGHT, MOST_WIDTH, Page, Sheet, Tile, wrapped
from svdlab.errors import BadInput

LONG = "Noise on the picture 0.02, Guidance of the last frame 12.5, Stable-Video-Diffusion-XT-1.1-fine-tuned"


def tile(grey: int, frames: int = 3) -> Tile:
    return Tile(lambda _: np.full((frames, 36, 64, 3), grey, np.uint8))


def frames_of(sheet: Sheet, count: int) -> np.ndarray:
    width, height = sheet.size
    return sheet.frames(np.empty((count, height, width, 3), np.uint8))


def test_each_clip_is_at_its_row_and_column_and_a_short_one_stays_at_its_end() -> None:
    moving = Tile(lambda _: np.stack([np.full((36, 64, 3), 60 * index, np.uint8) for index in range(2)]))
    page = Page("Seeds", ((tile(250), moving), (Tile(words="failed"), tile(120))), ("1", "2"), ("a", "b"))
    sheet = Sheet(page, (64, 36))
    frames = frames_of(sheet, 3)
    assert sheet.cell == (64, 36)
    middles = [[at(frames, sheet, row, column) for column in (0, 1)] for row in (0, 1)]
    assert middles[0][0] == [250, 250, 250]
    assert middles[0][1] == [0, 60, 60]
    assert middles[1][1] == [120, 120, 120]
    assert frames.shape[1] % 2 == frames.shape[2] % 2 == 0


def at(frames: np.ndarray, sheet: Sheet, row: int, column: int) -> list[int]:
    x, y = sheet.at(row, column)
    return [int(frame[y + 18, x + 32, 0]) for frame in frames]


@pytest.mark.parametrize("room", [40, 90, 400])
def test_no_letter_of_a_label_is_lost_and_no_line_is_wider_than_its_room(room: int) -> None:
    font = ImageFont.load_default(14)
    lines = wrapped(LONG, font, room)
    assert "".join(lines).replace(" ", "") == LONG.replace(" ", "")
    assert all(font.getlength(line) <= room for line in lines)


def test_long_labels_make_room_for_themselves() -> None:
    short = Sheet(Page("", ((tile(9), tile(9)),), ("1", "2"), ("3",)), (64, 36))
    long = Sheet(Page("", ((tile(9), tile(9)),), (LONG, "2"), (LONG,)), (64, 36))
    assert long.size[0] > short.size[0]
    assert long.size[1] > short.size[1]
    captions = Sheet(Page("", ((tile(9), tile(9)),), captions=((LONG, "2"),)), (64, 36))
    assert captions.size[1] > short.size[1]


def test_a_large_grid_shrinks_its_cells_and_an_enormous_one_is_refused() -> None:
    rows = tuple(tuple(tile(9) for _ in range(20)) for _ in range(20))
    sheet = Sheet(Page("All", rows, ("x",) * 20, ("y",) * 20), (1024, 576))
    assert sheet.size[0] <= MOST_WIDTH
    assert sheet.size[1] <= MOST_HEIGHT
    assert 32 <= sheet.cell[0] < 200
    with pytest.raises(BadInput, match="a grid of 500×1 clips does not fit into"):
        Sheet(Page("", (tuple(tile(9) for _ in range(500)),)), (1024, 576))
