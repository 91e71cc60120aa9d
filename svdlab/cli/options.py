"""The options that several commands share, and the lab that --data-dir names. Knows typer; nothing of commands."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from svdlab.environment import DEVICE_WANTED, DTYPE_WANTED, Environment, device_name, dtype_name
from svdlab.errors import BadInput

if TYPE_CHECKING:
    from svdlab.lab.lab import Lab


def environment_of(ctx: typer.Context) -> Environment:
    """What the environment asks for, read when a command first needs it. Raises `BadInput`."""
    root = ctx.find_root()
    if root.obj is None:
        root.obj = Environment.read()
    found: Environment = root.obj
    return found


def _device(ctx: typer.Context, value: str) -> str:
    try:
        return device_name(value) if value else environment_of(ctx).device
    except ValueError:
        raise BadInput(f"device must be {DEVICE_WANTED}, got {value!r}") from None


def _dtype(ctx: typer.Context, value: str) -> str:
    try:
        return dtype_name(value) if value else environment_of(ctx).dtype
    except ValueError:
        raise BadInput(f"dtype must be {DTYPE_WANTED}, got {value!r}") from None


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
CheckpointId = Annotated[
    str | None,
    typer.Option("--checkpoint", "-c", metavar="ID", help="Which weights. Default: the best here."),
]
PresetId = Annotated[
    str | None, typer.Option("--preset", metavar="ID", help="Start from these knobs (svdlab presets).")
]
LoraFiles = Annotated[
    list[str] | None,
    typer.Option(
        "--lora",
        metavar="FILE[:STRENGTH]",
        help="Add a LoRA to the UNet: its file, or its id (svdlab loras). Several times for several.",
    ),
]
OnCluster = Annotated[
    str,
    typer.Option(
        "--cluster",
        metavar="ADDRESS",
        help="Render on a Ray cluster: auto, local, host:port or ray://host:port.",
    ),
]
RunId = Annotated[str, typer.Argument(metavar="RUN", help="A run's id, or 'last'.", show_default=False)]


def use_cluster(ctx: typer.Context, address: str) -> None:
    """Has the whole command go by that cluster, if one is named, as if the environment had named it."""
    if address:
        ctx.find_root().obj = replace(environment_of(ctx), cluster=address, worker=None)


def data_dir_of(ctx: typer.Context, data_dir: Path | None) -> Path | None:
    """The --data-dir that was given: after the command, or before it; None where there is none."""
    while data_dir is None and ctx.parent is not None:
        ctx = ctx.parent  # type: ignore[assignment]  # typer's own name for the same class
        data_dir = ctx.params.get("data_dir")
    return data_dir


def open_data(ctx: typer.Context, data_dir: Path | None) -> Lab:
    """The lab of --data-dir. It has no worker: opening it renders nothing."""
    from svdlab.lab.lab import Lab

    return Lab(data_dir_of(ctx, data_dir), environment=environment_of(ctx))
