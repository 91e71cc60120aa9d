"""A clip survives the trip into a file and back, and a file from outside cannot do harm."""

from __future__ import annotations

import io
import json
import os
import struct
from contextlib import suppress
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from svdlab.clips import video
from svdlab.errors import BadVideo
from tests.clips.made_clips import BLUE, GREEN, GREY, RED, patches


def atoms(data: bytes) -> list[str]:
    """The names of an MP4's top-level boxes, in file order."""
    names, at = [], 0
    while at < len(data):
        size, name = struct.unpack(">I4s", data[at : at + 8])
        names.append(name.decode("ascii"))
        at += size
    return names


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    video.write_mp4(path, patches(), 6, '{"seed": 42}')
    return path


# MP4


@pytest.mark.parametrize(
    "comment",
    [
        "{}",
        json.dumps({"words": "Grüße, 世界 — ½ \\ \" ' \n\t end"}, ensure_ascii=False),
        "é" * 30_000,
        "x" * 65_536,
    ],
    ids=["short", "unicode", "60 KB", "the limit"],
)
def test_the_comment_comes_back_exactly(tmp_path: Path, comment: str) -> None:
    video.write_mp4(tmp_path / "a.mp4", patches(2), 6, comment)
    assert video.read_comment(tmp_path / "a.mp4") == comment


def test_without_a_comment_there_is_none(tmp_path: Path) -> None:
    video.write_mp4(tmp_path / "a.mp4", patches(2), 6)
    assert video.read_comment(tmp_path / "a.mp4") is None


def test_the_same_frames_give_the_same_bytes(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (5, 128, 192, 3), dtype=np.uint8)
    for name in ("a.mp4", "b.mp4"):
        video.write_mp4(tmp_path / name, noise, 6, "{}")
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_a_browser_can_play_it_and_knows_its_colours(clip: Path) -> None:
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
        assert (context.colorspace, context.color_primaries, context.color_trc) == (1, 1, 1)  # BT.709
        assert context.color_range == 1  # limited
        assert "creation_time" not in container.metadata


def test_the_index_stands_before_the_pictures(clip: Path) -> None:
    names = atoms(clip.read_bytes())
    assert names.index("moov") < names.index("mdat")


def test_every_frame_is_a_key_frame(clip: Path) -> None:
    with av.open(str(clip)) as container:
        assert [packet.is_keyframe for packet in container.demux(video=0) if packet.size] == [True] * 6


def test_key_frames_can_be_saved_on(tmp_path: Path) -> None:
    video.write_mp4(tmp_path / "a.mp4", patches(), 6, every_frame_key=False)
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert [packet.is_keyframe for packet in container.demux(video=0) if packet.size].count(True) == 1
    assert len(video.read_mp4_frames(tmp_path / "a.mp4")[0]) == 6


@pytest.mark.parametrize("fps", [1, 6, 7.5, 24000 / 1001, 30])
def test_count_rate_and_length_are_kept(tmp_path: Path, fps: float) -> None:
    video.write_mp4(tmp_path / "a.mp4", patches(7), fps)
    frames, read = video.read_mp4_frames(tmp_path / "a.mp4")
    assert len(frames) == 7
    assert read == pytest.approx(fps, rel=1e-4)
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert container.duration / av.time_base == pytest.approx(7 / fps, abs=2e-3)


def test_colours_and_order_survive(clip: Path) -> None:
    frames, _ = video.read_mp4_frames(clip)
    assert frames.dtype == np.uint8
    for at, colour in {(16, 24): RED, (16, 72): GREEN, (44, 24): BLUE, (44, 72): GREY}.items():
        assert np.abs(frames[3][at].astype(int) - colour).max() <= 3
    assert frames[:, 60, 48].mean(axis=1) == pytest.approx([20 + 25 * i for i in range(6)], abs=3)


def test_no_colour_is_shifted_on_the_whole(tmp_path: Path) -> None:
    ramp = np.linspace(0, 255, 128).astype(np.uint8)
    frames = np.empty((2, 128, 128, 3), np.uint8)
    frames[..., 0], frames[..., 1], frames[..., 2] = ramp, ramp[:, None], ramp[::-1]
    video.write_mp4(tmp_path / "a.mp4", frames, 6)
    shift = (video.read_mp4_frames(tmp_path / "a.mp4")[0].astype(int) - frames).mean(axis=(0, 1, 2))
    assert np.abs(shift).max() < 0.5


@pytest.mark.parametrize(
    ("frames", "fps", "comment"),
    [
        (patches(2, 63, 96), 6, None),
        (patches(2, 64, 95), 6, None),
        (patches(2).astype(np.float32), 6, None),
        (patches(2)[..., :1], 6, None),
        (patches(2)[0], 6, None),
        (patches(2)[:0], 6, None),
        (patches(2), 0, None),
        (patches(2), float("nan"), None),
        (patches(2), float("inf"), None),
        (patches(2), 6, "x" * 65_537),
    ],
    ids=[
        "odd height",
        "odd width",
        "floats",
        "grey",
        "one frame",
        "none",
        "0 fps",
        "nan fps",
        "inf fps",
        "comment",
    ],
)
def test_what_cannot_be_written_is_refused(
    tmp_path: Path, frames: np.ndarray, fps: float, comment: str | None
) -> None:
    with pytest.raises(ValueError, match=r"fps|frames|even|comment"):
        video.write_mp4(tmp_path / "a.mp4", frames, fps, comment)
    assert not (tmp_path / "a.mp4").exists()


