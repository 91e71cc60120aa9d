"""`svdlab loss`: one recipe rendered exact and with each shortcut, and what each saves and costs."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from svdlab.cli import words
from svdlab.cli.flags import knob_flags
from svdlab.cli.options import Again, AsJson, DataDir, Device, Dtype, LoraFiles, PresetId, open_data
from svdlab.cli.wanted import say_notes, start_of, wanted
from svdlab.errors import BadInput, RenderFailed
from svdlab.files import write_whole
from svdlab.metrics.definitions import METRICS
from svdlab.recipes.shortcuts import SHORTCUTS

if TYPE_CHECKING:
    from svdlab.exchange.loss import Loss
    from svdlab.lab.lab import Lab
    from svdlab.recipes.records import Recipe, Run
    from svdlab.recipes.shortcuts import Shortcut
    from svdlab.workers import Compute

EXACT = "exact"


@knob_flags
def loss(
    ctx: typer.Context,
    source: Annotated[
        str,
        typer.Argument(
            metavar="RUN|FILE",
            help="A run's id or 'last', a clip or recipe of svdlab's, or a picture to start from.",
            show_default=False,
        ),
    ],
    checkpoint: Annotated[
        str | None, typer.Option("--checkpoint", "-c", metavar="ID", help="Which weights.")
    ] = None,
    preset: PresetId = None,
    lora: LoraFiles = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only", metavar="ID", help=f"This shortcut alone: {', '.join(s.id for s in SHORTCUTS)}."
        ),
    ] = None,
    as_csv: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write the table there as well.")
    ] = None,
    again: Again = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
    device: Device = "",
    dtype: Dtype = "",
    *,
    changes: dict[str, str],
) -> None:
    """Say what each shortcut saves and costs.

    Renders one recipe exact and with each shortcut that saves something (fewer steps, AYS, features used again), all
    from the same noise, and says seconds, PSNR and SSIM against the exact clip, and how every metric changed. They are
    ordinary runs: what was rendered before is taken, and a broken-off command goes on where it was. Seconds can be
    compared where all were rendered on one device, one after the other: --again renders them anew.
    """
    from svdlab.cli.progress import can_render, must_be_here
    from svdlab.exchange import loss as figures

    chosen = _chosen(only or ())
    with open_data(ctx, data_dir) as lab:
        recipe = _recipe(lab, source, checkpoint, preset, lora or (), changes)
        exact = figures.exact_recipe(recipe)
        recipes = {one: made for one, made in figures.recipes_of(exact).items() if one in chosen}
        left_out = [one.id for one in chosen if one not in recipes]
        if left_out:
            words.say(f"Left out, since they save nothing here: {', '.join(left_out)}.")
        must_be_here(lab.catalogue.get(recipe.checkpoint))
        asked = {EXACT: exact, **{one.id: made for one, made in recipes.items()}}
        runs = _runs(lab, asked, again, can_render(lab, device, dtype))
        first = runs[EXACT]
        if not first.done:
            raise RenderFailed(f"the exact clip could not be made: {first.error or first.state}")
        found = figures.losses(first, {one: runs[one.id] for one in recipes if runs[one.id].done})
        failed = [runs[one.id] for one in recipes if not runs[one.id].done]
    if as_csv is not None:
        write_whole(as_csv, lambda path: _write_csv(path, first, found))
    if as_json:
        words.say_json([_json(EXACT, first, None), *(_json(one.shortcut.id, one.run, one) for one in found)])
    else:
        _say(first, found)
    for run in failed:
        words.say(f"{run.id}: {run.error or run.state}")
    if failed:
        raise RenderFailed(f"{len(failed)} of {len(recipes)} shortcuts made no clip")


def _chosen(only: Sequence[str]) -> tuple[Shortcut, ...]:
    known = {shortcut.id: shortcut for shortcut in SHORTCUTS}
    for id in only:
        if id not in known:
            raise BadInput(f"there is no shortcut {id[:40]!r}; there are {', '.join(known)}")
    return tuple(known[id] for id in dict.fromkeys(only)) or SHORTCUTS


def _recipe(
    lab: Lab,
    source: str,
    checkpoint: str | None,
    preset: str | None,
    loras: Sequence[str],
    changes: Mapping[str, str],
) -> Recipe:
    """What is to be measured: a run's recipe, a file's, or a picture's with the knobs of the command."""
    from svdlab.cli.look import find
    from svdlab.exchange.restore import settings_in

    path = Path(source)
    if not path.is_file():
        if checkpoint or preset or loras or changes:
            raise BadInput("a run is measured as it is; leave the other options out, or name its clip's file")
        return find(lab, source).recipe
    like = path if settings_in(lab, path) is not None else None
    asked = wanted(lab, checkpoint, preset, like, changes, loras)
    recipe, notes = asked.recipe(lab, start_of(lab, None if like else source, asked.base))
    say_notes(notes)
    return recipe


