"""What every stage needs: a device, a clock that sets the learning rate, state that survives a stop."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch

SAVE_SECONDS = 120.0


def device_of(wanted: str) -> torch.device:
    """'auto' is CUDA where there is one."""
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(wanted)


class Clock:
    """Time spent of a given number of minutes. Warm up, hold, and fall over the last 60 %."""

    def __init__(self, minutes: float):
        self.seconds, self.started, self.updates, self.last = (
            minutes * 60,
            time.monotonic(),
            0,
            time.monotonic(),
        )

    @property
    def done(self) -> float:
        """Share of the time that is spent, 0 to 1 and beyond."""
        return (time.monotonic() - self.started) / max(self.seconds, 1e-9)

    def running(self) -> bool:
        """Whether there is time left; counts a step."""
        self.updates += 1
        return self.done < 1

    def factor(self) -> float:
        """What the learning rate is multiplied with now."""
        return min(1.0, self.updates / 40) * (0.05 + 0.95 * min(1.0, max(0.0, 1 - self.done) / 0.6))

    def report(self, steps: int) -> bool:
        """Whether it is time to say something and to save: first, then every two minutes."""
        now = time.monotonic()
        if self.updates == 1 or now - self.last > SAVE_SECONDS:
            self.last = now
            return True
        return False

    def text(self) -> str:
        """Minutes spent, of how many."""
        return f"{self.done * self.seconds / 60:.1f}/{self.seconds / 60:.0f} min"


def save_state(folder: Path, model: Any, **state: Any) -> None:
    """The averaged model in diffusers layout and the trainer's state beside it, the latter replaced whole."""
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    temporary = folder / "state.tmp"
    torch.save(state, temporary)
    temporary.replace(folder / "state.pt")


def load_state(folder: Path) -> dict[str, Any] | None:
    """What `save_state` wrote, or None."""
    path = folder / "state.pt"
    return torch.load(path, map_location="cpu", weights_only=True) if path.is_file() else None
