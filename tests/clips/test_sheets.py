"""Pictures made from clips show every clip, name and number where they belong."""

from __future__ import annotations

import numpy as np
import pytest

from svdlab.clips.sheets import contact_sheet, poster, side_by_side
from tests.clips.made_clips import patches


def test_side_by_side_shows_both_clips_and_their_names() -> None:
    a, b = patches(6), 255 - patches(4)
    both = side_by_side(a, b, "SVD 1.0 · svd-xt", "SVD 1.1 · svd-xt-1-1")
    count, height, width, _ = both.shape
    bar = height - 64
    assert (count, width, bar > 12) == (4, 2 * 96 + 8, True)
    assert (both[:, bar:, :96] == a[:4]).all()
    assert (both[:, bar:, -96:] == b).all()
    for label in (both[0, :bar, :96], both[0, :bar, -96:]):
        assert label.max() > 200  # ink
        assert label.min() < 40  # on a dark bar


def test_a_long_label_stays_on_its_side() -> None:
    both = side_by_side(patches(1), patches(1), "a name that never ends " * 9, "")
    bar = both.shape[1] - 64
    assert both[0, :bar, 90:].max() < 40


@pytest.mark.parametrize("gap", [0, 7, 8])
@pytest.mark.parametrize("size", [(64, 96), (63, 95), (144, 256), (576, 1024)])
def test_side_by_side_fits_into_an_mp4(gap: int, size: tuple[int, int]) -> None:
    frames = np.zeros((1, *size, 3), np.uint8)
    _, height, width, _ = side_by_side(frames, frames, "A", "B", gap=gap).shape
    assert (height % 2, width % 2) == (0, 0)


def test_side_by_side_wants_one_frame_size() -> None:
    with pytest.raises(ValueError, match="96×64 and 96×32"):
        side_by_side(patches(1), patches(1, 32), "A", "B")


def test_the_poster_is_the_first_frame() -> None:
    assert (np.asarray(poster(patches())) == patches()[0]).all()


def test_the_contact_sheet_has_a_numbered_cell_per_frame() -> None:
    sheet = np.asarray(contact_sheet(patches(9), columns=4, width=400))
    assert sheet.shape[1] == 400
    cell = (400 - 6 * 5) // 4
    step = round(cell * 64 / 96) + 13 + 12
    assert sheet.shape[0] == 6 + 3 * step
    for row, column, there in [(0, 0, True), (1, 3, True), (2, 0, True), (2, 1, False)]:
        picture = sheet[6 + row * step :, 6 + column * (cell + 6) :][:step, :cell]
        assert bool(picture[10, 10].max() > 100) is there
        assert bool(picture[-19:].max() > 200) is there  # the number
