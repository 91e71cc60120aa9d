"""Copies of the tree that a test may add to, and programs that run on them: what one declaration does elsewhere."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LENT = ("presets", "assets", "scripts", "docs", "tests")  # read there, never written to


def copy_tree(to: Path) -> Path:
    """The package, free to be changed, with what it reads beside it."""
    shutil.copytree(ROOT / "svdlab", to / "svdlab", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", to)
    for name in LENT:
        (to / name).symlink_to(ROOT / name, target_is_directory=True)
    return to


def insert_before(path: Path, line: str, text: str) -> None:
    """Puts text before the one line of a file that begins so."""
    content = path.read_text(encoding="utf-8")
    assert content.count(f"\n{line}") == 1, f"{line!r} in {path}"
    path.write_text(content.replace(f"\n{line}", f"\n{text}{line}"), encoding="utf-8")


def run_on(tree: Path, script: str, *arguments: object) -> str:
    """What a script prints that imports this tree's svdlab; fails with what it said if it fails."""
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
