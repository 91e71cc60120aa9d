"""What is kept: runs and comparisons to be read, found, marked and put into the bin. Knows SQLite and folders;
nothing of the queue, of models or of screens.
"""

from __future__ import annotations

import re
import secrets
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from svdlab.errors import BadInput, DataFolderError, NotFound, reason
from svdlab.failpoints import failpoint
from svdlab.history import search
from svdlab.history.database import BUSY_SECONDS, Database
from svdlab.history.search import ComparisonPage, Facets, Page, RunQuery
from svdlab.recipes.records import Comparison, Outcome, Recipe, Run, RunState

ID = re.compile(r"[0-9a-f]{17}")
PICTURE_NAME = re.compile(r"([0-9a-f]{64})\.png")
BEING_REMOVED = 0.0  # in `deleted`: the files are being removed, there is no way back
REMOVE_BATCH = 100
FRESH_SECONDS = 3600.0  # a picture nobody uses yet may have been dropped in a moment ago

_WITH_TAGS = (
    "SELECT it.*, (SELECT group_concat(tag, ',') FROM (SELECT tag FROM {0}_tags WHERE {0} = it.id ORDER BY tag))"
    " AS tags FROM {0}s AS it"
)
RUNS = _WITH_TAGS.format("run")
COMPARISONS = _WITH_TAGS.format("comparison")


def new_id() -> str:
    """An id that sorts by time: 11 hex digits of milliseconds and 6 random ones."""
    return f"{time.time_ns() // 1_000_000:011x}{secrets.token_hex(3)}"


