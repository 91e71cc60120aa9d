"""Columns to find runs by: they come with knobs and metrics, without a migration and without losing a row."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from svdlab.errors import BadInput, BadVideo
from svdlab.history import finding
from svdlab.history.conditions import parse_where
from svdlab.history.database import FILE_NAME, MIGRATIONS, apply
from svdlab.history.queue import History
from svdlab.history.search import RunQuery
from svdlab.lab.lab import Lab
from svdlab.metrics.definitions import METRICS
from svdlab.recipes.settings import FIRST_FORM, KNOBS
from tests.databases import RUNS, file_of
from tests.made import make_run
from tests.synthetic import fill
from tests.tree import add_knob, add_metric, copy_tree, run_on


@pytest.fixture(scope="module")
def later(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A svdlab with one knob and one metric more."""
    tree = copy_tree(tmp_path_factory.mktemp("later") / "tree")
    add_knob(tree)
    add_metric(tree)
    return tree


def values(folder: Path, *names: str) -> list[tuple]:
    """Columns of every row of `finding`, oldest first, read past svdlab."""
    with closing(sqlite3.connect(folder / FILE_NAME)) as db:
        asked = ", ".join(f"finding.{name}" for name in names)
        return db.execute(f"SELECT {asked} FROM finding ORDER BY created, run").fetchall()


def test_no_two_columns_have_one_name() -> None:
    names = [*finding.FIXED, *KNOBS, *METRICS]
    assert len(names) == len(set(names))


def test_the_view_that_is_made_says_what_that_of_the_migration_says(tmp_path: Path) -> None:
    history = History(tmp_path)
    fill(history, 120)
    before = values(tmp_path, *finding.FIXED, *KNOBS, *METRICS)
    history.close()
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as db, db:
        for statement in finding.definitions(finding.columns(db)):
            db.execute(statement)
        db.execute("DELETE FROM finding")
        db.execute("INSERT INTO finding SELECT * FROM found")
    assert values(tmp_path, *finding.FIXED, *KNOBS, *METRICS) == before
    history = History(tmp_path)  # and its triggers do what those of the migration do
    run, other, gone = history.runs(3)
    history.tag(run.id, "new")
    history.set_star(other.id)
    history.delete([gone.id])
    history.empty_bin(-1)
    assert [one.id for one in history.find(RunQuery(tags=("new",), text="new")).runs] == [run.id]
    assert other.id in {one.id for one in history.every(RunQuery(starred=True))}
    assert len(values(tmp_path, "run")) == 119
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as db:
        assert db.execute("SELECT * FROM found EXCEPT SELECT * FROM finding").fetchall() == []
    history.untag(run.id, "new")
    assert history.count(RunQuery(text="new")) == 0
    history.close()


LATER = """
import sys
from svdlab.history.conditions import parse_where
from svdlab.history.search import RunQuery
from svdlab.lab.lab import Lab
with Lab(sys.argv[1]) as lab:
    assert not lab.history.unfindable
    all = lab.history.count()
    assert lab.history.count(RunQuery(where=parse_where("grain=0"))) == all
    assert lab.history.count(RunQuery(where=parse_where("brightness=none"))) == all
    assert len(list(lab.history.every(RunQuery(sort="brightness")))) == all
    run = lab.history.runs(1)[0]
    with_grain = run.recipe.model_copy(update={"settings": run.settings.but(grain=0.25)})
    added = lab.history.add(with_grain)
    assert [r.id for r in lab.history.find(RunQuery(sort="grain"), limit=1).runs] == [added.id]
    lab.history.delete([added.id])
    print(added.id)
"""


@pytest.mark.parametrize("schema", [1, 2, 3])
def test_old_databases_are_found_by_what_came_later(tmp_path: Path, schema: int, later: Path) -> None:
    shutil.copy(file_of(schema), tmp_path / FILE_NAME)
    run_on(later, LATER, tmp_path)
    assert len(values(tmp_path, "grain", "brightness")) == len(RUNS) + 1
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)


def test_an_older_svdlab_goes_on_working_in_a_folder_that_a_later_one_extended(
    tmp_path: Path, later: Path
) -> None:
    with Lab(tmp_path) as lab:
        first = make_run(lab, seed=1)
    added = run_on(later, LATER, tmp_path).strip()
    with Lab(tmp_path) as lab:  # this svdlab knows nothing of grain
        second = make_run(lab, seed=2)
        lab.history.tag(first.id, "old")
        found = lab.history.find(RunQuery(sort="fidelity", tags=("old",))).runs
        assert [run.id for run in found] == [first.id]
        assert [run.id for run in lab.history.runs()] == [second.id, first.id]
        lab.history.take_back([added])  # a run with grain: the others are found all the same
        assert [run.id for run in lab.history.runs()] == [second.id, first.id]
        assert {run.id for run in lab.history.every()} == {second.id, first.id}
        with pytest.raises(
            BadVideo, match=f"the recipe of run {added} cannot be read.*a newer svdlab made it"
        ):
            lab.history.get(added)
        assert [(f.kind, f.about) for f in lab.doctor()] == [("row", added)]
    assert [row[0] for row in values(tmp_path, "grain")] == [0.0, 0.25, 0.0]


