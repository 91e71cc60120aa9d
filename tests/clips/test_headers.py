"""What a file is, how large and how ordinary, is told from its bytes alone, and from few of them."""

from __future__ import annotations

import struct

import pytest
from PIL import Image

from svdlab.clips.headers import (
    count_tiff_pages,
    is_ordinary,
    jpeg_scans_are_complete,
    kind_of,
    png_without,
    size_of,
    what_else,
)
from tests.clips.made_pictures import encoded, png_chunk, scene


def brands(major: bytes, *others: bytes) -> bytes:
    """The first box of a HEIF or AVIF file."""
    return struct.pack(">I", 16 + 4 * len(others)) + b"ftyp" + major + bytes(4) + b"".join(others)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (brands(b"avif", b"mif1", b"miaf"), "AVIF"),
        (brands(b"mif1", b"avif", b"miaf"), "AVIF"),
        (brands(b"msf1", b"avis"), "AVIF"),
        (brands(b"heic", b"mif1", b"heic"), "HEIC"),
        (brands(b"mif1", b"heic"), "HEIC"),
        (brands(b"mif1"), "HEIC"),
        (brands(b"isom", b"mp41"), None),
    ],
)
def test_the_codec_is_told_by_all_brands_of_a_file(data: bytes, kind: str | None) -> None:
    assert kind_of(data) == kind


def test_what_is_no_picture_is_called_what_it_is() -> None:
    assert "a video" in what_else(brands(b"isom", b"mp41"))
    assert "not a picture" in what_else(b"hello")


@pytest.mark.parametrize(
    ("format", "options"),
    [
        ("PNG", {}),
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        ("WEBP", {"exif": b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"}),
    ],
)
def test_sizes_are_read_from_headers_and_small_pictures_are_ordinary(format: str, options: dict) -> None:
    data = encoded(scene(), format, **options)
    assert size_of(format, data) == (48, 32)
    assert is_ordinary(format, data)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
def test_a_header_cut_anywhere_has_no_size_or_the_right_one(format: str) -> None:
    data = encoded(scene(), format)
    for end in range(min(700, len(data))):
        assert size_of(format, data[:end]) in (None, (48, 32))
        is_ordinary(format, data[:end])


def test_what_may_run_wild_is_not_ordinary() -> None:
    small, animated = scene(), {"save_all": True, "append_images": [Image.new("RGB", (48, 32))]}
    assert not is_ordinary("WEBP", encoded(small, "WEBP", **animated))
    jpeg = encoded(small, "JPEG", progressive=True)
    last = jpeg.rindex(b"\xff\xda")
    assert not is_ordinary("JPEG", jpeg[:last] + jpeg[last:-2] * 30 + b"\xff\xd9")
    assert not is_ordinary("JPEG", b"\xff\xd8" + b"\xff\xfe\0\2" * 5000 + jpeg[2:])
    png = encoded(small, "PNG")
    assert not is_ordinary("PNG", png[:33] + png_chunk(b"juNk", b"") * 5000 + png[33:])
    for format in ("GIF", "BMP", "TIFF", "AVIF"):
        assert not is_ordinary(format, encoded(small, format))
    assert not is_ordinary("PNG", encoded(Image.new("1", (5000, 4000)), "PNG"))


def test_a_phones_photograph_is_ordinary() -> None:
    assert is_ordinary("JPEG", encoded(Image.new("L", (4096, 3072)), "JPEG"))


def test_chunks_are_left_out_by_kind_and_the_others_keep_their_bytes() -> None:
    png = encoded(scene(), "PNG")
    told = png[:33] + png_chunk(b"tEXt", b"k\0v") + png[33:]
    assert png_without(told, b"tEXt") == png
    assert png_without(png, b"tEXt") is png


def test_a_jpeg_is_complete_once_every_coefficients_last_bit_has_begun() -> None:
    for progressive in (False, True):
        data = encoded(scene(), "JPEG", progressive=progressive)
        assert jpeg_scans_are_complete(data)
        assert not jpeg_scans_are_complete(data[: data.rindex(b"\xff\xda")])


@pytest.mark.parametrize("count", [1, 2, 5])
def test_pages_of_a_tiff_are_counted_and_a_broken_chain_is_not(count: int) -> None:
    pages = [Image.new("RGB", (20, 20))] * count
    data = encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    assert count_tiff_pages(data) == count
    assert count_tiff_pages(data[:12]) is None
    assert count_tiff_pages(data, most=1) == (1 if count == 1 else None)