class Shelf(Database):
    """Runs and comparisons in `folder/svdlab.db`, their files in `folder/runs/<id>`."""

    def __init__(self, folder: Path, busy_seconds: float = BUSY_SECONDS) -> None:
        super().__init__(folder, busy_seconds)
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
        return Run(
            id=row["id"],
            state=row["state"],
            recipe=Recipe.from_json(row["recipe"]),
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
        )

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
        )

    def runs(self, limit: int = 50, states: Sequence[RunState] | None = None) -> list[Run]:
        """Runs outside the bin, newest first."""
        wanted = tuple(states or ())
        where = f"AND state IN ({','.join('?' * len(wanted))})" if wanted else ""
        rows = self._rows(
            f"{RUNS} WHERE deleted IS NULL {where} ORDER BY created DESC, id DESC LIMIT ?", (*wanted, limit)
        )
        return [self._run(row) for row in rows]

    def comparisons(self, limit: int = 50) -> list[Comparison]:
        """Comparisons outside the bin with both sides outside it, newest first."""
        where, _ = search.comparison_conditions(RunQuery())
        rows = self._rows(f"{COMPARISONS} WHERE {where} ORDER BY created DESC, id DESC LIMIT ?", (limit,))
        return [self._comparison(row) for row in rows]

    def same(self, recipe_hash: str, states: Sequence[RunState]) -> Iterator[Run]:
        """Runs of that recipe outside the bin in one of these states, newest first."""
        rows = self._rows(
            f"{RUNS} WHERE recipe_hash = ? AND state IN ({','.join('?' * len(states))}) AND deleted IS NULL"
            " ORDER BY created DESC, id DESC",
            (recipe_hash, *states),
        )
        return map(self._run, rows)

    def same_pairs(self, a_hash: str, b_hash: str) -> Iterator[Comparison]:
        """Comparisons of these two recipes outside the bin, with both sides outside it, newest first."""
        rows = self._rows(
            f"{COMPARISONS} JOIN runs AS one ON one.id = it.a JOIN runs AS two ON two.id = it.b"
            " WHERE one.recipe_hash = ? AND two.recipe_hash = ?"
            " AND it.deleted IS NULL AND one.deleted IS NULL AND two.deleted IS NULL"
            " ORDER BY it.created DESC, it.id DESC",
            (a_hash, b_hash),
        )
        return map(self._comparison, rows)

    def comparisons_of(self, run_id: str) -> list[str]:
        """The ids of the comparisons outside the bin that a run is a side of."""
        rows = self._rows(
            "SELECT id FROM comparisons WHERE (a = ? OR b = ?) AND deleted IS NULL ORDER BY created, id",
            (run_id, run_id),
        )
        return [row["id"] for row in rows]

    # Finding

    def find(self, query: RunQuery | None = None, after: str | None = None, limit: int = 50) -> Page:
        """One page of runs, from behind the mark `after` if given: rows neither double nor miss when others come.

        Raises `BadInput` for a limit outside 1 to 1000 or a mark of another list.
        """
        query = query or RunQuery()
        search.check_limit(limit)
        where, values = search.conditions(query)
        if after is not None:
            further, more = search.beyond(query, after)
            where, values = f"{where} AND {further}", [*values, *more]
        order = search.order(query)
        # The keys first, and whole rows only for what is shown: a sort that carried whole rows would be slow.
        chosen = (
            f"SELECT created, run, {query.sort} AS key FROM finding WHERE {where} ORDER BY {order} LIMIT ?"
        )
        rows = self._rows(chosen, (*values, limit + 1))
        shown = rows[:limit]
        by_id = self._by_id(row["run"] for row in shown)
        last = shown[-1] if len(rows) > limit else None
        return Page(
            tuple(by_id[row["run"]] for row in shown if row["run"] in by_id),
            search.mark(query, last["key"], last["created"], last["run"]) if last else None,
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
        return {row["id"]: self._run(row) for row in rows}

    def find_comparisons(
        self, query: RunQuery | None = None, after: str | None = None, limit: int = 50
    ) -> ComparisonPage:
        """One page of comparisons, newest first. Checkpoint, preset, picture and state are asked of their sides.

        Raises `BadInput` for another order, a limit outside 1 to 1000 or a mark of another list.
        """
        query = query or RunQuery()
        search.check_limit(limit)
        if query.sort != "created":
            raise BadInput(f"comparisons can be sorted by created only, got {query.sort}")
        where, values = search.comparison_conditions(query)
        if after is not None:
            further, more = search.beyond(query, after, "id")
            where, values = f"{where} AND {further}", [*values, *more]
        order = search.order(query, "id")
        rows = self._rows(f"{COMPARISONS} WHERE {where} ORDER BY {order} LIMIT ?", (*values, limit + 1))
        shown = rows[:limit]
        last = shown[-1] if len(rows) > limit else None
        return ComparisonPage(
            tuple(map(self._comparison, shown)),
            search.mark(query, None, last["created"], last["id"]) if last else None,
        )

    def count(self, query: RunQuery | None = None) -> int:
        """How many runs there are of that kind."""
        where, values = search.conditions(query or RunQuery())
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

    # Marks of a person

    def _kind(self, id: str) -> str:
        """'run' or 'comparison'. Raises `NotFound`."""
        for kind in ("run", "comparison"):
            if self._rows(f"SELECT 1 FROM {kind}s WHERE id = ?", (id,)):
                return kind
        raise NotFound(f"there is no run or comparison {str(id)[:40]!r}")

    def set_star(self, id: str, starred: bool = True) -> None:
        """Gives a run or comparison its star, or takes it away. Raises `NotFound`."""
        self._mark(id, "starred = ?", int(starred))

    def rate(self, id: str, rating: int | None) -> None:
        """Rates a run or comparison from 0 to 5; None takes the rating away. Raises `BadInput`, `NotFound`."""
        search.check_rating(rating)
        self._mark(id, "rating = ?", rating)

    def note(self, id: str, note: str) -> None:
        """Writes a note on a run or comparison, in place of the one it has. Raises `BadInput`, `NotFound`."""
        note = search.clean_note(note)
        self._mark(id, "note = ?, folded_note = ?", note, folded(note))

    def _mark(self, id: str, change: str, *values: object) -> None:
        kind = self._kind(id)
        with self._transaction() as db:
            db.execute(f"UPDATE {kind}s SET {change} WHERE id = ?", (*values, id))

    def tag(self, id: str, *tags: str) -> None:
        """Adds tags to a run or comparison, in small letters. Raises `BadInput`, `NotFound`."""
        kind, cleaned = self._kind(id), [search.clean_tag(tag) for tag in tags]
        with self._transaction() as db:
            add_tags(db, kind, id, cleaned)
            count = db.execute(f"SELECT COUNT(*) FROM {kind}_tags WHERE {kind} = ?", (id,)).fetchone()[0]
            if count > search.MAX_TAGS:
                raise BadInput(f"a {kind} may have {search.MAX_TAGS} tags; remove some first")

    def untag(self, id: str, *tags: str) -> None:
        """Takes tags from a run or comparison; what it does not have is passed over. Raises `BadInput`, `NotFound`."""
        kind, cleaned = self._kind(id), [search.clean_tag(tag) for tag in tags]
        with self._transaction() as db:
            db.executemany(
                f"DELETE FROM {kind}_tags WHERE {kind} = ? AND tag = ?", [(id, tag) for tag in cleaned]
            )

    # The bin

    def delete(self, ids: Iterable[str]) -> None:
        """Puts runs and comparisons into the bin; a comparison takes along the runs that were made for it.

        All or none. A waiting run is cancelled; one that is being rendered is refused. Raises `BadInput`, `NotFound`.
        """
        now = time.time()
        self._each(ids, lambda db, kind, id: _delete(db, kind, id, now))

    def delete_unmarked(self, older_than_seconds: float) -> list[str]:
        """Puts finished runs of that age into the bin and returns their ids, but for what a person marked.

        A star, a rating, a note or a tag keeps a run. A comparison goes with both sides or not at all: its own marks
        keep them as well, and so does a side that is marked, younger or not finished.
        """
        now = time.time()
        with self._transaction() as db:
            rows = db.execute(_UNMARKED, {"before": now - older_than_seconds}).fetchall()
            ids = [row["run"] for row in rows]
            db.executemany("UPDATE runs SET deleted = ? WHERE id = ?", [(now, id) for id in ids])
            db.executemany(
                "UPDATE comparisons SET deleted = ? WHERE deleted IS NULL AND (a = ? OR b = ?)",
                [(now, id, id) for id in ids],
            )
        return ids

    def take_back(self, ids: Iterable[str]) -> None:
        """Takes runs and comparisons out of the bin again, all or none; undoes `delete`.

        Raises `NotFound` for what was swept, `BadInput` for what is being swept.
        """
        self._each(ids, _take_back)

    def _each(self, ids: Iterable[str], act: Callable[[sqlite3.Connection, str, str], None]) -> None:
        kinds = {id: self._kind(id) for id in ids}
        with self._transaction() as db:
            for id, kind in kinds.items():
                act(db, kind, id)

    def empty_bin(self, older_than_seconds: float) -> list[str]:
        """Removes for good what has been in the bin for that long: files, then rows. Returns the runs' ids.

        Whatever moment it is killed at, the next call goes on: a row stays until its files are gone, and is marked
        first, so that nothing can be restored by halves. Pictures stay; see `remove_unused_pictures`.
        """
        with self._transaction() as db:
            before = time.time() - older_than_seconds
            db.execute(
                "UPDATE runs SET deleted = ? WHERE deleted <= ? AND state <> 'running' AND NOT EXISTS (SELECT 1"
                " FROM runs AS other WHERE other.latents_of = runs.id AND other.state IN ('queued', 'running'))",
                (BEING_REMOVED, before),
            )
            db.execute("DELETE FROM comparisons WHERE deleted <= ?", (before,))
            db.execute(_FREED)
            rows = db.execute("SELECT id FROM runs WHERE deleted = ?", (BEING_REMOVED,)).fetchall()
        failpoint("bin-marked")
        ids, swept = [row["id"] for row in rows], []
        for start in range(0, len(ids), REMOVE_BATCH):
            gone = [id for id in ids[start : start + REMOVE_BATCH] if remove_folder(self.runs_folder / id)]
            failpoint("bin-files-removed")
            with self._transaction() as db:
                for id in gone:
                    db.execute("DELETE FROM comparisons WHERE a = ? OR b = ?", (id, id))
                    db.execute("DELETE FROM runs WHERE id = ?", (id,))
                db.execute(_FREED)
            swept += gone
            failpoint("bin-swept")
        return swept

    def remove_unused_pictures(self, older_than_seconds: float = FRESH_SECONDS) -> list[str]:
        """Removes stored pictures that no run names, in the bin or outside, and returns their hashes.

        Pictures that were stored or asked for less than `older_than_seconds` ago stay: their run may be on its way.
        """
        before, swept = time.time() - older_than_seconds, []
        with self._transaction() as db:
            for path in entries(self.pictures_folder):
                name = PICTURE_NAME.fullmatch(path.name)
                if name is None or path.stat().st_mtime > before:
                    continue
                if not db.execute("SELECT 1 FROM runs WHERE picture = ? LIMIT 1", (name[1],)).fetchone():
                    path.unlink(missing_ok=True)
                    swept.append(name[1])
        return swept

    # From elsewhere

    def adopt(self, run: Run) -> bool:
        """Writes the row of a finished run whose files are in place; False if there is one of that id already."""
        with self._transaction() as db:
            added = db.execute(
                "INSERT OR IGNORE INTO runs (id, state, recipe, recipe_hash, checkpoint, picture, preset, created,"
                " started, finished, step, outcome, latents_of, starred, rating, note, folded_note)"
                " VALUES (?, 'done', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
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
                "INSERT OR IGNORE INTO comparisons (id, a, b, created, starred, rating, note, folded_note)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    pair.id,
                    pair.a.id,
                    pair.b.id,
                    pair.created,
                    int(pair.starred),
                    pair.rating,
                    pair.note,
                    folded(pair.note),
                ),
            ).rowcount
            if added:
                add_tags(db, "comparison", pair.id, pair.tags)
                db.executemany(
                    "UPDATE runs SET comparison = ? WHERE id = ? AND comparison IS NULL",
                    [(pair.id, id) for id in made_for_it],
                )
        return bool(added)


