"""An untrusted picture becomes upright RGB, or exactly one sentence."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import resource
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms, PngImagePlugin

from svdlab.clips.decoding import MAX_STORED_SIDE
from svdlab.clips.pictures import MAX_FILE_BYTES, load_picture, picture_from_image, save_picture
from svdlab.errors import BadPicture
from tests.clips.made_pictures import close, encoded, png, png_chunk, scene


def refusal(source: str | Path | bytes) -> str:
    """The sentence a source is refused with; it must be one, and no decoder's words may leak."""
    with pytest.raises(BadPicture) as caught:  # and no warning: pytest is set to raise on any
        load_picture(source)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert 10 < len(sentence) < 300
    assert not re.search(r"\.\s+[A-Z]|Error|Traceback|BytesIO|0x", sentence), sentence
    return sentence


# What is read


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "AVIF", "GIF", "BMP", "TIFF"])
def test_every_common_format_is_read_without_notes(format: str) -> None:
    picture = load_picture(encoded(scene(), format))
    assert picture.image.mode == "RGB"
    assert close(picture.image, scene(), 20 if format in ("JPEG", "WEBP", "AVIF") else 0.1)
    assert picture.notes == ()


def test_same_pixels_have_the_same_hash_whatever_the_file(tmp_path: Path) -> None:
    path = tmp_path / "scene.bmp"
    scene().save(path)
    sources = [
        path,
        str(path),
        encoded(scene(), "PNG"),
        encoded(scene(), "TIFF"),
        encoded(scene(), "WEBP", lossless=True),
    ]
    hashes = {load_picture(source).sha256 for source in sources} | {picture_from_image(scene()).sha256}
    assert hashes == {hashlib.sha256(b"svdlab-picture-1 48x32\n" + scene().tobytes()).hexdigest()}


def test_one_changed_pixel_or_another_shape_changes_the_hash() -> None:
    changed = scene()
    changed.putpixel((5, 5), (254, 0, 0))
    images = (scene(), changed, Image.new("RGB", (32, 24)), Image.new("RGB", (24, 32)))
    hashes = [picture_from_image(image).sha256 for image in images]
    assert len(set(hashes)) == 4


def test_a_wrong_extension_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "really_a_png.jpg"
    path.write_bytes(encoded(scene()))
    assert close(load_picture(path).image, scene(), 0.1)


@pytest.mark.parametrize("format", ["JPEG", "TIFF", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_ends_upright(orientation: int, format: str) -> None:
    undo = {
        2: [0],
        3: [3],
        4: [1],
        5: [5],
        6: [2],
        7: [6],
        8: [4],
    }  # orientation → how a camera would store it
    stored = scene()
    for transpose in undo.get(orientation, []):
        stored = stored.transpose(Image.Transpose(transpose))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    picture = load_picture(encoded(stored, format, exif=exif))
    assert close(picture.image, scene(), 25)
    assert picture.notes == (("Turned upright as its EXIF says.",) if orientation > 1 else ())


def test_an_impossible_orientation_is_left_alone() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 77
    picture = load_picture(encoded(scene(), "PNG", exif=exif))
    assert close(picture.image, scene(), 0.1)
    assert picture.notes == ()


def test_transparent_parts_become_white_and_opaque_alpha_says_nothing() -> None:
    image = scene().convert("RGBA")
    assert load_picture(encoded(image)).notes == ()
    image.putpixel((3, 3), (255, 0, 0, 0))
    image.putpixel((4, 4), (0, 0, 0, 128))
    picture = load_picture(encoded(image))
    assert picture.notes == ("Transparent parts were put on white.",)
    assert picture.image.getpixel((3, 3)) == (255, 255, 255)
    assert picture.image.getpixel((4, 4)) == (127, 127, 127)
    assert picture.image.getpixel((0, 0)) == (255, 0, 0)


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "RGBA", "PA", "La", "RGBa", "YCbCr", "HSV", "CMYK", "RGBX"]
)
def test_every_mode_becomes_rgb_of_the_same_look(mode: str) -> None:
    gray = Image.new("RGB", (20, 20), "white")
    gray.paste("black", (0, 0, 10, 20))
    via = {"PA": "P", "La": "LA", "RGBa": "RGBA"}.get(mode)
    image = (gray.convert(via) if via else gray).convert(mode)
    picture = picture_from_image(image)
    assert picture.image.mode == "RGB"
    assert close(picture.image, gray, 2)
    assert image.mode == mode


