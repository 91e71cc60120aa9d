"""Whose turn it is: those who wait are served in turns, however much each of them has asked for.

Start-time fair queueing with a run, or a comparison's two, as the unit. A run that is accepted is given a number: the
number of turns that have been taken, or one more than the last of its lane that is not finished yet. The smallest
number is claimed first, of equal ones the one that was accepted first. So a lane with 500 runs has one in each turn, a
newcomer's first is in the present turn, nobody waits for ever, and who is alone is served in the order of asking.
After P. Goyal, H. Vin, H. Cheng: Start-time fair queueing, SIGCOMM 1996.

Each function is for a write transaction that is open, and costs a search in an index. Knows rows; nothing of visitors.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from svdlab.errors import BadInput
from svdlab.recipes.visitors import Visitor

LANE_SHARE = 5  # so many visitors' waiting runs may come from one address

# What a run that waits once more is set to.
WAITS_AGAIN = (
    "state = 'queued', started = NULL, finished = NULL, step = 0, error = NULL, cancel_requested = 0"
)

# A run that a sweep had made is left where it is while the sweep is paused, unless another has it too and goes on.
_HAS_IT = (
    "SELECT 1 FROM cells JOIN sweeps ON sweeps.id = cells.sweep WHERE cells.run = runs.id AND sweeps.state ="
)
_GOES_ON = f"(sweep IS NULL OR NOT EXISTS ({_HAS_IT} 'paused') OR EXISTS ({_HAS_IT} 'active'))"


@dataclass(frozen=True)
class OfSweep:
    """The cells of one sweep: what a worker may be limited to."""

    id: str


Only = Sequence[str] | OfSweep | None  # the ids of some runs, one sweep's, or whatever waits


def next_turn(db: sqlite3.Connection, lane: str) -> int:
    """The number of a run that is accepted now."""
    last = db.execute(
        "SELECT MAX(turn) FROM runs WHERE lane = ? AND state IN ('queued', 'running')", (lane,)
    ).fetchone()[0]
    now = int(db.execute("SELECT now FROM turn").fetchone()[0])
    return now if last is None else max(now, last + 1)


def first_waiting(db: sqlite3.Connection, only: Only) -> sqlite3.Row | None:
    """id, comparison and turn of the run whose turn it is, among `only` if given; None where none waits."""
    columns = "SELECT id, comparison, turn FROM runs"
    first = f"AND {_GOES_ON} ORDER BY turn, rowid LIMIT 1"
    if only is None:  # without its name SQLite takes another index and sorts all that wait
        found = db.execute(f"{columns} INDEXED BY runs_in_turn WHERE state = 'queued' {first}")
    elif isinstance(only, OfSweep):
        of_it = "id IN (SELECT run FROM cells WHERE cells.sweep = ?)"
        found = db.execute(
            f"{columns} INDEXED BY runs_in_turn WHERE state = 'queued' AND {of_it} {first}", (only.id,)
        )
    else:
        marks = ",".join("?" * len(only))
        found = db.execute(f"{columns} WHERE state = 'queued' AND id IN ({marks}) {first}", tuple(only))
    return cast("sqlite3.Row | None", found.fetchone())


def take_turn(db: sqlite3.Connection, turn: int) -> None:
    """Says that a run of that number has been claimed."""
    db.execute("UPDATE turn SET now = MAX(now, ?)", (turn,))


def must_have_room(db: sqlite3.Connection, by: Visitor, count: int, most: int | None) -> None:
    """Raises `BadInput` if `count` more runs of a visitor, or of where it comes from, are too many to wait."""
    if most is None or by.operator:
        return
    for column, value, room in (("visitor", by.id, most), ("lane", by.lane, LANE_SHARE * most)):
        if not value:
            continue
        waiting = db.execute(
            f"SELECT COUNT(*) FROM runs INDEXED BY runs_waiting_by_{column} WHERE {column} = ? AND state = 'queued'",
            (value,),
        ).fetchone()[0]
        if waiting + count > room:
            whose = "of yours" if column == "visitor" else "from your network"
            raise BadInput(
                f"{waiting} runs {whose} are waiting, and at most {room} may; wait for some to finish"
            )
