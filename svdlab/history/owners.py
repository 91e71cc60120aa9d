"""Who claims runs: one life of one process of one host, and whether it still lives. Knows no rows."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import psutil

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")  # Linux


def this_process() -> str:
    """host|pid|start: names one life of one process, so a reused pid is not taken for it."""
    return f"{socket.gethostname()}|{os.getpid()}|{_start(os.getpid())}"


def _start(pid: int) -> str | None:
    """When a living process was started; None if it has ended.

    On Linux in ticks since the boot: psutil adds the boot's time to them, which moves when the clock is set.
    """
    if BOOT_ID.is_file():
        try:
            state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return None if state in "ZX" else f"{BOOT_ID.read_text().strip()}-{fields[18]}"
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.2f}"
    except psutil.NoSuchProcess:
        return None


def is_alive(owner: str | None, lease_until: float | None, now: float) -> bool:
    """Whether a claim's owner still lives: by its process on this host, by its lease elsewhere."""
    if not owner:
        return False
    host, pid, start = owner.split("|")
    if host != socket.gethostname():
        return lease_until is not None and lease_until > now
    return _start(int(pid)) == start
