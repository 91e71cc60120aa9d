"""A server with one long job in a process of its own, and a crowd of clients for it: what the slow tests measure with.

The job is drawn, so that what is measured is the server. Clients speak HTTP over plain sockets of one event loop; each
is somebody else to the server, which takes a proxy on its own machine at its word.

    python -m tests.crowd    prints what a crowd of 2,500 sessions and 500 followers costs on this machine
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[1]
SERVE = """
import sys, threading, time
from pathlib import Path
import numpy as np
from svdlab.lab.desk import Desk
from svdlab.lab.lab import Lab
from svdlab.recipes.work import Encoding, Stepped
from svdlab.ui import launch
from tests.made import drawn, picture_of

def render(jobs, stop):
    for job in jobs:
        yield Encoding(job.id)
        steps = job.settings.num_inference_steps
        for step in range(1, steps + 1):
            time.sleep(0.3)
            small = job.picture[::8, ::8]
            preview = np.stack([np.roll(small, step + place, axis=1) for place in range(14)])
            yield Stepped(job.id, step, steps, 0.3 * (steps - step), preview)
            if stop(job.id):
                break
        yield drawn(job.id, job.settings, job.picture, b"", "")

with Lab(Path(sys.argv[1])) as lab:
    stopping = threading.Event()
    serving = threading.Thread(target=Desk(lab).serve, args=(render, stopping), daemon=True)
    serving.start()
    settings = lab.settings("demo-1-0", {"width": 256, "height": 144, "num_frames": 14,
                                         "num_inference_steps": int(sys.argv[2])}, seed=1)
    run = lab.submit(lab.recipe("demo-1-0", lab.add_picture(picture_of(0)), settings))
    print(launch(lab, port=None, block=False), run.id, flush=True)
    sys.stdin.read()
    stopping.set()
"""


@dataclass
class Served:
    """The server and its job."""

    process: subprocess.Popen[str]
    port: int
    run: str

    @property
    def megabytes(self) -> float:
        """What it holds of this machine's memory, and no other process does."""
        return psutil.Process(self.process.pid).memory_info().rss / 1e6

    @property
    def open_files(self) -> int:
        """Connections among them."""
        return psutil.Process(self.process.pid).num_fds()