def test_a_transparent_palette_colour_becomes_white() -> None:
    image = Image.new("P", (20, 20), 1)
    image.putpalette([0, 0, 0, 200, 10, 10])
    image.putpixel((2, 2), 0)
    picture = load_picture(encoded(image, "GIF", transparency=0))
    assert picture.image.getpixel((2, 2)) == (255, 255, 255)
    assert picture.image.getpixel((5, 5)) == (200, 10, 10)


def test_sixteen_bit_gray_is_scaled_not_clipped() -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    picture = load_picture(encoded(Image.fromarray(ramp)))
    assert picture.notes == ("16 bits per channel reduced to 8.",)
    assert np.array_equal(np.asarray(picture.image)[..., 0].ravel(), np.arange(256))


def test_sixteen_bit_colour_is_scaled_not_clipped() -> None:
    row = b"\0" + struct.pack(">HHH", 65535, 32896, 0) * 16
    picture = load_picture(png(16, 16, 16, 2, row * 16))
    assert picture.image.getpixel((8, 8)) == (255, 128, 0)
    assert picture.notes == ("16 bits per channel reduced to 8.",)


@pytest.mark.parametrize("mode", ["F", "I"])
def test_thirty_two_bits_are_refused_because_nothing_says_what_white_is(mode: str) -> None:
    assert "32 bits per channel" in refusal(encoded(Image.new(mode, (20, 20), 1), "TIFF"))


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG"])
def test_an_animation_gives_its_first_frame(format: str) -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "lime", "blue")]
    picture = load_picture(encoded(frames[0], format, save_all=True, append_images=frames[1:], lossless=True))
    assert picture.notes == ("First of 3 animation frames used.",)
    assert picture.image.getpixel((9, 9)) == (255, 0, 0)


def test_a_tiff_of_several_pages_gives_its_first() -> None:
    pages = [Image.new("RGB", (20, 20), colour) for colour in ("red", "lime")]
    picture = load_picture(encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:]))
    assert picture.notes == ("First of 2 pages used.",)
    assert picture.image.getpixel((9, 9)) == (255, 0, 0)


def test_a_phones_picture_pair_is_read_as_one_without_notes() -> None:
    data = encoded(scene(), "MPO", save_all=True, append_images=[Image.new("RGB", (24, 16))])
    picture = load_picture(data)
    assert close(picture.image, scene(), 25)
    assert picture.notes == ()


# Colour


def test_cmyk_is_converted_with_a_note() -> None:
    picture = load_picture(encoded(Image.new("CMYK", (20, 20), (0, 255, 255, 0)), "JPEG", quality=95))
    assert picture.notes == ("Converted from CMYK.",)
    red, green, blue = picture.image.getpixel((9, 9))
    assert red > 230
    assert max(green, blue) < 25


def test_a_colour_profile_is_applied_and_srgb_leaves_pixels_alone() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    plain, tagged = load_picture(encoded(scene())), load_picture(encoded(scene(), icc_profile=srgb))
    assert tagged.sha256 == plain.sha256
    assert tagged.notes == ()

    swapped = scene().convert("RGB")
    picture = load_picture(encoded(swapped, icc_profile=swapped_channels_profile(srgb)))
    assert picture.notes == ("Colours converted from its colour profile to sRGB.",)
    assert picture.image.getpixel((0, 0)) == (0, 0, 255)  # what the profile calls red is shown as blue


def swapped_channels_profile(srgb: bytes) -> bytes:
    """sRGB with its red and blue primaries exchanged in the tag table."""
    return srgb.replace(b"rXYZ", b"tmp ").replace(b"bXYZ", b"rXYZ").replace(b"tmp ", b"bXYZ")


@pytest.mark.parametrize("profile", [b"nonsense", b"\0" * 200, b""])
def test_a_broken_colour_profile_is_ignored(profile: bytes) -> None:
    picture = load_picture(encoded(scene(), icc_profile=profile))
    assert picture.sha256 == picture_from_image(scene()).sha256
    assert picture.notes == (("Its colour profile could not be used and was ignored.",) if profile else ())


def test_a_profile_for_other_colours_is_ignored() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = load_picture(encoded(Image.new("CMYK", (20, 20), (0, 0, 0, 0)), "JPEG", icc_profile=srgb))
    assert picture.notes == ("Converted from CMYK.", "Its colour profile could not be used and was ignored.")
    assert picture.image.getpixel((9, 9)) == (255, 255, 255)


