"""Paint the example pictures into assets/examples. All are made of numbers here; nothing is downloaded.

python scripts/make_examples            all of them, a few minutes
python scripts/make_examples balloon    only those named
"""

from __future__ import annotations

import importlib
import sys
import time
from pathlib import Path

from canvas import save

FOLDER = Path(__file__).resolve().parents[2] / "assets" / "examples"
PICTURES = ("aerial_beach", "balloon", "mountains", "northern_lights", "rocket", "still_life", "street")


def main(names: list[str]) -> None:
    """Paint the named pictures, or all."""
    unknown = sorted(set(names) - set(PICTURES))
    if unknown:
        raise SystemExit(f"no picture is called {', '.join(unknown)}; there are {', '.join(PICTURES)}")
    for name in names or PICTURES:
        started = time.perf_counter()
        path = FOLDER / f"{name}.jpg"
        save(importlib.import_module(name).paint(), path)
        print(f"{path.name}  {path.stat().st_size // 1024} KB  {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main(sys.argv[1:])
