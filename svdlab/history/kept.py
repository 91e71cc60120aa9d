"""What is kept: runs and comparisons to be read and found, and those that come from elsewhere.

Knows SQLite and folders; nothing of the queue, of models or of screens.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from svdlab.errors import BadInput, BadVideo, DataFolderError, NotFound, reason
from svdlab.history import search
from svdlab.history.database import BUSY_SECONDS, Connect, Database
from svdlab.history.search import ComparisonPage, Facets, Page, RunQuery
from svdlab.recipes.records import Comparison, Outcome, Recipe, Run, RunState

PICTURE_NAME = re.compile(r"([0-9a-f]{64})\.png")

_WITH_TAGS = (
    "SELECT it.*, (SELECT group_concat(tag, ',') FROM (SELECT tag FROM {0}_tags WHERE {0} = it.id ORDER BY tag))"
    " AS tags FROM {0}s AS it"
)
MOST_VALUES = 500  # in one statement
RUNS = _WITH_TAGS.format("run")
COMPARISONS = _WITH_TAGS.format("comparison")


One = TypeVar("One", Run, Comparison)


class Kept(Database):
    """Runs and comparisons in `folder/svdlab.db`, their files in `folder/runs/<id>`."""

    def __init__(
        self, folder: Path, busy_seconds: float = BUSY_SECONDS, connect: Connect = sqlite3.connect
    ) -> None:
        super().__init__(folder, busy_seconds, connect)
        try:
            for part in (self.runs_folder, self.pictures_folder):
                part.mkdir(exist_ok=True)
        except OSError as error:
            self.close()
            raise DataFolderError(f"the data folder {folder} cannot be used: {reason(error)}") from error

    @property
    def runs_folder(self) -> Path:
        """Where finished runs' files are."""
        return self.folder / "runs"

    @property
    def pictures_folder(self) -> Path:
        """Where pictures are, by hash."""
        return self.folder / "pictures"

    def picture_path(self, sha256: str) -> Path:
        """Where the picture of that hash is or would be."""
        return self.pictures_folder / f"{sha256}.png"

    # Reading

    def _run(self, row: sqlite3.Row) -> Run:
        """The run of a row. Raises `BadVideo`, `ValueError` or `TypeError` where its JSON is not ours."""
        try:
            recipe = Recipe.from_json(row["recipe"])
        except BadVideo:
            raise BadVideo(
                f"the recipe of run {row['id']} cannot be read: it was changed, or a newer svdlab made it"
            ) from None
        return Run(
            id=row["id"],
            state=row["state"],
            recipe=recipe,
            folder=self.runs_folder / row["id"],
            picture=self.picture_path(row["picture"]),
            created=row["created"],
            started=row["started"],
            finished=row["finished"],
            step=row["step"],
            error=row["error"],
            comparison=row["comparison"],
            preset=row["preset"],
            latents_of=row["latents_of"],
            outcome=Outcome.from_json(row["outcome"]),
            starred=bool(row["starred"]),
            rating=row["rating"],
            note=row["note"],
            tags=_tags(row),
            deleted=row["deleted"],
            visitor=row["visitor"],
            sweep=row["sweep"],
        )

    def _readable(self, read: Callable[[sqlite3.Row], One], rows: Iterable[sqlite3.Row]) -> Iterator[One]:
        """What rows say, without those that cannot be read: one made by a newer svdlab must not hide the others.

        The doctor names them.
        """
        for row in rows:
            with suppress(BadVideo, ValueError, TypeError):
                yield read(row)

    def get(self, id: str) -> Run:
        """The run of that id, also one in the bin. Raises `NotFound`."""
        rows = self._rows(f"{RUNS} WHERE id = ?", (id,))
        if not rows:
            raise NotFound(f"there is no run {str(id)[:40]!r}")
        return self._run(rows[0])

    def comparison(self, id: str) -> Comparison:
        """The comparison of that id, also one in the bin. Raises `NotFound`."""
        rows = self._rows(f"{COMPARISONS} WHERE id = ?", (id,))
        if not rows:
            raise NotFound(f"there is no comparison {str(id)[:40]!r}")
        return self._comparison(rows[0])

    def _comparison(self, row: sqlite3.Row) -> Comparison:
        return Comparison(
            id=row["id"],
            a=self.get(row["a"]),
            b=self.get(row["b"]),
            created=row["created"],
            starred=bool(row["starred"]),
            rating=row["rating"],
            note=row["note"],
            tags=_tags(row),
            deleted=row["deleted"],
            visitor=row["visitor"],
        )

    def runs(self, limit: int = 50, states: Sequence[RunState] | None = None) -> list[Run]:
        """Runs outside the bin, newest first."""
        wanted = tuple(states or ())
        where = f"AND state IN ({','.join('?' * len(wanted))})" if wanted else ""
        rows = self._rows(
            f"{RUNS} WHERE deleted IS NULL {where} ORDER BY created DESC, id DESC LIMIT ?", (*wanted, limit)
        )
        return list(self._readable(self._run, rows))

    def comparisons(self, limit: int = 50) -> list[Comparison]:
        """Comparisons outside the bin with both sides outside it, newest first."""
        where, _ = search.comparison_conditions(RunQuery())
        rows = self._rows(f"{COMPARISONS} WHERE {where} ORDER BY created DESC, id DESC LIMIT ?", (limit,))
        return list(self._readable(self._comparison, rows))

    def same(self, recipe_hash: str, states: Sequence[RunState], visitor: str | None = None) -> Iterator[Run]:
        """Runs of that recipe outside the bin in one of these states, newest first; only that visitor's, if named."""
        of_one, whose = ("AND visitor = ?", (visitor,)) if visitor is not None else ("", ())
        rows = self._rows(
            f"{RUNS} WHERE recipe_hash = ? AND state IN ({','.join('?' * len(states))}) AND deleted IS NULL"
            f" {of_one} ORDER BY created DESC, id DESC",
            (recipe_hash, *states, *whose),
        )
        return self._readable(self._run, rows)

    def same_of(
        self, hashes: Iterable[str], states: Sequence[RunState], visitor: str | None = None
    ) -> Iterator[Run]:
        """As `same`, of any of many recipes, those of one recipe newest first."""
        wanted = list(dict.fromkeys(hashes))
        of_one, whose = ("AND visitor = ?", (visitor,)) if visitor is not None else ("", ())
        for start in range(0, len(wanted), MOST_VALUES):
            part = wanted[start : start + MOST_VALUES]
            rows = self._rows(
                f"{RUNS} WHERE recipe_hash IN ({','.join('?' * len(part))})"
                f" AND state IN ({','.join('?' * len(states))}) AND deleted IS NULL {of_one}"
                " ORDER BY created DESC, id DESC",
                (*part, *states, *whose),
            )
            yield from self._readable(self._run, rows)

    def same_pairs(self, a_hash: str, b_hash: str, visitor: str | None = None) -> Iterator[Comparison]:
        """Comparisons of these two recipes outside the bin, with both sides outside it, newest first.

        Only that visitor's, if one is named.
        """
        of_one, whose = ("AND it.visitor = ?", (visitor,)) if visitor is not None else ("", ())
        rows = self._rows(
            f"{COMPARISONS} JOIN runs AS one ON one.id = it.a JOIN runs AS two ON two.id = it.b"
            " WHERE one.recipe_hash = ? AND two.recipe_hash = ?"
            " AND it.deleted IS NULL AND one.deleted IS NULL AND two.deleted IS NULL"
            f" {of_one} ORDER BY it.created DESC, it.id DESC",
            (a_hash, b_hash, *whose),
        )
        return self._readable(self._comparison, rows)

    def comparisons_of(self, run_id: str) -> list[str]:
        """The ids of the comparisons outside the bin that a run is a side of."""
        rows = self._rows(
            "SELECT id FROM comparisons WHERE (a = ? OR b = ?) AND deleted IS NULL ORDER BY created, id",
            (run_id, run_id),
        )
        return [row["id"] for row in rows]

    # Finding

    def find(self, query: RunQuery | None = None, after: str | None = None, limit: int = 50) -> Page:
        """One page of runs, from behind the cursor `after` if given: rows neither double nor miss when others come.

        Raises `BadInput` for a limit outside 1 to 1000 or a cursor of another list.
        """
        query = query or RunQuery()
        search.check_limit(limit)
        self._must_find_by(query)
        where, values = search.conditions(query)
        if after is not None:
            further, more = search.beyond(query, after)
            where, values = f"{where} AND {further}", [*values, *more]
        order = search.order(query)
        # The keys first, and whole rows only for what is shown: a sort that carried whole rows would be slow.
        chosen = (
            f"SELECT created, run, [{query.sort}] AS key FROM finding WHERE {where} ORDER BY {order} LIMIT ?"
        )
        rows = self._rows(chosen, (*values, limit + 1))
        shown = rows[:limit]
        by_id = self._by_id(row["run"] for row in shown)
        last = shown[-1] if len(rows) > limit else None
        return Page(
            tuple(by_id[row["run"]] for row in shown if row["run"] in by_id),
            search.cursor(query, last["key"], last["created"], last["run"]) if last else None,
        )

    def _must_find_by(self, query: RunQuery) -> None:
        """Raises `BadInput` where the folder has no column for what is asked, because it could not be given one."""
        for name in sorted(query.names & self.unfindable):
            raise BadInput(
                f"runs in {self.folder} cannot be found by {name}: the folder is only read, and the svdlab that wrote "
                f"it does not know {name}"
            )

    def every(self, query: RunQuery | None = None) -> Iterator[Run]:
        """All runs of that kind in order, read page by page. Raises `BadInput`."""
        page = self.find(query, limit=search.MAX_LIMIT)
        yield from page.runs
        while page.next is not None:
            page = self.find(query, page.next, search.MAX_LIMIT)
            yield from page.runs

    def _by_id(self, ids: Iterable[str]) -> dict[str, Run]:
        wanted = tuple(ids)
        rows = self._rows(f"{RUNS} WHERE id IN ({','.join('?' * len(wanted))})", wanted)
        return {run.id: run for run in self._readable(self._run, rows)}

    def find_comparisons(
        self, query: RunQuery | None = None, after: str | None = None, limit: int = 50
    ) -> ComparisonPage:
        """One page of comparisons, newest first. Checkpoint, preset, picture and state are asked of their sides.

        Raises `BadInput` for another order, a limit outside 1 to 1000 or a cursor of another list.
        """
        query = query or RunQuery()
        search.check_limit(limit)
        if query.sort != "created":
            raise BadInput(f"comparisons can be sorted by created only, got {query.sort}")
        self._must_find_by(query)
        where, values = search.comparison_conditions(query)
        if after is not None:
            further, more = search.beyond(query, after, "id")
            where, values = f"{where} AND {further}", [*values, *more]
        order = search.order(query, "id")
        rows = self._rows(f"{COMPARISONS} WHERE {where} ORDER BY {order} LIMIT ?", (*values, limit + 1))
        shown = rows[:limit]
        last = shown[-1] if len(rows) > limit else None
        return ComparisonPage(
            tuple(self._readable(self._comparison, shown)),
            search.cursor(query, None, last["created"], last["id"]) if last else None,
        )

    def count(self, query: RunQuery | None = None) -> int:
        """How many runs there are of that kind."""
        query = query or RunQuery()
        self._must_find_by(query)
        where, values = search.conditions(query)
        return int(self._rows(f"SELECT COUNT(*) FROM finding WHERE {where}", values)[0][0])

    def facets(self) -> Facets:
        """What there is to filter by."""
        each = "SELECT {0}, COUNT(*) AS n FROM {1} AND {0} IS NOT NULL GROUP BY 1 ORDER BY n DESC, 1"
        checkpoints, presets, tags = (
            tuple((str(row[0]), int(row[1])) for row in self._rows(each.format(column, of)))
            for column, of in (
                ("checkpoint", "finding WHERE deleted IS NULL"),
                ("preset", "finding WHERE deleted IS NULL"),
                ("tag", f"run_tags WHERE run NOT IN {search.IN_BIN}"),
            )
        )
        return Facets(checkpoints, presets, tags)

    # Measuring again

    def editions(self, before: float, limit: int = 200) -> list[tuple[str, float, str]]:
        """Id, time of asking and edition of the metrics of finished runs outside the bin, newest first.

        A few at a time, asked for before that moment: reading all at once would hold up who writes.
        """
        rows = self._rows(
            "SELECT id, created, CASE WHEN json_valid(outcome) THEN json_extract(outcome, '$.measured_as') END"
            " FROM runs WHERE state = 'done' AND deleted IS NULL AND created < ? ORDER BY created DESC LIMIT ?",
            (before, limit),
        )
        return [(row[0], float(row[1]), row[2] or "") for row in rows]

    def measured_again(self, run: Run, outcome: Outcome) -> bool:
        """Writes what was measured of a finished run; False if its row says another outcome than `run` by now."""
        with self._transaction() as db:
            stored = db.execute(
                "SELECT outcome FROM runs WHERE id = ? AND state = 'done'", (run.id,)
            ).fetchone()
            if stored is None or Outcome.from_json(stored[0]) != run.outcome:
                return False
            db.execute("UPDATE runs SET outcome = ? WHERE id = ?", (outcome.to_json(), run.id))
        return True

    # From elsewhere

    def adopt(self, run: Run) -> bool:
        """Writes the row of a finished run whose files are in place; False if there is one of that id already."""
        with self._transaction() as db:
            added = db.execute(
                "INSERT OR IGNORE INTO runs (id, state, recipe, recipe_hash, checkpoint, picture, preset, created,"
                " started, finished, step, outcome, latents_of, starred, rating, note, folded_note, visitor)"
                " VALUES (?, 'done', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    run.id,
                    run.recipe.to_json(),
                    run.recipe.hash,
                    run.recipe.checkpoint,
                    run.recipe.picture_sha256,
                    run.preset,
                    run.created,
                    run.started,
                    run.finished,
                    run.step,
                    run.outcome.to_json(),
                    run.latents_of,
                    int(run.starred),
                    run.rating,
                    run.note,
                    folded(run.note),
                    run.visitor,
                ),
            ).rowcount
            if added:
                add_tags(db, "run", run.id, run.tags)
        return bool(added)

    def adopt_comparison(self, pair: Comparison, made_for_it: Sequence[str]) -> bool:
        """Writes the row of a comparison whose runs are there; False if there is one of that id already.

        `made_for_it` are the ids of those of its runs that belong to it alone.
        """
        with self._transaction() as db:
            added = db.execute(
                "INSERT OR IGNORE INTO comparisons (id, a, b, created, starred, rating, note, folded_note, visitor)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    pair.id,
                    pair.a.id,
                    pair.b.id,
                    pair.created,
                    int(pair.starred),
                    pair.rating,
                    pair.note,
                    folded(pair.note),
                    pair.visitor,
                ),
            ).rowcount
            if added:
                add_tags(db, "comparison", pair.id, pair.tags)
                db.executemany(
                    "UPDATE runs SET comparison = ? WHERE id = ? AND comparison IS NULL",
                    [(pair.id, id) for id in made_for_it],
                )
        return bool(added)


def add_tags(db: sqlite3.Connection, kind: str, id: str, tags: Iterable[str]) -> None:
    """Writes clean tags of a run or comparison in the transaction that is open."""
    db.executemany(f"INSERT OR IGNORE INTO {kind}_tags VALUES (?, ?)", [(id, tag) for tag in tags])


def folded(note: str) -> str:
    """A note as it is searched: small letters of every script, single spaces."""
    return " ".join(note.casefold().split())


def _tags(row: sqlite3.Row) -> tuple[str, ...]:
    return tuple(row["tags"].split(",")) if row["tags"] else ()
