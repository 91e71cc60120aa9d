"""Votes as a table: a row for each, with who stood where. Knows votes; counts nothing."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from svdlab.files import write_whole
from svdlab.recipes.votes import Vote

COLUMNS = ("created", "sitting", "left_run", "right_run", "left_checkpoint", "right_checkpoint", "answer")


def write_votes(path: Path, votes: Iterable[Vote]) -> None:
    """CSV; `created` in seconds since 1970. Raises `BadInput` where it cannot be written."""

    def write(target: Path) -> None:
        with target.open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(COLUMNS)
            for vote in votes:
                b = vote.ballot
                stood = (b.left, b.right, b.left_checkpoint, b.right_checkpoint)
                rows.writerow((vote.created, vote.sitting, *stood, vote.answer))

    write_whole(path, write)
