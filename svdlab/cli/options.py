"""The options that several commands share, and the lab that --data-dir names. Knows typer; nothing of commands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from svdlab.errors import BadInput

if TYPE_CHECKING:
    from svdlab.lab.lab import Lab

DTYPES = ("auto", "float32", "float16", "bfloat16")


def _device(value: str) -> str:
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", value):
        raise BadInput(f"device must be auto, cpu, mps, cuda or cuda:1 and so on, got {value!r}")
    return value


def _dtype(value: str) -> str:
    if value not in DTYPES:
        raise BadInput(f"dtype must be {', '.join(DTYPES[:-1])} or {DTYPES[-1]}, got {value!r}")
    return value


DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir", metavar="DIR", help="Where runs and pictures are kept. Default: SVDLAB_DATA_DIR."
    ),
]
Device = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="NAME",
        envvar="SVDLAB_DEVICE",
        show_envvar=False,
        callback=_device,
        help="auto, cpu, cuda, cuda:1 or mps. Default: the best there is.",
        show_default=False,
    ),
]
Dtype = Annotated[
    str,
    typer.Option(
        "--dtype",
        metavar="NAME",
        envvar="SVDLAB_DTYPE",
        show_envvar=False,
        callback=_dtype,
        help="auto, float32, float16 or bfloat16. Default: float16 on cuda, else float32.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON value on stdout.")]
Again = Annotated[
    bool, typer.Option("--again", help="Render anew, even if the same recipe was rendered before.")
]
PicturePath = Annotated[
    str, typer.Argument(metavar="PICTURE", help="The picture to start from.", show_default=False)
]
PresetId = Annotated[
    str | None, typer.Option("--preset", metavar="ID", help="Start from these knobs (svdlab presets).")
]
RunId = Annotated[str, typer.Argument(metavar="RUN", help="A run's id, or 'last'.", show_default=False)]


def data_dir_of(ctx: typer.Context, data_dir: Path | None) -> Path | None:
    """The --data-dir that was given: after the command, or before it; None where there is none."""
    while data_dir is None and ctx.parent is not None:
        ctx = ctx.parent  # type: ignore[assignment]  # typer's own name for the same class
        data_dir = ctx.params.get("data_dir")
    return data_dir


def open_data(ctx: typer.Context, data_dir: Path | None) -> Lab:
    """The lab of --data-dir. It has no worker: opening it renders nothing."""
    from svdlab.lab.lab import Lab

    return Lab(data_dir_of(ctx, data_dir))
