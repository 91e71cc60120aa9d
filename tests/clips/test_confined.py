"""A picture made to cost too much ends a process of its own, and no more."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import threading
from importlib.util import find_spec
from pathlib import Path

import pytest
from PIL import Image

from svdlab.clips.confined import WORK_SECONDS, decode_confined
from svdlab.clips.decoding import decode
from svdlab.clips.headers import kind_of
from svdlab.errors import BadPicture
from tests import hostile_pictures
from tests.clips.made_pictures import close, encoded, scene

QUICK = {
    "webp at the pixel limit",
    "avif at the pixel limit",
    "png of empty chunks",
    "png of texts",
    "png of large texts",
    "jpeg of fill bytes",
    "tiff of directories",
    "jpeg of a repeated scan",
}


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "AVIF", "GIF", "BMP", "TIFF"])
def test_another_process_gives_the_same_pixels_and_notes(format: str) -> None:
    data = encoded(scene().convert("CMYK") if format == "JPEG" else scene(), format)
    assert decode_confined("it", format, data) == decode("it", format, data)


def test_its_sentences_come_through_with_a_hostile_name() -> None:
    with pytest.raises(BadPicture, match=r'^-c "\$x\.png is cut off'):
        decode_confined('-c "$x.png', "PNG", encoded(scene(), "PNG")[:100])


def test_what_takes_more_memory_than_is_given_is_refused_for_that_and_nothing_else_suffers() -> None:
    wide = encoded(Image.new("RGB", (7000, 7000), "teal"), "TIFF", compression="packbits", tiffinfo={274: 6})
    with pytest.raises(BadPicture, match="more memory"):
        decode_confined("it", "TIFF", wide)
    assert decode_confined("it", "PNG", encoded(scene(), "PNG")).size == (48, 32)


@pytest.mark.parametrize(
    "made",
    [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in hostile_pictures.MADE],
)
def test_no_picture_takes_half_a_gigabyte_or_five_seconds(made: str, tmp_path: Path) -> None:
    path = tmp_path / "picture"
    path.write_bytes(hostile_pictures.MADE[made]())
    command = [sys.executable, "-m", "tests.hostile_pictures", "--json", str(path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    cost = json.loads(ended.stdout)
    assert ended.returncode == 0, cost
    assert cost["seconds"] < hostile_pictures.SECONDS
    assert max(cost["own_mb"], cost["child_mb"]) < hostile_pictures.MEGABYTES
    if made == "jpeg of a repeated scan":
        assert f"longer than {WORK_SECONDS:.0f} seconds" in cost["said"]


def test_several_at_once_wait_for_each_other_and_all_are_read() -> None:
    from svdlab.clips.pictures import load_picture

    data, read = encoded(scene(), "GIF"), []
    threads = [threading.Thread(target=lambda: read.append(load_picture(data).sha256)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read) == 4
    assert len(set(read)) == 1


def test_a_heic_photo_is_read_where_its_reader_is_installed_and_else_said_to_need_it() -> None:
    if find_spec("pillow_heif") is None:
        with pytest.raises(BadPicture, match=r"HEIC photo, .*pip install pillow-heif.*; export it as JPEG"):
            decode_confined("it", "HEIC", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
        return
    from pillow_heif import from_pillow

    out = io.BytesIO()
    from_pillow(scene(480, 320)).save(out, quality=90)
    assert kind_of(out.getvalue()) == "HEIC"
    found = decode_confined("it", "HEIC", out.getvalue())
    assert close(Image.frombytes("RGB", found.size, found.rgb), scene(480, 320))
