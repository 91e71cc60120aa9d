"""Copies of the tree that a test may add to, and programs that run on them: what one declaration does elsewhere."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COPIED = ("svdlab", "scripts", "docs")
LENT = ("presets", "assets", "tests")  # read there, never written to


def copy_tree(to: Path) -> Path:
    """The package, free to be changed, with what it reads beside it."""
    for name in COPIED:
        shutil.copytree(ROOT / name, to / name, ignore=shutil.ignore_patterns("__pycache__", "images"))
    for name in ("pyproject.toml", "README.md", "app.py"):
        shutil.copy(ROOT / name, to)
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


def add_knob(tree: Path, name: str = "grain", introduced: str = "0.0") -> None:
    """Declares one more knob, as a later svdlab would; people are shown another default than it was introduced with."""
    declaration = f'''    {name}: float = _knob(
        0.5,
        "{name.capitalize()}",
        "How much {name} is put over the clip.",
        unit="parts",
        group="output",
        ge=0.0,
        le=1.0,
        step=0.1,
        usual=(0.0, 1.0),
        introduced={introduced},
    )

'''
    settings = tree / "svdlab" / "recipes" / "settings.py"
    insert_before(settings, '    @field_validator("*", mode="before")', declaration)


def add_metric(tree: Path, name: str = "brightness") -> None:
    """Declares one more metric, as a later svdlab would."""
    with (tree / "svdlab" / "metrics" / "definitions.py").open("a", encoding="utf-8") as file:
        file.write(f'''

@metric("{name.capitalize()}", "of 255", "Mean grey of all frames.", limits="It has no eyes.", digits=1)
def {name}(clip: Footage) -> Reading:
    return Reading(float(np.mean(clip.grey)))
''')
