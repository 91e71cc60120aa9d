"""An untrusted picture → upright RGB, checked and bounded in memory and time.

Knows files and how they are read; nothing of torch, models, screens or databases. Ordinary pictures are decoded here,
one at a time; what is large, or of a format that can be made to run wild, in a process of its own
(`svdlab.clips.confined`). What was changed on the way is told in `Picture.notes`.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from svdlab.clips import headers
from svdlab.clips.confined import decode_confined
from svdlab.clips.decoding import Pixels, check_size, decode, decode_image
from svdlab.clips.fitting import cut_share
from svdlab.errors import BadPicture

MAX_FILE_BYTES = 64 * 2**20
LONG_SHAPE = 3.0  # from 3:1 on, reading says how little a 16:9 crop would show

_ONE_AT_A_TIME = threading.Lock()  # decoding takes up to half a gigabyte


@dataclass(frozen=True)
class Picture:
    """A picture as it is kept: upright RGB, 8 bit, sRGB, no alpha, at most `decoding.MAX_STORED_SIDE` long."""

    image: Image.Image
    sha256: str  # of the pixels, so that it does not depend on the file format
    notes: tuple[str, ...] = ()  # what was changed on reading, one sentence each


def load_picture(source: str | Path | bytes) -> Picture:
    """Read a file, or the bytes of one. Raises `BadPicture` with one sentence on whatever cannot be used."""
    name, data = _read(source)
    kind = headers.kind_of(data)
    if kind is None:
        raise BadPicture(f"{name} is {headers.what_else(data)}")
    if (size := headers.size_of(kind, data)) is not None:
        check_size(name, size, kind)
    run = decode if headers.is_ordinary(kind, data) else decode_confined
    with _ONE_AT_A_TIME:
        return _picture(run(name, kind, data))


def picture_from_image(image: Image.Image) -> Picture:
    """The same for a PIL image already held; it is not changed. Raises `BadPicture`."""
    if not isinstance(image, Image.Image):
        raise BadPicture(
            f"a picture must be a PIL image here, got {type(image).__name__}; see load_picture for files"
        )
    with _ONE_AT_A_TIME:
        return _picture(decode_image("the picture", image))


def save_picture(picture: Picture, path: Path) -> None:
    """Write a lossless PNG without metadata; the same picture gives the same bytes. Raises `OSError`."""
    picture.image.save(path, "PNG", compress_level=6)


def is_whole(path: Path, size: tuple[int, int]) -> bool:
    """Whether what `save_picture` wrote of a picture of that size is there with every byte: nothing is decoded."""
    try:
        with Image.open(path, formats=["PNG"]) as image:
            image.verify()  # every checksum
            return image.size == size
    except (OSError, SyntaxError, ValueError):
        return False


def _picture(found: Pixels) -> Picture:
    bare = Image.frombytes("RGB", found.size, found.rgb)  # leaves all metadata behind
    return Picture(bare, found.sha256, (*found.notes, *_shape_notes(*found.size)))


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
        raise BadPicture(f"{name} is an empty file; give a {headers.READABLE} picture")
    if len(data) > MAX_FILE_BYTES:
        raise BadPicture(
            f"{name} is larger than {MAX_FILE_BYTES // 2**20} MB; export it smaller, for example as JPEG"
        )
    return name, data


def _printable(name: str) -> str:
    """A hostile file name, fit for one line."""
    name = "".join(c if c.isprintable() else "�" for c in name)
    return name if len(name) <= 80 else name[:40] + "…" + name[-39:]


def _shape_notes(width: int, height: int) -> list[str]:
    long = max(width / height, height / width)
    if long < LONG_SHAPE:
        return []
    share = 1 - cut_share(width, height, 16, 9)
    shape = f"{long:.3g}:1" if width > height else f"1:{long:.3g}"
    return [f"Its shape is {shape}, of which a 16:9 crop shows {share:.0%}; the focus chooses the part."]