@contextmanager
def served(folder: Path, steps: int) -> Iterator[Served]:
    """Serves a lab that renders one job of so many steps of a third of a second; ends with the block."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "GRADIO_TEMP_DIR": str(folder / "passing")}
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(folder / "data"), str(steps)],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        address, run = process.stdout.readline().split()
        yield Served(process, int(address.rsplit(":", 1)[1].strip("/")), run)
    finally:
        process.stdin.close()
        if process.wait(60) != 0:
            raise AssertionError(f"the server ended with {process.returncode}")
        process.stdout.close()


def named(number: int) -> str:
    """The address of a client."""
    return f"198.51.{number // 250}.{number % 250}"


async def request(
    served: Served, who: int, path: str, body: Any = None, read: bool = True
) -> tuple[int, bytes, tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Status and body of an answer; with `read` false, the body is left on the open connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    content = b"" if body is None else json.dumps(body).encode()
    writer.write(
        f"{'GET' if body is None else 'POST'} {path} HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\n"
        f"X-Forwarded-For: {named(who)}\r\nContent-Type: application/json\r\nConnection: close\r\n"
        f"Content-Length: {len(content)}\r\n\r\n".encode()
        + content
    )
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    status = int(head.split(" ", 2)[1])
    if not read:
        return status, b"", (reader, writer)
    got = await reader.read()
    writer.close()
    return status, got, (reader, writer)


async def timed(served: Served, who: int, path: str, body: Any = None) -> float:
    """Seconds until an answer is whole, which must be a good one."""
    began = time.monotonic()
    status, _, _ = await request(served, who, path, body)
    assert status == 200, path
    return time.monotonic() - began


async def follow(served: Served, who: int, heard: list[str]) -> None:
    """Follows the job as the Explore page does, to its end; notes what it heard last."""
    _, _, (reader, writer) = await request(
        served, who, f"/follow/explore?id={served.run}&before=&mine=", read=False
    )
    last = ""
    while line := await reader.readline():
        text = line.decode("utf-8", "replace")
        if text.startswith("event: end"):
            heard.append(last)
            break
        if text.startswith("data: ") and '"explore-stage"' in text:
            last = text[:120]
    writer.close()


def p95(seconds: list[float]) -> float:
    """What 95 of 100 stay below."""
    return sorted(seconds)[int(0.95 * (len(seconds) - 1))]


@dataclass
class Figures:
    """What a crowd met with; seconds and megabytes."""

    followers_heard: int = 0  # to the end, and with the clip
    answered: int = 0  # sessions that opened the page
    refused: int = 0  # calls of one client that asked for too much
    accepted: int = 0  # and those that were taken
    page: tuple[float, ...] = ()  # GET /
    opening: tuple[float, ...] = ()  # the page, and what its first handler says
    health: tuple[int, ...] = ()
    before_mb: float = 0.0
    most_mb: float = 0.0
    after_mb: float = 0.0
    files: tuple[int, int, int] = (0, 0, 0)  # open before, at most, after

    def __str__(self) -> str:
        return (
            f"{self.answered} sessions opened, {self.followers_heard} followers heard the end; one client's calls:"
            f" {self.accepted} taken, {self.refused} refused\n"
            f"GET / p50 {sorted(self.page)[len(self.page) // 2]:.3f} s, p95 {p95(list(self.page)):.3f} s,"
            f" most {max(self.page):.3f} s ({len(self.page)} times)\n"
            f"opening Explore p95 {p95(list(self.opening)):.3f} s, most {max(self.opening):.3f} s\n"
            f"health {sorted(set(self.health))}; memory {self.before_mb:.0f} MB before, {self.most_mb:.0f} at most,"
            f" {self.after_mb:.0f} after; open files {self.files}"
        )


async def crowd(served: Served, sessions: int, followers: int, joins: int) -> Figures:
    """Followers follow the job, sessions open the page, and one client asks for as many calls as it can."""
    _, config, _ = await request(served, 0, "/config")
    first = next(
        one["id"]
        for one in json.loads(config)["dependencies"]
        if [event for _, event in one["targets"]] == ["load"]
    )
    opened = {"data": [[]], "fn_index": first, "event_data": None, "trigger_id": None}
    figures = Figures(before_mb=served.megabytes)
    files, heard, page, opening, health = (
        [served.open_files],
        list[str](),
        list[float](),
        list[float](),
        list[int](),
    )
    followed = [asyncio.create_task(follow(served, who, heard)) for who in range(followers)]

    async def open_page(who: int) -> None:
        took = await timed(served, who, "/")
        took += await timed(served, who, "/gradio_api/run/predict", {**opened, "session_hash": f"s{who}"})
        opening.append(took)

    async def visit(next_ones: Iterator[int]) -> None:
        for who in next_ones:
            status, _, _ = await request(
                served, who, "/gradio_api/run/predict", {**opened, "session_hash": f"s{who}"}
            )
            figures.answered += status == 200

    async def look() -> None:
        while True:
            page.append(await timed(served, 1, "/"))
            health.append((await request(served, 1, "/healthz"))[0])
            figures.most_mb = max(figures.most_mb, served.megabytes)
            files.append(served.open_files)
            await asyncio.sleep(0.5)

    async def greedy() -> None:
        for number in range(joins):
            call = {"data": [], "fn_index": 0, "session_hash": f"greedy{number}"}
            status, _, _ = await request(served, 60_000, "/gradio_api/queue/join", call)
            figures.accepted += status == 200
            figures.refused += status == 429

    looking = asyncio.create_task(look())
    next_ones = iter(range(1000, 1000 + sessions))
    await asyncio.gather(greedy(), *(visit(next_ones) for _ in range(4)))
    for who in range(20):
        await open_page(5000 + who)
    await asyncio.gather(*followed)
    looking.cancel()
    await asyncio.sleep(5)
    figures.followers_heard = sum('"mode":"shown"' in last for last in heard)
    figures.page, figures.opening, figures.health = tuple(page), tuple(opening), tuple(health)
    figures.after_mb, figures.files = served.megabytes, (files[0], max(files), served.open_files)
    return figures


def main() -> None:
    """Plays it and prints the figures."""
    with TemporaryDirectory() as folder, served(Path(folder), 200) as server:
        print(asyncio.run(crowd(server, 2500, 500, 2100)))
        print("the same sessions once more, when the job is done:")
        print(asyncio.run(crowd(server, 2500, 0, 2100)))


if __name__ == "__main__":
    main()