def _runs(lab: Lab, recipes: Mapping[str, Recipe], again: bool, compute: Compute) -> dict[str, Run]:
    """The run of each recipe, by name: one from before, else rendered now; the exact one first."""
    from svdlab.cli.progress import render_each

    numbers = compute.numbers
    before = {name: None if again else lab.before.run(recipe, numbers) for name, recipe in recipes.items()}
    runs = {name: run for name, run in before.items() if run is not None and run.frames_zip.is_file()}
    if runs:
        words.say(f"{len(runs)} of {len(recipes)} were rendered before; --again renders them anew.")
    asked = {name: lab.submit(recipe) for name, recipe in recipes.items() if name not in runs}
    ended = render_each(lab, {run.id: name for name, run in asked.items()}, compute)
    return {name: runs[name] if name in runs else ended[asked[name].id] for name in recipes}


def _say(exact: Run, found: Sequence[Loss]) -> None:
    head = ("", "seconds", "faster", "PSNR", "SSIM", "run", "what it is")
    rows = [(EXACT, f"{exact.outcome.spent:.1f}", "", "", "", exact.id, "the recipe as it is")]
    rows += [
        (
            one.shortcut.id,
            f"{one.seconds:.1f}",
            "" if one.faster is None else f"{one.faster:.2f}×",
            "the same" if math.isinf(one.psnr) else f"{one.psnr:.1f} dB",
            f"{one.ssim:.4f}",
            one.run.id,
            one.shortcut.name,
        )
        for one in found
    ]
    words.table(head, rows)
    measured = [name for name in METRICS if name in exact.outcome.metrics]
    if measured and found:
        typer.echo("\nChange of each metric:")
        words.table(
            ("", EXACT, *(one.shortcut.id for one in found), "unit"),
            [
                (
                    METRICS[name].label,
                    METRICS[name].number(exact.outcome.metrics[name]),
                    *(METRICS[name].number(one.changes.get(name), signed=True) for one in found),
                    METRICS[name].unit,
                )
                for name in measured
            ],
        )


def _json(name: str, run: Run, one: Loss | None) -> dict[str, Any]:
    figures: dict[str, Any] = {"faster": 1.0, "psnr": None, "ssim": 1.0, "changes": {}}
    if one is not None:
        figures = {
            "faster": one.faster,
            "psnr": None if math.isinf(one.psnr) else one.psnr,  # JSON has no infinity: the clips are equal
            "ssim": one.ssim,
            "changes": dict(one.changes),
        }
    settings = run.settings.model_dump(mode="json")
    return {"shortcut": name, "run": run.id, "seconds": run.outcome.spent, **figures, "settings": settings}


def _write_csv(path: Path, exact: Run, found: Sequence[Loss]) -> None:
    rows = [_json(EXACT, exact, None), *(_json(one.shortcut.id, one.run, one) for one in found)]
    names = [name for name in METRICS if name in exact.outcome.metrics]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("shortcut", "run", "seconds", "faster", "psnr", "ssim", *names))
        for row in rows:
            own = [row[key] for key in ("shortcut", "run", "seconds", "faster", "psnr", "ssim")]
            writer.writerow([*own, *(row["changes"].get(name) for name in names)])
