"""`svdlab study`: what differs between two checkpoints over pictures and seeds, in sentences with their certainty."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from svdlab.cli import files, words
from svdlab.cli.flags import knob_flags, table_flags
from svdlab.cli.options import AsJson, DataDir, Device, Dtype, open_data
from svdlab.cli.wanted import kept_picture
from svdlab.errors import BadInput

if TYPE_CHECKING:
    from svdlab.lab.lab import Lab
    from svdlab.lab.studies import Made
    from svdlab.recipes.checkpoint import Checkpoint

MOST_SEEDS = 1000


@table_flags
@knob_flags
def study(
    ctx: typer.Context,
    pictures: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PICTURE…]", help="Pictures, or folders of them.", show_default=False),
    ] = None,
    a: Annotated[str | None, typer.Option("-a", metavar="ID", help="One checkpoint. Default: a 1.0.")] = None,
    b: Annotated[str | None, typer.Option("-b", metavar="ID", help="The other. Default: a 1.1.")] = None,
    presets: Annotated[
        list[str] | None,
        typer.Option("--preset", metavar="ID", help="A setting to ask under; may be given several times."),
    ] = None,
    article: Annotated[
        bool,
        typer.Option("--article", help="The article's two pairs: 6 fps, bucket 127, and 8 fps, bucket 135."),
    ] = False,
    seeds: Annotated[
        int,
        typer.Option("--seeds", metavar="N", min=1, max=MOST_SEEDS, help="How many seeds of each picture."),
    ] = 5,
    sweep: Annotated[
        str | None,
        typer.Option(
            "--sweep", metavar="ID", help="Read a sweep over checkpoints, or 'last', in place of pictures."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write the report there: one .html file."),
    ] = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
    device: Device = "",
    dtype: Dtype = "",
    *,
    changes: dict[str, str],
    as_table: dict[str, Path],
) -> None:
    """Ask what differs between two checkpoints, over pictures and seeds.

    Each picture and seed is rendered on both sides with the same noise; --seed is the first of the seeds, else 0. The
    runs are ordinary ones: what was rendered before is used, and the same command goes on where it was stopped. Each
    measure gets one sentence, and "not enough to say" is one of them. With --sweep a sweep over checkpoints is read
    so, whoever rendered it: its first two checkpoints, or -a and -b.
    """
    from svdlab.exchange import study_report
    from svdlab.lab import studies

    if article and presets:
        raise BadInput("--article and --preset both say what to ask under; give one of them")
    if sweep and (pictures or article or presets or changes):
        raise BadInput("a sweep has its pictures and settings; with --sweep give -a and -b alone")
    if not sweep and not pictures:
        raise BadInput("name a picture, or a sweep over checkpoints with --sweep")
    if output is not None:
        files.check_path(output, (".html",))
    files.check_tables(as_table)
    with open_data(ctx, data_dir) as lab:
        if sweep:
            asked = _read(lab, sweep, a, b)
        else:
            asked_under = studies.ARTICLE if article else tuple(presets or [None])
            asked = _rendered(lab, pictures or [], (a, b), asked_under, seeds, changes, (device, dtype))
        names = [one.name for one in asked.sides]
        names = names if names[0] != names[1] else ["A", "B"]
        found = studies.answers(asked.made, names[0], names[1])
        question = f"What differs between {asked.sides[0].name} and {asked.sides[1].name}?"
        said = [asked.said, *studies.flaws_said(asked.made, names[0], names[1])]
        if output is not None:
            command = ["svdlab", *sys.argv[1:]]
            study_report.write_html(output, question, said, found, asked.made, command)
        for path in as_table.values():
            study_report.write_measures(path, asked.made)
        if as_json:
            words.say_json(study_report.as_json(question, said, found, asked.made))
            return
        typer.echo(question)
        for line in said:
            typer.echo(line)
        for setting in dict.fromkeys(one.setting for one in found):
            typer.echo(f"\n{setting}")
            for answer in found:
                if answer.setting == setting:
                    typer.echo(f"  {answer.sentence}")


@dataclass(frozen=True)
class _Asked:
    """What there is to say something of: two checkpoints, their pairs, and how many of how many those are."""

    sides: tuple[Checkpoint, Checkpoint]
    made: list[Made]
    said: str


def _rendered(
    lab: Lab,
    pictures: list[str],
    wanted: tuple[str | None, str | None],
    presets: tuple[str | None, ...],
    seeds: int,
    changes: dict[str, str],
    with_: tuple[str, str],
) -> _Asked:
    """Renders what is missing of pictures × seeds × settings on both sides."""
    from svdlab.cli.progress import can_render, must_be_here, render_each
    from svdlab.lab import studies

    several = files.pictures_in(pictures) or [Path(one) for one in pictures]
    first = _first_seed(changes.pop("seed", "0"))
    named = lab.presets.get(presets[0]).compare if presets[0] else None
    usual = named or tuple(one.id for one in lab.catalogue.pair())
    a, b = (lab.catalogue.get(given or default) for given, default in zip(wanted, usual, strict=True))
    stored = {one.sha256: one for one in (kept_picture(lab, str(path)) for path in several)}
    plan = studies.Study(
        a.id, b.id, presets, tuple(stored.values()), tuple(range(first, first + seeds)), changes
    )
    pairs = studies.pairs_of(lab, plan)
    for one in (a, b):
        must_be_here(one)
    compute = can_render(lab, *with_)
    recipes = studies.wanted(pairs)
    done, waiting = studies.under_way(lab, recipes, compute.numbers)
    words.say(f"{len(pairs)} pairs, {len(recipes)} runs; {len(done)} of them were rendered before.")
    ended = render_each(lab, {run.id: f"seed {run.settings.seed}" for run in waiting.values()}, compute)
    done |= {hash: ended[run.id] for hash, run in waiting.items() if ended[run.id].done}
    made = studies.made_of(lab, pairs, done)
    said = f"{len(stored)} pictures, {seeds} seeds each, from {first} on: {len(made)} of {len(pairs)} pairs rendered."
    return _Asked((a, b), made, said)


def _read(lab: Lab, word: str, a: str | None, b: str | None) -> _Asked:
    """Reads a sweep as it is: its first two checkpoints, or those that are named."""
    from svdlab.lab import study_sweeps
    from svdlab.lab.sweeps import sweep_meant

    sweep = lab.history.sweep(sweep_meant(lab.history.sweeps(1), word))
    sides = study_sweeps.sides_of(sweep)
    if not sides:
        raise BadInput(f"the sweep {sweep.title} has one checkpoint; a study needs one over two of them")
    first = a or next(side for side in sides if side != b)
    second = b or next(side for side in sides if side != first)
    made = study_sweeps.made_in(lab, sweep, lab.sweeps.standing(sweep.id).cells, first, second)
    said = f"{sweep.title}: {len(made)} of {sweep.grid.size // len(sides)} pairs rendered."
    return _Asked((lab.catalogue.get(first), lab.catalogue.get(second)), made, said)


def _first_seed(text: str) -> int:
    if not text.isdecimal() or int(text) + MOST_SEEDS >= 2**32:
        raise BadInput(f"--seed is the first of a study's seeds, a whole number, got {text[:40]!r}")
    return int(text)
