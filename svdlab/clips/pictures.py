"""An untrusted picture → upright RGB.

Knows Pillow; nothing of torch, models, screens or databases. Only what a browser would show is read:
the first frame, upright, in sRGB, on white. What was changed on the way is told in `Picture.notes`.
"""

from __future__ import annotations

import hashlib
import io
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageChops, ImageCms

from svdlab.clips.fitting import RESAMPLE, fit_box
from svdlab.errors import BadPicture

MAX_MEGAPIXELS = 50  # more is refused before any pixel is decoded
MAX_FILE_BYTES = 64 * 2**20
MAX_STORED_SIDE = 4096  # larger pictures are reduced to this on the long side
MIN_SIDE = 16  # pixels on the short side; below there is nothing to animate
LONG_SHAPE = 3.0  # from 3:1 on, reading says how little a 16:9 crop would show

COUNTED_BYTES = 4 * 2**20  # counting the frames of a larger GIF or TIFF takes seconds
SAME_COLOUR = 2  # 8-bit levels; a profile that moves no pixel further is sRGB in all but name

# What can be read. Formats that run code (EPS), that render (SVG, PDF) or that are rare stay out.
MAGIC = {
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "JPEG": rb"\xff\xd8\xff",  # MPO, as stereo cameras and phones write it, opens as JPEG
    "GIF": rb"GIF8[79]a",
    "WEBP": rb"RIFF....WEBP",
    "BMP": rb"BM",
    "TIFF": rb"II\*\0|MM\0\*|II\+\0|MM\0\+",
    "AVIF": rb"....ftyp(avif|avis)",
}
READABLE = "PNG, JPEG, WebP, AVIF, GIF, BMP or TIFF"
NOT_READ = {
    rb"....ftyp(hei[cxms]|hev[cx]|mif1|msf1)": "a HEIC photo, which is not read here; export it as JPEG",
    rb"....ftyp|\x1aE\xdf\xa3|RIFF....AVI ": "a video; give a still picture, for example one of its frames",
    rb"%PDF": "a PDF document; export the page as PNG or JPEG",
    rb"%!PS|\xc5\xd0\xd3\xc6": "a PostScript drawing; export it as PNG",
    rb"8BPS": "a Photoshop document; export it as PNG or JPEG",
    rb"\xff\x0a|....JXL ": "a JPEG XL picture, which is not read here; export it as PNG or JPEG",
    rb"....jP  |\xff\x4f\xff\x51": "a JPEG 2000 picture, which is not read here; export it as PNG or JPEG",
    rb"\s*(<\?xml.*?)?(<!--.*?-->\s*)?(<!DOCTYPE svg.*?)?<svg": "an SVG drawing; export it as PNG",
    rb"(?i)\s*(<!doctype html|<html)": "a web page, not a picture; save the picture itself",
}
UPRIGHT = {  # EXIF orientation → what undoes it
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
PROFILE_MODES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}  # ICC colour space → Pillow mode


@dataclass(frozen=True)
class Picture:
    """A picture as it is kept: upright RGB, 8 bit, sRGB, no alpha, at most `MAX_STORED_SIDE` long."""

    image: Image.Image
    sha256: str  # of the pixels, so that it does not depend on the file format
    notes: tuple[str, ...] = ()  # what was changed on reading, one sentence each


def load_picture(source: str | Path | bytes) -> Picture:
    """Read a file, or the bytes of one. Raises `BadPicture` with one sentence on whatever cannot be used."""
    name, data = _read(source)
    kind = _kind(name, data)
    try:
        return _decode(name, kind, data, [])
    except BadPicture:
        raise
    except Exception as error:  # a hostile file can make a decoder raise anything
        slim = _without_side_chunks(data) if kind == "PNG" else data
        if len(slim) == len(data):
            raise BadPicture(_what_broke(name, kind, data, error)) from None
    try:
        return _decode(name, kind, slim, ["Its text or colour profile could not be read and was left out."])
    except BadPicture:
        raise
    except Exception as error:
        raise BadPicture(_what_broke(name, kind, data, error)) from None


def picture_from_image(image: Image.Image) -> Picture:
    """The same for a PIL image already held; it is not changed. Raises `BadPicture`."""
    if not isinstance(image, Image.Image):
        raise BadPicture(
            f"a picture must be a PIL image here, got {type(image).__name__}; see load_picture for files"
        )
    _check_size("the picture", image.size)
    try:
        return _to_picture("the picture", image, [])
    except BadPicture:
        raise
    except Exception as error:  # an opened file decodes only now, and may be as hostile
        raise BadPicture(_what_broke("the picture", image.format or "image", b"", error)) from None