_OLD = (  # of a row of `finding`: finished before :before and nobody said a word of it
    "{0}.state = 'done' AND {0}.finished <= :before AND NOT {0}.starred AND {0}.rating IS NULL AND {0}.words IS NULL"
)
_UNMARKED = (
    f"SELECT run FROM finding AS me WHERE deleted IS NULL AND {_OLD.format('me')} AND NOT EXISTS (SELECT 1"
    " FROM comparisons AS pair WHERE (pair.a = me.run OR pair.b = me.run) AND pair.deleted IS NULL"
    " AND (pair.starred OR pair.rating IS NOT NULL OR pair.note <> ''"
    " OR EXISTS (SELECT 1 FROM comparison_tags WHERE comparison = pair.id)"
    " OR EXISTS (SELECT 1 FROM runs JOIN finding AS side ON side.created = runs.created AND side.run = runs.id"
    f" WHERE runs.id IN (pair.a, pair.b) AND side.deleted IS NULL AND NOT ({_OLD.format('side')}))))"
)
_FREED = (  # runs of comparisons that are gone stand alone
    "UPDATE runs SET comparison = NULL WHERE comparison IS NOT NULL AND comparison NOT IN (SELECT id FROM comparisons)"
)


def _delete(db: sqlite3.Connection, kind: str, id: str, now: float) -> None:
    column = "id" if kind == "run" else "comparison"
    running = db.execute(f"SELECT id FROM runs WHERE {column} = ? AND state = 'running'", (id,)).fetchone()
    if running:
        raise BadInput(f"run {running['id']} is being rendered; cancel it before deleting it")
    db.execute(
        "UPDATE runs SET state = 'cancelled', finished = ?"
        f" WHERE {column} = ? AND state = 'queued' AND deleted IS NULL",
        (now, id),
    )
    db.execute(f"UPDATE runs SET deleted = ? WHERE {column} = ? AND deleted IS NULL", (now, id))
    if kind == "comparison":
        db.execute("UPDATE comparisons SET deleted = ? WHERE id = ? AND deleted IS NULL", (now, id))


