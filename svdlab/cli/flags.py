"""Flags made from declarations, knobs and formats of tables, and help in sections. Knows typer; nothing of what is done
with them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from svdlab.exchange.formats import FORMATS, TableFormat
from svdlab.recipes.settings import KNOBS, Group, Knob

SECTIONS: dict[Group, str] = {
    "essential": "Knobs",
    "motion": "Knobs: motion",
    "sampling": "Knobs: sampling",
    "picture": "Knobs: size and crop",
    "output": "Knobs: decoding and playback",
}
HELP_WIDTH = 100


def flag_of(name: str) -> str:
    """A knob's flag: motion_bucket_id → --motion-bucket-id."""
    return "--" + name.replace("_", "-")


def dashed(flag: str) -> str:
    """A flag as it is declared, however it was typed: --motion_bucket_id is --motion-bucket-id."""
    return flag.replace("_", "-")


def knob_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command one flag per knob; those that were given reach it as the dict `changes`, as typed."""

    @wraps(command)
    def with_changes(**given: Any) -> None:
        knobs = {name: given.pop(name) for name in KNOBS}
        command(**given, changes={name: value for name, value in knobs.items() if value is not None})

    own = inspect.signature(command, eval_str=True).parameters.values()
    parameters = [*(p for p in own if p.name != "changes"), *map(_parameter, KNOBS.values())]
    vars(with_changes)["__signature__"] = inspect.Signature(parameters)
    return with_changes


def _parameter(knob: Knob) -> inspect.Parameter:
    # As text: `GenerationSettings.parse` judges the value, with the same sentence as on the page.
    option = typer.Option(
        flag_of(knob.name), help=_help(knob), metavar=_metavar(knob), rich_help_panel=SECTIONS[knob.group]
    )
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(knob.name, kind, default=None, annotation=Annotated[str | None, option])


def table_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command one flag per format of tables; the files that were named reach it as the dict `as_table`."""

    @wraps(command)
    def with_tables(**given: Any) -> None:
        files = {name: given.pop(name) for name in FORMATS}
        command(**given, as_table={name: path for name, path in files.items() if path is not None})

    own = inspect.signature(command, eval_str=True).parameters.values()
    parameters = [*(p for p in own if p.name != "as_table"), *map(_file_of, FORMATS.values())]
    vars(with_tables)["__signature__"] = inspect.Signature(parameters)
    return with_tables


def _file_of(format: TableFormat) -> inspect.Parameter:
    option = typer.Option(f"--{format.name}", metavar="FILE", help=f"As a table, {format.label}.")
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(format.name, kind, default=None, annotation=Annotated[Path | None, option])


def _help(knob: Knob) -> str:
    return f"{knob.help} Default: random." if knob.name == "seed" else knob.help


def _metavar(knob: Knob) -> str:
    if knob.kind == "choice":
        return "|".join(knob.choices)
    if knob.name == "seed":
        return "N|random"
    return f"{knob.minimum:g}..{knob.maximum:g}"


class SectionedCommand(TyperCommand):
    """A command whose --help lists its options in sections, plainly, in the order they were declared."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Called by click's help formatter."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                default = "Arguments" if param.param_type_name == "argument" else "Options"
                sections.setdefault(getattr(param, "rich_help_panel", None) or default, []).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records, col_max=34)