def save_picture(picture: Picture, path: Path) -> None:
    """Write a lossless PNG without metadata; the same picture gives the same bytes. Raises `OSError`."""
    picture.image.save(path, "PNG", compress_level=6)


# Reading, in the order it happens


def _read(source: str | Path | bytes) -> tuple[str, bytes]:
    """A name for sentences and the bytes; never more than `MAX_FILE_BYTES` of them."""
    if isinstance(source, bytes | bytearray | memoryview):
        name, data = "the picture", bytes(source[: MAX_FILE_BYTES + 1])
    elif isinstance(source, str | Path):
        name = _printable(Path(source).name or str(source))
        try:
            path = Path(source)
            if not path.is_file():  # a pipe or a device could go on for ever
                raise BadPicture(f"there is no file {_printable(str(source))}; give the path of a picture")
            with path.open("rb") as file:
                data = file.read(MAX_FILE_BYTES + 1)
        except (OSError, ValueError) as error:  # ValueError: a NUL in the path
            why = getattr(error, "strerror", None) or "the path is not valid"
            raise BadPicture(f"{name} cannot be read ({why.lower()}); give a file that is readable") from None
    else:
        raise BadPicture(f"a picture is given as a path or as bytes, got {type(source).__name__}")
    if not data:
        raise BadPicture(f"{name} is an empty file; give a {READABLE} picture")
    if len(data) > MAX_FILE_BYTES:
        raise BadPicture(
            f"{name} is larger than {MAX_FILE_BYTES // 2**20} MB; export it smaller, for example as JPEG"
        )
    return name, data


def _printable(name: str) -> str:
    """A hostile file name, fit for one line."""
    name = "".join(c if c.isprintable() else "�" for c in name)
    return name if len(name) <= 80 else name[:40] + "…" + name[-39:]


def _kind(name: str, data: bytes) -> str:
    """The format by its first bytes, whatever the file is called. Raises `BadPicture` for others."""
    head = data[:1024]
    for kind, magic in MAGIC.items():
        if re.match(magic, head, re.DOTALL):
            return kind
    for magic, sentence in NOT_READ.items():
        if re.match(magic, head, re.DOTALL):
            raise BadPicture(f"{name} is {sentence}")
    raise BadPicture(f"{name} is not a picture that can be read; give a {READABLE} picture")


def _decode(name: str, kind: str, data: bytes, notes: list[str]) -> Picture:
    """Raises `BadPicture` for what is refused, and whatever a decoder raises for what is broken."""
    # Not Image.open: that warns of large pictures through the process-wide filter, which no thread
    # can mute safely. This is its core, for the one format.
    Image.init()
    factory, accept = Image.OPEN[kind]
    supported = accept(data[:16]) if accept else True
    if isinstance(supported, str):
        raise BadPicture(f"{name} is {kind}, which this Pillow was built without; export it as PNG or JPEG")
    image = factory(io.BytesIO(data), "")
    _check_size(name, image.size)
    return _to_picture(name, image, [*notes, *_frame_notes(image, kind, len(data))])


def _check_size(name: str, size: tuple[int, int]) -> None:
    width, height = size
    if width * height > MAX_MEGAPIXELS * 1_000_000:
        raise BadPicture(
            f"{name} is {width}×{height}, {width * height / 1e6:.0f} megapixels; "
            f"reduce it to {MAX_MEGAPIXELS} megapixels or fewer"
        )
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


def _frame_notes(image: Image.Image, kind: str, file_bytes: int) -> list[str]:
    if (
        not getattr(image, "is_animated", False) or image.format == "MPO"
    ):  # MPO: the rest are previews or depth
        return []
    frames = "pages" if kind == "TIFF" else "animation frames"
    if kind in ("GIF", "TIFF") and file_bytes > COUNTED_BYTES:
        return [f"First of many {frames} used."]
    return [f"First of {getattr(image, 'n_frames', 1)} {frames} used."]


def _to_picture(name: str, image: Image.Image, notes: list[str]) -> Picture:
    """Decode and bring to what a `Picture` promises. Any exception is the file's fault."""
    raw_modes = " ".join(str(tile[3]) for tile in getattr(image, "tile", ()))  # gone once decoded
    orientation = _orientation(image)  # a TIFF turns itself on decoding, and forgets it
    image.load()
    if _orientation(image) in UPRIGHT:
        image = image.transpose(UPRIGHT[orientation])
    if orientation in UPRIGHT:
        notes.append("Turned upright as its EXIF says.")
    if image.mode.startswith("I;16") or re.search(r";16[BLN]", raw_modes):
        notes.append("16 bits per channel reduced to 8.")
    image = _opaque(name, image, notes)
    image = _srgb(name, image, notes)
    stored = _within(image.size, MAX_STORED_SIDE)
    if stored != image.size:
        notes.append(f"Reduced from {image.width}×{image.height} to {stored[0]}×{stored[1]}.")
        image = image.resize(stored, RESAMPLE)
    notes += _shape_notes(*image.size)
    pixels = image.tobytes()
    sha256 = hashlib.sha256(b"svdlab-picture-1 %dx%d\n" % image.size)
    sha256.update(pixels)
    bare = Image.frombytes("RGB", image.size, pixels)  # leaves all metadata behind
    return Picture(bare, sha256.hexdigest(), tuple(notes))


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # broken EXIF does not make the pixels worse
        return 1


