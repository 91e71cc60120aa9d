"""Where a run is kept: a clock for its minutes, a learning-rate course, state that survives a stop."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

SAVE_SECONDS = 240.0  # the held-out clips take a part of them
LONGEST_STEP = 100.0  # seconds
GPU_TIMES = 12  # a GPU takes so many times a CPU's clips a step: on a CPU small batches learn more in an hour


def device_of(wanted: str) -> torch.device:
    """'auto' is CUDA where there is one."""
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(wanted)


def autocast(device: torch.device) -> contextlib.AbstractContextManager[object]:
    """bfloat16 where the device computes in it, float32 elsewhere: a CPU that has to imitate it takes twenty times as
    long.
    """
    if device.type == "cpu":
        able = torch.cpu.get_capabilities()
        if not (able.get("amx_bf16") or able.get("avx512_bf16")):
            return contextlib.nullcontext()
    return torch.autocast(device.type, torch.bfloat16)


def as_laid_out(
    module: nn.Module,
    flat: torch.memory_format = torch.channels_last,
    deep: torch.memory_format = torch.channels_last_3d,
) -> None:
    """Lays a module's convolutions out in memory: channels last, a training step in bfloat16 takes a sixth less time
    on a CPU. `flat` for those over pictures, `deep` for those over clips.
    """
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            part.to(memory_format=flat)
        elif isinstance(part, nn.Conv3d):
            part.to(memory_format=deep)


def times(device: torch.device) -> int:
    """How many times a CPU's batch this device takes."""
    return GPU_TIMES if device.type == "cuda" else 1


class Clock:
    """Time worked of a given number of minutes. Warm up, hold, and fall over the last 60 %.

    `spent` are the seconds of an earlier start that was stopped. A process that is paused does not work: no step counts
    for more than `LONGEST_STEP`.
    """

    def __init__(self, minutes: float, spent: float = 0.0):
        self.seconds, self.spent, self.updates = minutes * 60, spent, 0
        self._seen = self._reported = time.monotonic()

    @property
    def done(self) -> float:
        """Share of the time that is spent, 0 to 1 and beyond."""
        return self.spent / max(self.seconds, 1e-9)

    def running(self) -> bool:
        """Whether there is time left, or nothing done yet; counts a step."""
        now = time.monotonic()
        self.spent += min(now - self._seen, LONGEST_STEP)
        self._seen = now
        self.updates += 1
        return self.done < 1 or self.updates == 1

    def factor(self) -> float:
        """What the learning rate is multiplied with now."""
        return min(1.0, self.updates / 40) * (0.05 + 0.95 * min(1.0, max(0.0, 1 - self.done) / 0.6))

    def report(self) -> bool:
        """Whether it is time to say something and to save: every few minutes."""
        now = time.monotonic()
        if now - self._reported > SAVE_SECONDS:
            self._reported = now
            return True
        return False

    def text(self) -> str:
        """Minutes spent, of how many."""
        return f"{self.spent / 60:.1f}/{self.seconds / 60:.0f} min"


def save_state(folder: Path, **state: Any) -> None:
    """A trainer's state and what else is known, replaced whole."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / "state.tmp"
    torch.save(state, temporary)
    temporary.replace(folder / "state.pt")


def load_state(folder: Path) -> dict[str, Any] | None:
    """What `save_state` wrote, or None."""
    path = folder / "state.pt"
    return torch.load(path, map_location="cpu", weights_only=True) if path.is_file() else None
