"""What to look for among runs, and in what order: a checked value, as SQL over `finding`, and the cursor of a page.

Knows the columns of `finding`, knobs and metrics by name; opens no database.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from dataclasses import dataclass
from typing import Any

from svdlab.errors import BadInput
from svdlab.history.conditions import MAX_CONDITIONS, Condition
from svdlab.metrics.definitions import METRICS
from svdlab.recipes.records import RUN_STATES, Comparison, Run, RunState
from svdlab.recipes.settings import KNOBS

# What runs can be sorted by: columns of `finding`, each either text in all rows or numbers in all rows.
SORTS: tuple[str, ...] = (
    "created",
    "finished",
    "seconds",  # of rendering, without loading weights
    "peak_memory_bytes",
    "rating",
    "checkpoint",
    "preset",
    *KNOBS,
    *METRICS,
)
MAX_LIMIT = 1000
MAX_TEXT = 200  # characters of free text
MAX_NOTE = 4000  # characters
MAX_TAG = 40  # characters
MAX_TAGS = 32  # of one run or comparison


@dataclass(frozen=True)
class RunQuery:
    """Which runs, in which order. Everything that is given must hold. Raises `BadInput` with one sentence.

    `picture` is a hash or its beginning, `since` and `until` are seconds since 1970 (until is excluded), `rating` is
    the least one. `text` is words that must all occur in note, tags, checkpoint or preset. `bin` looks into the bin
    and nowhere else. `where` are conditions on any knob or metric; `svdlab.history.conditions.parse_where` reads them
    as they are typed. `visitor` leaves what that visitor asked for (`Visitor.id`). Runs
    without a value for `sort` come last, equal ones newest first.
    """

    checkpoint: str | None = None
    preset: str | None = None
    picture: str | None = None
    since: float | None = None
    until: float | None = None
    states: tuple[RunState, ...] = ()
    rating: int | None = None
    starred: bool | None = None
    tags: tuple[str, ...] = ()
    text: str = ""
    bin: bool = False
    sort: str = "created"
    descending: bool = True
    where: tuple[Condition, ...] = ()
    visitor: str | None = None

    def __post_init__(self) -> None:
        if self.sort not in SORTS:
            raise BadInput(
                f"runs cannot be sorted by {str(self.sort)[:40]!r}; choose one of {', '.join(SORTS)}"
            )
        for state in self.states:
            if state not in RUN_STATES:
                raise BadInput(
                    f"state must be {', '.join(RUN_STATES[:-1])} or {RUN_STATES[-1]}, got {str(state)[:40]!r}"
                )
        check_rating(self.rating)
        if self.picture is not None and not re.fullmatch(r"[0-9a-f]{4,64}", self.picture):
            raise BadInput("picture must be the hash of a picture, or its first 4 or more digits")
        for name in ("since", "until"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, int | float) and math.isfinite(value)):
                raise BadInput(f"{name} must be seconds since 1970, got {value!r}")
        if len(self.text) > MAX_TEXT:
            raise BadInput(f"text to look for must be at most {MAX_TEXT} characters, got {len(self.text)}")
        if len(self.where) > MAX_CONDITIONS:
            raise BadInput(
                f"at most {MAX_CONDITIONS} conditions can be asked for at once, got {len(self.where)}"
            )
        for part in (self.checkpoint, self.preset, self.text):
            check_text(part or "", "what to look for")
        object.__setattr__(self, "tags", tuple(clean_tag(tag) for tag in self.tags))

    @property
    def names(self) -> set[str]:
        """The columns it asks for by name."""
        return {self.sort, *(condition.name for condition in self.where)}

    @property
    def everything(self) -> bool:
        """Whether all runs outside the bin are meant."""
        return self == RunQuery(sort=self.sort, descending=self.descending)


@dataclass(frozen=True)
class Page:
    """Some runs in order, and the cursor from which to go on; None at the end."""

    runs: tuple[Run, ...]
    next: str | None


@dataclass(frozen=True)
class ComparisonPage:
    """Some comparisons, newest first, and the cursor from which to go on; None at the end."""

    comparisons: tuple[Comparison, ...]
    next: str | None


@dataclass(frozen=True)
class Facets:
    """What there is to filter by outside the bin: names and how many runs have each, most frequent first."""

    checkpoints: tuple[tuple[str, int], ...]
    presets: tuple[tuple[str, int], ...]
    tags: tuple[tuple[str, int], ...]


# Conditions: a text and its parameters

IN_BIN = "(SELECT id FROM runs WHERE deleted IS NOT NULL)"


def conditions(query: RunQuery) -> tuple[str, list[Any]]:
    """What must hold for a row of `finding`, as SQL with its parameters; tags and text are of the run."""
    parts, values = _about_the_run(query)
    parts += _marks(query, values)
    for tag in query.tags:
        parts.append("run IN (SELECT run FROM run_tags WHERE tag = ?)")
        values.append(tag)
    for word in query.text.casefold().split():
        parts.append(_HAS_WORD)
        values += [word] * 3
    return " AND ".join(parts), values


_HAS_WORD = "(instr(words, ?) OR instr(checkpoint, ?) OR instr(lower(preset), ?))"


def comparison_conditions(query: RunQuery) -> tuple[str, list[Any]]:
    """What must hold for a row of `comparisons AS it`, as SQL with its parameters.

    Checkpoint, preset, picture and state of a side made for it, words of that side or its own, all else its own.
    """
    outside = f"it.deleted IS NULL AND it.a NOT IN {IN_BIN} AND it.b NOT IN {IN_BIN}"
    parts = ["it.deleted > 0" if query.bin else outside]
    values: list[Any] = []
    for sign, moment in ((">=", query.since), ("<", query.until)):
        if moment is not None:
            parts.append(f"it.created {sign} ?")
            values.append(moment)
    if query.visitor is not None:
        parts.append("it.visitor = ?")
        values.append(query.visitor)
    parts += _marks(query, values)
    for tag in query.tags:
        parts.append("it.id IN (SELECT comparison FROM comparison_tags WHERE tag = ?)")
        values.append(tag)
    asked, of_sides = _about_the_run(query, dates=False)
    side = "it.id IN (SELECT comparison FROM finding WHERE comparison IS NOT NULL AND {})"
    if len(asked) > 1:
        parts.append(side.format(" AND ".join(asked)))
        values += of_sides
    for word in query.text.casefold().split():
        own = "it.id IN (SELECT comparison FROM comparison_tags WHERE instr(tag, ?))"
        parts.append(f"(instr(it.folded_note, ?) OR {own} OR {side.format(_HAS_WORD)})")
        values += [word] * 5
    return " AND ".join(parts), values


def _about_the_run(query: RunQuery, dates: bool = True) -> tuple[list[str], list[Any]]:
    # 0 in `deleted` says that the files are being removed: neither here nor in the bin. A plus before a column keeps
    # SQLite from its index: looking up each of half the rows takes three times as long as reading all in order.
    parts = ["+deleted > 0" if query.bin else "+deleted IS NULL"]
    values: list[Any] = []
    for column, value in (("checkpoint", query.checkpoint), ("preset", query.preset)):
        if value is not None:
            parts.append(f"+{column} = ?")
            values.append(value)
    if query.picture is not None:  # 'g' comes after every hexadecimal digit
        parts.append("(created, run) IN (SELECT created, id FROM runs WHERE picture >= ? AND picture < ?)")
        values += [query.picture, f"{query.picture}g"]
    if dates and query.visitor is not None:
        parts.append("(created, run) IN (SELECT created, id FROM runs WHERE visitor = ?)")
        values.append(query.visitor)
    if dates and query.since is not None:
        parts.append("created >= ?")
        values.append(query.since)
    if dates and query.until is not None:
        parts.append("created < ?")
        values.append(query.until)
    if query.states:
        parts.append(f"state IN ({','.join('?' * len(query.states))})")
        values += query.states
    for condition in query.where:
        part, of_it = condition.sql()
        parts.append(part)
        values += of_it
    return parts, values


def _marks(query: RunQuery, values: list[Any]) -> list[str]:
    """Rating and star, which runs and comparisons have in columns of the same names."""
    parts = []
    if query.rating is not None:
        parts.append("rating >= ?")
        values.append(query.rating)
    if query.starred is not None:
        parts.append("starred = ?")
        values.append(int(query.starred))
    return parts


def order(query: RunQuery, id: str = "run") -> str:
    """ORDER BY of a page: the sort key, then time, then the column `id`, so that no two rows are equal."""
    newest = f"created DESC, {id} DESC"
    if query.sort == "created":
        return newest if query.descending else f"created, {id}"
    return f"[{query.sort}] {'DESC' if query.descending else 'ASC NULLS LAST'}, {newest}"


# Where the next page begins: sort key, time and id of the last row, as text that can stand in a URL


def cursor(query: RunQuery, key: Any, created: float, id: str) -> str:
    """The cursor of a row: `beyond` finds what comes after it, whatever was added meanwhile."""
    content = [query.sort, query.descending, key, created, id]
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


def beyond(query: RunQuery, after: str, id: str = "run") -> tuple[str, list[Any]]:
    """What must hold for rows behind a cursor, as SQL with its parameters. Raises `BadInput` on anything else."""
    key, created, last = _read_cursor(query, after)
    older = f"(created, {id}) < (?, ?)"
    if query.sort == "created":
        return older if query.descending else f"(created, {id}) > (?, ?)", [created, last]
    sort = f"[{query.sort}]"
    if key is None:
        return f"({sort} IS NULL AND {older})", [created, last]
    further = "<" if query.descending else ">"
    return f"({sort} {further} ? OR {sort} IS NULL OR ({sort} = ? AND {older}))", [key, key, created, last]


def _read_cursor(query: RunQuery, after: str) -> tuple[Any, float, str]:
    wrong = BadInput("that cursor does not belong to this list; begin again at the first page")
    try:
        if len(after) > 400:
            raise wrong
        sort, descending, key, created, id = json.loads(
            base64.urlsafe_b64decode(after.encode("ascii") + b"=" * (-len(after) % 4))
        )
    except (ValueError, TypeError, RecursionError, binascii.Error):
        raise wrong from None
    plain = key is None or isinstance(key, str) or _is_number(key)
    if (sort, descending) != (query.sort, query.descending) or not plain:
        raise wrong
    if not (_is_number(created) and isinstance(id, str)):
        raise wrong
    return key, float(created), id


def _is_number(value: Any) -> bool:
    """Whether SQLite can hold it as a number."""
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63


# Marks that a person gives


def check_rating(rating: int | None) -> None:
    """Raises `BadInput` unless it is a whole number from 0 to 5, or None."""
    if rating is not None and (
        isinstance(rating, bool) or not isinstance(rating, int) or not 0 <= rating <= 5
    ):
        raise BadInput(f"rating must be a whole number from 0 to 5, got {str(rating)[:40]}")


def check_limit(limit: int) -> None:
    """Raises `BadInput` unless a page may have that many rows."""
    if not 1 <= limit <= MAX_LIMIT:
        raise BadInput(f"limit must be a whole number from 1 to {MAX_LIMIT}, got {limit}")


def check_text(text: str, what: str) -> str:
    """The text itself. Raises `BadInput` if it cannot be stored: half characters and zero bytes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadInput(f"{what} holds characters that are none (unpaired surrogates); type it anew") from None
    if "\0" in text:
        raise BadInput(f"{what} holds a zero byte; type it anew")
    return text


def clean_note(note: str) -> str:
    """A note with plain line ends. Raises `BadInput` if it is too long or no text."""
    note = check_text(note, "the note").replace("\r\n", "\n").replace("\r", "\n").strip()
    if len(note) > MAX_NOTE:
        raise BadInput(f"a note may have {MAX_NOTE} characters, got {len(note)}")
    return note


def clean_tag(tag: str) -> str:
    """A tag in small letters with single spaces. Raises `BadInput` if it is empty, too long or holds a comma."""
    cleaned = " ".join(check_text(str(tag), "the tag").casefold().split())
    if not 1 <= len(cleaned) <= MAX_TAG or "," in cleaned or not cleaned.isprintable():
        raise BadInput(f"a tag must be 1 to {MAX_TAG} letters without commas, got {str(tag)[:60]!r}")
    return cleaned
