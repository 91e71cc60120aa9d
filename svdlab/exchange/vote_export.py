"""Votes as a table: a row for each, with who stood where. Knows votes; counts nothing."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from svdlab.exchange.tables import write_rows
from svdlab.recipes.votes import Vote

COLUMNS = ("created", "sitting", "left_run", "right_run", "left_checkpoint", "right_checkpoint", "answer")


def write_votes(path: Path, votes: Iterable[Vote]) -> None:
    """CSV or Parquet by the name; `created` in seconds since 1970. Raises `BadInput` where it cannot be written."""
    rows = [
        (vote.created, vote.sitting, vote.ballot.left, vote.ballot.right, vote.ballot.left_checkpoint,
         vote.ballot.right_checkpoint, vote.answer)
        for vote in votes
    ]  # fmt: skip
    write_rows(path, COLUMNS, rows)
