"""Decoding in a process of its own, under limits of memory and time that really end the work.

Both ends are here: `decode_confined` starts the process and reads what it answers, `child` is what it runs. It takes
the file's bytes on its standard input and answers with one line of JSON and the pixels. A file that makes a decoder
run wild, eat memory or crash ends that process and nothing else. Where the system has no such limits (Windows), the
clock alone ends it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from svdlab.clips.decoding import Pixels, decode
from svdlab.errors import BadPicture

MEMORY_BYTES = 440 * 2**20  # of data; with the libraries' code it stays below 500 MB
WORK_SECONDS = 4.0  # of processor time
COUNTS_WORK = hasattr(signal, "setitimer")  # not on Windows
WAIT_SECONDS = 30.0 if COUNTS_WORK else 8.0  # by the clock: a busy machine gives a process a part of it
START = (
    "import sys; sys.path[:0] = sys.argv[1:2]; sys.path += sys.argv[4:];"
    "from svdlab.clips.confined import child; child(*sys.argv[2:4])"
)


def decode_confined(name: str, kind: str, data: bytes) -> Pixels:
    """As `decoding.decode`, whatever the file does. Raises `BadPicture`."""
    paths = [os.path.abspath(path) for path in sys.path]  # noqa: PTH100  # "" is where we are
    command = [sys.executable, "-I", "-c", START, str(Path(__file__).parents[2]), kind, name, *paths]
    try:
        ended = subprocess.run(
            command,
            input=data,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=WAIT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise BadPicture(_too_slow(name)) from None
    except OSError as error:
        raise BadPicture(f"{name} could not be read: no process could be started for it ({error})") from None
    line, _, pixels = ended.stdout.partition(b"\n")
    try:
        answer = json.loads(line)
    except ValueError:
        raise BadPicture(_how_it_ended(name, kind, ended.returncode)) from None
    if "refused" in answer:
        raise BadPicture(answer["refused"])
    size = answer["width"], answer["height"]
    if len(pixels) != 3 * size[0] * size[1]:  # ended while it answered
        raise BadPicture(_how_it_ended(name, kind, ended.returncode))
    return Pixels(size, pixels, answer["sha256"], tuple(answer["notes"]))


def child(kind: str, name: str) -> None:
    """What the process does: limits itself, decodes what it is sent and answers."""
    _limit()
    out = sys.stdout.buffer
    try:
        found = decode(name, kind, sys.stdin.buffer.read())
    except BadPicture as error:
        out.write(json.dumps({"refused": str(error)}).encode())
        return
    width, height = found.size
    told = {"width": width, "height": height, "sha256": found.sha256, "notes": found.notes}
    out.write(json.dumps(told).encode() + b"\n")
    out.write(found.rgb)


def _limit() -> None:
    """Memory and processor time from here on: the kernel refuses the one and ends the process after the other."""
    from PIL import AvifImagePlugin

    AvifImagePlugin.DEFAULT_MAX_THREADS = 2  # each takes memory for its stack and its part of the frame
    if not COUNTS_WORK:
        return
    import resource  # where there is one, there is the other

    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # which ends the process, whatever C code is running
    signal.setitimer(signal.ITIMER_PROF, WORK_SECONDS)
    for limit, most in ((resource.RLIMIT_DATA, MEMORY_BYTES), (resource.RLIMIT_CORE, 0)):
        _, hard = resource.getrlimit(limit)
        resource.setrlimit(limit, (most if hard < 0 else min(most, hard), hard))


def _how_it_ended(name: str, kind: str, code: int) -> str:
    """Why there is no answer: the signal that ended the process says so."""
    if COUNTS_WORK and code == -signal.SIGPROF:
        return _too_slow(name)
    if COUNTS_WORK and code == -signal.SIGKILL:  # the kernel, for want of memory
        return f"{name} needs more memory than there is; reduce it or save it as JPEG"
    return f"{name} is a {kind} that makes its decoder fail; export it again as PNG or JPEG"


def _too_slow(name: str) -> str:
    return f"{name} takes longer than {WORK_SECONDS:.0f} seconds to read; export it again as PNG or JPEG"
