"""Sweeps as they are kept: what each changes, and what has become of its cells. Knows rows; nothing of who asks.

A cell waits in its own narrow table and becomes a run when its turn comes (`History.add_cell`), so that a sweep of
thousands is accepted at once, keeps nothing else waiting and shows nobody thousands of runs that are not yet.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from svdlab.errors import BadInput, NotFound
from svdlab.failpoints import failpoint
from svdlab.history.bin import Bin
from svdlab.history.turns import WAITS_AGAIN
from svdlab.metrics.definitions import METRICS
from svdlab.recipes.records import Recipe
from svdlab.recipes.sweeps import CellStanding, Grid, Sweep, SweepState
from svdlab.recipes.visitors import OPERATOR, Visitor

MOST_TRIES = 3  # of a cell whose worker dies under it: it may be the cell that kills it


@dataclass(frozen=True)
class CellRow:
    """A cell as it is accepted. `changes` is what its recipe has instead of the base's, by knob and part."""

    number: int
    place: int  # when it is rendered
    work: float  # relative to others
    changes: Mapping[str, Any]
    refused: str | None = None
    run: str | None = None  # an equal one from before


@dataclass(frozen=True)
class Basis:
    """What a sweep's cells change, and whose they are."""

    recipe: Recipe
    preset: str | None
    by: Visitor


def check_measured(name: str, but: Collection[str] = ()) -> None:
    """Raises `BadInput` for what is not measured of a cell, and for what is in `but`."""
    if name not in (*METRICS, "seconds") or name in but:
        raise BadInput(
            f"nothing called {name[:40]!r} is measured; there are {', '.join(METRICS)} and seconds"
        )


