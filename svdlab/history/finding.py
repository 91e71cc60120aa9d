"""`finding`, the narrow table that runs are found and sorted by: a column per knob and metric, as they are declared.

Migration 3 made it with the columns of its time. A knob or metric that came later gets its column when a database is
opened, and the view and triggers that fill the table are made anew from what the table then holds. This is no
migration: the number of the schema stays, and an older svdlab goes on working, because the database's own triggers fill
columns it has not heard of. Such a column says by its default what a knob was introduced with.

Knows SQL and the names of knobs and metrics; opens no database.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from svdlab.metrics.definitions import METRICS
from svdlab.recipes.settings import FIRST_FORM, KNOBS

# What is found by beside knobs and metrics: column → its value, of a row of `runs` with the JSON of its settings (s),
# metrics (m) and outcome (o).
_WORDS = "folded_note || COALESCE((SELECT ' ' || group_concat(tag, ' ') FROM run_tags WHERE run = id), '')"
FIXED = {
    "created": "created",
    "run": "id",
    "deleted": "deleted",
    "state": "state",
    "starred": "starred",
    "rating": "rating",
    "checkpoint": "checkpoint",
    "preset": "preset",
    "comparison": "comparison",
    "words": f"NULLIF({_WORDS}, '')",
    "finished": "finished",
    "seconds": "(SELECT SUM(value) FROM json_each(o, '$.seconds') WHERE key <> 'load')",
    "peak_memory_bytes": "json_extract(o, '$.peak_memory_bytes')",
}
_STATED = "state, recipe, outcome, checkpoint, preset, comparison, created, finished"
_WATCHED = f"{_STATED}, starred, rating, folded_note, deleted"


def columns(db: sqlite3.Connection) -> dict[str, str | None]:
    """The columns there are, in order, each with its default as SQL."""
    return {row[1]: row[4] for row in db.execute("PRAGMA table_info(finding)")}


def missing(db: sqlite3.Connection) -> list[str]:
    """Declared knobs and metrics that have no column yet."""
    there = columns(db)
    return [name for name in (*KNOBS, *METRICS) if name not in there]


def extend(db: sqlite3.Connection) -> None:
    """Adds the columns that are missing, in the transaction that is open, and fills the table anew."""
    for name in missing(db):
        introduced = f" DEFAULT {_literal(KNOBS[name].introduced)}" if name in KNOBS else ""
        db.execute(f"ALTER TABLE finding ADD COLUMN [{name}]{introduced}")
    for statement in definitions(columns(db)):
        db.execute(statement)
    db.execute("DELETE FROM finding")
    db.execute("INSERT INTO finding SELECT * FROM found")


def definitions(there: dict[str, str | None]) -> Iterator[str]:
    """The view and the triggers for a table of these columns, old ones dropped first."""
    yield "DROP VIEW IF EXISTS found"
    for name in ("new", "changed", "lost", "tagged", "untagged"):
        yield f"DROP TRIGGER IF EXISTS found_{name}"
    values = ",\n".join(f"{value_of(name, default)} AS [{name}]" for name, default in there.items())
    yield f"""
    CREATE VIEW found AS SELECT {values} FROM (
        SELECT *,
            CASE WHEN json_valid(recipe) THEN json_extract(recipe, '$.settings') END AS s,
            CASE WHEN json_valid(outcome) THEN json_extract(outcome, '$.metrics') END AS m,
            CASE WHEN json_valid(outcome) THEN outcome END AS o
        FROM runs
    )"""
    out = "DELETE FROM finding WHERE created = {created} AND run = {run};"
    into = "INSERT INTO finding SELECT * FROM found WHERE run = {run};"
    of_run = {moment: {"run": f"{moment}.id", "created": f"{moment}.created"} for moment in ("OLD", "NEW")}
    of_tag = {
        moment: {"run": f"{moment}.run", "created": f"(SELECT created FROM runs WHERE id = {moment}.run)"}
        for moment in ("OLD", "NEW")
    }
    for name, event, body in (
        ("new", "INSERT ON runs", into.format(**of_run["NEW"])),
        (
            "changed",
            f"UPDATE OF {_WATCHED} ON runs",
            out.format(**of_run["OLD"]) + into.format(**of_run["NEW"]),
        ),
        ("lost", "DELETE ON runs", out.format(**of_run["OLD"])),
        ("tagged", "INSERT ON run_tags", (out + into).format(**of_tag["NEW"])),
        ("untagged", "DELETE ON run_tags", (out + into).format(**of_tag["OLD"])),
    ):
        yield f"CREATE TRIGGER found_{name} AFTER {event} BEGIN {body} END"


def value_of(name: str, default: str | None) -> str:
    """A column's value as SQL, also of one that only another svdlab knows: then it is looked for in both places."""
    if name in FIXED:
        return FIXED[name]
    knob, metric = f"json_extract(s, '$.{name}')", f"json_extract(m, '$.{name}')"
    if name in METRICS:
        return metric
    if name in KNOBS and KNOBS[name].since == FIRST_FORM:
        return knob  # named in every recipe
    asked = f"WHEN json_type(s, '$.{name}') IS NOT NULL THEN {knob}"
    if name in KNOBS:
        return f"CASE {asked} ELSE {_literal(KNOBS[name].introduced)} END"
    return f"CASE {asked} ELSE COALESCE({metric}, {default or 'NULL'}) END"


def _literal(value: int | float | str | None) -> str:
    """A knob's value in SQL."""
    if value is None:
        return "NULL"
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else repr(value)
