"""A comparison while it is rendered: the newest event and preview of each side, as the player shows them.

Knows events; nothing of the page's wiring.
"""

from __future__ import annotations

import time
from typing import Any

from svdlab.lab.lab import Lab
from svdlab.recipes.events import Event
from svdlab.recipes.records import Comparison
from svdlab.ui.parts.picture.small import as_the_model_sees, preview
from svdlab.ui.parts.player import preview_value
from svdlab.ui.parts.stage import fraction
from svdlab.words import duration


class Forming:
    """What is known of a comparison that is being rendered."""

    def __init__(self, lab: Lab, pair: Comparison) -> None:
        self.pair = pair
        self.over = False
        self._cancel = f"{pair.id}:{time.time()}"  # new each time: the player's button is used up by a click
        self._labels = lab.labels(pair)
        self._news: dict[str, Event] = {}
        still = as_the_model_sees(pair.a)
        self._previews = {pair.a.id: still, pair.b.id: still}

    def take(self, event: Event) -> bool:
        """Notes an event; returns whether the player should change.

        In lockstep B's step follows A's at once, and both are shown together.
        """
        if event.run_id not in self._previews:
            return False
        if event.preview:
            self._previews[event.run_id] = preview(event.preview)
        self._news[event.run_id] = event
        a, b = self._sides()
        self.over = bool(a and b and a.final and b.final)
        both_step = a is not None and b is not None and a.kind == b.kind == "step"
        return not (both_step and a and b and abs(a.step - b.step) == 1)

    def value(self) -> dict[str, Any]:
        """The player's value."""
        a, b = self._sides()
        s = self.pair.a.settings
        parts = [fraction(event) if event else 0.0 for event in (a, b)]
        return preview_value(
            *self._previews.values(),
            text=progress(a, b),
            fraction=sum(parts) / 2,
            labels=self._labels,
            size=(s.width, s.height),
            cancel=self._cancel,
        )

    def _sides(self) -> tuple[Event | None, Event | None]:
        return self._news.get(self.pair.a.id), self._news.get(self.pair.b.id)


def comparison_meant(cancel: object) -> str:
    """The comparison's id in what the player's Cancel button was given."""
    return str(cancel).split(":", 1)[0]


def progress(a: Event | None, b: Event | None) -> str:
    """Both sides' progress as one line."""
    if a is None or b is None:
        return (a or b).text if a or b else "Waiting."  # type: ignore[union-attr]
    if (a.kind, a.step, a.steps) == (b.kind, b.step, b.steps):
        if a.kind == "step":
            known = [event.eta for event in (a, b) if event.eta is not None]
            left = f", about {duration(sum(known))} left" if known else ""  # each counts its own work only
            return f"Rendering both: {a.step} of {a.steps} steps{left}."
        if a.kind != "loading":
            return a.text
    return f"A: {a.text} B: {b.text}"
