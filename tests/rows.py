"""The database's rows, looked at and harmed from outside: through a connection of the tests' own to its file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

from svdlab.history.database import Database


@contextmanager
def opened(history: Database) -> Iterator[sqlite3.Connection]:
    """A connection to the file for one transaction, as another program has it."""
    with closing(sqlite3.connect(history.file, timeout=30)) as db:
        db.row_factory = sqlite3.Row
        with db:
            yield db


def change(history: Database, sql: str, *parameters: object) -> None:
    """Runs one statement."""
    with opened(history) as db:
        db.execute(sql, parameters)


def change_each(history: Database, sql: str, parameters: Sequence[Sequence[Any]]) -> None:
    """Runs one statement for each row of parameters, all or none."""
    with opened(history) as db:
        db.executemany(sql, parameters)


def read(history: Database, sql: str, *parameters: object) -> list[sqlite3.Row]:
    """What a query answers."""
    with opened(history) as db:
        return db.execute(sql, parameters).fetchall()
