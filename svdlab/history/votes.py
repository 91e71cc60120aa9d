"""Blind votes in the history, and the finished runs that differ in their checkpoint alone. Knows rows; counts nothing.

A vote names runs and checkpoints, and outlives the runs: what was seen was seen.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable

from svdlab.history.sweeps import Sweeps
from svdlab.recipes.votes import Ballot, Scope, Vote

MOST_LOOKED_AT = 5_000  # newest finished runs among which pairs are looked for
_NAMES = ("left_run", "right_run", "left_checkpoint", "right_checkpoint")


class Votes(Sweeps):
    """What is kept, with votes."""

    def add_vote(self, vote: Vote) -> None:
        """Writes what somebody said. Raises `DataFolderError`."""
        b = vote.ballot
        with self._transaction() as db:
            db.execute(
                f"INSERT INTO votes ({', '.join(_NAMES)}, answer, sitting, created, visitor)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (b.left, b.right, b.left_checkpoint, b.right_checkpoint, vote.answer, vote.sitting, vote.created,
                 vote.visitor),
            )  # fmt: skip

    def votes(
        self, scope: Scope | None = None, sitting: str | None = None, visitor: str | None = None
    ) -> list[Vote]:
        """Votes, oldest first: between the scope's checkpoints or runs; of one sitting; that visitor's, if named."""
        where, values = ["1"], list[str]()
        scope = scope or Scope()
        for of, columns in ((scope.runs, _NAMES[:2]), (scope.checkpoints, _NAMES[2:])):
            for column in columns if of else ():
                where.append(f"{column} IN (SELECT value FROM json_each(?))")
                values.append(json.dumps(of))
        if scope.checkpoints and not scope.runs:
            where.append("left_checkpoint <> right_checkpoint")
        for column, value in (("sitting", sitting), ("visitor", visitor)):
            if value is not None:
                where.append(f"{column} = ?")
                values.append(value)
        return [
            _vote(row)
            for row in self._rows(f"SELECT * FROM votes WHERE {' AND '.join(where)} ORDER BY id", values)
        ]

    def twins(self, visitor: str | None = None) -> list[dict[str, str]]:
        """Finished runs whose recipes differ in their checkpoint alone, newest first: for each such recipe the run of
        each of its checkpoints, by id, where there are at least two.

        Of several runs of one recipe the newest. Only that visitor's, if one is named.
        """
        whose, values = ("AND visitor = ?", [visitor]) if visitor is not None else ("", [])
        rows = self._rows(
            "SELECT id, checkpoint, recipe FROM runs WHERE state = 'done' AND deleted IS NULL AND latents_of IS NULL"
            f" AND json_valid(recipe) {whose} ORDER BY created DESC, id DESC LIMIT ?",
            (*values, MOST_LOOKED_AT),
        )
        found: dict[str, dict[str, str]] = {}
        for row in rows:
            found.setdefault(_but_checkpoint(row["recipe"]), {}).setdefault(row["checkpoint"], row["id"])
        return [runs for runs in found.values() if len(runs) > 1]


def _but_checkpoint(recipe: str) -> str:
    """All that decides the frames but the checkpoint; a recipe is kept in its canonical form."""
    return json.dumps({k: v for k, v in json.loads(recipe).items() if k not in _NOT_ASKED}, sort_keys=True)


_NOT_ASKED = ("checkpoint", "versions")


def _vote(row: sqlite3.Row) -> Vote:
    return Vote(
        Ballot(*(row[name] for name in _NAMES)), row["answer"], row["sitting"], row["created"], row["visitor"]
    )


def pairs_in(twins: Iterable[dict[str, str]], checkpoints: Iterable[str]) -> list[tuple[str, str]]:
    """Every two runs of `twins` made with two of these checkpoints."""
    wanted = set(checkpoints)
    found = []
    for runs in twins:
        here = [run for checkpoint, run in sorted(runs.items()) if checkpoint in wanted]
        found += [(a, b) for place, a in enumerate(here) for b in here[place + 1 :]]
    return found
