"""A data folder as it was: kept aside once, and put back under a lab that stays open, for whichever test comes next."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from svdlab.lab.lab import Lab


class Snapshot:
    """Rows and files of a lab, kept in a folder."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab = lab
        self._rows = folder / "rows.db"
        self._files = folder / "files"
        with closing(sqlite3.connect(lab.history.file)) as now, closing(sqlite3.connect(self._rows)) as kept:
            now.backup(kept)
        for place in self._places():
            shutil.copytree(place, self._files / place.name)

    def _places(self) -> tuple[Path, ...]:
        return self.lab.history.runs_folder, self.lab.history.pictures_folder

    def put_back(self) -> None:
        """Undoes whatever was done to rows and files since."""
        for place in self._places():
            kept = self._files / place.name
            wanted = {path.relative_to(kept) for path in kept.rglob("*")}
            while others := [path for path in place.rglob("*") if path.relative_to(place) not in wanted]:
                for path in sorted(others, reverse=True):  # what is in a folder before the folder
                    with suppress(FileNotFoundError):  # a page's last picture, renamed: met at the next look
                        path.rmdir() if path.is_dir() else path.unlink()
            for name in sorted(wanted):
                if not same(kept / name, place / name):
                    copy = shutil.copytree if (kept / name).is_dir() else shutil.copy2
                    copy(kept / name, place / name)
        with (
            closing(sqlite3.connect(self._rows)) as kept,
            closing(sqlite3.connect(self.lab.history.file)) as now,
        ):
            kept.backup(now)


def same(kept: Path, now: Path) -> bool:
    """Whether a file is the one that was kept, by its size and time; of a folder, whether it is there."""
    if kept.is_dir() or not now.exists():
        return now.exists()
    one, other = kept.stat(), now.stat()
    return (one.st_size, one.st_mtime_ns) == (other.st_size, other.st_mtime_ns)
