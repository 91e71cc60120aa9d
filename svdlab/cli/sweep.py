"""`svdlab sweep`: a picture and axes in, a grid of clips out; and `svdlab sweeps`, which lists them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from svdlab.cli import files, words
from svdlab.cli.flags import knob_flags
from svdlab.cli.options import (
    AsJson,
    DataDir,
    Device,
    Dtype,
    LoraFiles,
    OnCluster,
    PresetId,
    open_data,
    use_cluster,
)
from svdlab.cli.progress import can_render, must_be_here, worker_for
from svdlab.cli.wanted import say_notes, start_of, wanted
from svdlab.errors import BadInput, Cancelled, RenderFailed
from svdlab.exchange.formats import FORMATS
from svdlab.history.sweeps import check_measured
from svdlab.recipes.axes import Axis, axis_of, read_axis
from svdlab.recipes.ready_sweeps import READY, ready_sweep
from svdlab.words import counted, duration, size

if TYPE_CHECKING:
    from svdlab.lab.lab import Lab
    from svdlab.lab.sweep_plans import Plan
    from svdlab.lab.sweeps import SweepStanding
    from svdlab.recipes.sweeps import Sweep
    from svdlab.workers import Compute

ENDINGS = (".mp4", ".webp", ".png", *(one.ending for one in FORMATS.values()), ".zip")
MOST_LISTED = 200


@knob_flags
def sweep(
    ctx: typer.Context,
    pictures: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PICTURE…",
            help="The picture to start from; several, or a folder of them, are an axis.",
            show_default=False,
        ),
    ] = None,
    axis: Annotated[
        list[str] | None,
        typer.Option(
            "--axis",
            metavar="NAME=VALUES",
            help="What varies: any knob, checkpoint or preset. 20,80,127 or 1..10 or 0..100+20 or 1..255[6].",
        ),
    ] = None,
    ready: Annotated[
        str | None,
        typer.Option(
            "--ready", metavar="ID", help=f"Axes to begin with: {', '.join(one.id for one in READY)}."
        ),
    ] = None,
    together: Annotated[
        list[str] | None,
        typer.Option("--zip", metavar="NAMES", help="These axes change together: fps,motion_bucket_id."),
    ] = None,
    skip: Annotated[
        list[str] | None,
        typer.Option(
            "--skip", metavar="CONDITIONS", help="Leaves cells out of which all hold: 'fps>8 seed=1'."
        ),
    ] = None,
    checkpoint: Annotated[
        str | None,
        typer.Option(
            "--checkpoint", "-c", metavar="IDS", help="Which weights; several, with commas, are an axis."
        ),
    ] = None,
    preset: PresetId = None,
    lora: LoraFiles = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help=f"Write all of it there: {', '.join(ENDINGS)}."),
    ] = None,
    best: Annotated[
        int | None,
        typer.Option(
            "--best", metavar="N", min=1, help="Then render the N best cells in full: a scout's finds."
        ),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            "--by", metavar="MEASURES", help="What --best goes by: camera_jerk, or several with commas."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what there would be, and render nothing.")
    ] = False,
    resume: Annotated[
        str | None,
        typer.Option(
            "--resume", metavar="ID", help="Go on with a sweep, by its id or 'last', and write what -o says."
        ),
    ] = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
    device: Device = "",
    dtype: Dtype = "",
    cluster: OnCluster = "",
    *,
    changes: dict[str, str],
) -> None:
    """Make a grid of clips: what varies, crossed with what else varies.

    Cells are ordinary runs; one that was rendered before is used again, and one that fails stops none of the others.
    Ctrl-C stops the sweep so that --resume goes on with it. Knobs that are not given are the preset's, else what the
    checkpoint's makers use; without --seed one is drawn, for all cells.
    """
    use_cluster(ctx, cluster)
    if output is not None:
        files.check_path(output, ENDINGS)
    if (best is None) != (by is None):
        raise BadInput("--best and --by go together, as in --best 4 --by camera_jerk")
    _check_measures(by)
    with open_data(ctx, data_dir) as lab:
        if resume is not None:
            if pictures or axis or ready:
                raise BadInput("--resume goes on with a sweep as it was; give no picture and no axes with it")
            made = _resumed(lab, resume)
            compute = can_render(lab, device, dtype)
        else:
            asked = _Asked(
                pictures or [], axis or [], ready, together or [], skip or [], checkpoint, preset, lora or []
            )
            plan = _planned(lab, asked, changes, device, dtype)
            if dry_run:
                _tell_plan(plan, as_json)
                plan.check()
                return
            _say_plan(plan)
            plan.check()
            must_be_had(lab, plan)
            compute = can_render(lab, device, dtype)
            made = lab.sweeps.submit(plan)
        standing = _rendered(lab, made, compute)
        if best is not None and by is not None:
            made = _best_in_full(lab, made, best, by)
            standing = _rendered(lab, made, compute)
        if output is not None and standing.done:
            from svdlab.exchange.sweep_export import write_sweep

            write_sweep(lab, made, output)
        _tell(standing, output, as_json)
        failed = standing.unrendered
        if failed:
            raise RenderFailed(
                f"{failed} of {counted(len(standing.cells), 'cell')} made no clip; "
                f"svdlab sweep --resume {made.id} tries them again"
            )


def sweeps(
    ctx: typer.Context,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, max=MOST_LISTED, help="How many.")
    ] = 20,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """List the latest sweeps, newest first."""
    with open_data(ctx, data_dir) as lab:
        found = [lab.sweeps.standing(one.id) for one in lab.history.sweeps(limit)]
    if as_json:
        words.say_json([_as_json(standing) for standing in found])
        return
    rows = [
        (
            one.sweep.id,
            one.sweep.state,
            time.strftime("%Y-%m-%d %H:%M", time.localtime(one.sweep.created)),
            f"{one.done} of {len(one.cells)}",
            one.sweep.title,
        )
        for one in found
    ]
    if rows:
        words.table(("sweep", "state", "when", "cells done", "what varies"), rows)


# Asking


@dataclass(frozen=True)
class _Asked:
    """The options that say what varies."""

    pictures: list[str]
    axes: list[str]
    ready: str | None
    together: list[str]
    skip: list[str]
    checkpoint: str | None
    preset: str | None
    loras: list[str]


def _planned(lab: Lab, asked: _Asked, changes: dict[str, str], device: str, dtype: str) -> Plan:
    """What there would be. A wrong axis is said before any picture is read. Raises `BadInput`, `NotFound`."""
    from svdlab.recipes.sweeps import grid_of
    from svdlab.workers import Compute

    axes = _axes(lab, asked)
    chosen = next((axis for axis in axes if axis.name == "checkpoint"), None)
    checkpoint = str(chosen.values[0]) if chosen is not None else asked.checkpoint
    clip = wanted(lab, checkpoint, asked.preset, None, changes, asked.loras)
    several = files.pictures_in(asked.pictures)
    if not asked.pictures:
        raise BadInput("missing argument PICTURE: the picture to start from; see svdlab sweep --help")
    if several is None:
        start = start_of(lab, asked.pictures[0], None)
    else:
        axes.append(lab.sweeps.picture_axis(several))
        start = lab.picture(str(axes[-1].values[0]))
    grid = grid_of(axes, [names.split(",") for names in asked.together], asked.skip)
    base, notes = clip.recipe(lab, start)
    say_notes(tuple(note for note in notes if note.field not in {axis.name for axis in axes}))
    lab.numbers = Compute.of(lab.environment, device, dtype).numbers
    return lab.sweeps.plan(base, grid, clip.preset, told=changes)


def _axes(lab: Lab, asked: _Asked) -> list[Axis]:
    a, b = lab.catalogue.pair()
    ready = ready_sweep(asked.ready).texts((a.id, b.id)) if asked.ready else ()
    axes = [axis_of(name, values) for name, values in ready]
    for text in asked.axes:
        axis = read_axis(text)
        if axis.name == "picture":
            raise BadInput(
                "pictures are given by themselves, several of them or a folder, before the options"
            )
        axes = [one for one in axes if one.name != axis.name or not ready] + [
            axis
        ]  # own values in place of ready ones
    if asked.checkpoint and "," in asked.checkpoint:
        axes.append(axis_of("checkpoint", asked.checkpoint))
    return axes


def must_be_had(lab: Lab, plan: Plan) -> None:
    """Raises `CheckpointUnavailable` before anything is queued if weights of a cell can surely not be had."""
    for id in {
        plan.base.checkpoint,
        *(cell.changes.get("checkpoint", plan.base.checkpoint) for cell in plan.cells),
    }:
        must_be_here(lab.catalogue.get(id))


def _resumed(lab: Lab, word: str) -> Sweep:
    """The sweep that is to go on; one whose cells are all done is as it is."""
    from svdlab.lab.sweeps import sweep_meant

    id = sweep_meant(lab.history.sweeps(1), word)
    standing = lab.sweeps.standing(id)
    if standing.unrendered or standing.sweep.state == "paused":
        lab.sweeps.resume(id)
    return lab.history.sweep(id)


def _best_in_full(lab: Lab, scouted: Sweep, best: int, by: str) -> Sweep:
    """A sweep of the best cells of another with all the steps, accepted. Raises `BadInput`."""
    numbers = lab.sweeps.best(scouted.id, _measures(by), best)
    base, grid, preset = lab.sweeps.in_full(scouted.id, numbers)
    plan = lab.sweeps.plan(base, grid, preset)
    words.say(f"The best by {by}, in full. {plan_line(plan)}")
    return lab.sweeps.submit(plan)


def _measures(by: str) -> list[str]:
    return [name.strip().replace("-", "_") for name in by.split(",")]


def _check_measures(by: str | None) -> None:
    """Raises `BadInput` before anything is rendered."""
    for name in _measures(by) if by else ():
        check_measured(name)


# Rendering


def _rendered(lab: Lab, made: Sweep, compute: Compute) -> SweepStanding:
    """Renders a sweep's cells here and shows how far it is. Ctrl-C leaves it paused: then raises `Cancelled`."""
    from svdlab.history.turns import OfSweep

    worker_for(lab, compute, OfSweep(made.id)).start()
    try:
        with _bar(made.cells) as show:
            for standing in lab.sweeps.watch(made.id):
                show(standing)
    except KeyboardInterrupt:
        if lab.history.sweep(made.id).state == "active":
            lab.sweeps.pause(made.id)
        done = lab.sweeps.standing(made.id).done
        raise Cancelled(
            f"stopped; {done} of {counted(made.cells, 'cell')} are done and kept; "
            f"svdlab sweep --resume {made.id} goes on"
        ) from None
    return lab.sweeps.standing(made.id)


