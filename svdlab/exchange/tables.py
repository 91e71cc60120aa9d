"""Runs as a table: one row per run, every knob, metric, timing and version a column.

Knows records and, when a table is asked for, pandas; nothing of models or screens. Zips of runs are
in `svdlab.exchange.zip_writing` and `svdlab.exchange.zip_reading`, and can be had from here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from svdlab.errors import BadInput
from svdlab.exchange.formats import FORMATS
from svdlab.exchange.zip_reading import ImportReport, Refusal, read_zip
from svdlab.exchange.zip_writing import Written, write_zip
from svdlab.metrics.definitions import METRICS
from svdlab.recipes.records import Run
from svdlab.recipes.settings import KNOBS

if TYPE_CHECKING:
    import pandas

__all__ = [
    "FORMATS",
    "ImportReport",
    "Refusal",
    "Written",
    "read_zip",
    "to_table",
    "write_table",
    "write_zip",
]

TIMINGS = ("load", "encode", "denoise", "decode", "write")
MOMENTS = ("created", "started", "finished", "deleted")  # UTC
WHOLE = ("rating", "decode_chunk_size", "used_decode_chunk_size", "peak_memory_bytes")  # may be empty


def to_table(runs: Iterable[Run]) -> pandas.DataFrame:
    """One row per run in the order given. Needs pandas.

    Columns: the run's id, state and times (UTC), what a person said of it, every knob by its name, every metric,
    `seconds_…` per stage, memory in bytes, and `version_…` per library. What a run has not is empty; the columns are
    the same for no runs at all, but for versions and metrics that only some runs have.
    """
    import pandas as pd

    rows = [_row(run) for run in runs]
    later = sorted({name for row in rows for name in row} - set(_columns()))
    table = pd.DataFrame(rows, columns=[*_columns(), *later])
    for name in MOMENTS:
        table[name] = pd.to_datetime(table[name].astype("float64"), unit="s", utc=True)
    for name in WHOLE:
        table[name] = table[name].astype("Int64")
    for name in (*METRICS, *(f"seconds_{part}" for part in TIMINGS), "playback_fps"):
        table[name] = table[name].astype("float64")
    return table


def _columns() -> list[str]:
    return [
        *("id", "state", "created", "started", "finished", "deleted", "checkpoint", "preset", "comparison"),
        *("picture_sha256", "loras", "recipe_hash", "starred", "rating", "note", "tags", *KNOBS, *METRICS),
        *(f"seconds_{part}" for part in TIMINGS),
        *(
            "device",
            "dtype",
            "peak_memory_bytes",
            "used_decode_chunk_size",
            "sampling",
            "offload",
            "fallbacks",
        ),
        *("noise_sha256", "video_sha256", "latents_of", "error"),
    ]


def _row(run: Run) -> dict[str, Any]:
    outcome = run.outcome
    return {
        "id": run.id,
        "state": run.state,
        "created": run.created,
        "started": run.started,
        "finished": run.finished,
        "deleted": run.deleted,
        "checkpoint": run.recipe.checkpoint,
        "preset": run.preset,
        "comparison": run.comparison,
        "picture_sha256": run.recipe.picture_sha256,
        "loras": ", ".join(f"{lora.sha256} {lora.strength:g}" for lora in run.recipe.loras) or None,
        "recipe_hash": run.recipe.hash,
        "starred": run.starred,
        "rating": run.rating,
        "note": run.note or None,
        "tags": ", ".join(run.tags) or None,
        **run.settings.model_dump(),
        **outcome.metrics,
        **{f"seconds_{part}": value for part, value in outcome.seconds.items()},
        "device": outcome.device or None,
        "dtype": outcome.dtype or None,
        "peak_memory_bytes": outcome.peak_memory_bytes or None,
        "used_decode_chunk_size": outcome.decode_chunk_size or None,
        "sampling": outcome.sampling or None,
        "offload": outcome.offload or None,
        "fallbacks": " ".join(outcome.fallbacks) or None,
        "noise_sha256": outcome.noise_sha256 or None,
        "video_sha256": outcome.video_sha256 or None,
        "latents_of": run.latents_of,
        "error": run.error,
        **{f"version_{name}": version for name, version in run.recipe.versions.items()},
    }


def write_rows(path: Path, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Writes rows in the format of `FORMATS` that the path ends with. Raises `BadInput` where it cannot be written."""
    import pandas as pd

    FORMATS[path.suffix.lower().removeprefix(".")].write(
        pd.DataFrame(list(rows), columns=list(columns)), path
    )


def write_table(runs: Iterable[Run], path: Path, format: str = "csv") -> int:
    """Writes `to_table` in one of `FORMATS` and returns the number of rows.

    Raises `BadInput` for another format, one that needs what is not installed, or a file that cannot be written.
    """
    if format not in FORMATS:
        raise BadInput(f"a table can be written as {' or '.join(FORMATS)}, got {format[:40]!r}")
    table = to_table(runs)
    FORMATS[format].write(table, path)
    return len(table)
