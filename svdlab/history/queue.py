"""The record of runs, which is also the queue. Knows SQLite and folders; nothing of models or screens.

Every state change is one committed transaction (WAL, synchronous=FULL): what a caller was told is on
disk. Workers claim rows under a lease; a row whose worker died becomes `interrupted`, never lost.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

from svdlab.errors import BadInput
from svdlab.failpoints import failpoint
from svdlab.files import put_in_place, sync_folder
from svdlab.history.ids import new_id
from svdlab.history.owners import is_alive
from svdlab.history.run_files import whole_result
from svdlab.history.turns import WAITS_AGAIN, Only, first_waiting, must_have_room, next_turn, take_turn
from svdlab.history.votes import Votes
from svdlab.recipes.records import UNFINISHED, Comparison, Outcome, Recipe, Run, RunState
from svdlab.recipes.visitors import OPERATOR, Visitor

ENDED = "The program ended while this was being rendered."
LEASE_SECONDS = 120.0  # a worker on another host that has not been heard of for this long is taken for dead


class History(Votes):
    """What is kept (see `Kept`, `Marks`, `Bin`, `Sweeps`, `Votes`), and the queue: accepting, claiming, ending."""

    # Accepting

    def add(
        self, recipe: Recipe, preset: str | None = None, by: Visitor = OPERATOR, most: int | None = None
    ) -> Run:
        """Writes a queued run and returns it; from here it cannot be lost.

        `by` has asked for it, of whose runs at most `most` may wait. Raises `BadInput`.
        """
        with self._transaction() as db:
            turn = self._turn(db, by, 1, most)
            id = self._insert(recipe, preset, None, by, turn)
        return self.get(id)

    def add_comparison(
        self, a: Recipe, b: Recipe, preset: str | None = None, by: Visitor = OPERATOR, most: int | None = None
    ) -> Comparison:
        """Writes two queued runs that belong together. Raises `BadInput`."""
        id = new_id()
        with self._transaction() as db:
            turn = self._turn(db, by, 2, most)
            first, second = (self._insert(recipe, preset, id, by, turn) for recipe in (a, b))
            db.execute(_PAIR, (id, first, second, time.time(), by.stored))
        return self.comparison(id)

    def add_decode(
        self, recipe: Recipe, of: Run, by: Visitor = OPERATOR, most: int | None = None
    ) -> Comparison:
        """Writes a queued run that decodes the latents of a finished one, and the comparison of the two.

        Raises `BadInput`.
        """
        id = new_id()
        with self._transaction() as db:
            turn = self._turn(db, by, 1, most)
            second = self._insert(recipe, of.preset, id, by, turn, latents_of=of.latents_of or of.id)
            db.execute(_PAIR, (id, of.id, second, time.time(), by.stored))
        return self.comparison(id)

    def add_cell(
        self,
        sweep: str,
        number: int,
        recipe: Recipe,
        preset: str | None = None,
        by: Visitor = OPERATOR,
        most: int | None = None,
    ) -> str | None:
        """Has a sweep's waiting cell become a queued run, and returns its id; None if it waits no more.

        Row and cell are written together: killed at any moment, a cell has one run or none. A run that the cell had
        before is queued again under its own id. Raises `BadInput`.
        """
        with self._transaction() as db:
            cell = db.execute(_WAITING_CELL, (sweep, number)).fetchone()
            if cell is None:
                return None
            turn = self._turn(db, by, 1, most)
            again = db.execute(_AGAIN, (turn, by.lane, sweep, cell["last"])).rowcount
            id: str = cell["last"] if again else self._insert(recipe, preset, None, by, turn, sweep=sweep)
            db.execute("UPDATE cells SET run = ? WHERE sweep = ? AND number = ?", (id, sweep, number))
            failpoint("cell-queued")
        return id

    def _turn(self, db: sqlite3.Connection, by: Visitor, count: int, most: int | None) -> int:
        """The number of `count` runs that are rendered together. Raises `BadInput` if that is too many."""
        must_have_room(db, by, count, most)
        return next_turn(db, by.lane)

    def _insert(
        self,
        recipe: Recipe,
        preset: str | None,
        comparison: str | None,
        by: Visitor,
        turn: int,
        latents_of: str | None = None,
        sweep: str | None = None,
    ) -> str:
        id = new_id()
        self._db.execute(
            "INSERT INTO runs (id, state, recipe, recipe_hash, checkpoint, picture, preset, comparison, created,"
            " latents_of, visitor, lane, turn, sweep) VALUES (?, 'queued', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                id,
                recipe.to_json(),
                recipe.hash,
                recipe.checkpoint,
                recipe.picture_sha256,
                preset,
                comparison,
                time.time(),
                latents_of,
                by.stored,
                by.lane,
                turn,
                sweep,
            ),
        )
        failpoint("row-inserted")
        return id

    def position(self, id: str) -> int:
        """How many unfinished runs are ahead of a queued one (a comparison's two sides run together)."""
        return self._rows(
            "SELECT COUNT(*) FROM runs r, runs me WHERE me.id = ? AND r.id <> me.id"
            " AND (r.comparison IS NULL OR r.comparison IS NOT me.comparison)"
            " AND (r.state = 'running' OR (r.state = 'queued' AND (r.turn, r.rowid) < (me.turn, me.rowid)))",
            (id,),
        )[0][0]

    def load(self) -> tuple[int, int]:
        """How many runs wait, and how many are being rendered."""
        rows = self._rows(
            "SELECT state, COUNT(*) FROM runs WHERE state IN ('queued', 'running') GROUP BY state"
        )
        counts: dict[str, int] = {row[0]: row[1] for row in rows}
        return counts.get("queued", 0), counts.get("running", 0)

    # Working

    def claim(self, owner: str, only: Only = None) -> list[Run]:
        """Takes the run whose turn it is, with its comparison's other side, for `owner`; empty if none waits.

        Of one lane that is the run that was accepted first (`svdlab.history.turns`). Rows are numbered as they are
        accepted, so the order holds when the clock is set back.
        With `only`, other runs are left to other workers. Of a data folder that is only read, nothing.
        """
        if self.read_only:
            return []
        with self._transaction() as db:
            row = first_waiting(db, only)
            if row is None:
                return []
            ids = [row["id"]]
            if row["comparison"] is not None:
                both = "SELECT id FROM runs WHERE comparison = ? AND state = 'queued' ORDER BY rowid"
                ids = [r["id"] for r in db.execute(both, (row["comparison"],))]
            if only is None:  # whoever takes a certain run takes nobody's turn
                take_turn(db, row["turn"])
            now = time.time()
            for id in ids:
                db.execute(
                    "UPDATE runs SET state = 'running', owner = ?, lease_until = ?, started = ?, step = 0, error = NULL"
                    " WHERE id = ?",
                    (owner, now + LEASE_SECONDS, now, id),
                )
        failpoint("claimed")
        return [self.get(id) for id in ids]

    def beat(self, id: str, step: int, owner: str | None = None) -> bool:
        """Renews the lease and notes the step; returns whether to stop.

        That is so when the person asked for it, or when the run is no longer `owner`'s: it was taken for dead.
        """
        with self._transaction() as db:
            mine = db.execute(
                f"UPDATE runs SET lease_until = ?, step = ? WHERE {_MINE}",
                (time.time() + LEASE_SECONDS, step, id, owner),
            ).rowcount
            row = db.execute("SELECT cancel_requested FROM runs WHERE id = ?", (id,)).fetchone()
        return not mine or bool(row["cancel_requested"])

    def stop_asked(self, id: str) -> bool:
        """Whether the person asked this run to stop."""
        rows = self._rows("SELECT cancel_requested FROM runs WHERE id = ?", (id,))
        return bool(rows and rows[0]["cancel_requested"])

    def finish(
        self,
        id: str,
        state: RunState,
        *,
        recipe: Recipe | None = None,
        outcome: Outcome | None = None,
        error: str | None = None,
        owner: str | None = None,
        files: Path | None = None,
    ) -> bool:
        """Ends a running run; False if it is not running, or no longer `owner`'s, and then nothing is changed.

        With `recipe`, the one that says the versions replaces the asked one. `files` is a folder of the run's whole
        files, put in place under the same lock: of two workers that believe they have a run, one ends it. Killed
        after that and before the row is written, the run is adopted by `recover`. Raises `OSError`, `DataFolderError`.
        """
        if files is not None:
            sync_folder(files)
            failpoint("synced")
        with self._transaction() as db:
            if not db.execute(f"SELECT 1 FROM runs WHERE {_MINE}", (id, owner)).fetchone():
                return False
            if files is not None:
                put_in_place(files, self.runs_folder / id)
                failpoint("published")
            db.execute(
                "UPDATE runs SET state = ?, finished = ?, error = ?, outcome = COALESCE(?, outcome),"
                " recipe = COALESCE(?, recipe), owner = NULL, lease_until = NULL, cancel_requested = 0"
                " WHERE id = ?",
                (
                    state,
                    time.time(),
                    error,
                    outcome.to_json() if outcome else None,
                    recipe.to_json() if recipe else None,
                    id,
                ),
            )
            failpoint("ending")
        failpoint("ended")
        return True

    def settle(self, id: str, owner: str | None, state: RunState, error: str) -> bool:
        """Ends a run whose worker broke off: done if its files are in place and whole, else `state` with `error`."""
        whole = whole_result(self.runs_folder / id)
        if whole is not None:
            return self.finish(id, "done", recipe=whole[0], outcome=whole[1], owner=owner)
        return self.finish(id, state, error=error, owner=owner)

    def cancel(self, id: str) -> RunState:
        """Cancels a queued run at once, asks a running one to stop; returns the state it then has."""
        self.get(id)
        with self._transaction() as db:
            db.execute(
                "UPDATE runs SET state = 'cancelled', finished = ? WHERE id = ? AND state = 'queued'",
                (time.time(), id),
            )
            db.execute("UPDATE runs SET cancel_requested = 1 WHERE id = ? AND state = 'running'", (id,))
        return self.get(id).state

    def requeue(self, *ids: str, by: Visitor = OPERATOR, most: int | None = None) -> list[Run]:
        """Puts interrupted, failed or cancelled runs back into the queue, together: a comparison's two stay one.

        The operator's keep their place; a visitor's go behind what the visitor has asked for since. A sweep's cell is
        from then on a run like any other: its sweep's pause does not hold it. Raises `BadInput`.
        """
        for id in ids:
            if self.get(id).deleted is not None:
                raise BadInput(f"run {id} is in the bin; take it back first")
        with self._transaction() as db:
            must_have_room(db, by, len(ids), most)
            if not by.operator:
                self._behind(db, ids, by.lane)
            db.executemany(
                f"UPDATE runs SET {WAITS_AGAIN}, sweep = NULL WHERE id = ? AND {_OVER}",
                [(id,) for id in ids],
            )
            failpoint("requeuing")
        failpoint("requeued")
        return [self.get(id) for id in ids]

    def _behind(self, db: sqlite3.Connection, ids: Sequence[str], lane: str) -> None:
        """Gives runs that are to wait again turns of now; the two of a comparison share one."""
        turn, before = next_turn(db, lane) - 1, ""
        for id in ids:
            row = db.execute("SELECT comparison FROM runs WHERE id = ?", (id,)).fetchone()
            together = row["comparison"] or id
            turn, before = turn + (together != before), together
            db.execute("UPDATE runs SET turn = ?, lane = ? WHERE id = ?", (turn, lane, id))

    def recover(self) -> list[Run]:
        """Settles runs whose worker is gone: adopted as done if their files are whole, else interrupted.

        Returns the runs it settled.
        """
        if self.read_only:
            return []
        now, settled = time.time(), []
        running = self._rows("SELECT * FROM runs WHERE state = 'running'")
        for row in running:
            if is_alive(row["owner"], row["lease_until"], now):
                continue
            # By the owner that was seen: another process may have settled it and a third have claimed it meanwhile.
            if self.settle(row["id"], row["owner"], "interrupted", ENDED):
                settled.append(self.get(row["id"]))
            failpoint("recovered")
        return settled

    def unfinished(self) -> list[Run]:
        """Queued and running runs, oldest first."""
        return self.runs(limit=10_000, states=UNFINISHED)[::-1]

    def lose(self, id: str, error: str) -> None:
        """Says that a finished run's files are gone: it becomes interrupted, so that it can be rendered again."""
        with self._transaction() as db:
            db.execute(
                "UPDATE runs SET state = 'interrupted', error = ? WHERE id = ? AND state = 'done'",
                (error, id),
            )


_MINE = "id = ? AND state = 'running' AND owner IS COALESCE(?, owner)"
_WAITING_CELL = "SELECT last FROM cells WHERE sweep = ? AND number = ? AND run IS NULL AND refused IS NULL"
_OVER = "state IN ('interrupted', 'failed', 'cancelled') AND deleted IS NULL"  # without a clip
_AGAIN = f"UPDATE runs SET {WAITS_AGAIN}, turn = ?, lane = ?, sweep = ? WHERE id = ? AND {_OVER}"
_PAIR = "INSERT INTO comparisons (id, a, b, created, visitor) VALUES (?, ?, ?, ?, ?)"
