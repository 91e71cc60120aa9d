"""`svdlab runs`, `svdlab presets` and `svdlab doctor`: what there is, and keeping it in order."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from svdlab.cli.filters import QueryCommand, query_flags
from svdlab.cli.flags import SectionedCommand, table_flags
from svdlab.cli.options import AsJson, DataDir, Device, Dtype, RunId, open_data
from svdlab.errors import BadInput
from svdlab.history.search import RunQuery

if TYPE_CHECKING:
    from svdlab.lab.lab import Lab
    from svdlab.recipes.records import Run

RENAMED = {"sweep": "empty-bin", "restore": "take-back"}


class _Runs(TyperGroup):
    """`svdlab runs`, which knows what its commands were called before."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Called by click for the command that was typed."""
        if cmd_name in RENAMED:
            raise BadInput(f"svdlab runs {cmd_name} is called svdlab runs {RENAMED[cmd_name]} now")
        return super().get_command(ctx, cmd_name)


runs_cli = typer.Typer(cls=_Runs, rich_markup_mode=None, add_completion=False)
plain_runs = partial(runs_cli.command, cls=SectionedCommand)
runs_of_a_query = partial(runs_cli.command, cls=QueryCommand)

Limit = Annotated[int, typer.Option("--limit", "-n", metavar="N", min=1, help="How many.")]
Ids = Annotated[
    list[str],
    typer.Argument(metavar="ID…", help="Ids of runs or comparisons, or 'last'.", show_default=False),
]
Off = Annotated[bool, typer.Option("--off", help="Take it away again.")]


@runs_cli.callback(invoke_without_command=True)
@query_flags
def runs(
    ctx: typer.Context,
    limit: Limit = 20,
    as_json: AsJson = False,
    data_dir: DataDir = None,
    *,
    query: RunQuery,
) -> None:
    """List runs; show, mark, export, delete or resume them.

    Without a command: the newest ones, rendered and waiting.
    """
    if ctx.invoked_subcommand is None:
        _list(ctx, query, limit, as_json, data_dir)


@runs_of_a_query(name="list")
@query_flags
def list_runs(
    ctx: typer.Context,
    limit: Limit = 20,
    as_json: AsJson = False,
    data_dir: DataDir = None,
    *,
    query: RunQuery,
) -> None:
    """List runs, newest first or sorted."""
    _list(ctx, query, limit, as_json, data_dir)


def _list(ctx: typer.Context, query: RunQuery, limit: int, as_json: bool, data_dir: Path | None) -> None:
    from itertools import islice

    from svdlab.cli import words

    with open_data(ctx, data_dir) as lab:
        found = list(islice(lab.history.every(query), limit))
    if as_json:
        words.say_json([words.run_json(run) for run in found])
    elif found:
        words.runs_table(found, asked=(query.sort, *(condition.name for condition in query.where)))
    else:
        words.say("There are no runs yet." if query.everything else "There are no such runs.")


