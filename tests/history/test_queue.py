"""The record that is the queue: nothing accepted is lost, nothing is rendered twice."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from svdlab.errors import DataFolderError, NotFound
from svdlab.files import publish_folder
from svdlab.history.database import MIGRATIONS
from svdlab.history.owners import this_process
from svdlab.history.queue import History
from svdlab.history.run_files import write_result
from svdlab.history.search import RunQuery
from svdlab.recipes.records import Outcome, Recipe
from svdlab.recipes.settings import GenerationSettings
from tests import databases, rows
from tests.rows import Watched

DEAD = f"{this_process().split('|')[0]}|999999999|0.00"  # a process of this host that is not there
ELSEWHERE = "another-host|1|0.00"


def recipe(seed: int = 1, checkpoint: str = "demo-1-0") -> Recipe:
    return Recipe(checkpoint=checkpoint, picture_sha256="a" * 64, settings=GenerationSettings(seed=seed))


@pytest.fixture
def history(tmp_path: Path):
    history = History(tmp_path / "data")
    yield history
    history.close()


def test_an_accepted_run_is_on_disk_when_add_returns(history: History) -> None:
    run = history.add(recipe(), preset="fast")
    other = History(history.folder)
    assert other.get(run.id) == run
    assert (run.state, run.preset) == ("queued", "fast")
    other.close()


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    with rows.watched(tmp_path / "data") as watched:
        yield watched


def test_commits_wait_for_the_disk(watched: Watched) -> None:
    assert watched.pragma("synchronous") == 2  # FULL
    assert watched.pragma("journal_mode") == "wal"


def test_runs_are_claimed_in_order_and_once(history: History) -> None:
    first, second = history.add(recipe(1)), history.add(recipe(2))
    assert [r.id for r in history.claim("me|1|0")] == [first.id]
    assert [r.id for r in history.claim("me|1|0")] == [second.id]
    assert history.claim("me|1|0") == []


def test_many_workers_never_claim_the_same_run(history: History) -> None:
    ids = {history.add(recipe(i)).id for i in range(40)}
    claimed: list[str] = []

    def work() -> None:
        own = History(history.folder)
        while runs := own.claim(this_process()):
            claimed.extend(run.id for run in runs)
        own.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed) == sorted(ids)


def test_a_comparison_is_claimed_as_a_pair(history: History) -> None:
    pair = history.add_comparison(recipe(), recipe(checkpoint="demo-1-1"))
    assert [r.id for r in history.claim("me|1|0")] == [pair.a.id, pair.b.id]


def test_a_resumed_comparison_is_never_claimed_by_halves(history: History) -> None:
    pair = history.add_comparison(recipe(), recipe(checkpoint="demo-1-1"))
    both = [pair.a.id, pair.b.id]
    history.claim(this_process())
    sizes: list[int] = []

    def claim() -> None:  # as an idle worker does, over and over
        while not (found := history.claim(this_process())):
            pass
        sizes.append(len(found))

    for _ in range(40):
        for id in both:
            history.finish(id, "cancelled")
        worker = threading.Thread(target=claim)
        worker.start()
        history.requeue(*both)
        worker.join()
    assert sizes == [2] * 40


def test_a_worker_can_be_limited_to_its_own_runs(history: History) -> None:
    history.add(recipe(1))
    mine = history.add(recipe(2))
    assert [r.id for r in history.claim("me|1|0", only=[mine.id])] == [mine.id]
    assert history.claim("me|1|0", only=[]) == []


def test_queue_positions_count_what_is_ahead(history: History) -> None:
    history.add(recipe(1))
    pair = history.add_comparison(recipe(2), recipe(3))
    last = history.add(recipe(4))
    assert history.position(pair.a.id) == history.position(pair.b.id) == 1
    assert history.position(last.id) == 3
    history.claim("me|1|0")
    assert history.position(last.id) == 3  # what is being rendered is still ahead


def test_cancelling_a_queued_run_takes_it_out_at_once(history: History) -> None:
    run = history.add(recipe())
    assert history.cancel(run.id) == "cancelled"
    assert history.claim("me|1|0") == []


def test_cancelling_a_running_run_is_told_to_its_worker(history: History) -> None:
    run = history.add(recipe())
    history.claim("me|1|0")
    assert not history.beat(run.id, 1)
    assert history.cancel(run.id) == "running"
    assert history.beat(run.id, 2)
    assert history.get(run.id).step == 2


def test_a_run_whose_worker_died_becomes_interrupted_and_can_be_resumed(history: History) -> None:
    run = history.add(recipe())
    history.claim(DEAD)
    assert [r.id for r in history.recover()] == [run.id]
    assert history.get(run.id).state == "interrupted"
    assert [r.state for r in history.requeue(run.id)] == ["queued"]
    assert [r.id for r in history.claim("me|1|0")] == [run.id]


def test_a_living_workers_run_is_left_alone(history: History) -> None:
    run = history.add(recipe())
    history.claim(this_process())
    assert history.recover() == []
    assert history.get(run.id).state == "running"


def test_a_worker_on_another_host_lives_as_long_as_its_lease(history: History) -> None:
    run = history.add(recipe())
    history.claim(ELSEWHERE)
    assert history.recover() == []
    rows.change(history, "UPDATE runs SET lease_until = 1")
    assert [r.id for r in history.recover()] == [run.id]


def test_queued_runs_survive_a_restart_as_they_are(history: History) -> None:
    run = history.add(recipe())
    again = History(history.folder)
    assert again.recover() == []
    assert again.get(run.id).state == "queued"
    again.close()


def test_files_finished_before_their_row_are_adopted(history: History, tmp_path: Path) -> None:
    run = history.add(recipe())
    history.claim(DEAD)
    temporary = tmp_path / "made"
    temporary.mkdir()
    (temporary / "video.mp4").write_bytes(b"frames")
    write_result(temporary, run.recipe, Outcome(noise_sha256="ab"))
    publish_folder(temporary, run.folder)
    history.recover()
    adopted = history.get(run.id)
    assert adopted.state == "done"
    assert adopted.outcome.noise_sha256 == "ab"
    assert adopted.video.read_bytes() == b"frames"


def test_an_ended_run_stays_ended(history: History) -> None:
    run = history.add(recipe())
    history.claim("me|1|0")
    history.finish(run.id, "failed", error="no")
    history.finish(run.id, "done")
    history.cancel(run.id)
    assert (history.get(run.id).state, history.get(run.id).error) == ("failed", "no")


def test_unknown_ids_are_named(history: History) -> None:
    with pytest.raises(NotFound, match="no run 'zzz'"):
        history.get("zzz")


def test_a_folder_written_by_a_newer_version_is_read_and_not_touched(history: History) -> None:
    kept = history.add(recipe())
    rows.change(history, "PRAGMA user_version=99")
    history.close()
    before = (history.folder / "svdlab.db").read_bytes()
    newer = History(history.folder)
    assert newer.read_only
    assert newer.get(kept.id) == kept
    assert newer.find().runs == (kept,)
    assert newer.recover() == newer.claim("me|1|0") == []
    for write in (
        lambda: newer.add(recipe()),
        lambda: newer.finish(kept.id, "failed"),
        lambda: newer.set_star(kept.id),
        lambda: newer.tag(kept.id, "a"),
        lambda: newer.delete([kept.id]),
        lambda: newer.empty_bin(0),
        newer.remove_unused_pictures,
    ):
        with pytest.raises(DataFolderError, match="written by a newer svdlab, so it is only read; update"):
            write()
    newer.close()
    assert (history.folder / "svdlab.db").read_bytes() == before


def test_a_newer_form_that_is_not_understood_is_said_in_one_sentence(history: History) -> None:
    rows.change(history, "PRAGMA user_version=99")
    rows.change(history, "DROP TABLE run_tags")
    history.close()
    newer = History(history.folder)
    with pytest.raises(DataFolderError, match="in a form this one cannot read; update svdlab"):
        newer.runs()
    newer.close()


def test_a_file_that_is_no_database_is_said_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "svdlab.db").write_bytes(b"not a database, " * 64)
    with pytest.raises(DataFolderError, match="cannot be used"):
        History(tmp_path)


def test_a_failed_write_changes_nothing(history: History) -> None:
    refusing = (
        "CREATE TRIGGER refusing BEFORE INSERT ON comparisons BEGIN SELECT RAISE(ABORT, 'refused'); END"
    )
    rows.change(history, refusing)
    with pytest.raises(sqlite3.IntegrityError, match="refused"):
        history.add_comparison(recipe(), recipe())  # both sides' rows are in by then
    assert history.runs() == []


def test_a_full_disk_is_one_sentence_and_loses_nothing(watched: Watched) -> None:
    history = watched.history
    watched.pragma(f"max_page_count={watched.pragma('page_count')}")
    accepted = []

    def fill() -> None:
        for seed in range(100):
            accepted.append(history.add(recipe(seed)).id)

    with pytest.raises(DataFolderError, match="cannot be written: the disk is full; free some room"):
        fill()
    watched.pragma("max_page_count=1073741823")
    accepted.append(history.add(recipe(1)).id)
    assert [run.id for run in history.runs(200)][::-1] == accepted


def schema_of(path: Path) -> int:
    with closing(sqlite3.connect(path)) as db:
        return int(db.execute("PRAGMA user_version").fetchone()[0])


@pytest.mark.parametrize("schema", range(1, len(MIGRATIONS) + 1))
def test_a_database_of_each_released_schema_is_migrated_and_kept_aside(tmp_path: Path, schema: int) -> None:
    shutil.copy(databases.file_of(schema), tmp_path / "svdlab.db")
    assert schema_of(tmp_path / "svdlab.db") == schema
    history = History(tmp_path)
    assert schema_of(tmp_path / "svdlab.db") == len(MIGRATIONS)
    for id, state, preset, comparison, created in databases.RUNS:
        run = history.get(id)
        assert (run.state, run.preset, run.comparison, run.created) == (state, preset, comparison, created)
        assert run.settings.seed == 2**63 - 1
    pair = tuple(reversed(databases.PAIR[1:3]))
    assert tuple(run.id for run in history.find(RunQuery(sort="fidelity")).runs)[:2] == pair
    assert tuple(run.id for run in history.find(RunQuery(text="FAST")).runs) == pair
    assert [pair.id for pair in history.comparisons()] == [databases.PAIR[0]]
    history.note(pair[0], "kept")
    history.close()
    kept_aside = sorted(path.name for path in tmp_path.glob("svdlab.db.*"))
    assert kept_aside == ([f"svdlab.db.before-{schema + 1}"] if schema < len(MIGRATIONS) else [])
    for name in kept_aside:
        assert schema_of(tmp_path / name) == schema
        with closing(sqlite3.connect(tmp_path / name)) as copy:
            assert copy.execute("SELECT COUNT(*) FROM runs").fetchone()[0] == len(databases.RUNS)


def test_a_migration_that_fails_leaves_the_old_database(tmp_path: Path) -> None:
    shutil.copy(databases.file_of(2), tmp_path / "svdlab.db")
    with closing(sqlite3.connect(tmp_path / "svdlab.db")) as db:
        db.execute("CREATE TABLE finding (in_the_way)")
    with pytest.raises(DataFolderError, match="cannot be used: table finding already exists"):
        History(tmp_path)
    assert schema_of(tmp_path / "svdlab.db") == 2
    with closing(sqlite3.connect(tmp_path / "svdlab.db")) as db:
        db.execute("DROP TABLE finding")
    history = History(tmp_path)
    assert len(history.runs()) == len(databases.RUNS)
    history.close()
