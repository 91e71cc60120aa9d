"""`svdlab runs` and `svdlab presets`: what there is."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from svdlab.cli.flags import SectionedCommand
from svdlab.cli.options import AsJson, DataDir, Device, Dtype, RunId, open_data
from svdlab.errors import BadInput

if TYPE_CHECKING:
    from svdlab.lab import Lab
    from svdlab.records import Run

runs_cli = typer.Typer(rich_markup_mode=None, add_completion=False)
plain_runs = partial(runs_cli.command, cls=SectionedCommand)


@runs_cli.callback(invoke_without_command=True)
def runs(
    ctx: typer.Context,
    limit: Annotated[
        int, typer.Option("--limit", "-n", metavar="N", min=1, help="How many, newest first.")
    ] = 20,
    state: Annotated[
        str | None, typer.Option("--state", metavar="STATE", help="Only these: done, failed …")
    ] = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """List runs; show, cancel or resume one.

    Without a command: the newest ones, rendered and waiting.
    """
    if ctx.invoked_subcommand is not None:
        return
    from svdlab.cli import words
    from svdlab.records import RUN_STATES, RunState

    if state is not None and state not in get_args(RunState):
        raise BadInput(f"state must be {', '.join(RUN_STATES[:-1])} or {RUN_STATES[-1]}, got {state!r}")
    with open_data(ctx, data_dir) as lab:
        found = lab.runs(limit, states=None if state is None else (state,))
    if as_json:
        words.say_json([words.run_json(run) for run in found])
    elif found:
        words.runs_table(found)
    else:
        words.say("There are no runs yet." if state is None else f"There are no {state} runs.")


@plain_runs()
def show(ctx: typer.Context, run_id: RunId, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Show one run: its state, its files and its recipe."""
    from svdlab.cli import words

    with open_data(ctx, data_dir) as lab:
        run = _find(lab, run_id)
    if as_json:
        words.say_json(words.run_json(run))
        return
    typer.echo(f"{run.id}: {run.state}{f', {run.error}' if run.error else ''}")
    typer.echo(f"{run.recipe.checkpoint}: {words.run_line(run)}")
    if run.done:
        typer.echo(f"{run.video}\n{run.frames_zip}")
    typer.echo(run.recipe.to_json())


@plain_runs()
def cancel(ctx: typer.Context, run_id: RunId, data_dir: DataDir = None) -> None:
    """Stop a run.

    A waiting one stops at once, a running one within a step.
    """
    with open_data(ctx, data_dir) as lab:
        run = _find(lab, run_id)
        if not run.unfinished:
            raise BadInput(f"run {run.id} is {run.state}, so there is nothing to cancel")
        lab.cancel(run.id)
        state = lab.get(run.id).state
    typer.echo(f"{run.id}: {'cancelled' if state == 'cancelled' else 'asked to stop'}")


@plain_runs()
def resume(
    ctx: typer.Context,
    run_id: RunId,
    data_dir: DataDir = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
) -> None:
    """Render an unfinished run now.

    An interrupted, failed or cancelled run is rendered again under its own id, a waiting one now.
    """
    from svdlab.cli import words
    from svdlab.cli.progress import must_be_here, render

    with open_data(ctx, data_dir) as lab:
        run = _find(lab, run_id)
        if run.done:
            raise BadInput(f"run {run.id} is done; svdlab runs show {run.id} says where it is")
        must_be_here(lab.catalogue.get(run.recipe.checkpoint))
        [run] = render(lab, [run] if run.unfinished else lab.resume(run.id), device, dtype)
    typer.echo(f"{run.video}: {words.run_line(run)}, run {run.id}")


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
    from svdlab.presets import Presets

    if id is not None:
        chosen = Presets().get(id)
        words.say_json(chosen.model_dump(mode="json")) if as_json else words.preset_text(chosen)
    elif as_json:
        words.say_json([preset.model_dump(mode="json") for preset in Presets()])
    else:
        words.presets_table(Presets())


def _find(lab: Lab, run_id: str) -> Run:
    if run_id != "last":
        return lab.get(run_id)
    newest = lab.runs(limit=1)
    if not newest:
        raise BadInput("there are no runs yet, so there is no last one")
    return newest[0]
