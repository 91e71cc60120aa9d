"""Adding a knob, a metric or a format of tables is one declaration in one file: the rest of svdlab finds it there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tree import add_knob, add_metric, copy_tree, run_on

# What every script below begins with: a lab with one finished run, the shell, the pages and the docs of its tree.
BEGIN = """
import json, runpy, sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import svdlab
from svdlab.cli import main
from svdlab.lab.lab import Lab
from tests.made import make_run

assert Path(svdlab.__file__).is_relative_to(Path.cwd())
data = Path(sys.argv[1])
with Lab(data) as lab:
    run = make_run(lab)


def shell(*arguments):
    out = StringIO()
    with redirect_stdout(out):
        code = main(["--data-dir", str(data), *arguments])
    assert code == 0, (code, arguments, out.getvalue())
    return out.getvalue()


def table(*arguments):
    head, *rows = shell("runs", "list", *arguments).splitlines()
    return head.split(), rows


def docs(page):
    runpy.run_path("scripts/make_docs")["main"]([])
    return Path("docs", page).read_text()


def pages():
    from svdlab.ui.site import build_app
    with Lab(data) as lab:
        return json.dumps(build_app(lab).get_config_file(), default=str)


def exported():
    shell("runs", "export", "--csv", str(data / "runs.csv"))
    names, values = (data / "runs.csv").read_text().splitlines()
    return dict(zip(names.split(","), values.split(",")))
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return copy_tree(tmp_path / "tree")


def test_a_knob_is_one_declaration(tree: Path, tmp_path: Path) -> None:
    add_knob(tree)
    script = """
flags = " ".join(shell("generate", "--help").split())
assert "--grain 0..1 How much grain is put over the clip." in flags, flags
head, rows = table("--sort", "grain", "--where", "grain>=0.5")
assert "grain" in head and (rows[0].split()[0], rows[0].split()[-1]) == (run.id, "0.5"), rows
assert exported()["grain"] == "0.5"
assert "How much grain is put over the clip." in pages()
assert "`--grain`" in docs("knobs.md") and "--grain" in docs("cli.md")
from svdlab.recipes.axes import read_axis
assert read_axis("grain=0..1+0.5").values == (0.0, 0.5, 1.0)
"""
    run_on(tree, BEGIN + script, tmp_path / "data")


def test_a_metric_is_one_declaration(tree: Path, tmp_path: Path) -> None:
    add_metric(tree)
    script = """
measured = run.outcome.metrics["brightness"]
assert 1 < measured < 255
head, rows = table("--sort", "brightness", "--where", "brightness>1", "--where", "brightness<255")
assert "brightness" in head and f" {measured:.1f}" in rows[0], rows
assert shell("runs", "list", "--where", "brightness>255") == ""
assert float(exported()["brightness"]) == measured
said = " ".join(shell("runs", "list", "--help").split())
assert "brightness of 255. Mean grey of all frames." in said, said
from svdlab.ui.parts import compare_result, run as run_page
from svdlab.ui.parts.gallery.filters import choices, read_query
with Lab(data) as lab:
    assert ["brightness", "Brightness"] in dict(choices(lab)["sort"])["Measured"]
    assert lab.history.count(read_query({"where": "brightness>1", "sort": "brightness"})) == 1
row = ["Brightness", f"{measured:.1f} of 255", "Mean grey of all frames."]
assert row in run_page.measured_rows(run)
assert "Brightness" in [row["label"] for row in compare_result.measures(run, run)]
assert "| `brightness` | of 255 |" in docs("metrics.md") and "brightness" in docs("cli.md")
"""
    run_on(tree, BEGIN + script, tmp_path / "data")


NEW_FORMAT = '''"""A table as one JSON value a line."""

from svdlab.exchange.formats import TableFormat
from svdlab.files import write_whole


def write(table, path):
    write_whole(path, lambda file: table.to_json(file, orient="records", lines=True))


FORMAT = TableFormat("jsonl", "JSON lines", write)
'''


def test_a_format_of_tables_is_one_file(tree: Path, tmp_path: Path) -> None:
    (tree / "svdlab" / "exchange" / "formats" / "jsonl.py").write_text(NEW_FORMAT, encoding="utf-8")
    script = """
said = " ".join(shell("runs", "export", "--help").split())
assert "--jsonl FILE As a table, JSON lines." in said, said
path = data / "runs.jsonl"
assert shell("runs", "export", "--jsonl", str(path)) == f"{path}: 1 rows\\n"
assert json.loads(path.read_text())["id"] == run.id
from svdlab.ui.parts.gallery.filters import exports
assert ["jsonl", "Table as JSON lines"] in exports()
assert "--jsonl FILE" in docs("cli.md")
"""
    run_on(tree, BEGIN + script, tmp_path / "data")
