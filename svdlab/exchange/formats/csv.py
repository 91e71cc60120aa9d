"""A table as CSV in UTF-8, harmless to spreadsheets.

Text that a spreadsheet would take for a formula gets an apostrophe before it, because notes and versions may come from
anywhere; numbers are left as they are.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from svdlab.exchange.formats import TableFormat
from svdlab.files import write_whole

if TYPE_CHECKING:
    import pandas

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet takes for the beginning of one


def write(table: pandas.DataFrame, path: Path) -> None:
    """Writes a table. Raises `BadInput` if it cannot be written."""
    safe = table.copy()
    for name in safe.columns:
        if safe[name].dtype == object or str(safe[name].dtype).startswith("str"):
            safe[name] = safe[name].map(disarmed, na_action="ignore")
    write_whole(path, lambda file: safe.to_csv(file, index=False, encoding="utf-8"))


def disarmed(value: Any) -> Any:
    """A value, and of a text that would be a formula the same as text."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


FORMAT = TableFormat("csv", "CSV", write, default=True)
