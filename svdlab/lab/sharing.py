"""One rendering for all who ask for the same: each gets a run of its own, with the files of the one that was rendered.

So joining somebody's run gives its result and none of its controls: nobody is handed another's id, and what one of
them cancels, marks or deletes stays with the others as it was. Files are hard links where the disk has them, so a
shared clip takes its room once. Knows the history and folders; nothing of who may do what.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from svdlab.files import publish_folder
from svdlab.history.ids import new_id
from svdlab.history.queue import History
from svdlab.recipes.records import Comparison, Run
from svdlab.recipes.visitors import Visitor


def give(history: History, run: Run, to: Visitor, preset: str | None) -> Run:
    """A finished run as a visitor's own, under a new id. Raises `OSError`, `DataFolderError`."""
    id, now = new_id(), time.time()
    with twin_of(run, id) as files:
        publish_folder(files, history.runs_folder / id)
    own = replace(
        run,
        id=id,
        folder=history.runs_folder / id,
        created=now,
        started=now,
        finished=now,
        comparison=None,
        preset=preset,
        starred=False,
        rating=None,
        note="",
        tags=(),
        visitor=to.stored,
    )
    history.adopt(own)
    return history.get(id)


def give_pair(history: History, pair: Comparison, to: Visitor, preset: str | None) -> Comparison:
    """A finished comparison as a visitor's own. Raises `OSError`, `DataFolderError`."""
    a, b = (give(history, side, to, preset) for side in (pair.a, pair.b))
    made = Comparison(new_id(), a, b, time.time(), visitor=to.stored)
    history.adopt_comparison(made, (a.id, b.id))
    return history.comparison(made.id)


@contextmanager
def twin_of(run: Run, id: str) -> Iterator[Path]:
    """A folder aside with the files of a finished run, for the run `id`; gone afterwards unless it was put in place."""
    temporary = run.folder.with_name(f".{id}.{new_id()}")
    try:
        shutil.copytree(run.folder, temporary, copy_function=_link)
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk, or one that has no links
        shutil.copy2(source, target)
