"""What the first bytes and the parts of a picture's file say, before anything is decoded.

Knows formats; nothing of Pillow, pixels, models or screens. Every loop over a file's parts is bounded, and nothing
here raises on a file that is damaged: what cannot be told is None.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

READABLE = "PNG, JPEG, WebP, AVIF, GIF, BMP or TIFF"
MAX_PARTS = 100_000  # chunks of a PNG, segments of a JPEG: each costs a turn of a Python loop in Pillow

# What can be read. Formats that run code (EPS), that render (SVG, PDF) or that are rare stay out.
MAGIC = {
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "JPEG": rb"\xff\xd8\xff",  # MPO, as stereo cameras and phones write it, opens as JPEG
    "GIF": rb"GIF8[79]a",
    "WEBP": rb"RIFF....WEBP",
    "BMP": rb"BM",
    "TIFF": rb"II\*\0|MM\0\*|II\+\0|MM\0\+",
}
NOT_READ = {
    rb"....ftyp|\x1aE\xdf\xa3|RIFF....AVI ": "a video; give a still picture, for example one of its frames",
    rb"%PDF": "a PDF document; export the page as PNG or JPEG",
    rb"%!PS|\xc5\xd0\xd3\xc6": "a PostScript drawing; export it as PNG",
    rb"8BPS": "a Photoshop document; export it as PNG or JPEG",
    rb"\xff\x0a|....JXL ": "a JPEG XL picture, which is not read here; export it as PNG or JPEG",
    rb"....jP  |\xff\x4f\xff\x51": "a JPEG 2000 picture, which is not read here; export it as PNG or JPEG",
    rb"\s*(<\?xml.*?)?(<!--.*?-->\s*)?(<!DOCTYPE svg.*?)?<svg": "an SVG drawing; export it as PNG",
    rb"(?i)\s*(<!doctype html|<html)": "a web page, not a picture; save the picture itself",
}
AVIF_BRANDS = {b"avif", b"avis"}
HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
STILL_BRANDS = {b"mif1", b"mif2", b"msf1", b"miaf"}  # of any codec: the file says which in its other brands

# What is decoded in this process, because its work is known to be small: the rest goes to a process of its own.
ORDINARY_BYTES = 16 * 2**20
ORDINARY_PIXELS = {
    "JPEG": 13_000_000,
    "PNG": 13_000_000,
    "WEBP": 4_500_000,
}  # a phone's 4096×3072; WebP takes more
ORDINARY_PARTS = 4096
ORDINARY_SCANS = 24  # of a JPEG: usually 1, or 10 if it is progressive
ORDINARY_HEADER = 2**20  # bytes before a JPEG's first scan: profiles and thumbnails
SIDE_CHUNKS = (b"tEXt", b"zTXt", b"iTXt")  # of a PNG: texts are never needed for its pixels


def kind_of(data: bytes) -> str | None:
    """The format by its first bytes, whatever the file is called; None for one that is not read."""
    head = data[:1024]
    for kind, magic in MAGIC.items():
        if re.match(magic, head, re.DOTALL):
            return kind
    brands = _brands(head)
    if brands & AVIF_BRANDS:
        return "AVIF"
    return "HEIC" if brands & HEIC_BRANDS or brands & STILL_BRANDS else None


def what_else(data: bytes) -> str:
    """What a file is that `kind_of` does not know, as the end of a sentence."""
    head = data[:1024]
    for magic, sentence in NOT_READ.items():
        if re.match(magic, head, re.DOTALL):
            return sentence
    return f"not a picture that can be read; give a {READABLE} picture"


def size_of(kind: str, data: bytes) -> tuple[int, int] | None:
    """Width and height as the header of a PNG, JPEG or WebP says, before it is turned upright; else None."""
    try:
        if kind == "PNG":
            return struct.unpack(">II", data[16:24])
        if kind == "WEBP":
            return _webp_size(data)
    except struct.error:
        return None
    if kind == "JPEG":
        return next((size for marker, size, _ in _jpeg_frames(data)), None)
    return None


def is_ordinary(kind: str, data: bytes) -> bool:
    """Whether a picture is small and simple enough that decoding it is known to be quick and to take little memory."""
    size = size_of(kind, data)
    if size is None or size[0] * size[1] > ORDINARY_PIXELS[kind] or len(data) > ORDINARY_BYTES:
        return False
    if kind == "PNG":
        return _count(_png_chunks(data), ORDINARY_PARTS) < ORDINARY_PARTS
    if kind == "WEBP":
        return not is_animated_webp(data)
    start = _jpeg_scans_at(data, ORDINARY_PARTS)
    few = data.count(b"\xff\xda", start) <= ORDINARY_SCANS
    return start is not None and start <= ORDINARY_HEADER and few


def is_animated_webp(data: bytes) -> bool:
    """Whether a WebP says that it is an animation."""
    return data[12:16] == b"VP8X" and len(data) > 20 and bool(data[20] & 2)


def has_too_many_parts(kind: str, data: bytes) -> bool:
    """Whether a PNG or JPEG has more chunks or segments than any picture has."""
    if kind == "PNG":
        return _count(_png_chunks(data), MAX_PARTS) >= MAX_PARTS
    return kind == "JPEG" and _count(_jpeg_segments(data), MAX_PARTS) >= MAX_PARTS


def png_without(data: bytes, *kinds: bytes) -> bytes:
    """A PNG without its chunks of these kinds; the very bytes if it has none."""
    if not any(kind in kinds for kind, _, _ in _png_chunks(data)):
        return data
    kept = (data[start:end] for kind, start, end in _png_chunks(data) if kind not in kinds)
    return data[:8] + b"".join(kept)


def jpeg_working_bytes(data: bytes) -> int:
    """What libjpeg holds of a JPEG besides its rows: all coefficients of a progressive one, in 2 bytes each."""
    for marker, (width, height), sampling in _jpeg_frames(data):
        if marker in (0xC2, 0xC6, 0xCA, 0xCE) and sampling:
            most = max(across for across, _ in sampling) * max(down for _, down in sampling)
            return 2 * width * height * sum(across * down for across, down in sampling) // max(1, most)
    return 0


def jpeg_scans_are_complete(data: bytes) -> bool:
    """Whether every coefficient's last bit has at least begun: only the end of a JPEG's last scan may be missing."""
    start = _jpeg_scans_at(data, MAX_PARTS)
    components = next((len(sampling) for _, _, sampling in _jpeg_frames(data)), 0)
    if start is None or not components:
        return False
    final: set[tuple[int, int]] = set()
    for scan in re.finditer(rb"\xff\xda..", data[start : start + 2**26], re.DOTALL):
        at = start + scan.end()
        count = data[at] if at < len(data) else 0
        head = data[at + 1 : at + 4 + 2 * count]
        if len(head) < 3 + 2 * count:
            break
        first, last, approximation = head[2 * count :]
        if approximation & 15 == 0:
            final.update((id, k) for id in head[: 2 * count : 2] for k in range(first, min(last, 63) + 1))
    return len(final) == 64 * components


def count_tiff_pages(data: bytes, most: int = 100) -> int | None:
    """How many pages a TIFF has; None if they are more than `most`, or their chain is broken."""
    order, long = "<" if data[:1] == b"I" else ">", data[2:4] in (b"+\0", b"\0+")
    entry, count_code, offset_code = (20, "Q", "Q") if long else (12, "H", "I")
    try:
        (at,) = struct.unpack_from(order + offset_code, data, 8 if long else 4)
        for pages in range(1, most + 1):
            (entries,) = struct.unpack_from(order + count_code, data, at)
            (at,) = struct.unpack_from(
                order + offset_code, data, at + struct.calcsize("=" + count_code) + entries * entry
            )
            if at == 0:
                return pages
    except (struct.error, OverflowError):
        pass
    return None


# Parts


def _count(parts: Iterator[object], most: int) -> int:
    return sum(1 for _, _ in zip(range(most), parts, strict=False))


def _brands(head: bytes) -> set[bytes]:
    if head[4:8] != b"ftyp":
        return set()
    end = min(len(head), max(16, int.from_bytes(head[:4], "big")))
    return {head[8:12], *(head[at : at + 4] for at in range(16, end - 3, 4))}


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(kind, start, end) of each chunk; a cut one ends where the file does."""
    at = 8
    for _ in range(MAX_PARTS):
        if at + 8 > len(data):
            return
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")  # length, kind, content, checksum
        yield data[at + 4 : at + 8], at, end
        at = end


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(marker, start, end) of each segment's content up to and with the first scan's header; fill bytes count too."""
    at = 2
    for _ in range(MAX_PARTS):
        if at + 4 > len(data) or data[at] != 0xFF:
            return
        marker = data[at + 1]
        if marker == 0xFF or 0xD0 <= marker <= 0xD8 or marker == 0x01:  # fill, or a marker without content
            yield marker, at, at
            at += 1 if marker == 0xFF else 2
            continue
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        yield marker, at + 4, end
        if marker in (0xDA, 0xD9):
            return
        at = end


def _jpeg_frames(data: bytes) -> Iterator[tuple[int, tuple[int, int], list[tuple[int, int]]]]:
    """(marker, (width, height), sampling of each component) of each frame header before the first scan."""
    for marker, start, _ in _jpeg_segments(data):
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC) and start + 6 <= len(data):
            height, width, components = struct.unpack(">HHB", data[start + 1 : start + 6])
            factors = data[start + 7 : start + 6 + 3 * components : 3]
            yield marker, (width, height), [(factor >> 4 or 1, factor & 15 or 1) for factor in factors]


def _jpeg_scans_at(data: bytes, most_parts: int) -> int | None:
    """Where the first scan begins; None if there is none within so many segments."""
    for number, (marker, start, _) in enumerate(_jpeg_segments(data)):
        if number >= most_parts:
            return None
        if marker == 0xDA:
            return start - 4
    return None


def _webp_size(data: bytes) -> tuple[int, int] | None:
    match data[12:16]:
        case b"VP8X" if len(data) >= 30:
            return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
        case b"VP8 ":
            width, height = struct.unpack("<HH", data[26:30])
            return width & 0x3FFF, height & 0x3FFF
        case b"VP8L":
            (bits,) = struct.unpack("<I", data[21:25])
            return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return None
