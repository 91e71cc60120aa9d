"""The database looked at and harmed from outside: by a connection of the tests' own, or on the history's own."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from svdlab.history.database import Database
from svdlab.history.queue import History


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


@dataclass(frozen=True)
class Watched:
    """A history and the connection that it works through: whose settings count, and whose statements are seen."""

    history: History
    connection: sqlite3.Connection

    def pragma(self, what: str) -> Any:
        """The answer to a PRAGMA."""
        return self.connection.execute(f"PRAGMA {what}").fetchone()[0]

    @contextmanager
    def statements(self) -> Iterator[list[str]]:
        """The statements that are run meanwhile, with their values."""
        seen: list[str] = []
        self.connection.set_trace_callback(seen.append)
        yield seen
        self.connection.set_trace_callback(None)


@contextmanager
def watched(folder: Path) -> Iterator[Watched]:
    """A history that is given its connection."""
    connections: list[sqlite3.Connection] = []

    def connect(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connections.append(sqlite3.connect(*arguments, **options))
        return connections[-1]

    with closing(History(folder, connect=connect)) as history:
        [connection] = connections
        yield Watched(history, connection)
