"""A table as Parquet, which keeps every column's type. Needs pyarrow."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from svdlab.errors import BadInput
from svdlab.exchange.formats import TableFormat
from svdlab.files import write_whole

if TYPE_CHECKING:
    import pandas


def write(table: pandas.DataFrame, path: Path) -> None:
    """Writes a table. Raises `BadInput` if pyarrow is not installed or the file cannot be written."""
    if find_spec("pyarrow") is None:
        raise BadInput("writing Parquet needs pyarrow (pip install pyarrow); or export as CSV")
    write_whole(path, lambda file: table.to_parquet(file, index=False, engine="pyarrow"))


FORMAT = TableFormat("parquet", "Parquet", write)
