"""The options that choose runs: one for each part of a query. Knows typer and queries; nothing of what is done with
the runs.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import wraps
from typing import Annotated, Any

import typer

from svdlab.cli.flags import SectionedCommand
from svdlab.errors import BadInput
from svdlab.history.conditions import parse_where
from svdlab.history.search import RunQuery
from svdlab.metrics.definitions import METRICS

SECTION = "Which runs"


def _option(flag: str, metavar: str, help: str) -> Any:
    return typer.Option(flag, metavar=metavar, help=help, rich_help_panel=SECTION, show_default=False)


def _switch(flag: str, help: str) -> Any:
    return typer.Option(flag, help=help, rich_help_panel=SECTION, show_default=False)


# name → (type, option, default)
OPTIONS: dict[str, tuple[Any, Any, Any]] = {
    "state": (list[str], _option("--state", "STATE", "Only these: done, failed … May be given again."), None),
    "checkpoint": (str | None, _option("--checkpoint", "ID", "Made with this checkpoint."), None),
    "preset": (str | None, _option("--preset", "ID", "Started from this preset."), None),
    "picture": (
        str | None,
        _option("--picture", "HASH", "From this picture: its hash, or the first of it."),
        None,
    ),
    "since": (
        str | None,
        _option("--since", "DATE", "From this day or moment on: 2026-01-31, 2026-01-31T18:00."),
        None,
    ),
    "until": (str | None, _option("--until", "DATE", "Up to this day, itself included, or moment."), None),
    "rating": (int | None, _option("--rating", "N", "Rated at least so, 0 to 5."), None),
    "starred": (bool, _switch("--starred", "With a star."), False),
    "tag": (list[str], _option("--tag", "TAG", "With this tag. May be given again: then with each."), None),
    "text": (str, _option("--text", "WORDS", "With these words in note, tags, checkpoint or preset."), ""),
    "where": (
        list[str],
        _option(
            "--where",
            "CONDITION",
            "By a knob or metric: 'camera_motion>2', fps=6, 'schedule!=ays'. May be given again.",
        ),
        None,
    ),
    "bin": (bool, _switch("--bin", "In the bin instead of outside."), False),
    "sort": (
        str,
        _option("--sort", "NAME", "By a knob, a metric, seconds, rating … Default: created."),
        "created",
    ),
    "ascending": (bool, _switch("--ascending", "Smallest or oldest first."), False),
}


def query_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command one option per part of a query; it receives them as a `RunQuery` named `query`."""

    @wraps(command)
    def with_query(**given: Any) -> None:
        parts = {name: given.pop(name) for name in OPTIONS}
        command(**given, query=_query(**parts))

    own = inspect.signature(command, eval_str=True).parameters.values()
    kind = inspect.Parameter.KEYWORD_ONLY
    options = [
        inspect.Parameter(name, kind, default=default, annotation=Annotated[type_, option])
        for name, (type_, option, default) in OPTIONS.items()
    ]
    parameters = [*(p for p in own if p.name != "query"), *options]
    vars(with_query)["__signature__"] = inspect.Signature(parameters)
    return with_query


def _query(
    *,
    state: list[str] | None,
    starred: bool,
    since: str | None,
    until: str | None,
    tag: list[str] | None,
    where: list[str] | None,
    ascending: bool,
    sort: str,
    **same: Any,
) -> RunQuery:
    return RunQuery(
        states=tuple(state or ()),  # type: ignore[arg-type]  # a query checks its states
        starred=True if starred else None,
        since=_moment(since, "since"),
        until=_moment(until, "until", day_included=True),
        tags=tuple(tag or ()),
        where=parse_where(" ".join(where or ())),
        descending=not ascending,
        sort=sort.replace("-", "_"),
        **same,
    )


def _moment(text: str | None, name: str, day_included: bool = False) -> float | None:
    """A day or moment of this machine's time as seconds since 1970. Raises `BadInput`."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        if day_included and len(text) <= 10:
            moment += timedelta(days=1)
        return moment.timestamp()
    except (ValueError, OverflowError, OSError):
        raise BadInput(
            f"{name} must be a date such as 2026-01-31 or 2026-01-31T18:00, got {text[:40]!r}"
        ) from None


class QueryCommand(SectionedCommand):
    """A command with `query_flags`: its --help says what is measured, so that it can be asked for."""

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Called by click's help formatter."""
        with formatter.section("Measured of every clip, for --sort and --where"):
            formatter.write_dl(
                [(one.name, f"{one.unit}. {one.help}") for one in METRICS.values()], col_max=34
            )
