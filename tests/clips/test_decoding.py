"""Pixels come out as if the whole picture had been worked on at once, however it is stored and however large it is."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import ExifTags, Image

from svdlab.clips.decoding import MAX_STORED_SIDE, UPRIGHT, decode
from svdlab.errors import BadPicture
from tests.clips.made_pictures import encoded, scene


def noise(width: int, height: int) -> Image.Image:
    """Every pixel another: shows any that is moved or mixed otherwise."""
    return Image.fromarray(np.random.default_rng(5).integers(0, 256, (height, width, 3), np.uint8))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_large_turned_picture_is_what_turning_and_then_reducing_the_whole_gives(orientation: int) -> None:
    stored = noise(900, 4801)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    pixels = decode("it", "PNG", encoded(stored, "PNG", exif=exif, compress_level=0))
    upright = stored.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else stored
    scale = MAX_STORED_SIDE / 4801
    size = round(upright.width * scale), round(upright.height * scale)
    assert pixels.size == size
    assert pixels.rgb == upright.resize(size, Image.Resampling.LANCZOS).tobytes()
    reduced = f"Reduced from {upright.width}×{upright.height} to {size[0]}×{size[1]}."
    assert pixels.notes == (*(["Turned upright as its EXIF says."] if orientation > 1 else []), reduced)


def test_a_picture_of_many_bands_is_the_same_as_its_rows() -> None:
    tall = noise(1400, 3100)  # 4.3 megapixels: several bands
    assert decode("it", "PNG", encoded(tall, "PNG", compress_level=0)).rgb == tall.tobytes()


def test_one_transparent_pixel_in_the_last_band_is_white_and_told() -> None:
    tall = noise(1400, 3100).convert("RGBA")
    tall.putpixel((7, 3099), (1, 2, 3, 0))
    pixels = decode("it", "PNG", encoded(tall, "PNG", compress_level=0))
    assert pixels.notes == ("Transparent parts were put on white.",)
    assert pixels.rgb[3 * (1400 * 3099 + 7) :][:3] == b"\xff\xff\xff"


def test_a_progressive_jpeg_that_would_take_too_much_is_read_at_half_its_size() -> None:
    side = 7000
    flat = Image.new("RGB", (side, side), "teal")
    pixels = decode("it", "JPEG", encoded(flat, "JPEG", progressive=True, subsampling=0))
    assert pixels.size == (3500, 3500)
    assert pixels.notes == ("Reduced from 7000×7000 to 3500×3500.",)


# Cut off


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("missing", [1, 2, 20])
def test_a_jpeg_that_lacks_its_last_bytes_is_used_and_said_to_be_cut(progressive: bool, missing: int) -> None:
    data = encoded(noise(200, 160), "JPEG", quality=90, progressive=progressive)
    whole, cut = decode("it", "JPEG", data), decode("it", "JPEG", data[:-missing])
    assert cut.notes == ("The file is cut off at its end; the last rows may be incomplete.",)
    a, b = (np.frombuffer(one.rgb, np.uint8).reshape(160, 200, 3).astype(int) for one in (whole, cut))
    assert np.abs(a - b)[:140].mean() < 1
    assert np.array_equal(a, b) or missing == 20


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("kept", [0.9, 0.5, 0.1])
def test_a_jpeg_that_lacks_more_than_its_end_is_refused(progressive: bool, kept: float) -> None:
    data = encoded(noise(400, 400), "JPEG", quality=90, progressive=progressive)
    if progressive:
        data = data[: data.rindex(b"\xff\xda")]  # the last bits of one colour were never begun
    with pytest.raises(BadPicture, match="cut off"):
        decode("it", "JPEG", data[: int(len(data) * kept)])


def test_a_white_lower_edge_is_not_taken_for_what_is_missing() -> None:
    white = noise(200, 200)
    white.paste("white", (0, 150, 200, 200))
    assert "cut off at its end" in decode("it", "JPEG", encoded(white, "JPEG")[:-2]).notes[0]


def test_a_thumbnails_scan_does_not_pass_for_the_pictures_own() -> None:
    inner = encoded(scene(), "JPEG")
    outer = encoded(noise(400, 400), "JPEG", progressive=True, exif=b"Exif\0\0" + inner)
    with pytest.raises(BadPicture, match="cut off"):
        decode("it", "JPEG", outer[: outer.rindex(b"\xff\xda")])


# Sizes


@pytest.mark.parametrize(("size", "megapixels"), [((9000, 6000), "54.0"), ((8200, 6300), "51.7")])
def test_a_picture_over_the_limit_is_told_by_how_much(size: tuple[int, int], megapixels: str) -> None:
    out = io.BytesIO()
    Image.new("1", size).save(out, "PNG")
    with pytest.raises(BadPicture, match=rf"{megapixels} megapixels; reduce it to 50 megapixels or fewer"):
        decode("it", "PNG", out.getvalue())


@pytest.mark.parametrize("size", [(8160, 6144), (8192, 6144)])
def test_what_cameras_call_50_megapixels_is_read(size: tuple[int, int]) -> None:
    data = encoded(Image.new("L", size, 80), "JPEG")
    assert max(decode("it", "JPEG", data).size) == MAX_STORED_SIDE


def test_a_webp_over_its_own_limit_is_told_what_to_do() -> None:
    data = bytearray(encoded(scene(), "WEBP", lossless=True))
    data[21:25] = (6999 | 6999 << 14).to_bytes(4, "little")
    with pytest.raises(
        BadPicture, match=r"7000×7000, 49\.0 megapixels, and WEBP is read up to 26; .* as JPEG"
    ):
        decode("it", "WEBP", bytes(data))
