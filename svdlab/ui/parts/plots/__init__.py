"""What was measured frame by frame, of one clip or two, as lines that follow the player, and one row of pixels over
time; drawn inside other parts.

A click on a line goes to that frame. `SCRIPTS` are put in front of the script of a part that draws them. Knows runs'
files and the metrics' declarations; nothing of a page's wiring.
"""

from __future__ import annotations

from typing import Any

from svdlab.history.run_files import read_measured
from svdlab.metrics.definitions import METRICS, edition
from svdlab.recipes.records import Run

SCRIPTS = ("plots/plots.js", "plots/slices.js")


def value(*runs: Run) -> dict[str, Any] | None:
    """The lines of each metric that is known by frame, and the camera's paths in px; None where there are none.

    Of runs that were measured in an older way there are none until they are measured again.
    """
    found = [read_measured(run.folder) if run.done else None for run in runs]
    sides = [one if one is not None and one.edition == edition() else None for one in found]
    lines = [
        {
            "label": metric.label,
            "unit": metric.unit,
            "digits": metric.digits,
            "help": metric.help,
            "sides": [list(one.series.get(name, ())) if one else [] for one in sides],
        }
        for name, metric in METRICS.items()
        if any(one and name in one.series for one in sides)
    ]
    if not lines:
        return None
    return {"lines": lines, "paths": [list(one.path) if one else [] for one in sides]}
