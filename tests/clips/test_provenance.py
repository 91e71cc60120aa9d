"""Every file that leaves says that a model made it, and is the same picture as without."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
from PIL import Image

from svdlab.clips import provenance, video
from svdlab.clips.carried import read_texts
from svdlab.clips.frames import PNG_KEY, write_frames_dir
from svdlab.clips.sheets import write_poster
from tests.clips.made_clips import patches

CLIP = patches(count=3)


def test_an_mp4_says_it_and_still_carries_its_recipe(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    video.write_mp4(path, CLIP, 6, comment='{"recipe": 1}')
    assert provenance.says_generated(provenance.packet_of_mp4(path))
    assert video.read_comment(path) == '{"recipe": 1}'
    assert read_texts(path).texts["comment"] == '{"recipe": 1}'


def test_the_packet_changes_no_frame_and_no_box_before_it(tmp_path: Path) -> None:
    path, bare = tmp_path / "clip.mp4", tmp_path / "bare.mp4"
    video.write_mp4(path, CLIP, 6)
    data = path.read_bytes()
    box = 24 + len(provenance.PACKET.encode())
    bare.write_bytes(data[:-box])
    assert np.array_equal(video.read_mp4_frames(path)[0], video.read_mp4_frames(bare)[0])
    with av.open(str(path)) as one, av.open(str(bare)) as other:
        assert [bytes(p) for p in one.demux()] == [bytes(p) for p in other.demux()]


def test_pictures_say_it_beside_their_recipe(tmp_path: Path) -> None:
    [png, *_] = write_frames_dir(tmp_path / "frames", CLIP, "{}")
    write_poster(tmp_path / "poster.webp", CLIP, 480, "{}")
    video.write_webp(tmp_path / "clip.webp", CLIP, 6, comment="{}")
    for path in (png, tmp_path / "poster.webp", tmp_path / "clip.webp"):
        with Image.open(path) as picture:
            packet = picture.info["xmp"]
        assert provenance.says_generated(packet.decode() if isinstance(packet, bytes) else packet)
        assert "{}" in read_texts(path).texts.values()
    assert read_texts(png).texts[PNG_KEY] == "{}"
    with Image.open(png) as picture:
        assert np.array_equal(np.asarray(picture), CLIP[0])


def test_a_packet_is_looked_for_without_trusting_the_file(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    for data in (
        b"",
        b"\0\0\0\0",
        b"\0\0\0\0uuid",
        b"\0\0\0\1free" + b"\0" * 8,
        b"\xff\xff\xff\xffuuid" + provenance.MP4_UUID,
        b"\0\0\0\x08free" * 100,
    ):
        path.write_bytes(data)
        assert provenance.packet_of_mp4(path) == ""
    assert not provenance.says_generated("a DigitalSourceType of something else")
