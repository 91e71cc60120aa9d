"""`svdlab votes`: what blind votes say so far."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from svdlab.cli import files, words
from svdlab.cli.flags import table_flags
from svdlab.cli.options import AsJson, DataDir, open_data
from svdlab.errors import BadInput


@table_flags
def votes(
    ctx: typer.Context,
    a: Annotated[str | None, typer.Option("-a", metavar="ID", help="Only between this checkpoint …")] = None,
    b: Annotated[str | None, typer.Option("-b", metavar="ID", help="… and this one.")] = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
    *,
    as_table: dict[str, Path],
) -> None:
    """Say what blind votes came to: who wins, how surely, ties, and whether a place on the screen was favoured.

    Votes are given on the page Vote. Of two checkpoints it says the win rate with an interval that holds however often
    one looks; of more, a ranking.
    """
    from svdlab.exchange.vote_export import write_votes
    from svdlab.lab import verdicts
    from svdlab.recipes.votes import Scope

    if (a is None) != (b is None) or (a is not None and a == b):
        raise BadInput("-a and -b are two checkpoints; give both or neither")
    files.check_tables(as_table)
    with open_data(ctx, data_dir) as lab:
        found = lab.history.votes()
        named = {id for one in found for id in (one.ballot.left_checkpoint, one.ballot.right_checkpoint)}
        if a is not None and b is not None:
            known = named | {one.id for one in lab.catalogue}
            for id in (a, b):
                if id not in known:
                    lab.catalogue.get(id)
            named = {a, b}
        scope = Scope(checkpoints=tuple(sorted(named)))
        found = lab.history.votes(scope) if named else []
        verdict = lab.booth.verdict(scope, found)
        for path in as_table.values():
            write_votes(path, found)
        if as_json:
            words.say_json(verdicts.as_json(verdict))
            return
        typer.echo(verdicts.headline(verdict))
        for line in verdicts.lines(verdict):
            typer.echo(line)
        for place, one in enumerate(verdict.ranking.standings if verdict.ranking else (), 1):
            name = verdict.names.get(one.name, one.name)
            typer.echo(f"  {place}. {name}: {one.strength:+.2f} ({one.low:+.2f} to {one.high:+.2f})")
