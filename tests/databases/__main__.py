"""Writes the database file of the newest schema, once."""

from __future__ import annotations

from svdlab.history.database import MIGRATIONS
from tests.databases import file_of, write

newest = file_of(len(MIGRATIONS))
if newest.exists():
    raise SystemExit(f"{newest} is there already")
write(len(MIGRATIONS), newest)
