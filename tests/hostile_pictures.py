"""What reading pictures costs: memory and time over folders of images, and over files made to cost too much.

    python -m tests.hostile_pictures FOLDER...     every file in them, for example Pillow's source distribution
    python -m tests.hostile_pictures --made        the files made here; with --write FOLDER they are kept there

Nothing may take 5 seconds of processor time or 500 MB, in this process or in those it starts. Prints the slowest and
what was refused, and fails if anything is over.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import resource
import struct
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from PIL import Image

from svdlab.clips.pictures import load_picture
from svdlab.errors import BadPicture

SECONDS, MEGABYTES = 5.0, 500
SIDE = 7071  # squared: 50 megapixels
LESS_SIDE = 5099  # squared: 26 megapixels


@dataclass(frozen=True)
class Cost:
    """One file: processor seconds, peaks of this process and of any it started so far in MB, and what came of it."""

    name: str
    seconds: float
    wall: float
    own_mb: int
    child_mb: int
    said: str


def cost_of(path: Path) -> Cost:
    """Reads one file. Peaks are those since this process began."""
    before, started = _seconds(), time.perf_counter()
    try:
        said = "read"
        load_picture(path)
    except BadPicture as error:
        said = str(error)
    spent, wall = _seconds() - before, time.perf_counter() - started
    child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    return Cost(path.name, spent, wall, _own_peak(), child, said)


def _own_peak() -> int:
    """This process's peak in MB; what `getrusage` says begins with the peak of whoever started it."""
    told = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text("ascii"))
    assert told is not None
    return int(told[1]) // 1024


def _seconds() -> float:
    whose = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in whose)


# Files made to cost too much


