"""`svdlab checkpoints`: what weights there are; add, get, check, convert and compare them."""

from __future__ import annotations

import sys
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from svdlab.cli.flags import SectionedCommand
from svdlab.cli.options import AsJson, DataDir, open_data
from svdlab.errors import Cancelled, CheckpointUnavailable
from svdlab.weights.availability import availability, fetches
from svdlab.weights.layouts.single_files import PART_NAMES
from svdlab.words import listed

if TYPE_CHECKING:
    from svdlab.lab.lab import Lab
    from svdlab.recipes.checkpoint import Checkpoint
    from svdlab.weights.downloads import Download

checkpoints_cli = typer.Typer(rich_markup_mode=None, add_completion=False)
plain = partial(checkpoints_cli.command, cls=SectionedCommand)

CheckpointId = Annotated[
    str, typer.Argument(metavar="ID", help="A checkpoint's id (svdlab checkpoints).", show_default=False)
]
FileOrFolder = Annotated[
    Path,
    typer.Argument(
        metavar="PATH", help="A .safetensors file or a folder in diffusers layout.", show_default=False
    ),
]


@checkpoints_cli.callback(invoke_without_command=True)
def checkpoints(ctx: typer.Context, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """List the checkpoints; add, get, check, convert or compare them.

    Without a command: what each is, whether its weights are here, how large they are, and its licence. Folders named in
    SVDLAB_CHECKPOINT_DIRS (a ComfyUI models folder, say) are looked through.
    """
    if ctx.invoked_subcommand is None:
        _list(ctx, as_json, data_dir)


@plain(name="list")
def list_them(ctx: typer.Context, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """List the checkpoints and where they are."""
    _list(ctx, as_json, data_dir)


def _list(ctx: typer.Context, as_json: bool, data_dir: Path | None) -> None:
    from svdlab.cli import words

    with open_data(ctx, data_dir) as lab:
        if as_json:
            words.say_json([words.checkpoint_json(checkpoint) for checkpoint in lab.catalogue])
        else:
            words.checkpoints_table(lab.catalogue)


@plain()
def add(
    ctx: typer.Context,
    path: FileOrFolder,
    id: Annotated[
        str | None,
        typer.Option("--id", metavar="ID", help="What to call it. Default: from the file's name."),
    ] = None,
    frames: Annotated[
        int | None,
        typer.Option(
            "--frames",
            metavar="N",
            min=1,
            max=128,
            help="Frames it was made for, where the name does not say.",
        ),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(
            "--base",
            metavar="ID",
            help="The checkpoint that lends what a UNet alone does not hold. Default: one that fits and is here.",
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Read all of it first: shapes, names, numbers.")
    ] = True,
    data_dir: DataDir = None,
) -> None:
    """Register a file or folder of weights.

    The file stays where it is. A UNet alone, in Stability's layout or diffusers', goes with the autoencoder and image
    encoder of another checkpoint. Anything that is not Stable Video Diffusion, is broken or holds no finite numbers is
    refused with the defect named. Pickles (.ckpt) are never read.
    """
    remarks: list[str] = []
    with open_data(ctx, data_dir) as lab:
        if check:
            remarks = _verify(lab.registry.read(path, id, frames, base), lab)[3:]
        added = lab.add_checkpoint(path, id, frames, base)
    lent = (
        f", with the {listed([PART_NAMES[part] for part in added.lacks])} of {added.base.id}"
        if added.base
        else ""
    )
    typer.echo(
        f"{added.id}: {added.native_frames} frames, {added.width}×{added.height}, {added.trained_for}{lent}"
    )
    for remark in remarks:
        typer.echo(f"{added.id}: {remark}")


@plain()
def remove(ctx: typer.Context, id: CheckpointId, data_dir: DataDir = None) -> None:
    """Forget a registered checkpoint; its files stay."""
    with open_data(ctx, data_dir) as lab:
        lab.remove_checkpoint(id)
    typer.echo(f"{id}: forgotten; its files are where they were")


@plain()
def pull(ctx: typer.Context, id: CheckpointId, data_dir: DataDir = None) -> None:
    """Download a checkpoint from the hub.

    A stopped download goes on where it stopped. HF_TOKEN, or a login by `hf auth login`, opens gated ones.
    """
    with open_data(ctx, data_dir) as lab:
        checkpoint = lab.catalogue.get(id)
        here = availability(checkpoint)
        if here.ready:
            typer.echo(f"{id}: {here.sentence}")
            return
        if not fetches(checkpoint):
            raise CheckpointUnavailable(f"{id}: {here.sentence}")
        ended = _download(lab, checkpoint)
        if ended.state == "cancelled":
            raise Cancelled(f"stopped; svdlab checkpoints pull {id} goes on from here")
        if ended.state == "failed":
            raise CheckpointUnavailable(ended.sentence)
        typer.echo(f"{id}: {availability(checkpoint).sentence}")


def _download(lab: Lab, checkpoint: Checkpoint) -> Download:
    stop = threading.Event()
    bar = sys.stderr.isatty()

    def show(download: Download) -> None:
        if bar:
            left = f", {download.seconds_left:.0f} s left" if download.seconds_left else ""
            total = download.bytes_total or checkpoint.download_bytes
            line = f"{download.bytes_done / 1e9:.2f} of {total / 1e9:.2f} GB{left}"
            print(f"\r{line:<50}", end="", file=sys.stderr, flush=True)

    lab.downloads.start(checkpoint)
    try:
        ended = lab.downloads.wait(checkpoint.id, show, stop.is_set)
    except KeyboardInterrupt:
        stop.set()
        ended = lab.downloads.wait(checkpoint.id, show, stop.is_set)
    if bar:
        print(file=sys.stderr)
    return ended


@plain()
def verify(ctx: typer.Context, id: CheckpointId, data_dir: DataDir = None) -> None:
    """Read all of a checkpoint's weights: layers, shapes, finite numbers."""
    with open_data(ctx, data_dir) as lab:
        lines = _verify(lab.catalogue.get(id), lab)
    for line in lines:
        typer.echo(line)
    typer.echo(f"{id}: whole")


def _verify(checkpoint: Checkpoint, lab: Lab) -> list[str]:
    """What all of it is, a line per component, then remarks."""
    from svdlab.engine import examine

    return list(examine.verify(checkpoint, lab.hashes))


@plain()
def convert(
    ctx: typer.Context,
    source: Annotated[
        str, typer.Argument(metavar="ID|PATH", help="A checkpoint's id, or a file.", show_default=False)
    ],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to write.", show_default=False)],
    dtype: Annotated[
        str | None,
        typer.Option("--dtype", metavar="NAME", help="float16 or float32. Default: as it is stored."),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Write weights as a folder in diffusers layout."""
    from svdlab.engine import examine
    from svdlab.weights.register import read_checkpoint

    if Path(source).exists():
        checkpoint = read_checkpoint(Path(source))
    else:
        with open_data(ctx, data_dir) as lab:
            checkpoint = lab.catalogue.get(source)
    examine.convert(checkpoint, folder, dtype)
    typer.echo(str(folder))


@plain()
def diff(
    ctx: typer.Context, a: CheckpointId, b: CheckpointId, as_json: AsJson = False, data_dir: DataDir = None
) -> None:
    """Say what differs between two checkpoints' weights.

    Per component, block and kind of layer: how many tensors changed, and by how much (‖b − a‖ / ‖a‖).
    """
    from svdlab.cli import words

    with open_data(ctx, data_dir) as lab:
        first, second = lab.catalogue.get(a), lab.catalogue.get(b)
    from svdlab.engine import examine

    changes = list(examine.diff(first, second))
    if as_json:
        words.say_json([change.__dict__ for change in changes])
        return
    rows = [
        (c.part, c.block or "all of it", c.kind, f"{c.changed} of {c.tensors}", f"{c.relative:.2%}")
        if c.kind != "identical"
        else (c.part, "all of it", "identical", "", "")
        for c in changes
    ]
    words.table(("component", "block", "layers", "changed", "by"), rows)
