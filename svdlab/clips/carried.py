"""The texts that files carry: a video's tags, a PNG's text chunks, a WebP's EXIF, or a JSON file itself.

Knows file formats; nothing of what the texts mean. Files are untrusted: sizes and counts are capped, no pixel is
decoded, nothing is run, and no name in a file is used as a path.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from svdlab.clips import video
from svdlab.errors import BadInput

MAX_FILE_BYTES = 64 * 2**20
MAX_TEXT_BYTES = 4 * 2**20  # of one text; a large ComfyUI workflow takes 1 MB
MAX_TEXTS = 64
MAX_CHUNKS = 100_000  # of a PNG or WebP that are looked at
READABLE = "an MP4, WebM, PNG, WebP or JSON file"
WHOLE = ""  # the key of a text that is the whole file


@dataclass(frozen=True)
class Embedded:
    """What a file carries: its name, for sentences, and its texts by key."""

    name: str
    texts: dict[str, str]


def read_texts(source: str | Path | bytes) -> Embedded:
    """All texts of an untrusted file, given as a path or as its bytes.

    Keys are the file's own: `comment`, `prompt`, `workflow` of a video or PNG; `svdlab_recipe`. In a WebP they are
    what ComfyUI writes before the first colon; a text without one is called `description`. A text file has one, by
    the key `WHOLE`. Raises `BadInput` (`BadVideo`) with one sentence.
    """
    name, data = _read(source)
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return Embedded(name, _collected(name, _png_texts(name, data)))
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return Embedded(name, _collected(name, _webp_texts(name, data)))
    if data[4:8] == b"ftyp" or data[:4] == video.WEBM_MAGIC:
        return Embedded(name, video.read_tags(data, name))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise BadInput(f"{name} is of a kind that carries no settings; give {READABLE}")
    return Embedded(name, _collected(name, [(WHOLE, data)]))


def shown(text: object, most: int = 60) -> str:
    """A text out of a file as it may stand in a sentence: plain characters only, short."""
    plain = re.sub(r"[^\w .,+()\-]", "?", " ".join(str(text)[: 2 * most].split()))
    return plain if len(plain) <= most else plain[: most - 1] + "…"


def _read(source: str | Path | bytes) -> tuple[str, bytes]:
    """A name for sentences and the bytes; never more than `MAX_FILE_BYTES` of them."""
    if isinstance(source, bytes):
        name, data = "the file", source
    else:
        name = shown(Path(source).name) or "the file"
        try:
            if not Path(source).is_file():  # a pipe or a device could go on for ever
                raise BadInput(f"there is no file {name}")
            with Path(source).open("rb") as file:
                data = file.read(MAX_FILE_BYTES + 1)
        except (OSError, ValueError) as error:  # ValueError: a NUL in the path
            why = getattr(error, "strerror", None) or "the path is not valid"
            raise BadInput(f"{name} cannot be read: {why.lower()}") from None
    if not data:
        raise BadInput(f"{name} is empty; give {READABLE}")
    if len(data) > MAX_FILE_BYTES:
        raise BadInput(f"{name} is larger than {MAX_FILE_BYTES // 2**20} MB, so it was not read")
    return name, data


def _collected(name: str, found: Iterator[tuple[str, bytes]] | list[tuple[str, bytes]]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for key, content in found:
        if len(content) > MAX_TEXT_BYTES:
            raise BadInput(
                f"a text in {name} is larger than {MAX_TEXT_BYTES // 2**20} MB, so it was not read"
            )
        if len(texts) < MAX_TEXTS:
            texts.setdefault(key, content.decode("utf-8-sig", "replace"))
    return texts


def _png_texts(name: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    """Text chunks, wherever they stand. Source: the PNG specification, 11.3.3; `comf` is ComfyUI's own."""
    at = 8
    for _ in range(MAX_CHUNKS):
        kind, start = data[at + 4 : at + 8], at + 8
        end = start + int.from_bytes(data[at : at + 4], "big")  # then four bytes of checksum
        if kind == b"IEND" or end + 4 > len(data):
            return
        if kind in (b"tEXt", b"comf", b"zTXt", b"iTXt"):
            key, _, rest = data[start:end].partition(b"\0")
            yield key.decode("latin-1") or "nameless", _png_text(name, kind, rest)
        at = end + 4


def _png_text(name: str, kind: bytes, rest: bytes) -> bytes:
    """What stands behind a chunk's key, as UTF-8."""
    if kind == b"iTXt":
        text = rest[2:].partition(b"\0")[2].partition(b"\0")[2]  # behind flags, language and translated key
        return _inflated(name, text) if rest[:1] == b"\1" else text
    return (_inflated(name, rest[1:]) if kind == b"zTXt" else rest).decode("latin-1").encode()


def _inflated(name: str, data: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, MAX_TEXT_BYTES + 1)
    except zlib.error:
        raise BadInput(f"a text in {name} is damaged, so it was not read") from None


def _webp_texts(name: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    """Texts of the EXIF: ComfyUI writes `prompt:{…}` into the camera's model and `workflow:{…}` into its maker."""
    at = 12
    for _ in range(MAX_CHUNKS):
        end = at + 8 + int.from_bytes(data[at + 4 : at + 8], "little")
        if data[at : at + 4] == b"EXIF":
            yield from _exif_texts(name, data[at + 8 : end])
        at = end + end % 2
        if at + 8 > len(data):
            return


def _exif_texts(name: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    try:
        exif = Image.Exif()
        exif.load(data)
        values = [value for value in dict(exif).values() if isinstance(value, str)]
    except Exception:  # a hostile EXIF can make the reader raise anything
        raise BadInput(f"the EXIF of {name} is damaged, so it was not read") from None
    for value in values:
        key, _, rest = value.partition(":")
        if value.lstrip().startswith("{") or not re.fullmatch(r"[A-Za-z_]\w{0,40}", key):
            key, rest = "description", value
        yield key, rest.encode("latin-1", "replace")  # Pillow reads bytes as Latin-1; what we write is UTF-8
