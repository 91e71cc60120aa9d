"""The bin: deleting that can be undone, and removing for good. Knows rows and folders; nothing of who asks.

Whatever moment it is killed at, the next call goes on: a row stays until its files are gone.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable

from svdlab.errors import BadInput
from svdlab.failpoints import failpoint
from svdlab.files import entries, remove_folder
from svdlab.history import search
from svdlab.history.kept import PICTURE_NAME
from svdlab.history.marks import Marks

BEING_REMOVED = 0.0  # in `deleted`: the files are being removed, there is no way back
REMOVE_BATCH = 100
FRESH_SECONDS = 3600.0  # a picture nobody uses yet may have been dropped in a moment ago

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
_NAMED = (  # whether a picture is wanted
    "SELECT 1 WHERE EXISTS (SELECT 1 FROM runs WHERE picture = ?)"
    " OR EXISTS (SELECT 1 FROM sweeps WHERE instr(base || grid, ?))"
)
_FREED = (  # runs of comparisons that are gone stand alone
    "UPDATE runs SET comparison = NULL WHERE comparison IS NOT NULL AND comparison NOT IN (SELECT id FROM comparisons)"
)


class Bin(Marks):
    """What is kept, and putting it away."""

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

    def delete_visitors(self, older_than_seconds: float) -> list[str]:
        """Bins what visitors asked for that ended so long ago, marked or not; returns the runs' ids."""
        now = time.time()
        with self._transaction() as db:
            rows = db.execute(
                "SELECT id FROM runs WHERE visitor IS NOT NULL AND deleted IS NULL"
                " AND state NOT IN ('queued', 'running') AND COALESCE(finished, created) <= ?",
                (now - older_than_seconds,),
            ).fetchall()
            ids = [row["id"] for row in rows]
            db.executemany("UPDATE runs SET deleted = ? WHERE id = ?", [(now, id) for id in ids])
            db.execute(
                "UPDATE comparisons SET deleted = ? WHERE visitor IS NOT NULL AND deleted IS NULL"
                f" AND (a IN {search.IN_BIN} OR b IN {search.IN_BIN})",
                (now,),
            )
            db.execute(
                "UPDATE sweeps SET deleted = ? WHERE visitor IS NOT NULL AND deleted IS NULL"
                " AND state <> 'active' AND created <= ?",
                (now, now - older_than_seconds),
            )
        return ids

    def take_back(self, ids: Iterable[str]) -> None:
        """Takes runs and comparisons out of the bin again, all or none; undoes `delete`.

        Raises `NotFound` for what is gone for good, `BadInput` for what is being removed.
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
        first, so that nothing can be taken back by halves. Pictures stay; see `remove_unused_pictures`.
        """
        with self._transaction() as db:
            before = time.time() - older_than_seconds
            db.execute(
                "UPDATE runs SET deleted = ? WHERE deleted <= ? AND state <> 'running' AND NOT EXISTS (SELECT 1"
                " FROM runs AS other WHERE other.latents_of = runs.id AND other.state IN ('queued', 'running'))",
                (BEING_REMOVED, before),
            )
            db.execute("DELETE FROM comparisons WHERE deleted <= ?", (before,))
            db.execute("DELETE FROM sweeps WHERE deleted <= ?", (before,))
            db.execute(_FREED)
            rows = db.execute("SELECT id FROM runs WHERE deleted = ?", (BEING_REMOVED,)).fetchall()
        failpoint("bin-marked")
        ids, removed = [row["id"] for row in rows], []
        for start in range(0, len(ids), REMOVE_BATCH):
            gone = [id for id in ids[start : start + REMOVE_BATCH] if remove_folder(self.runs_folder / id)]
            failpoint("bin-files-removed")
            with self._transaction() as db:
                for id in gone:
                    db.execute("DELETE FROM comparisons WHERE a = ? OR b = ?", (id, id))
                    db.execute("DELETE FROM runs WHERE id = ?", (id,))
                db.execute(_FREED)
            removed += gone
            failpoint("bin-rows-removed")
        return removed

    def remove_unused_pictures(self, older_than_seconds: float = FRESH_SECONDS) -> list[str]:
        """Removes stored pictures that no run or sweep names, in the bin or outside, and returns their hashes.

        Pictures that were stored or asked for less than `older_than_seconds` ago stay: their run may be on its way.
        """
        before, removed = time.time() - older_than_seconds, []
        with self._transaction() as db:
            for path in entries(self.pictures_folder):
                name = PICTURE_NAME.fullmatch(path.name)
                if name is None or path.stat().st_mtime > before:
                    continue
                if not db.execute(_NAMED, (name[1], name[1])).fetchone():
                    path.unlink(missing_ok=True)
                    removed.append(name[1])
        return removed


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
        raise BadInput(f"{kind} {id} is being removed for good, so it cannot be taken back")
    if kind == "comparison":  # the runs that went with it, not those that went before
        db.execute(
            "UPDATE runs SET deleted = NULL WHERE comparison = ? AND deleted = ?", (id, deleted["deleted"])
        )
    db.execute(f"UPDATE {kind}s SET deleted = NULL WHERE id = ?", (id,))