@contextmanager
def _bar(cells: int) -> Iterator[Callable[[SweepStanding], None]]:
    """One bar over all cells, with the time that is left; nothing where nobody looks."""
    if not sys.stderr.isatty():
        yield lambda standing: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.fields[count]}"),
        BarColumn(bar_width=30),
        TimeElapsedColumn(),
        TextColumn("{task.fields[said]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=cells, said="", count=f"0 of {cells}")

        def show(standing: SweepStanding) -> None:
            ended = sum(not cell.pending for cell in standing.cells)
            failed = standing.counts.get("failed", 0)
            parts = [f"about {duration(standing.seconds_left)} left"] if standing.seconds_left else []
            parts += [f"{failed} failed"] if failed else []
            progress.update(task, completed=ended, count=f"{ended} of {cells}", said=", ".join(parts))

        yield show


# Telling


def plan_line(plan: Plan) -> str:
    """'16 cells: 4 rendered before, 12 to render, about 1:20 min and 24.0 MB'."""
    parts = [f"{plan.reused} rendered before"] if plan.reused else []
    parts.append(f"{plan.to_render} to render")
    parts += [f"{sum(plan.refused.values())} refused"] if plan.refused else []
    parts += [f"{plan.left_out} left out"] if plan.left_out else []
    takes = ""
    if plan.to_render:
        seconds = f"{duration(plan.seconds)} and " if plan.seconds else ""
        takes = f", about {seconds}{size(plan.bytes)}"
    return f"{counted(len(plan.cells), 'cell')}: {', '.join(parts)}{takes}"


def _say_plan(plan: Plan) -> None:
    words.say(plan_line(plan))
    for sentence, count in plan.refused.items():
        words.say(f"Refused, {counted(count, 'cell')}: {sentence}")


def _tell_plan(plan: Plan, as_json: bool) -> None:
    if as_json:
        more = {
            "free_bytes": plan.free,
            "base": plan.base.model_dump(mode="json"),
            "grid": plan.grid.as_dict(),
        }
        words.say_json({**plan.summary(), **more})
        return
    typer.echo(plan_line(plan))
    for sentence, count in plan.refused.items():
        typer.echo(f"refused, {counted(count, 'cell')}: {sentence}")


def _tell(standing: SweepStanding, output: Path | None, as_json: bool) -> None:
    if as_json:
        words.say_json({**_as_json(standing), "output": output})
        return
    made = standing.sweep
    where = f"{output}: " if output is not None and standing.done else ""
    typer.echo(
        f"{where}{standing.done} of {counted(len(standing.cells), 'cell')}, {made.title}, sweep {made.id}"
    )
    for cell in standing.cells:
        if cell.said and cell.state != "refused":
            values = made.grid.cell(made.grid.place(cell.number)).values
            named = ", ".join(f"{name} {value}" for name, value in values.items())
            words.say(f"{named}: {cell.said}")


def _as_json(standing: SweepStanding) -> dict[str, Any]:
    made = standing.sweep
    return {
        "sweep": made.id,
        "state": made.state,
        "created": made.created,
        "counts": standing.counts,
        "seconds_left": standing.seconds_left,
        "grid": made.grid.as_dict(),
        "cells": [
            {
                "number": cell.number,
                "values": dict(made.grid.cell(made.grid.place(cell.number)).values),
                "state": cell.state,
                "run": cell.run,
                "seconds": cell.seconds,
                "error": cell.said or None,
            }
            for cell in standing.cells
        ],
    }