def _opaque(name: str, image: Image.Image, notes: list[str]) -> Image.Image:
    """Eight bits, no palette, no alpha: mode L, RGB or CMYK. Transparent parts become white."""
    info = image.info
    if image.mode.startswith("I;16"):
        levels = np.asarray(image).astype(np.uint32)
        image = Image.fromarray((levels * 255 + 32895 >> 16).astype(np.uint8))  # = round(levels / 257)
    elif image.mode in ("I", "F"):
        raise BadPicture(
            f"{name} has 32 bits per channel, where nothing says which value is white; "
            "export it with 8 or 16 bits per channel"
        )
    elif image.has_transparency_data:
        gray = image.mode in ("L", "LA", "La")
        image = image.convert("LA").convert("RGBA") if image.mode == "La" else image.convert("RGBA")
        if np.asarray(image.getchannel("A")).min() < 255:
            notes.append("Transparent parts were put on white.")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        image = image.convert("L" if gray else "RGB")
    elif image.mode == "1":
        image = image.convert("L")
    elif image.mode not in ("L", "RGB", "CMYK"):
        image = image.convert("RGB")
    image.info = {key: info[key] for key in ("icc_profile",) if key in info}
    return image


def _srgb(name: str, image: Image.Image, notes: list[str]) -> Image.Image:
    """RGB as a screen shows it, through the embedded colour profile where there is a good one."""
    plain = image.convert("RGB")
    if image.mode == "CMYK":
        notes.append("Converted from CMYK.")
    embedded = image.info.get("icc_profile")
    if not embedded:
        return plain
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(embedded))
        if PROFILE_MODES.get(profile.profile.xcolor_space) != image.mode:
            raise ValueError("a profile for other colours than the picture has")
        converted = ImageCms.profileToProfile(
            image,
            profile,
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except Exception:  # PyCMSError, OSError, ImportError without LittleCMS: the pixels are still good
        notes.append("Its colour profile could not be used and was ignored.")
        return plain
    assert converted is not None  # only inPlace gives None
    moved = int(np.asarray(ImageChops.difference(plain, converted)).max())
    if image.mode != "CMYK" and moved <= SAME_COLOUR:
        return plain
    notes.append("Colours converted from its colour profile to sRGB.")
    return converted


def _shape_notes(width: int, height: int) -> list[str]:
    long = max(width / height, height / width)
    if long < LONG_SHAPE:
        return []
    left, top, right, bottom = fit_box(width, height, 16, 9)
    share = (right - left) * (bottom - top) / (width * height)
    shape = f"{long:.3g}:1" if width > height else f"1:{long:.3g}"
    return [f"Its shape is {shape}, of which a 16:9 crop shows {share:.0%}; the focus chooses the part."]


# When it does not decode


def _what_broke(name: str, kind: str, data: bytes, error: Exception) -> str:
    riff_cut = kind == "WEBP" and int.from_bytes(data[4:8], "little") + 8 > len(data)
    if isinstance(
        error, Image.DecompressionBombError | Image.DecompressionBombWarning
    ):  # a frame larger than its GIF
        return f"{name} has a frame of more than {MAX_MEGAPIXELS} megapixels; reduce it first"
    if isinstance(error, MemoryError):
        return f"{name} needs more memory than there is; reduce it first"
    if riff_cut or "truncated" in str(error).lower():
        return f"{name} is cut off: part of the file is missing; copy or download it again"
    return f"{name} is a {kind} that is damaged, cut off or of a rare kind; export it again as PNG or JPEG"


def _without_side_chunks(png: bytes) -> bytes:
    """The PNG without text and colour profile: Pillow gives up on pictures where these unpack to too much."""
    kept, at = [png[:8]], 8
    while at + 12 <= len(png):
        end = at + 12 + int.from_bytes(png[at : at + 4], "big")  # length, type, content, checksum
        if png[at + 4 : at + 8] not in (b"tEXt", b"zTXt", b"iTXt", b"iCCP"):
            kept.append(png[at:end])
        at = end
    return b"".join(kept)