# What is refused


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty"),
        (b"hello, this is text", "not a picture"),
        (b"\0" * 5000, "not a picture"),
        (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
        (b"<svg width='9'/>", "SVG"),
        (b"%PDF-1.7\n", "PDF"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "PostScript"),
        (b"8BPS\0\1" + b"\0" * 60, "Photoshop"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x18ftypisom\0\0\0\0mp41", "video"),
        (b"\n<!DOCTYPE html><html>", "web page"),
    ],
)
def test_what_is_no_picture_is_named(data: bytes, said: str) -> None:
    assert said in refusal(data)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "AVIF", "GIF", "BMP", "TIFF"])
def test_a_cut_off_file_is_refused_as_such(format: str) -> None:
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 255, (300, 300, 3), np.uint8))
    data = encoded(noise, format)
    for part in (0.9, 0.5, 0.1):
        assert "cut off" in refusal(data[: int(len(data) * part)])


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "AVIF", "GIF", "BMP", "TIFF"])
def test_damaged_files_give_a_picture_or_one_sentence(format: str) -> None:
    random = np.random.default_rng(7)
    data = np.frombuffer(encoded(scene(), format), np.uint8)
    for _ in range(40):
        broken = data.copy()
        broken[random.integers(0, len(data), 6)] = random.integers(0, 256, 6)
        with contextlib.suppress(BadPicture):
            assert load_picture(broken.tobytes()).image.mode == "RGB"


def test_a_bomb_is_refused_before_it_is_decoded() -> None:
    packed = zlib.compressobj(9)
    rows = b"".join(packed.compress(bytes(1664)) for _ in range(13_300)) + packed.flush()
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 13_300, 13_300, 1, 0, 0, 0, 0))
    bomb = b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", rows) + png_chunk(b"IEND", b"")
    assert len(bomb) < 100_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sentence = refusal(bomb)
    assert "13300×13300" in sentence
    assert "50 megapixels" in sentence
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # KiB; decoded it is 177 MB


@pytest.mark.parametrize("side", [7_200, 10_000, 16_000])
@pytest.mark.parametrize("format", ["GIF", "WEBP", "BMP", "JPEG"])
def test_a_header_that_claims_too_much_is_refused(format: str, side: int) -> None:
    data = bytearray(encoded(scene(), format))
    if format == "GIF":
        data[6:10] = struct.pack("<HH", side, side)
    elif format == "WEBP":  # lossy: VP8 frame header
        data[26:30] = struct.pack("<HH", side, side)
    elif format == "BMP":
        data[18:26] = struct.pack("<II", side, side)
    else:
        start = data.index(b"\xff\xc0")
        data[start + 5 : start + 9] = struct.pack(">HH", side, side)
    assert "megapixels" in refusal(bytes(data))


def test_a_gif_frame_that_sticks_out_of_its_screen_is_refused() -> None:
    data = bytearray(encoded(scene().convert("P"), "GIF"))
    start = data.index(b",", 13 + 3 * 2 ** ((data[10] & 7) + 1))
    data[start + 5 : start + 9] = struct.pack("<HH", 65_000, 65_000)
    assert "megapixels" in refusal(bytes(data))


def test_huge_text_and_profiles_do_not_stop_a_picture() -> None:
    plain = load_picture(encoded(scene()))
    many = PngImagePlugin.PngInfo()
    for n in range(40):
        many.add_text(f"key{n}", "x" * 100_000, zip=True)
    assert load_picture(encoded(scene(), pnginfo=many)).sha256 == plain.sha256

    bomb = zlib.compress(bytes(20_000_000), 9)
    for chunk in (png_chunk(b"zTXt", b"k\0\0" + bomb), png_chunk(b"iCCP", b"k\0\0" + bomb)):
        data = encoded(scene())
        picture = load_picture(data[:33] + chunk + data[33:])
        assert picture.sha256 == plain.sha256
        assert picture.notes == (
            ("Its colour profile could not be read and was left out.",) if b"iCCP" in chunk else ()
        )
        cut = load_picture(data[:33] + chunk + data[33:-12])  # everything but the end mark
        assert cut.sha256 == plain.sha256


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")  # Pillow's own, to the log
@pytest.mark.parametrize(
    "exif", [b"Exif\0\0" + b"\xff" * 60_000, b"Exif\0\0II*\0\x08\0\0\0\xff\xff", b"junk"]
)
def test_broken_exif_does_not_stop_a_picture(exif: bytes) -> None:
    assert load_picture(encoded(scene(), "JPEG", exif=exif)).image.size == scene().size


