"""What a served lab keeps after many clips: memory, handles, threads, events, temporary files.

    python -m tests.leaks [--runs 200]

A program makes that many small clips over HTTP, an upload each, as visitors do. Prints what is there after a tenth of
them and at the end; what grows with the number of clips is a leak. Asserts nothing: memory is the machine's business.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

SMALL = {"width": 64, "height": 64, "num_frames": 2, "num_inference_steps": 1, "checkpoint": "demo-1-0"}


@dataclass(frozen=True)
class Kept:
    """What there is at one moment."""

    clips: int
    megabytes: float  # resident
    handles: int
    threads: int
    events: int
    copies: int  # files in the server's temporary folder

    def __str__(self) -> str:
        return (
            f"after {self.clips:5} clips: {self.megabytes:7.1f} MB, {self.handles:4} handles, "
            f"{self.threads:4} threads, {self.events:3} events, {self.copies:4} temporary files"
        )


def main() -> None:
    """Serves, makes clips, prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=200)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory(prefix="svdlab-leaks-") as folder:
        os.environ["GRADIO_TEMP_DIR"] = str(Path(folder) / "temporary")
        measure(Path(folder), runs)


def measure(folder: Path, runs: int) -> None:
    """Makes the clips, and prints what is kept after a tenth of them, after half, and at the end."""
    from gradio_client import Client, handle_file
    from PIL import Image

    from svdlab.ui import launch
    from svdlab.workers import open_lab

    picture = folder / "picture.png"
    Image.linear_gradient("L").convert("RGB").save(picture)
    process, began = psutil.Process(), time.perf_counter()
    with open_lab(folder / "data", device="cpu") as lab:
        client = Client(launch(lab, port=None, block=False), verbose=False, download_files=False)

        def kept(clips: int) -> Kept:
            copies = sum(len(files) for _, _, files in os.walk(folder / "temporary"))
            memory = process.memory_info().rss / 1e6
            handles = process.num_handles() if os.name == "nt" else process.num_fds()
            return Kept(clips, memory, handles, process.num_threads(), len(lab.live.told), copies)

        for seed in range(1, runs + 1):
            client.predict(handle_file(picture), seed=seed, **SMALL, api_name="/generate")
            if seed in (max(1, runs // 10), runs // 2, runs):
                print(kept(seed), flush=True)
        client.close()
    print(f"{runs} clips in {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
