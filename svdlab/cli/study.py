"""`svdlab study`: what differs between two checkpoints over pictures and seeds, in sentences with their certainty."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from svdlab.cli import files, words
from svdlab.cli.flags import knob_flags, table_flags
from svdlab.cli.options import AsJson, DataDir, Device, Dtype, open_data
from svdlab.cli.wanted import kept_picture
from svdlab.errors import BadInput

MOST_SEEDS = 1000


@table_flags
@knob_flags
def study(
    ctx: typer.Context,
    pictures: Annotated[
        list[str],
        typer.Argument(metavar="PICTURE…", help="Pictures, or folders of them.", show_default=False),
    ],
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
    measure gets one sentence, and "not enough to say" is one of them.
    """
    from svdlab.cli.progress import can_render, must_be_here, render_each
    from svdlab.exchange import study_report
    from svdlab.lab import studies

    if article and presets:
        raise BadInput("--article and --preset both say what to ask under; give one of them")
    if output is not None:
        files.check_path(output, (".html",))
    files.check_tables(as_table)
    several = files.pictures_in(pictures) or [Path(one) for one in pictures]
    first = _first_seed(changes.pop("seed", "0"))
    with open_data(ctx, data_dir) as lab:
        asked: tuple[str | None, ...] = studies.ARTICLE if article else tuple(presets or [None])
        named = lab.presets.get(asked[0]).compare if asked[0] else None
        default_a, default_b = named or tuple(one.id for one in lab.catalogue.pair())
        sides = [lab.catalogue.get(a or default_a), lab.catalogue.get(b or default_b)]
        stored = {one.sha256: one for one in (kept_picture(lab, str(path)) for path in several)}
        plan = studies.Study(
            sides[0].id,
            sides[1].id,
            asked,
            tuple(stored.values()),
            tuple(range(first, first + seeds)),
            changes,
        )
        pairs = studies.pairs_of(lab, plan)
        for one in sides:
            must_be_here(one)
        compute = can_render(lab, device, dtype)
        recipes = studies.wanted(pairs)
        done, waiting = studies.under_way(lab, recipes, compute.numbers)
        words.say(f"{len(pairs)} pairs, {len(recipes)} runs; {len(done)} of them were rendered before.")
        ended = render_each(lab, {run.id: f"seed {run.settings.seed}" for run in waiting.values()}, compute)
        done |= {hash: ended[run.id] for hash, run in waiting.items() if ended[run.id].done}
        made = studies.made_of(lab, pairs, done)
        names = [one.name for one in sides] if sides[0].name != sides[1].name else ["A", "B"]
        found = studies.answers(made, names[0], names[1])
        question = f"What differs between {sides[0].name} and {sides[1].name}?"
        said = [
            f"{len(stored)} pictures, {seeds} seeds each, from {first} on: {len(made)} of {len(pairs)} pairs rendered.",
            *studies.flaws_said(made, names[0], names[1]),
        ]
        if output is not None:
            command = ["svdlab", *sys.argv[1:]]
            study_report.write_html(output, question, said, found, made, command)
        for path in as_table.values():
            study_report.write_measures(path, made)
        if as_json:
            words.say_json(study_report.as_json(question, said, found, made))
            return
        typer.echo(question)
        for line in said:
            typer.echo(line)
        for setting in dict.fromkeys(one.setting for one in found):
            typer.echo(f"\n{setting}")
            for answer in found:
                if answer.setting == setting:
                    typer.echo(f"  {answer.sentence}")


def _first_seed(text: str) -> int:
    if not text.isdecimal() or int(text) + MOST_SEEDS >= 2**32:
        raise BadInput(f"--seed is the first of a study's seeds, a whole number, got {text[:40]!r}")
    return int(text)
