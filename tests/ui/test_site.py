"""The app as a whole: which pages there are, their style, and what is left of uploads and answers."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from svdlab.recipes.settings import KNOBS
from svdlab.ui.handover import KEPT_SECONDS, hand_over
from svdlab.ui.parts.element import PARTS
from svdlab.ui.site import all_pages
from svdlab.ui.theme import SCOPED, stylesheet

ROOT = Path(__file__).resolve().parents[2]

NOTES = '''
"""Notes: a page that was not there before."""

from svdlab.ui.frame import Page
from svdlab.ui.parts.element import plain


def build(lab, app):
    plain("<p>What was noted.</p>", name="notes-text")


PAGE = Page("Notes", "notes", build, place=5)
'''
SERVE = """
import json, sys, urllib.request
from pathlib import Path
from svdlab.lab.lab import Lab
from svdlab.ui import launch

with Lab(Path(sys.argv[1])) as lab:
    address = launch(lab, port=None, block=False)
    with urllib.request.urlopen(address + "notes") as page:
        print(json.dumps([page.status, page.read().decode()]))
"""


def run(script: str, *arguments: str, tree: Path = ROOT, **variables: str) -> str:
    """What a program over a tree prints."""
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree), **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_page_is_found_by_its_file_and_stands_where_it_says() -> None:
    assert [page.name for page in all_pages() if page.place is not None] == [
        "Explore",
        "Compare",
        "Sweep",
        "Vote",
        "History",
        "Models",
    ]
    assert [(page.path, page.within) for page in all_pages() if page.place is None] == [("run", "history")]


def test_a_page_is_one_file(tmp_path: Path) -> None:
    for name in ("svdlab", "presets", "assets"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "svdlab" / "ui" / "pages" / "notes.py").write_text(NOTES, encoding="utf-8")
    status, html = json.loads(run(SERVE, str(tmp_path / "data"), tree=tmp_path))
    assert status == 200
    config = json.loads(re.search(r"window\.gradio_config = (\{.*?\});\s*</script>", html, re.S)[1])  # type: ignore[index]
    shown = {part["props"].get("elem_id"): part["props"].get("value") for part in config["components"]}
    assert "What was noted." in shown["notes-text"]
    links = re.findall(r'<a href="([^"]*)"( aria-current=page)?>(\w+)</a>', shown["frame-notes"])
    assert links[4:] == [
        ("history", "", "History"),
        ("notes", " aria-current=page", "Notes"),
        ("models", "", "Models"),
    ]


def test_the_style_of_every_part_is_on_the_page_once() -> None:
    css = stylesheet()
    for path in PARTS.glob("*/*.css"):
        first = path.read_text(encoding="utf-8").splitlines()[0]
        assert css.count(first) == (0 if path.parent.name in SCOPED else 1), path


def test_every_class_that_is_styled_is_used_somewhere() -> None:
    code = "".join(
        path.read_text(encoding="utf-8")
        for pattern in ("**/*.py", "**/*.js", "**/*.html")
        for path in (ROOT / "svdlab" / "ui").glob(pattern)
    )
    code += " ".join([*KNOBS, *(f"lab-{part.name}" for part in PARTS.iterdir())])
    gradios = {
        "gradio-container",
        "main",
        "fillable",
        "column",
        "block",
        "html-container",
        "pending",
        "nav-holder",
    }
    gradios |= {"prose", "primary", "light", "dark"}
    css = re.sub(r"/\*.*?\*/|\{[^{}]*\}", "", stylesheet(), flags=re.S)
    unused = {
        name for name in re.findall(r"\.([a-z][\w-]*)", css) if not re.search(rf"\b{re.escape(name)}\b", code)
    }
    assert unused - gradios == set()


LEAVES = """
import os, sys
from pathlib import Path
import httpx
from svdlab.lab.lab import Lab
from svdlab.ui import launch

folder = Path(os.environ["GRADIO_TEMP_DIR"])
(folder / "killed").mkdir(parents=True)
(folder / "killed" / "upload.png").write_text("left by a process that was killed")
os.utime(folder / "killed", (1, 1))
with Lab(Path(sys.argv[1])) as lab:
    address = launch(lab, port=None, block=False)
    print((folder / "killed").exists())
    with open(sys.argv[2], "rb") as picture:
        [place] = httpx.post(address + "gradio_api/upload", files={"files": picture}).json()
    print(Path(place).is_relative_to(folder), Path(place).is_file())
print([path for path in folder.rglob("*") if path.is_file()])
"""


def test_nothing_is_left_of_uploads(tmp_path: Path, example_picture: Path) -> None:
    said = run(
        LEAVES, str(tmp_path / "data"), str(example_picture), GRADIO_TEMP_DIR=str(tmp_path / "passing")
    )
    assert said.splitlines() == ["False", "True True", "[]"]


def test_a_file_that_was_made_is_kept_while_it_is_asked_for_and_goes_an_hour_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    made = []

    def write(path: Path) -> None:
        made.append(path)
        path.write_text("a pair")

    first = hand_over("pair.mp4", write, key="pair")
    assert hand_over("pair.mp4", write, key="pair") == first
    assert made == [first]
    other = hand_over("table.csv", write)
    assert other.parent != first.parent
    assert len(other.parent.name) == 32
    long_ago = time.time() - KEPT_SECONDS - 1
    os.utime(first.parent, (long_ago, long_ago))
    hand_over("table.csv", write)
    assert not first.exists()
    assert other.exists()
