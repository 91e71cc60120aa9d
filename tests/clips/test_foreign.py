"""Clips made anywhere: what is read, and what is said of what is odd."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from svdlab.clips.foreign import read_clip
from svdlab.clips.frames import write_frames_dir
from svdlab.clips.video import write_mp4, write_webp
from svdlab.errors import BadVideo
from tests.clips.made_clips import patches


def encoded(path: Path, frames: np.ndarray, codec: str, times: list[int] | None = None) -> Path:
    """The frames in a container by its ending, each shown at so many hundredths of a second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=100)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for index, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            picture.pts = (times or [10 * i for i in range(len(frames))])[index]
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


def test_a_folder_of_frames_is_read_in_the_order_of_its_numbers(tmp_path: Path) -> None:
    frames = np.concatenate([patches(6), patches(6)[::-1]])
    for index, frame in enumerate(frames):
        Image.fromarray(frame).save(tmp_path / f"shot{index}.png")
    found = read_clip(tmp_path)
    assert np.array_equal(found.frames, frames)
    assert (found.rate, found.notes) == (None, ())


def test_videos_and_animated_pictures_are_read_with_their_rate(tmp_path: Path) -> None:
    frames = patches(6)
    write_mp4(tmp_path / "a.mp4", frames, 8)
    write_webp(tmp_path / "a.webp", frames, 8)
    encoded(tmp_path / "a.mkv", frames, "mpeg4")
    encoded(tmp_path / "a.avi", frames, "mpeg4")
    pictures = [Image.fromarray(frame) for frame in frames]
    pictures[0].save(tmp_path / "a.gif", save_all=True, append_images=pictures[1:], duration=100)
    rates = {}
    for path in sorted(tmp_path.iterdir()):
        found = read_clip(path)
        assert found.frames.shape == frames.shape
        assert np.abs(found.frames.astype(int) - frames).mean() < 12
        assert found.notes == ()
        rates[path.suffix] = round(found.rate or 0, 1)
    assert rates == {".avi": 10, ".gif": 10, ".mkv": 10, ".mp4": 8, ".webp": 8}


def test_what_is_odd_is_said_and_the_rest_is_read(tmp_path: Path) -> None:
    frames = patches(8)
    uneven = read_clip(encoded(tmp_path / "uneven.mkv", frames, "mpeg4", [0, 5, 10, 40, 45, 50, 90, 95]))
    assert len(uneven.frames) == 8
    assert "not evenly spaced" in uneven.notes[0]
    write_mp4(tmp_path / "whole.mp4", np.repeat(patches(8, 256, 256), 4, axis=0), 8)
    cut = tmp_path / "cut.mp4"
    data = (tmp_path / "whole.mp4").read_bytes()
    cut.write_bytes(data[: int(len(data) * 0.8)])
    damaged = read_clip(cut)
    assert 4 < len(damaged.frames) < 32 or damaged.notes
    write_frames_dir(tmp_path / "sizes", frames)
    Image.fromarray(frames[0][:32]).save(tmp_path / "sizes" / "frame_100.png")
    (tmp_path / "sizes" / "frame_101.png").write_bytes(b"no picture")
    odd = read_clip(tmp_path / "sizes")
    assert len(odd.frames) == 8
    assert odd.notes == (
        "frame_101.png cannot be read and is left out.",
        "Its frames have 2 sizes; the 8 of 96×64 are measured.",
    )
    Image.fromarray(frames[0]).save(tmp_path / "one.png")
    assert read_clip(tmp_path / "one.png").notes == ("It is one frame, so nothing can be said of motion.",)


def test_what_cannot_be_read_gets_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "broken.mp4").write_bytes(b"\0\0\0\x20ftypisom" + b"\0" * 200)
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n")
    (tmp_path / "empty").mkdir()
    for name, said in (
        ("text.mp4", "text.mp4 is neither a video nor an animated picture that can be read."),
        ("broken.mp4", "broken.mp4 is not a video that can be read."),
        ("list.m3u8", "list.m3u8 is neither a video nor an animated picture that can be read."),
        ("empty", "There are no frames in the folder"),
        ("absent", "There is no file"),
    ):
        with pytest.raises(BadVideo) as refused:
            read_clip(tmp_path / name)
        assert said in str(refused.value)
