"""The formats a table of runs can be written in, a module each: `FORMAT` in it is a `TableFormat`, found by its file.

The shell's flags and the History page's list are made from `FORMATS`. Knows files and, when a table is written, pandas;
nothing of runs.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class TableFormat:
    """One format. `name` is also the flag and how the file's name ends."""

    name: str
    label: str
    write: Callable[[pandas.DataFrame, Path], None]  # raises `BadInput` with one sentence
    default: bool = False  # listed first

    @property
    def ending(self) -> str:
        """How the file's name ends: '.csv'."""
        return f".{self.name}"


def _found() -> dict[str, TableFormat]:
    modules = [import_module(f"{__name__}.{one.name}") for one in pkgutil.iter_modules(__path__)]
    formats: list[TableFormat] = [module.FORMAT for module in modules]
    return {one.name: one for one in sorted(formats, key=lambda one: (not one.default, one.name))}


FORMATS: dict[str, TableFormat] = _found()