@pytest.mark.parametrize("size", [(1, 1), (15, 400), (400, 15)])
def test_a_picture_too_small_to_animate_is_refused(size: tuple[int, int]) -> None:
    assert "at least 16" in refusal(encoded(Image.new("RGB", size)))
    with pytest.raises(BadPicture, match="at least 16"):
        picture_from_image(Image.new("RGB", size))


def test_sixteen_pixels_are_enough_and_a_strip_too_narrow_to_store_is_not() -> None:
    assert load_picture(encoded(Image.new("RGB", (16, 16)))).image.size == (16, 16)
    assert "too narrow" in refusal(encoded(Image.new("RGB", (20_000, 40))))


def test_what_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    assert "no file" in refusal(tmp_path / "missing.png")
    assert "no file" in refusal(tmp_path)
    assert "no file" in refusal("https://example.org/a.png")
    refusal("a\0b.png")
    refusal("x" * 5000)
    os.mkfifo(tmp_path / "pipe.png")
    assert "no file" in refusal(tmp_path / "pipe.png")
    with pytest.raises(BadPicture, match="got int"):
        load_picture(3)  # type: ignore[arg-type]


def test_a_hostile_file_name_stays_on_one_line(tmp_path: Path) -> None:
    path = tmp_path / ("evil\n\x1b[31m" + "n" * 200 + ".png")
    path.write_text("no picture")
    sentence = refusal(path)
    assert "\x1b" not in sentence
    assert sentence.startswith("evil")


def test_a_file_over_the_limit_is_refused_without_reading_it_all(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    with path.open("wb") as file:
        file.write(encoded(scene()))
        file.truncate(MAX_FILE_BYTES * 1000)  # sparse: takes no room on the disk
    assert "64 MB" in refusal(path)


# What is kept


def test_a_large_picture_is_reduced_the_same_way_each_time() -> None:
    image = Image.radial_gradient("L").resize((5000, 2500)).convert("RGB")
    first, second = picture_from_image(image), picture_from_image(image)
    assert first.image.size == (MAX_STORED_SIDE, 2048)
    assert first.sha256 == second.sha256
    assert first.notes == ("Reduced from 5000×2500 to 4096×2048.",)


def test_a_panorama_is_read_and_says_how_little_a_crop_shows() -> None:
    (note,) = load_picture(encoded(Image.new("RGB", (2000, 100)))).notes
    assert "20:1" in note
    assert "9%" in note
    (note,) = load_picture(encoded(Image.new("RGB", (100, 2000)))).notes
    assert "1:20" in note
    assert "3%" in note


def test_a_saved_picture_is_the_same_picture_without_metadata(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "a camera"
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    info = PngImagePlugin.PngInfo()
    info.add_text("where", "at home")
    picture = load_picture(encoded(scene(), exif=exif, icc_profile=srgb, dpi=(300, 300), pnginfo=info))
    save_picture(picture, tmp_path / "one.png")
    save_picture(load_picture(tmp_path / "one.png"), tmp_path / "two.png")
    data = (tmp_path / "one.png").read_bytes()
    assert data == (tmp_path / "two.png").read_bytes()
    assert load_picture(data).sha256 == picture.sha256
    assert set(re.findall(rb"IHDR|IDAT|IEND|eXIf|iCCP|tEXt|pHYs|gAMA", data)) == {b"IHDR", b"IDAT", b"IEND"}


def test_a_pil_image_is_left_as_it_was_and_others_are_refused() -> None:
    image = Image.open(io.BytesIO(encoded(scene().convert("RGBA"))))
    picture = picture_from_image(image)
    assert image.mode == "RGBA"
    assert picture.image is not image
    with pytest.raises(BadPicture, match="got ndarray"):
        picture_from_image(np.zeros((20, 20, 3)))  # type: ignore[arg-type]
    half = Image.open(io.BytesIO(encoded(Image.effect_noise((90, 90), 90), "JPEG")[:2000]))
    with pytest.raises(BadPicture, match="cut off"):
        picture_from_image(half)
