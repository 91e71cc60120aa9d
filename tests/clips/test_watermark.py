"""An invisible mark: put in, read back without loss and from a video, by us and by whoever follows the same layout."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from svdlab.clips import video, watermark
from svdlab.errors import BadInput

ROOT = Path(__file__).resolve().parents[2]
PICTURES = sorted((ROOT / "assets" / "examples").glob("*.jpg"))


def clip_of(path: Path, size: tuple[int, int] = (256, 144), count: int = 6) -> np.ndarray:
    with Image.open(path) as picture:
        still = np.asarray(picture.convert("RGB").resize(size))
    return np.stack([np.roll(still, 2 * index, axis=1) for index in range(count)])


def as_the_package_reads(rgb: np.ndarray, letters: int) -> bytes:
    """What invisible-watermark's decoder says of one picture with the method dwtDct, transcribed."""
    yuv = cv2.cvtColor(np.ascontiguousarray(rgb[..., ::-1]), cv2.COLOR_BGR2YUV)
    rows, columns = rgb.shape[0] // 4 * 4, rgb.shape[1] // 4 * 4
    u = yuv[:rows, :columns, 1].astype(float)
    band = (u[::2, ::2] + u[1::2, ::2] + u[::2, 1::2] + u[1::2, 1::2]) / 2
    scores: list[list[int]] = [[] for _ in range(8 * letters)]
    number = 0
    for i in range(band.shape[0] // 4):
        for j in range(band.shape[1] // 4):
            block = band[4 * i : 4 * i + 4, 4 * j : 4 * j + 4].flatten()
            value = abs(block[np.argmax(abs(block[1:])) + 1])
            scores[number % len(scores)].append(int(value % 36 > 18))
            number += 1
    return np.packbits([np.mean(votes) > 0.5 for votes in scores]).tobytes()


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.stem)
def test_it_is_read_back_without_loss_and_from_a_video(path: Path, tmp_path: Path) -> None:
    marked = watermark.embed(clip_of(path), "svdlab")
    assert watermark.read(marked, 6) == b"svdlab"
    assert as_the_package_reads(marked[0], 6) == b"svdlab"
    video.write_mp4(tmp_path / "clip.mp4", marked, 6)
    frames, _ = video.read_mp4_frames(tmp_path / "clip.mp4")
    assert watermark.read(frames, 6) == b"svdlab"
    assert as_the_package_reads(frames[0], 6) == b"svdlab"


def test_it_is_faint_and_leaves_what_it_is_given() -> None:
    frames = clip_of(PICTURES[0])
    before = frames.copy()
    difference = watermark.embed(frames, "svdlab").astype(float) - frames
    assert np.array_equal(frames, before)
    assert 10 * np.log10(255**2 / (difference**2).mean()) > 36  # dB
    light = difference @ np.array([0.299, 0.587, 0.114])
    assert np.abs(light).max() <= 4  # it is in the colours


def test_frames_without_one_do_not_say_it() -> None:
    assert watermark.read(clip_of(PICTURES[0]), 6) != b"svdlab"


@pytest.mark.parametrize("size", [(64, 64), (72, 70), (1024, 576)])
def test_every_size_a_clip_may_have_has_room(size: tuple[int, int]) -> None:
    marked = watermark.embed(clip_of(PICTURES[1], size, 1), "8letters")
    assert watermark.read(marked, 8) == b"8letters"


@pytest.mark.parametrize("text", ["", "nine chars", "bärig", "a\nb"])
def test_what_is_no_mark_is_refused_in_words(text: str) -> None:
    with pytest.raises(BadInput, match=r"^a watermark must be 1 to 8 plain letters, got "):
        watermark.embed(clip_of(PICTURES[0], count=1), text)


def test_a_frame_without_room_is_refused_in_words() -> None:
    with pytest.raises(BadInput, match=r"^a frame of 32×32 has no room for 8 letters$"):
        watermark.read(np.zeros((1, 32, 32, 3), np.uint8), 8)