def _take_back(db: sqlite3.Connection, kind: str, id: str) -> None:
    deleted = db.execute(f"SELECT deleted FROM {kind}s WHERE id = ?", (id,)).fetchone()
    if deleted is None or deleted["deleted"] == BEING_REMOVED:
        raise BadInput(f"{kind} {id} is being removed for good, so it cannot be restored")
    if kind == "comparison":  # the runs that went with it, not those that went before
        db.execute(
            "UPDATE runs SET deleted = NULL WHERE comparison = ? AND deleted = ?", (id, deleted["deleted"])
        )
    db.execute(f"UPDATE {kind}s SET deleted = NULL WHERE id = ?", (id,))


def add_tags(db: sqlite3.Connection, kind: str, id: str, tags: Iterable[str]) -> None:
    """Writes clean tags of a run or comparison in the transaction that is open."""
    db.executemany(f"INSERT OR IGNORE INTO {kind}_tags VALUES (?, ?)", [(id, tag) for tag in tags])


def folded(note: str) -> str:
    """A note as it is searched: small letters of every script, single spaces."""
    return " ".join(note.casefold().split())


def entries(folder: Path) -> list[Path]:
    """What is in a folder, by name; nothing where somebody removed it."""
    return sorted(folder.iterdir()) if folder.is_dir() else []


def remove_folder(folder: Path) -> bool:
    """Removes a folder and says whether it is gone; a file held open (Windows) is left for the next time."""
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()


def _tags(row: sqlite3.Row) -> tuple[str, ...]:
    return tuple(row["tags"].split(",")) if row["tags"] else ()
