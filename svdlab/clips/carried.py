"""The texts that files carry: a video's tags, a PNG's text chunks, the EXIF of a WebP, AVIF or JPEG, or a JSON file.

Knows file formats; nothing of what the texts mean. Files are untrusted: sizes and counts are capped, no pixel is
decoded, nothing is run, and no name in a file is used as a path. A text that is damaged or too large spoils no other.
"""

from __future__ import annotations

import io
import math
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from svdlab.clips import video
from svdlab.clips.headers import kind_of
from svdlab.errors import BadInput

MAX_FILE_BYTES = 64 * 2**20
MAX_TEXT_BYTES = 4 * 2**20  # of one text; a large ComfyUI workflow takes 1 MB
MAX_TEXTS = 64
MAX_UNREAD = 8  # texts that cannot be read, after which a file is not looked at any further
MAX_CHUNKS = 100_000  # of a PNG, WebP or JPEG that are looked at
READABLE = "an MP4, WebM, PNG, WebP, AVIF, JPEG or JSON file"
WHOLE = ""  # the key of a text that is the whole file
EXIF_IFD, USER_COMMENT = 0x8769, 0x9286
CODES = {b"ASCII\0\0\0": "utf-8", b"JIS\0\0\0\0\0": "shift_jis", b"\0" * 8: "utf-8"}  # of a user comment


@dataclass(frozen=True)
class Embedded:
    """What a file carries: its name, for sentences, its texts by key, and a sentence on each that was not read."""

    name: str
    texts: dict[str, str]
    unread: tuple[str, ...] = ()


class _Unreadable(Exception):
    """A text that was left out; its message ends the sentence 'a text in NAME …'."""


def read_texts(source: str | Path | bytes) -> Embedded:
    """All texts of an untrusted file, given as a path or as its bytes.

    Keys are the file's own in small letters: `comment`, `prompt`, `workflow` of a video or PNG; `svdlab_recipe`. In
    an EXIF they are what ComfyUI writes before the first colon; a text without one is called `description`. Of
    several under one key the later ones have NUL and a number behind it. A text file has one, by the key `WHOLE`.
    Raises `BadInput` (`BadVideo`) with one sentence.
    """
    name, data = _read(source)
    texts = _Texts(name)
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return texts.collected(_png_texts(texts, data))
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return texts.collected(_webp_texts(texts, data))
    if data[:3] == b"\xff\xd8\xff":
        return texts.collected(_jpeg_texts(texts, data))
    if kind_of(data) == "AVIF":
        return texts.collected(_avif_texts(texts, data))
    if data[4:8] == b"ftyp" or data[:4] == video.WEBM_MAGIC:
        tags = video.read_tags(data, name)
        return texts.collected(iter([(key, text.encode("utf-8", "replace")) for key, text in tags.items()]))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise BadInput(f"{name} is of a kind that carries no settings; give {READABLE}")
    return texts.collected(iter([(WHOLE, data)]))


def shown(text: object, most: int = 60) -> str:
    """A text out of a file as it may stand in a sentence: plain characters only, short."""
    plain = re.sub(r"[^\w .,+()\-]", "?", " ".join(str(text)[: 2 * most].split()))
    return plain if len(plain) <= most else plain[: most - 1] + "…"


def told(value: object, most: int = 60) -> str:
    """Any value out of a file as it may stand in a sentence, in words that JSON has for it."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and not math.isfinite(value):
        return "not a number" if math.isnan(value) else "infinite"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, int | float | str):
        return shown(value, most) or "empty"
    return "an object"


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


@dataclass
class _Texts:
    """What is collected from one file."""

    name: str
    unread: list[str] = field(default_factory=list)

    def leave_out(self, why: str) -> None:
        """Keeps a sentence on a text that is not used."""
        self.unread.append(f"a text in {self.name} {why}, so it was not read")

    def collected(self, found: Iterator[tuple[str, bytes]]) -> Embedded:
        """The texts by key, as far as the limits go."""
        texts: dict[str, str] = {}
        for key, content in found:
            if len(content) > MAX_TEXT_BYTES:
                self.leave_out(f"is larger than {MAX_TEXT_BYTES // 2**20} MB")
            else:
                small = key.lower()
                texts[small if small not in texts else f"{small}\0{len(texts)}"] = content.decode(
                    "utf-8-sig", "replace"
                )
            if len(self.unread) >= MAX_UNREAD or len(texts) == MAX_TEXTS:
                break  # nothing more is unpacked
        return Embedded(self.name, texts, tuple(dict.fromkeys(self.unread)))


def _png_texts(texts: _Texts, data: bytes) -> Iterator[tuple[str, bytes]]:
    """Text chunks, wherever they stand. Source: the PNG specification, 11.3.3; `comf` is ComfyUI's own."""
    at = 8
    for _ in range(MAX_CHUNKS):
        kind, start = data[at + 4 : at + 8], at + 8
        end = start + int.from_bytes(data[at : at + 4], "big")  # then four bytes of checksum
        if kind == b"IEND" or end + 4 > len(data) or len(texts.unread) >= MAX_UNREAD:
            return
        if kind in (b"tEXt", b"comf", b"zTXt", b"iTXt"):
            key, _, rest = data[start:end].partition(b"\0")
            try:
                yield key.decode("latin-1") or "nameless", _png_text(kind, rest)
            except _Unreadable as why:
                texts.leave_out(str(why))
        elif kind == b"eXIf":
            yield from _exif_texts(texts, data[start:end])
        at = end + 4


