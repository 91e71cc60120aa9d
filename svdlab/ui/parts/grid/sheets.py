"""All frames of a run as one small picture, which a page cuts its frames from: made when it is first looked at.

Knows runs' files; nothing of grids.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from svdlab.clips.sheets import film_sheet
from svdlab.clips.video import small_frames
from svdlab.recipes.records import Run
from svdlab.ui.handover import hand_over

SIDES = (128, 192, 256)  # pixels across one frame
QUALITY = 86


def sheet(run: Run, side: int) -> dict[str, Any]:
    """Where a finished run's sheet is and how it is cut. Raises `BadVideo`, `OSError`."""
    s = run.settings
    side = min(max(side, SIDES[0]), s.width, SIDES[-1])
    name = f"{run.id}-{side}.jpg"
    path = hand_over(name, partial(_write, run, side), key=f"sheet|{name}|{run.finished}")
    height = max(1, round(side * s.height / s.width))
    columns = columns_of(s.num_frames)
    return {
        "run": run.id,
        "path": str(path),
        "frames": s.num_frames,
        "columns": columns,
        "size": [side, height],
    }


def columns_of(frames: int) -> int:
    """How many frames stand in a row of a sheet: about as many as there are rows."""
    return max(1, round(frames**0.5))


def _write(run: Run, side: int, path: Path) -> None:
    frames = small_frames(run.video, side)
    film_sheet(frames, columns_of(len(frames))).save(path, "JPEG", quality=QUALITY, subsampling=0)
