"""The texts that files carry: from every container, each on its own, so that a bad one spoils no other."""

from __future__ import annotations

import io
import struct
import time
import zlib
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from svdlab.clips.carried import MAX_TEXT_BYTES, MAX_UNREAD, Embedded, read_texts, told
from svdlab.errors import BadInput

STILL = Image.new("RGB", (16, 16), 90)
PROMPT, WORKFLOW = '{"prompt": "für 絵"}', '{"workflow": 1}'


def saved(kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    STILL.save(out, kind, **options)
    return out.getvalue()


def exif_of(*texts: str) -> bytes:
    """An EXIF with texts in its first tags, as the packs write them."""
    exif = Image.Exif()
    for tag, text in zip((0x0110, 0x010F, 0x010E), texts, strict=False):
        exif[tag] = text.encode()
    return exif.tobytes()


def commented(text: bytes) -> bytes:
    """An EXIF with a user comment, in bytes of any encoding."""
    exif = Image.Exif()
    exif[0x8769] = {0x9286: text}
    return exif.tobytes()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(*chunks: bytes) -> bytes:
    whole = saved("PNG")
    return whole[:33] + b"".join(chunks) + whole[33:]  # behind the header


def segment(mark: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 255, mark, len(data) + 2) + data


CARRIERS = {
    "WebP": lambda exif: saved("WEBP", exif=exif),
    "AVIF": lambda exif: saved("AVIF", exif=exif),
    "JPEG": lambda exif: saved("JPEG", exif=exif),
    "PNG": lambda exif: png(chunk(b"eXIf", exif.removeprefix(b"Exif\0\0"))),
}


@pytest.mark.parametrize("kind", CARRIERS)
@pytest.mark.parametrize("names", [("prompt", "workflow"), ("Prompt", "Workflow"), ("PROMPT", "WORKFLOW")])
def test_an_exif_is_read_from_every_picture_whatever_the_case_of_its_keys(
    kind: str, names: tuple[str, str]
) -> None:
    data = CARRIERS[kind](exif_of(f"{names[0]}:{PROMPT}", f"{names[1]}: {WORKFLOW}"))
    texts = read_texts(data).texts
    assert texts["prompt"] == PROMPT
    assert texts["workflow"].strip() == WORKFLOW


@pytest.mark.parametrize("kind", CARRIERS)
@pytest.mark.parametrize(
    "comment",
    [
        b"UNICODE\0" + PROMPT.encode("utf-16-be"),
        b"UNICODE\0" + PROMPT.encode("utf-16-le"),
        b"ASCII\0\0\0" + PROMPT.encode(),
        b"\0" * 8 + PROMPT.encode(),
        PROMPT.encode(),
    ],
    ids=["UTF-16", "UTF-16, turned", "ASCII", "undefined", "bare"],
)
def test_a_user_comment_is_read_in_every_encoding(kind: str, comment: bytes) -> None:
    assert PROMPT in read_texts(CARRIERS[kind](commented(comment))).texts.values()


def test_a_jpegs_comment_is_read() -> None:
    assert read_texts(saved("JPEG", comment=PROMPT.encode())).texts == {"comment": PROMPT}


def test_texts_under_one_key_are_all_kept() -> None:
    texts = read_texts(png(chunk(b"tEXt", b"prompt\0one"), chunk(b"tEXt", b"Prompt\0two"))).texts
    assert texts.pop("prompt") == "one"
    assert list(texts.values()) == ["two"]
    assert all(key.startswith("prompt\0") for key in texts)


GOOD = chunk(b"tEXt", b"workflow\0" + WORKFLOW.encode())
BOMB = chunk(b"zTXt", b"prompt\0\0" + zlib.compress(b"x" * (MAX_TEXT_BYTES * 2)))
BAD = {
    "damaged": (chunk(b"zTXt", b"prompt\0\0no zlib"), "a text in the file is damaged, so it was not read"),
    "a bomb": (BOMB, "a text in the file is larger than 4 MB, so it was not read"),
    "huge": (
        chunk(b"tEXt", b"prompt\0" + b"x" * (MAX_TEXT_BYTES + 1)),
        "a text in the file is larger than 4 MB, so it was not read",
    ),
    "a damaged EXIF": (
        chunk(b"eXIf", b"MM\0\x2a\0\0\0\x08" + b"\xff" * 40),
        "",  # Pillow may read nothing of it, or refuse it
    ),
}


@pytest.mark.parametrize(("bad", "sentence"), BAD.values(), ids=BAD)
def test_a_bad_text_spoils_no_good_one(bad: bytes, sentence: str) -> None:
    for data in (png(bad, GOOD), png(GOOD, bad)):
        found = read_texts(data)
        assert found.texts["workflow"] == WORKFLOW
        assert "prompt" not in found.texts
        if sentence:
            assert found.unread == (sentence,)


def test_a_video_with_a_huge_tag_keeps_the_others(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w", options={"movflags": "use_metadata_tags"}) as container:
        container.metadata.update({"prompt": "x" * (MAX_TEXT_BYTES + 1), "workflow": WORKFLOW})
        stream = container.add_stream("libx264", rate=6)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8))))
        container.mux(stream.encode(None))
    found = read_texts(path)
    assert found.texts["workflow"] == WORKFLOW
    assert found.unread == ("a text in a.mp4 is larger than 4 MB, so it was not read",)


def test_a_file_of_bombs_is_left_soon() -> None:
    began = time.perf_counter()
    found = read_texts(png(*[BOMB] * 2000, GOOD))
    assert len(found.unread) == 1
    assert "workflow" not in found.texts
    assert time.perf_counter() - began < 5
    assert MAX_UNREAD < 100


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xd8\xff",
        b"\xff\xd8\xff\xe1\xff\xff",
        b"\xff\xd8\xff\xe1\0\2" * 50_000,
        b"\xff\xd8" + segment(0xE1, b"Exif\0\0" + b"\xff" * 200),
        b"\xff\xd8" + segment(0xE1, b"") * 30_000 + segment(0xFE, b"x"),
    ],
    ids=["cut", "longer than the file", "empty segments", "an EXIF of nonsense", "many segments"],
)
def test_a_jpeg_of_nonsense_carries_nothing_or_little(data: bytes) -> None:
    assert isinstance(read_texts(data), Embedded)


@pytest.mark.parametrize("length", [0, 20, 100, 300])
def test_an_avif_that_is_cut_is_one_sentence(length: int) -> None:
    data = saved("AVIF", exif=exif_of(f"prompt:{PROMPT}"))[: 32 + length]
    try:
        read_texts(data)
    except BadInput as error:
        said = str(error)
    else:
        pytest.fail("it was read")
    assert said == "the file is an AVIF picture that cannot be read"


def test_an_avif_without_exif_carries_nothing() -> None:
    assert read_texts(saved("AVIF")).texts == {}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "nothing"),
        (True, "true"),
        (False, "false"),
        ([1], "a list"),
        ({"a": None}, "an object"),
        (float("nan"), "not a number"),
        (float("-inf"), "infinite"),
        (0.25, "0.25"),
        (7, "7"),
        ("", "empty"),
        ("<b>", "?b?"),
    ],
)
def test_a_value_is_told_in_words_and_not_as_python_writes_it(value: object, words: str) -> None:
    assert told(value) == words