@plain_runs()
def show(ctx: typer.Context, run_id: RunId, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Show one run: its state, its files and its recipe."""
    from svdlab.cli import words

    with open_data(ctx, data_dir) as lab:
        run = find(lab, run_id)
        weights = lab.bits.sentence(run.recipe)
    if as_json:
        words.say_json({**words.run_json(run), "weights": weights})
        return
    typer.echo(f"{run.id}: {run.state}{f', {run.error}' if run.error else ''}")
    typer.echo(f"{run.recipe.checkpoint}: {words.run_line(run)}")
    for line in filter(None, (weights, *words.marks_lines(run))):
        typer.echo(line)
    if run.done:
        typer.echo(f"{run.video}\n{run.frames_zip}")
    typer.echo(run.recipe.to_json())


@plain_runs()
def cancel(ctx: typer.Context, run_id: RunId, data_dir: DataDir = None) -> None:
    """Stop a run.

    A waiting one stops at once, a running one within a step.
    """
    with open_data(ctx, data_dir) as lab:
        run = find(lab, run_id)
        if not run.unfinished:
            raise BadInput(f"run {run.id} is {run.state}, so there is nothing to cancel")
        lab.cancel(run.id)
        state = lab.history.get(run.id).state
    typer.echo(f"{run.id}: {'cancelled' if state == 'cancelled' else 'asked to stop'}")


@plain_runs()
def resume(
    ctx: typer.Context,
    run_id: RunId,
    data_dir: DataDir = None,
    device: Device = "",
    dtype: Dtype = "",
) -> None:
    """Render an unfinished run now.

    An interrupted, failed or cancelled run is rendered again under its own id, a waiting one now.
    """
    from svdlab.cli import words
    from svdlab.cli.progress import can_render, must_be_here, render

    with open_data(ctx, data_dir) as lab:
        run = find(lab, run_id)
        if run.done:
            raise BadInput(f"run {run.id} is done; svdlab runs show {run.id} says where it is")
        must_be_here(lab.catalogue.get(run.recipe.checkpoint))
        compute = can_render(lab, device, dtype)
        [run] = render(lab, [run] if run.unfinished else lab.resume(run.id), compute)
    typer.echo(f"{run.video}: {words.run_line(run)}, run {run.id}")


@plain_runs()
def star(ctx: typer.Context, ids: Ids, off: Off = False, data_dir: DataDir = None) -> None:
    """Give runs or comparisons a star."""
    with open_data(ctx, data_dir) as lab:
        for id in _ids(lab, ids):
            lab.history.set_star(id, not off)
            typer.echo(f"{id}: {'no star' if off else 'starred'}")


@plain_runs()
def rate(
    ctx: typer.Context,
    run_id: RunId,
    rating: Annotated[str, typer.Argument(metavar="0..5|none", help="How good it is.", show_default=False)],
    data_dir: DataDir = None,
) -> None:
    """Rate a run or comparison from 0 to 5."""
    if rating not in ("none", *"012345"):
        raise BadInput(f"rating must be a whole number from 0 to 5, or none, got {rating[:40]!r}")
    with open_data(ctx, data_dir) as lab:
        [id] = _ids(lab, [run_id])
        lab.history.rate(id, None if rating == "none" else int(rating))
    typer.echo(f"{id}: {'not rated' if rating == 'none' else f'{rating} of 5'}")


@plain_runs()
def note(
    ctx: typer.Context,
    run_id: RunId,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="The note; '' removes it.", show_default=False)],
    data_dir: DataDir = None,
) -> None:
    """Write a note on a run or comparison."""
    with open_data(ctx, data_dir) as lab:
        [id] = _ids(lab, [run_id])
        lab.history.note(id, text)
    typer.echo(f"{id}: {'noted' if text.strip() else 'no note'}")


@plain_runs()
def tag(
    ctx: typer.Context,
    run_id: RunId,
    tags: Annotated[list[str], typer.Argument(metavar="TAG…", help="One or more.", show_default=False)],
    off: Off = False,
    data_dir: DataDir = None,
) -> None:
    """Tag a run or comparison."""
    with open_data(ctx, data_dir) as lab:
        [id] = _ids(lab, [run_id])
        (lab.history.untag if off else lab.history.tag)(id, *tags)
    typer.echo(f"{id}: {'without' if off else 'tagged'} {', '.join(tags)}")


@plain_runs()
def delete(ctx: typer.Context, ids: Ids, data_dir: DataDir = None) -> None:
    """Put runs or comparisons into the bin.

    A comparison takes along the runs made for it. svdlab runs take-back undoes it until the bin is emptied.
    """
    with open_data(ctx, data_dir) as lab:
        chosen = _ids(lab, ids)
        lab.delete(chosen)
    for id in chosen:
        typer.echo(f"{id}: in the bin")


@plain_runs(name="take-back")
def take_back(ctx: typer.Context, ids: Ids, data_dir: DataDir = None) -> None:
    """Take runs or comparisons out of the bin."""
    with open_data(ctx, data_dir) as lab:
        chosen = _ids(lab, ids)
        lab.history.take_back(chosen)
    for id in chosen:
        typer.echo(f"{id}: taken back")


@plain_runs(name="empty-bin")
def empty_bin(
    ctx: typer.Context,
    days: Annotated[
        float, typer.Option("--days", metavar="N", min=0.0, help="What has been in the bin for so long.")
    ] = 30.0,
    pictures: Annotated[
        bool, typer.Option("--pictures", help="Also pictures that no run is made from any more.")
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """Remove for good what is in the bin."""
    with open_data(ctx, data_dir) as lab:
        before = lab.disk_use()
        removed = len(lab.history.empty_bin(days * 86400))
        unused = len(lab.history.remove_unused_pictures()) if pictures else 0
        freed = before.total - lab.disk_use().total
    also = f" and {unused} picture{'s' * (unused != 1)}" if pictures else ""
    typer.echo(f"{removed} run{'s' * (removed != 1)}{also} removed, {max(0, freed) / 1e6:.1f} MB freed")


@runs_of_a_query()
@query_flags
@table_flags
def export(
    ctx: typer.Context,
    ids: Annotated[
        list[str],
        typer.Argument(
            metavar="[ID…]",
            help="These runs only. Default: all that are asked for below.",
            show_default=False,
        ),
    ] = [],  # noqa: B006  # what typer takes for none
    zip: Annotated[
        Path | None, typer.Option("--zip", metavar="FILE", help="With videos, recipes and pictures.")
    ] = None,
    frames: Annotated[bool, typer.Option("--frames", help="The zip also gets the lossless frames.")] = False,
    latents: Annotated[bool, typer.Option("--latents", help="The zip also gets the kept latents.")] = False,
    data_dir: DataDir = None,
    *,
    as_table: dict[str, Path],
    query: RunQuery,
) -> None:
    """Write runs to a table or a zip.

    A table has a row per run and a column per knob and metric. svdlab runs import reads a zip on another machine.
    """
    from svdlab.exchange import tables

    wanted = {**as_table, "zip": zip} if zip else as_table
    if not wanted:
        flags = [f"--{name} FILE" for name in (*tables.FORMATS, "zip")]
        raise BadInput(f"say as what: {', '.join(flags[:-1])} or {flags[-1]}")
    for name, path in wanted.items():
        if path.suffix.lower() != f".{name}":
            raise BadInput(f"the name of that file must end in .{name}, got {path.name}")
    with open_data(ctx, data_dir) as lab:
        chosen = [lab.history.get(id) for id in _ids(lab, ids)] if ids else list(lab.history.every(query))
        if not chosen:
            raise BadInput("there are no such runs to export")
        for name, path in as_table.items():
            typer.echo(f"{path}: {tables.write_table(chosen, path, name)} rows")
        if zip:
            written = tables.write_zip(lab, chosen, zip, frames=frames, latents=latents)
            left = f"; {len(written.left_out)} left out, not finished" if written.left_out else ""
            typer.echo(f"{zip}: {written.runs} runs, {written.comparisons} comparisons{left}")


@plain_runs(name="import")
def import_(
    ctx: typer.Context,
    file: Annotated[
        Path, typer.Argument(metavar="FILE.zip", help="What svdlab runs export wrote.", show_default=False)
    ],
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Take runs out of a zip from another machine.

    Everything in it is checked first. Runs that are here already are passed over.
    """
    from dataclasses import asdict

    from svdlab.cli import words
    from svdlab.exchange import tables

    with open_data(ctx, data_dir) as lab:
        report = tables.read_zip(lab, file)
    if as_json:
        words.say_json(asdict(report))
    else:
        words.import_lines(report)
    if report.refused and not report.added:
        raise typer.Exit(2)


def doctor(
    ctx: typer.Context,
    repair: Annotated[bool, typer.Option("--repair", help="Mend what can be mended.")] = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Check the data folder: rows, files, pictures.

    Nothing is changed without --repair. Exit code 2 says that something is left to be done.
    """
    from dataclasses import asdict

    from svdlab.cli import words

    with open_data(ctx, data_dir) as lab:
        findings, use = lab.doctor(repair), lab.disk_use()
    if as_json:
        room = dict([*vars(use).items(), ("total", use.total)])
        words.say_json({"findings": [asdict(finding) for finding in findings], "bytes": room})
    else:
        words.doctor_lines(findings, use)
    if not all(finding.repaired for finding in findings):
        raise typer.Exit(2)


def presets(
    id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="Show this one in full.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the presets, or show one.

    What it sets, and what to look for in the clip.
    """
    from svdlab.cli import words
    from svdlab.recipes.presets import Presets

    if id is not None:
        chosen = Presets().get(id)
        words.say_json(chosen.model_dump(mode="json")) if as_json else words.preset_text(chosen)
    elif as_json:
        words.say_json([preset.model_dump(mode="json") for preset in Presets()])
    else:
        words.presets_table(Presets())


def _ids(lab: Lab, ids: list[str]) -> list[str]:
    """The ids as given, 'last' replaced by the newest run's."""
    return [find(lab, id).id if id == "last" else id for id in ids]


def find(lab: Lab, run_id: str) -> Run:
    """The run of that id, or the newest for 'last'. Raises `NotFound`, `BadInput`."""
    if run_id != "last":
        return lab.history.get(run_id)
    newest = lab.history.runs(limit=1)
    if not newest:
        raise BadInput("there are no runs yet, so there is no last one")
    return newest[0]
