"""`svdlab loras`: the LoRA files there are; add and forget them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from svdlab.cli.flags import SectionedCommand
from svdlab.cli.options import AsJson, DataDir, open_data
from svdlab.words import counted, size

if TYPE_CHECKING:
    from svdlab.recipes.loras import LoraFile

loras_cli = typer.Typer(rich_markup_mode=None, add_completion=False)
plain = partial(loras_cli.command, cls=SectionedCommand)


@loras_cli.callback(invoke_without_command=True)
def loras(ctx: typer.Context, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """List the LoRA files; add or forget them.

    A LoRA is a small file of changes to a UNet's layers. svdlab generate --lora ID:STRENGTH adds one to any checkpoint
    whose layers it fits; a file named there is registered by itself.
    """
    if ctx.invoked_subcommand is None:
        _list(ctx, as_json, data_dir)


@plain(name="list")
def list_them(ctx: typer.Context, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """List the LoRA files."""
    _list(ctx, as_json, data_dir)


def _list(ctx: typer.Context, as_json: bool, data_dir: Path | None) -> None:
    from svdlab.cli import words

    with open_data(ctx, data_dir) as lab:
        found = list(lab.loras)
    if as_json:
        words.say_json([one.__dict__ for one in found])
    elif not found:
        words.say("There are no LoRA files here; svdlab loras add FILE registers one.")
    else:
        rows = [
            (one.id, str(one.layers), str(one.rank), size(one.bytes), one.sha256[:8], one.path)
            for one in found
        ]
        words.table(("id", "layers", "rank", "bytes", "sha256", "file"), rows)


@plain()
def add(
    ctx: typer.Context,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A .safetensors file of a LoRA.", show_default=False)
    ],
    id: Annotated[
        str | None,
        typer.Option("--id", metavar="ID", help="What to call it. Default: from the file's name."),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Register a LoRA file.

    The file stays where it is. PEFT's, diffusers' and kohya's names are read, for linear layers and convolutions. What
    is no plain LoRA for a UNet is refused with the defect named; whether one fits a checkpoint is found when it is
    added to it, whole or not at all.
    """
    with open_data(ctx, data_dir) as lab:
        added = lab.loras.add(file, id)
    typer.echo(_line(added))


@plain()
def remove(
    ctx: typer.Context,
    id: Annotated[str, typer.Argument(metavar="ID", help="A LoRA's id (svdlab loras).", show_default=False)],
    data_dir: DataDir = None,
) -> None:
    """Forget a LoRA; its file stays."""
    with open_data(ctx, data_dir) as lab:
        lab.loras.remove(id)
    typer.echo(f"{id}: forgotten; its file is where it was")


def _line(one: LoraFile) -> str:
    return f"{one.id}: {counted(one.layers, 'layer')}, rank {one.rank}, {size(one.bytes)}, sha256 {one.sha256[:8]}"