class Sweeps(Bin):
    """What is kept, with sweeps."""

    def add_sweep(
        self, sweep: Sweep, cells: Iterable[CellRow], by: Visitor = OPERATOR, seconds: float | None = None
    ) -> Sweep:
        """Writes a sweep with all its cells: from here none of them can be lost. `seconds` is what it will take."""
        rows = [
            (sweep.id, cell.number, cell.place, cell.work, _text(cell.changes), cell.refused, cell.run)
            for cell in cells
        ]
        with self._transaction() as db:
            db.execute(
                "INSERT INTO sweeps (id, state, base, preset, grid, cells, seconds, created, visitor, lane)"
                " VALUES (?, 'active', ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    sweep.id,
                    sweep.base.to_json(),
                    sweep.preset,
                    sweep.grid.to_json(),
                    len(rows),
                    seconds,
                    sweep.created,
                    by.stored,
                    by.lane,
                ),
            )
            db.executemany(
                "INSERT INTO cells (sweep, number, place, work, changes, refused, run) VALUES (?, ?, ?, ?, ?, ?, ?)",
                rows,
            )
            failpoint("sweep-inserted")
        return self.sweep(sweep.id)

    # Reading

    def sweep(self, id: str) -> Sweep:
        """The sweep of that id. Raises `NotFound`."""
        rows = self._rows("SELECT * FROM sweeps WHERE id = ?", (id,))
        if not rows:
            raise NotFound(f"there is no sweep {str(id)[:40]!r}")
        return _sweep(rows[0])

    def sweeps(self, limit: int = 50, visitor: str | None = None) -> list[Sweep]:
        """Sweeps outside the bin, newest first; only that visitor's, if one is named."""
        whose, values = ("AND visitor = ?", [visitor]) if visitor is not None else ("", [])
        rows = self._rows(
            f"SELECT * FROM sweeps WHERE deleted IS NULL {whose} ORDER BY created DESC, id DESC LIMIT ?",
            (*values, limit),
        )
        return [_sweep(row) for row in rows]

    def cells(self, id: str) -> list[CellStanding]:
        """All cells of a sweep as they are now, by number."""
        rows = self._rows(
            "SELECT cell.number, cell.refused, cell.run, run.state, run.error, run.deleted, finding.seconds"
            f" {_CELLS} WHERE cell.sweep = ? ORDER BY cell.number",
            (id,),
        )
        return [_standing(row) for row in rows]

    def measured(self, id: str, name: str) -> dict[int, float]:
        """A metric, or the seconds of rendering, of a sweep's finished cells by number; what was not measured is left.

        Raises `BadInput` for what is not measured at all.
        """
        check_measured(name, self.unfindable)
        rows = self._rows(
            f"SELECT cell.number, finding.[{name}] AS value {_CELLS} WHERE cell.sweep = ? AND run.state = 'done'"
            " AND run.deleted IS NULL AND value IS NOT NULL ORDER BY cell.number",
            (id,),
        )
        return {row["number"]: row["value"] for row in rows}

    def work(self, id: str) -> tuple[dict[int, float], float | None]:
        """How much each cell takes relative to others, by number, and the seconds it was thought to take in all."""
        rows = self._rows("SELECT number, work FROM cells WHERE sweep = ?", (id,))
        seconds = self._rows("SELECT seconds FROM sweeps WHERE id = ?", (id,))
        return {row["number"]: row["work"] for row in rows}, seconds[0]["seconds"] if seconds else None

    def basis(self, id: str) -> Basis:
        """What a sweep's cells change. Raises `NotFound`."""
        rows = self._rows("SELECT base, preset, visitor, lane FROM sweeps WHERE id = ?", (id,))
        if not rows:
            raise NotFound(f"there is no sweep {str(id)[:40]!r}")
        row = rows[0]
        # Each of the operator's sweeps is a lane of its own, so that two of them take turns cell by cell, and whatever
        # else the operator asks for waits for one cell of each. A visitor has one lane, whatever it asks for.
        mine = Visitor(lane=id, operator=True)
        by = mine if row["visitor"] is None else Visitor(row["visitor"], row["lane"])
        return Basis(Recipe.from_json(row["base"]), row["preset"], by)

    # Going on

    def going(self) -> list[str]:
        """The sweeps that go on, oldest first."""
        rows = self._rows("SELECT id FROM sweeps WHERE state = 'active' ORDER BY created, id")
        return [row["id"] for row in rows]

    def ahead(self, id: str) -> int:
        """How many of a sweep's cells wait as runs to be claimed."""
        counted = (
            "SELECT COUNT(*) FROM runs INDEXED BY runs_in_turn JOIN cells ON cells.run = runs.id"
            " WHERE runs.state = 'queued' AND cells.sweep = ?"
        )
        return int(self._rows(counted, (id,))[0][0])

    def next_cell(self, id: str) -> tuple[int, dict[str, Any]] | None:
        """Number and changes of the cell that comes next; None where none waits."""
        rows = self._rows(
            "SELECT number, changes FROM cells INDEXED BY cells_waiting"
            " WHERE sweep = ? AND run IS NULL AND refused IS NULL ORDER BY place LIMIT 1",
            (id,),
        )
        return (rows[0]["number"], json.loads(rows[0]["changes"])) if rows else None

    def answer_cell(self, id: str, number: int, run: str) -> bool:
        """Has a run that is there already, or on its way, stand for a waiting cell; False if it waits no more."""
        with self._transaction() as db:
            return bool(
                db.execute(
                    "UPDATE cells SET run = ? WHERE sweep = ? AND number = ? AND run IS NULL AND refused IS NULL",
                    (run, id, number),
                ).rowcount
            )

    def take_up(self, id: str) -> list[str]:
        """Queues a sweep's cells again that a worker's end broke off, under their own ids; returns the ids.

        A cell under which workers have died `MOST_TRIES` times is left as it is.
        """
        broken = (
            "SELECT cells.number, cells.run FROM runs INDEXED BY runs_by_state JOIN cells ON cells.run = runs.id"
            " WHERE runs.state = 'interrupted' AND runs.deleted IS NULL AND cells.sweep = ? AND cells.tries < ?"
        )
        if not self._rows(broken, (id, MOST_TRIES)):
            return []
        with self._transaction() as db:
            rows = db.execute(broken, (id, MOST_TRIES)).fetchall()
            for row in rows:
                db.execute(
                    f"UPDATE runs SET {WAITS_AGAIN} WHERE id = ?",
                    (row["run"],),
                )
                db.execute(
                    "UPDATE cells SET tries = tries + 1 WHERE sweep = ? AND number = ?", (id, row["number"])
                )
            failpoint("cells-taken-up")
        return [row["run"] for row in rows]

    def end_sweep(self, id: str) -> bool:
        """Says that a sweep is over, if no cell of it is still to come; whether it does."""
        with self._transaction() as db:
            return bool(
                db.execute(
                    "UPDATE sweeps SET state = 'ended' WHERE id = ? AND state = 'active' AND NOT EXISTS (SELECT 1"
                    " FROM cells LEFT JOIN runs ON runs.id = cells.run WHERE cells.sweep = sweeps.id"
                    " AND refused IS NULL AND (cells.run IS NULL OR runs.state IN ('queued', 'running')))",
                    (id,),
                ).rowcount
            )

    # Controls

    def pause_sweep(self, id: str) -> None:
        """No more cells are begun until it goes on. Raises `BadInput` if it does not go on now, `NotFound`."""
        self._change(id, "paused", ("active",))

    def go_on(self, id: str) -> None:
        """A paused sweep goes on. Raises `BadInput` for one that is not paused, `NotFound`."""
        self._change(id, "active", ("paused",))

    def cancel_sweep(self, id: str) -> list[str]:
        """No cell is begun any more; returns the runs it had made that are still to come and that no other sweep has.

        Raises `BadInput` for one that is over, `NotFound`.
        """
        self._change(id, "cancelled", ("active", "paused"))
        rows = self._rows(
            "SELECT runs.id FROM cells JOIN runs ON runs.id = cells.run WHERE cells.sweep = ?"
            " AND runs.sweep = cells.sweep AND runs.state IN ('queued', 'running') AND NOT EXISTS (SELECT 1"
            " FROM cells AS other JOIN sweeps ON sweeps.id = other.sweep WHERE other.run = runs.id"
            " AND sweeps.state IN ('active', 'paused'))",
            (id,),
        )
        return [row["id"] for row in rows]

    def retry_sweep(self, id: str) -> int:
        """Has all cells wait again that were not rendered, or whose clip is gone, and the sweep go on; how many.

        Raises `BadInput` if there are none, `NotFound`.
        """
        self.sweep(id)
        with self._transaction() as db:
            db.execute(
                "UPDATE cells SET last = run, run = NULL, tries = 0 WHERE sweep = ? AND run IS NOT NULL AND NOT EXISTS"
                " (SELECT 1 FROM runs WHERE runs.id = cells.run AND runs.deleted IS NULL"
                " AND runs.state IN ('queued', 'running', 'done'))",
                (id,),
            )
            waiting = int(
                db.execute(
                    "SELECT COUNT(*) FROM cells WHERE sweep = ? AND run IS NULL AND refused IS NULL", (id,)
                ).fetchone()[0]
            )
            if not waiting:
                raise BadInput(
                    "every cell of this sweep is rendered or on its way, so there is nothing to try again"
                )
            db.execute("UPDATE sweeps SET state = 'active' WHERE id = ?", (id,))
        return waiting

    def delete_sweep(self, id: str) -> None:
        """Takes a sweep out of the lists; its runs stay. Raises `BadInput` while it goes on, `NotFound`."""
        if self.sweep(id).state in ("active", "paused"):
            raise BadInput("this sweep is not over; cancel it before deleting it")
        with self._transaction() as db:
            db.execute("UPDATE sweeps SET deleted = ? WHERE id = ?", (time.time(), id))

    def _change(self, id: str, to: SweepState, of: tuple[SweepState, ...]) -> None:
        self.sweep(id)
        with self._transaction() as db:
            marks = ",".join("?" * len(of))
            changed = db.execute(
                f"UPDATE sweeps SET state = ? WHERE id = ? AND state IN ({marks})", (to, id, *of)
            ).rowcount
        if not changed:
            raise BadInput(f"this sweep is {_SAID[self.sweep(id).state]}, so it cannot be {_DONE[to]}")


