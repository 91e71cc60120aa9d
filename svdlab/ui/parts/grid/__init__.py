"""The grid of a sweep: its cells as they fill in, all clips on one clock, a measure as a heat map, what can be done.

Knows sweeps and their words; nothing of the page's wiring.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

import gradio as gr

from svdlab.errors import BadInput, SvdlabError
from svdlab.exchange.formats import FORMATS
from svdlab.exchange.sweep_export import caption, said
from svdlab.lab.lab import Lab
from svdlab.lab.sweeps import SweepStanding
from svdlab.lab.visit import Visit
from svdlab.metrics.definitions import METRICS
from svdlab.recipes.axes import Axis
from svdlab.recipes.settings import KNOBS
from svdlab.recipes.sweeps import CellStanding, Sweep, View
from svdlab.ui.parts.element import element
from svdlab.ui.words import ago, sentence
from svdlab.words import counted, duration

LATEST = 12
EXPORTS = (
    ("mp4", "MP4 of the grid"),
    ("webp", "Animated WebP"),
    ("png", "Contact sheet"),
    *((name, f"Table as {one.label}") for name, one in FORMATS.items()),
    ("zip", "Zip of the runs"),
)
STATES = {
    "active": "Rendering",
    "paused": "Paused",
    "cancelled": "Cancelled",
    "ended": "Done",
}


def build(name: str) -> gr.HTML:
    """The element; it triggers `sheets`, `measure`, `control`, `full`, `pair` and `deliver`."""
    return element("grid", {}, name=name, before=("grid/view.js",))


def nothing(visit: Visit, problem: str = "") -> dict[str, Any]:
    """No sweep is looked at: those there are, and what went wrong."""
    return {"kind": "none", "error": problem, "latest": latest(visit)}


def latest(visit: Visit) -> list[dict[str, str]]:
    """The latest sweeps of this visitor."""
    return [
        {
            "id": one.id,
            "title": one.title,
            "line": f"{counted(one.cells, 'cell')}, {STATES[one.state].lower()}",
            "when": ago(one.created),
        }
        for one in visit.latest_sweeps(LATEST)
    ]


def shown(visit: Visit, standing: SweepStanding) -> dict[str, Any]:
    """A sweep whole."""
    lab, sweep = visit.lab, standing.sweep
    s = sweep.base.settings
    return {
        "kind": "sweep",
        "id": sweep.id,
        "title": sweep.title,
        "caption": caption(lab, sweep, View.usual(sweep.grid)),
        "own": visit.owns(sweep),
        "dimensions": [_dimension(lab, sweep, d) for d in range(len(sweep.grid.dimensions))],
        "fps": s.effective_playback_fps,
        "shape": s.width / s.height,
        "measures": [[one.name, one.label, one.unit, one.digits, one.better] for one in METRICS.values()]
        + [["seconds", "Rendering time", "s", 1, "lower"]],
        "exports": [list(one) for one in EXPORTS],
        "latest": latest(visit),
        **changed(standing, standing.cells),
    }


def changed(
    standing: SweepStanding, cells: Iterable[CellStanding], now: Mapping[int, str] | None = None
) -> dict[str, Any]:
    """How a sweep is, and these of its cells; `now` is what is going on with those being rendered."""
    return {
        "sweep": standing.sweep.id,
        "state": standing.sweep.state,
        "line": line(standing),
        "verbs": verbs(standing),
        "changed": [[cell.number, cell.state, cell.run or "", cell.said] for cell in cells],
        "now": sorted((now or {}).items()),
    }


def line(standing: SweepStanding) -> str:
    """'Rendering: 5 of 16 cells, about 1:20 min left, 1 failed.'."""
    counts = standing.counts
    parts = [f"{standing.done} of {counted(len(standing.cells), 'cell')}"]
    if standing.sweep.state == "active" and standing.seconds_left:
        parts.append(f"about {duration(standing.seconds_left)} left")
    for state in ("failed", "cancelled", "interrupted", "refused", "gone"):
        if counts.get(state):
            parts.append(f"{counts[state]} {state}")
    return f"{STATES[standing.sweep.state]}: {', '.join(parts)}."


def verbs(standing: SweepStanding) -> list[str]:
    """What can be done with it now."""
    match standing.sweep.state:
        case "active":
            return ["pause", "cancel"]
        case "paused":
            return ["resume", "cancel"]
    return [*(["retry"] if standing.unrendered else []), "delete"]


def _dimension(lab: Lab, sweep: Sweep, d: int) -> dict[str, Any]:
    together = sweep.grid.dimensions[d]
    places = range(sweep.grid.shape[d])
    numeric = len(together) == 1 and together[0].name in KNOBS and KNOBS[together[0].name].kind != "choice"
    return {
        "label": " with ".join(axis.label for axis in together),
        "values": [", ".join(_short(lab, axis, at) for axis in together) for at in places],
        "numbers": [together[0].values[at] for at in places] if numeric else None,
    }


def _short(lab: Lab, axis: Axis, at: int) -> str:
    """A value beneath its axis's name."""
    return said(lab, axis, at) if axis.name in ("checkpoint", "preset") else axis.shown(at)


def view_of(given: Any) -> View:
    """The view that an untrusted event names. Raises `BadInput`."""
    given = given if isinstance(given, dict) else {}
    try:
        rows, columns = (tuple(int(d) for d in given.get(name) or ()) for name in ("rows", "columns"))
        at = {int(d): int(place) for d, place in dict(given.get("at") or {}).items()}
    except (TypeError, ValueError):
        raise BadInput("there is no such view of this sweep") from None
    return View(rows, columns, at)


def answer(**what: Any) -> dict[str, Any]:
    """What came of one thing that was asked for."""
    return {"asked": time.time(), **what}


def problem(error: SvdlabError | OSError) -> dict[str, Any]:
    """Why something could not be done."""
    return answer(error=sentence(error))