def _png_text(kind: bytes, rest: bytes) -> bytes:
    """What stands behind a chunk's key, as UTF-8."""
    if kind == b"iTXt":
        text = rest[2:].partition(b"\0")[2].partition(b"\0")[2]  # behind flags, language and translated key
        return _inflated(text) if rest[:1] == b"\1" else text
    return (_inflated(rest[1:]) if kind == b"zTXt" else rest).decode("latin-1").encode()


def _inflated(data: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, MAX_TEXT_BYTES + 1)
    except zlib.error:
        raise _Unreadable("is damaged") from None


def _webp_texts(texts: _Texts, data: bytes) -> Iterator[tuple[str, bytes]]:
    """Texts of the EXIF: ComfyUI writes `prompt:{…}` into the camera's model and `workflow:{…}` into its maker."""
    at = 12
    for _ in range(MAX_CHUNKS):
        end = at + 8 + int.from_bytes(data[at + 4 : at + 8], "little")
        if data[at : at + 4] == b"EXIF":
            yield from _exif_texts(texts, data[at + 8 : end])
        at = end + end % 2
        if at + 8 > len(data):
            return


def _jpeg_texts(texts: _Texts, data: bytes) -> Iterator[tuple[str, bytes]]:
    """The EXIF and the comments before the picture itself begins."""
    at = 2
    for _ in range(MAX_CHUNKS):
        mark, end = data[at + 1 : at + 2], at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at : at + 1] != b"\xff" or mark in (b"\xda", b"\xd9", b"") or end < at + 4:
            return
        if mark == b"\xe1" and data[at + 4 : at + 10] == b"Exif\0\0":
            yield from _exif_texts(texts, data[at + 4 : end])
        elif mark == b"\xfe":
            yield "comment", data[at + 4 : end]
        at = end


def _avif_texts(texts: _Texts, data: bytes) -> Iterator[tuple[str, bytes]]:
    Image.init()
    try:
        exif = Image.OPEN["AVIF"][0](io.BytesIO(data), "").info.get("exif", b"")  # reads the boxes, no pixel
    except Exception:  # built without AVIF, or a hostile file
        raise BadInput(f"{texts.name} is an AVIF picture that cannot be read") from None
    if exif:
        yield from _exif_texts(texts, exif)


def _exif_texts(texts: _Texts, data: bytes) -> Iterator[tuple[str, bytes]]:
    try:
        exif = Image.Exif()
        exif.load(data)
        values = [*dict(exif).values(), *dict(exif.get_ifd(EXIF_IFD)).values()]
    except Exception:  # a hostile EXIF can make the reader raise anything
        texts.unread.append(f"the EXIF of {texts.name} is damaged, so it was not read")
        return
    for value in values:
        text = _exif_text(value)
        key, _, rest = text.partition(":")
        if text.lstrip().startswith("{") or not re.fullmatch(r"[A-Za-z_]\w{0,40}", key):
            key, rest = "description", text
        if rest.strip():
            yield key, rest.encode("utf-8", "replace")


def _exif_text(value: object) -> str:
    """A value of an EXIF as text; empty if it is none. Pillow reads bytes as Latin-1; what is written is UTF-8."""
    if isinstance(value, str):
        return value.encode("latin-1", "replace").decode("utf-8", "replace")
    if not isinstance(value, bytes):
        return ""
    if value[:8] == b"UNICODE\0":
        return value[8:].decode("utf-16-be" if value[8:9] == b"\0" else "utf-16-le", "replace")
    return (value[8:] if value[:8] in CODES else value).decode(CODES.get(value[:8], "utf-8"), "replace")
