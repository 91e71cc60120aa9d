"""What happens to a run while it waits and is rendered, one frozen event at a time, and how a person is told.

Knows words; nothing of queues, workers or screens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from svdlab.words import duration


@dataclass(frozen=True)
class Event:
    """One thing that happened to a run, as `Lab.watch` yields it.

    `preview` is the predicted clip so far as an animated WebP; `eta` is seconds left.
    """

    run_id: str
    kind: Literal[
        "queued",
        "loading",
        "encoding",
        "step",
        "decoding",
        "saving",
        "done",
        "failed",
        "cancelled",
        "interrupted",
    ]
    step: int = 0
    steps: int = 0
    position: int = 0  # runs ahead of it in the queue
    eta: float | None = None
    preview: bytes | None = None
    message: str = ""

    @property
    def final(self) -> bool:
        """Whether nothing follows."""
        return self.kind in ("done", "failed", "cancelled", "interrupted")

    @property
    def text(self) -> str:
        """What to tell the person, as one short sentence."""
        left = "" if self.eta is None else f", about {duration(self.eta)} left"
        match self.kind:
            case "queued" if self.position:
                return f"Waiting: {self.position} ahead in the queue."
            case "queued":
                return "Next in the queue."
            case "loading":
                return self.message or "Loading the model."
            case "encoding":
                return "Reading the picture."
            case "step":
                return f"Rendering: {self.step} of {self.steps} steps{left}."
            case "decoding":
                return f"Decoding: {self.step} of {self.steps} frames{left}."
            case "saving":
                return "Writing the video."
            case "done":
                return "Done."
            case "cancelled":
                return "Cancelled."
            case "interrupted":
                return "Interrupted before it was finished."
            case _:
                return self.message or "Failed."