# Files from outside


def hostile_files() -> dict[str, bytes]:
    png = io.BytesIO()
    Image.new("RGB", (8, 8)).save(png, "PNG")
    return {
        "empty": b"",
        "text": b"not a video\n" * 100,
        "picture": png.getvalue(),
        "playlist": b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n",
        "concat list": b"ffconcat version 1.0\nfile /etc/passwd\n",
        "header only": b"\0\0\0\x18ftypisom\0\0\2\0isomiso2",
        "endless box": b"\0\0\0\x18ftypisom\0\0\2\0isomiso2\xff\xff\xff\xffmoov",
    }


@pytest.mark.parametrize("kind", hostile_files())
@pytest.mark.parametrize("read", [video.read_mp4_frames, video.read_comment], ids=["frames", "comment"])
def test_a_hostile_file_is_refused_in_one_sentence(tmp_path: Path, kind: str, read: object) -> None:
    path = tmp_path / "given.mp4"
    path.write_bytes(hostile_files()[kind])
    assert callable(read)
    with pytest.raises(BadVideo, match=r"^given\.mp4 [^\n]+\.$"):
        read(path)


def test_a_missing_file_a_folder_and_a_too_large_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadVideo, match=r"no file nothing\.mp4"):
        video.read_comment(tmp_path / "nothing.mp4")
    with pytest.raises(BadVideo):
        video.read_mp4_frames(tmp_path)
    with (tmp_path / "big.mp4").open("wb") as file:
        os.truncate(file.fileno(), video.MAX_FILE_BYTES + 1)
    with pytest.raises(BadVideo, match="64 MB"):
        video.read_comment(tmp_path / "big.mp4")


def test_a_cut_or_damaged_file_never_does_more_than_bad_video(clip: Path, tmp_path: Path) -> None:
    data, path = clip.read_bytes(), tmp_path / "damaged.mp4"
    random = np.random.default_rng(1)
    samples = [data[: len(data) * part // 8] for part in range(8)]
    for _ in range(16):
        damaged = bytearray(data)
        for at in random.integers(0, len(data), 12):
            damaged[at] = random.integers(256)
        samples.append(bytes(damaged))
    for sample in samples:
        path.write_bytes(sample)
        for read in (video.read_comment, video.read_mp4_frames):
            with suppress(BadVideo):
                read(path)


def foreign(path: Path, frames: np.ndarray, comment: str = "") -> Path:
    """An MP4 as another program would write it, past our own checks."""
    with av.open(str(path), "w") as container:
        container.metadata["comment"] = comment
        stream = container.add_stream("mpeg4", rate=30)
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def test_too_many_frames_are_refused(tmp_path: Path) -> None:
    path = foreign(tmp_path / "long.mp4", np.zeros((video.MAX_FRAMES + 1, 16, 16, 3), np.uint8))
    with pytest.raises(BadVideo, match="more than 1024 frames"):
        video.read_mp4_frames(path)


def test_too_many_pixels_are_refused(tmp_path: Path) -> None:
    path = foreign(tmp_path / "wide.mp4", np.zeros((1, 16, video.MAX_SIDE + 16, 3), np.uint8))
    with pytest.raises(BadVideo, match="4112×16"):
        video.read_mp4_frames(path)


def test_a_comment_that_is_too_large_is_refused(tmp_path: Path) -> None:
    path = foreign(tmp_path / "talkative.mp4", patches(1), "x" * (video.MAX_COMMENT_BYTES + 1))
    with pytest.raises(BadVideo, match="larger than a recipe"):
        video.read_comment(path)


def test_the_video_of_another_program_can_be_read(tmp_path: Path) -> None:
    frames, fps = video.read_mp4_frames(foreign(tmp_path / "theirs.mp4", patches(), "hello"))
    assert (frames.shape, fps) == ((6, 64, 96, 3), 30.0)
    assert video.read_comment(tmp_path / "theirs.mp4") == "hello"


# For taking elsewhere


@pytest.mark.parametrize("fps", [6, 7])
def test_webp_plays_every_frame_for_ever(tmp_path: Path, fps: float) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (7, 32, 48, 3), dtype=np.uint8)
    video.write_webp(tmp_path / "a.webp", frames, fps)
    with Image.open(tmp_path / "a.webp") as image:
        assert (image.n_frames, image.info["loop"], image.size) == (7, 0, (48, 32))  # type: ignore[attr-defined]
        total = 0
        for index in range(7):
            image.seek(index)
            image.load()
            total += image.info["duration"]
    assert total == round(7000 / fps)


def test_a_still_clip_is_a_valid_webp() -> None:
    with Image.open(io.BytesIO(video.webp_bytes(np.zeros((3, 16, 16, 3), np.uint8), 6))) as image:
        assert image.size == (16, 16)
