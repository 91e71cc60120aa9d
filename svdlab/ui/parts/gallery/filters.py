"""What a gallery is filtered and sorted by: the choices there are, and the search an address or form asks for.

Knows searches and the lab's words; nothing of tiles.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

from svdlab.errors import BadInput
from svdlab.exchange.tables import FORMATS
from svdlab.history.conditions import parse_where
from svdlab.history.search import RunQuery
from svdlab.lab.lab import Lab
from svdlab.metrics.definitions import METRICS
from svdlab.recipes.records import RUN_STATES, Run
from svdlab.recipes.settings import KNOBS
from svdlab.ui.words import STATE_WORDS, knob_words
from svdlab.words import duration, size

SORT_WORDS = {
    "created": "Date",
    "seconds": "Rendering time",
    "peak_memory_bytes": "Memory",
    "rating": "Rating",
    "checkpoint": "Checkpoint",
    "preset": "Preset",
}


def exports() -> list[list[str]]:
    """What chosen runs can be exported as: [[value, words]]."""
    return [*([one.name, f"Table as {one.label}"] for one in FORMATS.values()), ["zip", "Zip with videos"]]


def choices(lab: Lab) -> dict[str, Any]:
    """What can be chosen in each filter: [[value, words]]."""
    facets = lab.history.facets()
    names = {c.id: c.name for c in lab.catalogue}
    presets = {preset.id: preset.name for preset in lab.presets}
    return {
        "checkpoint": [[id, f"{names.get(id, id)} ({n})"] for id, n in facets.checkpoints],
        "preset": [[id, f"{presets.get(id, id)} ({n})"] for id, n in facets.presets],
        "tag": [[tag, f"{tag} ({n})"] for tag, n in facets.tags],
        "state": [[state, STATE_WORDS[state]] for state in RUN_STATES],
        "rating": [[str(n), f"{n} or more" if n < 5 else "5"] for n in range(1, 6)],
        "sort": [
            ["", [[name, words] for name, words in SORT_WORDS.items()]],
            ["Measured", [[name, metric.label] for name, metric in METRICS.items()]],
            ["Knobs", [[name, knob.label] for name, knob in KNOBS.items()]],
        ],
    }


def read_query(asked: Mapping[str, Any]) -> RunQuery:
    """What the address or the filters ask for: untrusted text by name. Raises `BadInput`."""

    def text(name: str) -> str:
        return str(asked.get(name) or "").strip()

    rating = text("rating")
    if rating and not rating.isdigit():
        raise BadInput(f"rating must be a whole number from 0 to 5, got {rating[:40]!r}")
    return RunQuery(
        checkpoint=text("checkpoint") or None,
        preset=text("preset") or None,
        picture=text("picture") or None,
        since=_day(text("since"), "From"),
        until=_day(text("until"), "To", after=True),
        states=(text("state"),) if text("state") else (),  # type: ignore[arg-type]  # a query checks its states
        rating=int(rating) if rating else None,
        starred=True if text("starred") else None,
        tags=(text("tag"),) if text("tag") else (),
        text=text("text"),
        bin=bool(text("bin")),
        sort=text("sort") or "created",
        descending=text("order") != "up",
        where=parse_where(text("where")),
    )


def _day(text: str, name: str, after: bool = False) -> float | None:
    """A day as seconds since 1970 in this machine's time: its beginning, or its end."""
    if not text:
        return None
    try:
        day = date.fromisoformat(text[:10]) + timedelta(days=1 if after else 0)
        return datetime(day.year, day.month, day.day).timestamp()
    except (ValueError, OverflowError, OSError):
        raise BadInput(f"{name} must be a day such as 2026-01-31, got {text[:40]!r}") from None


def sort_line(run: Run, sort: str) -> str:
    """The value a gallery is sorted by, as a tile shows it; empty where the tile shows it anyway."""
    if sort in METRICS:
        value = run.outcome.metrics.get(sort)
        return "" if value is None else f"{METRICS[sort].label} {METRICS[sort].text(value)}"
    if sort in KNOBS:
        return f"{KNOBS[sort].label} {knob_words(run, sort)}"
    if sort == "seconds":
        spent = sum(v for k, v in run.outcome.seconds.items() if k != "load")
        return f"Rendered in {duration(spent)}" if spent else ""
    if sort == "peak_memory_bytes":
        return f"{size(run.outcome.peak_memory_bytes)} of memory" if run.outcome.peak_memory_bytes else ""
    return ""