def _encoded(image: Image.Image, format: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def _shaded(mode: str, side: int = SIDE) -> Image.Image:
    """Nothing that is one colour all over, quickly made."""
    return Image.radial_gradient("L").resize((side, side), Image.Resampling.NEAREST).convert(mode)


def _chunk(kind: bytes, content: bytes = b"") -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _png_of(*chunks: bytes) -> bytes:
    """A small PNG with chunks between its header and its pixels."""
    small = _encoded(Image.new("RGB", (64, 64), "teal"), "PNG")
    return small[:33] + b"".join(chunks) + small[33:]


def _repeated_scan() -> bytes:
    """A progressive JPEG whose last scan comes two thousand times."""
    data = _encoded(Image.new("L", (4096, 4096), 90), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * 2000 + b"\xff\xd9"


def _tiff(entries: list[tuple[int, int, int, int]], at: int, rest: int = 0) -> bytes:
    """A TIFF directory of (tag, type, count, value), which stands at `at` and is followed by the one at `rest`."""
    packed = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return struct.pack("<H", len(entries)) + packed + struct.pack("<I", rest)


def _directories(count: int = 33_000) -> bytes:
    """A TIFF of very many pages."""
    page = [(256, 3, 1, 64), (257, 3, 1, 64), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
    page += [(273, 4, 1, 8), (277, 3, 1, 1), (278, 3, 1, 64), (279, 4, 1, 4096)]
    size, first = len(_tiff(page, 0)), 8 + 4096
    pages = (_tiff(page, 0, first + (n + 1) * size if n + 1 < count else 0) for n in range(count))
    return b"II*\0" + struct.pack("<I", first) + bytes(4096) + b"".join(pages)


def _strips(count: int = 3_000_000) -> bytes:
    """A TIFF that declares a strip for each of very many rows."""
    page = [(256, 3, 1, 16), (257, 4, 1, count), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
    page += [(273, 4, count, 8), (277, 3, 1, 1), (278, 3, 1, 1), (279, 4, count, 8)]
    return b"II*\0" + struct.pack("<I", 8 + 4 * count) + struct.pack("<I", 16) * count + _tiff(page, 0)


MADE: dict[str, Callable[[], bytes]] = {
    "webp at the pixel limit": lambda: _encoded(
        Image.new("RGBA", (SIDE, SIDE), (200, 30, 40, 128)), "WEBP", lossless=True, quality=0, method=0
    ),
    "largest webp": lambda: _encoded(_shaded("RGBA", LESS_SIDE), "WEBP", quality=50, method=0),
    "avif at the pixel limit": lambda: _encoded(_shaded("RGB"), "AVIF", speed=10, quality=30),
    "largest avif": lambda: _encoded(_shaded("RGBA", LESS_SIDE), "AVIF", speed=10, quality=30),
    "rgba png": lambda: _encoded(_shaded("RGBA"), "PNG", compress_level=1),
    "16-bit grey png": lambda: _encoded(Image.new("I;16", (SIDE, SIDE), 30_000), "PNG", compress_level=1),
    "palette png": lambda: _encoded(_shaded("P"), "PNG", compress_level=1),
    "cmyk jpeg": lambda: _encoded(_shaded("CMYK"), "JPEG"),
    "progressive jpeg": lambda: _encoded(_shaded("RGB"), "JPEG", progressive=True, subsampling=0),
    "jpeg of a repeated scan": _repeated_scan,
    "png of empty chunks": lambda: _png_of(_chunk(b"juNk") * 5_000_000),
    "png of texts": lambda: _png_of(_chunk(b"tEXt", b"k\0") * 4_000_000),
    "png of texts, fewer": lambda: _png_of(_chunk(b"tEXt", b"k\0") * 90_000),
    "png of large texts": lambda: _png_of(_chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(10**6))) * 5000),
    "jpeg of fill bytes": lambda: b"\xff\xd8" + b"\xff" * 4_000_000 + _encoded(_shaded("L", 64), "JPEG")[2:],
    "jpeg of comments": lambda: (
        b"\xff\xd8" + b"\xff\xfe\0\2" * 4_000_000 + _encoded(_shaded("L", 64), "JPEG")[2:]
    ),
    "tiff of directories": _directories,
    "tiff of strips": _strips,
}


def main() -> int:
    """The script."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("paths", nargs="*", type=Path, metavar="FOLDER", help="folders of images, or files")
    parser.add_argument("--made", action="store_true", help="the files made here")
    parser.add_argument("--write", type=Path, metavar="FOLDER", help="keep the files made here there")
    parser.add_argument("--json", action="store_true", help="print one line of JSON for each file")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        paths = [
            file for path in given.paths for file in ([path] if path.is_file() else sorted(path.rglob("*")))
        ]
        if given.made or given.write:
            folder = given.write or Path(temporary)
            folder.mkdir(parents=True, exist_ok=True)
            for name, make in MADE.items():
                paths.append(folder / name.replace(" ", "_"))
                paths[-1].write_bytes(make())
        costs = [cost_of(path) for path in paths if path.is_file()]
    return _report(costs, given.json)


def _report(costs: list[Cost], as_json: bool) -> int:
    if as_json:
        for cost in costs:
            print(json.dumps(asdict(cost)))
    else:
        kinds = Counter("read" if cost.said == "read" else "refused" for cost in costs)
        print(f"{len(costs)} files: {kinds['read']} read, {kinds['refused']} refused in a sentence")
        for cost in sorted(costs, key=lambda cost: -cost.seconds)[:20]:
            print(f"{cost.seconds:6.2f} s  {cost.wall:6.2f} s by the clock  {cost.name}: {cost.said}")
        own, child = (
            max((getattr(cost, what) for cost in costs), default=0) for what in ("own_mb", "child_mb")
        )
        print(f"peak memory {own} MB here, {child} MB in a process of its own")
    over = [cost for cost in costs if cost.seconds > SECONDS or max(cost.own_mb, cost.child_mb) > MEGABYTES]
    for cost in over:
        print(f"over the limits: {cost}", file=sys.stderr)
    return bool(over)


if __name__ == "__main__":
    sys.exit(main())