_CELLS = (
    "FROM cells AS cell LEFT JOIN runs AS run ON run.id = cell.run"
    " LEFT JOIN finding ON finding.created = run.created AND finding.run = run.id"
)
_SAID: dict[SweepState, str] = {
    "active": "going on",
    "paused": "paused",
    "cancelled": "cancelled",
    "ended": "over",
}
_DONE: dict[SweepState, str] = {
    "active": "resumed",
    "paused": "paused",
    "cancelled": "cancelled",
    "ended": "ended",
}


def _text(changes: Mapping[str, Any]) -> str:
    return json.dumps(changes, separators=(",", ":"))


def _sweep(row: sqlite3.Row) -> Sweep:
    return Sweep(
        id=row["id"],
        state=row["state"],
        base=Recipe.from_json(row["base"]),
        preset=row["preset"],
        grid=Grid.from_json(row["grid"]),
        created=row["created"],
        cells=row["cells"],
        visitor=row["visitor"],
        deleted=row["deleted"],
    )


def _standing(row: sqlite3.Row) -> CellStanding:
    number, run = row["number"], row["run"]
    if row["refused"] is not None:
        return CellStanding(number, "refused", said=row["refused"])
    if run is None:
        return CellStanding(number, "waiting")
    if row["state"] is None or row["deleted"] is not None:
        return CellStanding(number, "gone", said="Its run was deleted.")
    return CellStanding(number, row["state"], run, row["error"] or "", row["seconds"] or 0.0)