def test_columns_that_only_another_svdlab_knows_are_filled_all_the_same(tmp_path: Path, later: Path) -> None:
    data = tmp_path / "data"
    with Lab(data) as lab:
        make_run(lab)
    run_on(later, LATER, data)
    other = copy_tree(tmp_path / "other")
    add_knob(other, "halo", introduced="1.0")
    run_on(other, "import sys\nfrom svdlab.lab.lab import Lab\nLab(sys.argv[1]).close()", data)
    again = run_on(later, LATER, data).strip()
    rows = values(data, "run", "grain", "halo")
    assert [row[1:] for row in rows] == [(0.0, 1.0), (0.25, 1.0), (0.25, 1.0)]
    assert rows[-1][0] == again
    measured = '{"metrics": {"brightness": 101.5}}'
    with closing(sqlite3.connect(data / FILE_NAME)) as db, db:
        db.execute("UPDATE runs SET outcome = ? WHERE id = ?", (measured, again))
    assert values(data, "brightness")[-1] == (101.5,)


def test_several_processes_may_extend_one_folder_at_once(tmp_path: Path, later: Path) -> None:
    history = History(tmp_path)
    fill(history, 300)
    history.close()
    opened = "import sys\nfrom svdlab.history.queue import History\nfrom pathlib import Path\n"
    command = [sys.executable, "-c", f"{opened}print(History(Path(sys.argv[1])).unfindable)", str(tmp_path)]
    all = [
        subprocess.Popen(command, cwd=later, env={"PYTHONPATH": str(later)}, stdout=subprocess.PIPE)
        for _ in range(4)
    ]
    assert [process.communicate()[0].decode().strip() for process in all] == ["frozenset()"] * 4
    assert [process.returncode for process in all] == [0] * 4
    assert set(values(tmp_path, "grain", "brightness")) == {(0.0, None)}
    assert len(values(tmp_path, "run")) == 300


KILLED = """
import os, signal, sqlite3, sys
from pathlib import Path
from svdlab.history import finding
from svdlab.history.database import FILE_NAME
from svdlab.history.queue import History

folder, at = Path(sys.argv[1]), 0


def dying(*given, **named):
    steps = 0

    def step(_):
        nonlocal steps
        steps += 1
        if steps == at:
            os.kill(os.getpid(), signal.SIGKILL)

    db = sqlite3.connect(*given, **named)
    db.set_trace_callback(step)
    return db


seen = set()
while True:
    at += 1
    if (child := os.fork()) == 0:
        History(folder, connect=dying).close()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    db = sqlite3.connect(folder / FILE_NAME)
    lacking = len(finding.missing(db))
    assert lacking in (0, 2), (at, lacking)
    for pair in (("found", "finding"), ("finding", "found")):
        assert not db.execute("SELECT * FROM {} EXCEPT SELECT * FROM {}".format(*pair)).fetchall(), at
    assert db.execute("SELECT COUNT(*) FROM finding").fetchone() == (30,), at
    assert db.execute("SELECT COUNT(*) FROM sqlite_master WHERE type = 'trigger'").fetchone() == (5,), at
    db.close()
    seen.add(lacking)
    if status == 0:
        break
    assert at < 500
assert seen == {0, 2}
print(at)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_extending_a_folder_can_be_killed_at_every_step(tmp_path: Path, later: Path) -> None:
    history = History(tmp_path)
    fill(history, 30)
    history.close()
    assert int(run_on(later, KILLED, tmp_path)) > 20


def test_a_folder_that_is_only_read_is_found_by_what_is_there(tmp_path: Path, later: Path) -> None:
    history = History(tmp_path)
    fill(history, 20)
    history.close()
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as db:
        db.execute("PRAGMA user_version=99")
    script = """
import sys
from pathlib import Path
from svdlab.errors import BadInput
from svdlab.history.conditions import parse_where
from svdlab.history.queue import History
from svdlab.history.search import RunQuery
history = History(Path(sys.argv[1]))
assert history.read_only and history.unfindable == {"grain", "brightness"}
assert len(history.find(RunQuery(sort="flicker")).runs) == 20
for query in (RunQuery(sort="grain"), RunQuery(where=parse_where("brightness>1"))):
    for ask in (history.find, history.count):
        try:
            ask(query)
        except BadInput as error:
            print(error)
"""
    said = run_on(later, script, tmp_path).splitlines()
    assert [line.split(" cannot be found by ")[1].split(":")[0] for line in said] == [
        "grain",
        "grain",
        "brightness",
        "brightness",
    ]
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as db:
        assert "grain" not in finding.columns(db)


def test_a_folder_that_cannot_be_written_now_opens_and_is_extended_the_next_time(tmp_path: Path) -> None:
    """An opening that cannot add columns still opens; what has none says so."""
    with closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as db:
        db.execute("BEGIN")
        apply(db, 1, len(MIGRATIONS))
        db.execute("DROP VIEW found")
        for name in ("new", "changed", "lost", "tagged", "untagged"):
            db.execute(f"DROP TRIGGER found_{name}")
        db.execute("ALTER TABLE finding DROP COLUMN flicker")
        db.execute("COMMIT")
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("BEGIN IMMEDIATE")  # nobody else can write
        history = History(tmp_path, busy_seconds=0.1)
        later = {name for name, knob in KNOBS.items() if knob.since > FIRST_FORM}
        assert {"flicker"} | later <= set(history.unfindable)
        assert history.find().runs == ()
        for query in (RunQuery(sort="flicker"), RunQuery(where=parse_where("flicker>1"))):
            with pytest.raises(BadInput, match="cannot be found by flicker"):
                history.find(query)
        db.execute("ROLLBACK")
    again = History(tmp_path)
    assert not again.unfindable
    for one in (again, history):  # the one that was open before sees it as well
        assert one.find(RunQuery(sort="flicker")).runs == ()
        one.close()
