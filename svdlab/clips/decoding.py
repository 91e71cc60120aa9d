"""The bytes of a picture → upright sRGB pixels, in as little memory as that takes.

Knows Pillow; nothing of files, processes, models or screens, and not numpy, so that a process of its own starts in
little time (`svdlab.clips.confined`). Only what a browser would show is read: the first frame, upright, in sRGB, on
white. The decoded picture is held once, in its own mode; everything after works on bands of its rows.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

from PIL import ExifTags, Image, ImageChops, ImageCms, ImageFile

from svdlab.clips import headers
from svdlab.clips.fitting import RESAMPLE
from svdlab.errors import BadPicture

MAX_MEGAPIXELS = 50  # as cameras count them: 8192×6144 and 8160×6144 are of 50 megapixels and are read
MAX_PIXELS = 51_000_000
LESS_PIXELS = {"WEBP": 26_000_000, "AVIF": 26_000_000}  # their decoders hold the picture four times
MAX_STORED_SIDE = 4096  # larger pictures are reduced to this on the long side
MIN_SIDE = 16  # pixels on the short side; below there is nothing to animate
BAND_PIXELS = 2 * 2**20  # of one band of rows
HALVED_BYTES = 400 * 2**20  # a JPEG that would take more is decoded at half its size

COUNTED_BYTES = 2**20  # counting the frames of a larger GIF takes seconds
REDUCED_16 = "16 bits per channel reduced to 8."
SAME_COLOUR = 2  # 8-bit levels; a profile that moves no pixel further is sRGB in all but name
END_OF_JPEG = b"\xff\xd9"
CUT_SHARE = 50  # a cut JPEG is used if less than one part in so many of its rows is missing

UPRIGHT = {  # EXIF orientation → what undoes it
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
LYING = (5, 6, 7, 8)  # orientations in which width and height change places
FROM_THE_END = (3, 4, 7, 8)  # orientations in which the first row upright is the last row or column stored
PROFILE_MODES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}  # ICC colour space → Pillow mode


@dataclass(frozen=True)
class Pixels:
    """A decoded picture: RGB rows from the top, 8 bit, and what was changed on the way, one sentence each."""

    size: tuple[int, int]
    rgb: bytes = field(repr=False)
    sha256: str  # of the pixels, so that it does not depend on the file format
    notes: tuple[str, ...] = ()


def decode(name: str, kind: str, data: bytes) -> Pixels:
    """The pixels of a file of a known kind. Raises `BadPicture` with one sentence, which calls it `name`."""
    if headers.has_too_many_parts(kind, data):
        raise BadPicture(f"{name} is a {kind} of more parts than any picture has; export it again")
    if (size := headers.size_of(kind, data)) is not None:
        check_size(name, size, kind)
    if kind == "PNG":
        data = headers.png_without(data, *headers.SIDE_CHUNKS)
    try:
        return _read(name, kind, data)
    except BadPicture:
        raise
    except Exception as error:  # a hostile file can make a decoder raise anything
        broken = error
    try:
        if kind == "PNG" and (slim := headers.png_without(data, b"iCCP")) is not data:
            return _read(name, kind, slim, "Its colour profile could not be read and was left out.")
        if kind == "JPEG" and _says_cut(broken) and headers.jpeg_scans_are_complete(data):
            note = "The file is cut off at its end; the last rows may be incomplete."
            return _read(name, kind, data + END_OF_JPEG, note, cut=True)
    except BadPicture:
        raise
    except Exception as error:
        broken = error
    raise BadPicture(_what_broke(name, kind, data, broken)) from None


def decode_image(name: str, image: Image.Image) -> Pixels:
    """The same for a PIL image, which is not changed. Raises `BadPicture`."""
    check_size(name, image.size)
    try:
        rows = _Rows(name, image, _orientation(image))
        turned = "Turned upright as its EXIF says."
        return rows.pixels([turned] if rows.orientation in UPRIGHT else [])
    except BadPicture:
        raise
    except Exception as error:  # an opened file decodes only now, and may be as hostile
        raise BadPicture(_what_broke(name, image.format or "image", b"", error)) from None


def check_size(name: str, size: tuple[int, int], kind: str = "") -> None:
    """Raises `BadPicture` for a picture that is too large, too small or too narrow."""
    width, height = size
    if width * height > LESS_PIXELS.get(kind, MAX_PIXELS):
        shown = f"{name} is {width}×{height}, {width * height / 1e6:.1f} megapixels"
        if width * height > MAX_PIXELS:
            raise BadPicture(f"{shown}; reduce it to {MAX_MEGAPIXELS} megapixels or fewer")
        most = LESS_PIXELS[kind] // 1_000_000
        raise BadPicture(f"{shown}, and {kind} is read up to {most}; reduce it or save it as JPEG")
    if min(size) < MIN_SIDE:
        raise BadPicture(
            f"{name} is only {width}×{height} pixels; at least {MIN_SIDE} on the short side are needed"
        )
    if min(_within(size, MAX_STORED_SIDE)) < MIN_SIDE:
        most = MAX_STORED_SIDE // MIN_SIDE
        raise BadPicture(
            f"{name} is {width}×{height}, too narrow a strip; at most {most}:1 can be used, so crop it first"
        )


def _within(size: tuple[int, int], side: int) -> tuple[int, int]:
    """The size with its long side reduced to `side`, if it is longer."""
    scale = min(1.0, side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


# From the file to rows


def _read(name: str, kind: str, data: bytes, note: str = "", cut: bool = False) -> Pixels:
    """Raises `BadPicture` for what is refused, and whatever a decoder raises for what is broken."""
    # Not Image.open: that warns of large pictures through the process-wide filter, which no thread
    # can mute safely. This is its core, for the one format.
    Image.init()
    if kind == "HEIC":
        _learn_heic(name)
    factory, accept = Image.OPEN[kind]
    supported = accept(data[:16]) if accept else True
    if isinstance(supported, str):
        raise BadPicture(f"{name} is {kind}, which this Pillow was built without; export it as PNG or JPEG")
    image: ImageFile.ImageFile = factory(io.BytesIO(data), "")
    check_size(name, image.size, kind)
    size = image.size
    if kind == "JPEG" and headers.jpeg_working_bytes(data) + 4 * size[0] * size[1] > HALVED_BYTES:
        image.draft(None, (size[0] // 2, size[1] // 2))  # None: keep the mode
    notes = [*([note] if note else []), *_frame_notes(image, kind, data)]
    raw_modes = " ".join(str(tile[3]) for tile in image.tile)  # gone once decoded
    orientation = _orientation(image)  # a TIFF turns itself on decoding, and forgets it
    image.load()
    image.fp = None
    vars(image).pop("_decoder", None)  # of WebP and AVIF, where it holds the picture once or twice more
    if cut:
        _check_cut(name, image)
    if orientation in UPRIGHT:
        notes.append("Turned upright as its EXIF says.")
    if re.search(r";16[BLN]", raw_modes):
        notes.append(REDUCED_16)
    rows = _Rows(name, image, _orientation(image), ours=True)
    return rows.pixels(notes, size)


def _learn_heic(name: str) -> None:
    """Teaches Pillow to open HEIC, if that was installed. Raises `BadPicture`."""
    try:
        from pillow_heif import options, register_heif_opener
    except ImportError:
        raise BadPicture(
            f"{name} is a HEIC photo, which is read only if pillow-heif is installed (pip install pillow-heif); "
            "export it as JPEG"
        ) from None
    options.DECODE_THREADS = 2
    register_heif_opener(thumbnails=False)
    Image.OPEN["HEIC"] = Image.OPEN["HEIF"]


def _check_cut(name: str, image: Image.Image) -> None:
    """Raises `BadPicture` if a JPEG's last rows are what libjpeg puts where nothing came: middle grey, exactly."""
    rows = max(8, image.height // CUT_SHARE)  # a row of blocks is 8 or 16 pixels high
    lowest = image.crop((0, max(0, image.height - rows), *image.size)).getextrema()
    bands = lowest if isinstance(lowest[0], tuple) else [lowest]
    if all(low == high and high in (127, 128) for low, high in bands):
        raise BadPicture(_cut_off(name))


def _frame_notes(image: Image.Image, kind: str, data: bytes) -> list[str]:
    # MPO: the others are previews or depth
    if not getattr(image, "is_animated", False) or image.format == "MPO":
        return []
    frames = "pages" if kind == "TIFF" else "animation frames"
    if kind == "TIFF":
        count = headers.count_tiff_pages(data)
    else:
        count = None if kind == "GIF" and len(data) > COUNTED_BYTES else getattr(image, "n_frames", None)
    return [f"First of {count or 'many'} {frames} used."]


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # broken EXIF does not make the pixels worse
        return 1


def _turned(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    return (size[1], size[0]) if orientation in LYING else size


class _Rows:
    """A decoded picture read in bands of rows, upright, on white, in sRGB; what that changed is in `notes`."""

    def __init__(self, name: str, image: Image.Image, orientation: int, ours: bool = False) -> None:
        image.load()
        if image.mode in ("I", "F"):
            raise BadPicture(
                f"{name} has 32 bits per channel, where nothing says which value is white; "
                "export it with 8 or 16 bits per channel"
            )
        self.image = image
        self.ours = ours  # whether it may be let go once it is read
        self.orientation = orientation
        self.size = _turned(image.size, orientation)
        self.transparent = False
        self.notes: list[str] = []

    def pixels(self, notes: list[str], size: tuple[int, int] | None = None) -> Pixels:
        """The whole, and all notes on it; `size` is what the file had before it was halved on decoding."""
        if self.image.mode.startswith("I;16") and REDUCED_16 not in notes:
            notes = [*notes, REDUCED_16]
        before = _turned(size, self.orientation) if size else self.size
        rgb, stored = self._reduced()
        if stored != before:
            self.notes.append(f"Reduced from {before[0]}×{before[1]} to {stored[0]}×{stored[1]}.")
        digest = hashlib.sha256(b"svdlab-picture-1 %dx%d\n" % stored)
        digest.update(rgb)
        return Pixels(stored, rgb, digest.hexdigest(), (*notes, *self.notes))

    def _reduced(self) -> tuple[bytes, tuple[int, int]]:
        """All rows as RGB bytes, at most `MAX_STORED_SIDE` long, and their size."""
        profile = self._profile()
        size = _within(self.size, MAX_STORED_SIDE)
        if size == self.size:
            pixels = b"".join(rows.tobytes() for _, rows in self._rgb(profile))
        else:  # across band by band and then down, which is what resizing the whole does
            narrow = Image.new("RGB", (size[0], self.size[1]))
            for top, rows in self._rgb(profile):
                narrow.paste(rows.resize((size[0], rows.height), RESAMPLE), (0, top))
            if self.ours:
                self.image.close()
            pixels = narrow.resize(size, RESAMPLE).tobytes()
        if self.transparent:
            self.notes.insert(0, "Transparent parts were put on white.")
        return pixels, size

    def _rgb(self, profile: ImageCms.ImageCmsTransform | None) -> Iterator[tuple[int, Image.Image]]:
        for top, rows in self._opaque():
            if profile is None:
                yield top, rows.convert("RGB")
            else:
                yield top, _through(profile, rows)

    def _profile(self) -> ImageCms.ImageCmsTransform | None:
        """What brings the embedded colours to sRGB; None if there is no good profile, or none that moves a pixel."""
        _, first = next(self._opaque())
        if first.mode == "CMYK":
            self.notes.append("Converted from CMYK.")
        embedded = self.image.info.get("icc_profile")
        if not embedded:
            return None
        try:
            profile = _transform(embedded, first.mode)
            moved = first.mode == "CMYK" or any(_moves(profile, rows) for _, rows in self._opaque())
        except Exception:  # PyCMSError, OSError, ImportError without LittleCMS: the pixels are still good
            self.notes.append("Its colour profile could not be used and was ignored.")
            return None
        if not moved:
            return None
        self.notes.append("Colours converted from its colour profile to sRGB.")
        return profile

    def _opaque(self) -> Iterator[tuple[int, Image.Image]]:
        """Bands and their tops: eight bits, no palette, no alpha, mode L, RGB or CMYK. Transparent parts are white."""
        for top, rows in self._bands():
            if rows.mode.startswith("I;16"):
                yield top, rows.convert("I").point(_grey_16(), "L")
            elif rows.has_transparency_data:
                yield top, self._on_white(rows)
            elif rows.mode == "1":
                yield top, rows.convert("L")
            else:
                yield top, rows if rows.mode in ("L", "RGB", "CMYK") else rows.convert("RGB")

    def _on_white(self, rows: Image.Image) -> Image.Image:
        grey = rows.mode in ("L", "LA", "La")
        rows = rows.convert("LA").convert("RGBA") if rows.mode == "La" else rows.convert("RGBA")
        if rows.getchannel("A").getextrema()[0] < 255:  # type: ignore[operator]  # one band has one pair
            self.transparent = True
            rows = Image.alpha_composite(Image.new("RGBA", rows.size, "white"), rows)
        return rows.convert("L" if grey else "RGB")

    def _bands(self) -> Iterator[tuple[int, Image.Image]]:
        width, height = self.size
        step = max(1, BAND_PIXELS // width)
        for top in range(0, height, step):
            bottom = min(height, top + step)
            first, last = (
                (height - bottom, height - top) if self.orientation in FROM_THE_END else (top, bottom)
            )
            box = (first, 0, last, width) if self.orientation in LYING else (0, first, width, last)
            rows = self.image.crop(box)
            yield top, rows.transpose(UPRIGHT[self.orientation]) if self.orientation in UPRIGHT else rows


@cache
def _grey_16() -> list[int]:
    return [level * 255 + 32895 >> 16 for level in range(2**16)]  # = round(level / 257)


def _transform(embedded: bytes, mode: str) -> ImageCms.ImageCmsTransform:
    profile = ImageCms.ImageCmsProfile(io.BytesIO(embedded))
    if PROFILE_MODES.get(profile.profile.xcolor_space) != mode:
        raise ValueError("a profile for other colours than the picture has")
    return ImageCms.buildTransform(
        profile,
        ImageCms.createProfile("sRGB"),
        mode,
        "RGB",
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
        ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )


def _through(profile: ImageCms.ImageCmsTransform, rows: Image.Image) -> Image.Image:
    converted = ImageCms.applyTransform(rows, profile)
    assert converted is not None  # only inPlace gives None
    return converted


def _moves(profile: ImageCms.ImageCmsTransform, rows: Image.Image) -> bool:
    """Whether a profile moves any pixel further than nobody sees."""
    extremes = ImageChops.difference(rows.convert("RGB"), _through(profile, rows)).getextrema()
    return any(most > SAME_COLOUR for _, most in extremes)  # type: ignore[misc]  # three bands have three pairs


# When it does not decode


def _says_cut(error: Exception) -> bool:
    return "truncated" in str(error).lower()


def _cut_off(name: str) -> str:
    return f"{name} is cut off: part of the file is missing; copy or download it again"


def _what_broke(name: str, kind: str, data: bytes, error: Exception) -> str:
    riff_cut = kind == "WEBP" and int.from_bytes(data[4:8], "little") + 8 > len(data)
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return f"{name} has a frame of more than {MAX_MEGAPIXELS} megapixels; reduce it first"  # larger than its GIF
    if isinstance(error, MemoryError):
        return f"{name} needs more memory than a picture is given here; reduce it or save it as JPEG"
    if riff_cut or _says_cut(error):
        return _cut_off(name)
    return f"{name} is a {kind} that is damaged, cut off or of a rare kind; export it again as PNG or JPEG"
