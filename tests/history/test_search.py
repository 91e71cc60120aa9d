"""Finding runs again, marking them, the bin, and the doctor: nothing is lost that nobody threw away."""

from __future__ import annotations

import json
import math
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import typer

from svdlab.cli import look, main
from svdlab.errors import BadInput, DataFolderError, NotFound
from svdlab.files import sha256_of
from svdlab.history.doctor import GONE
from svdlab.history.queue import History
from svdlab.history.run_files import write_result
from svdlab.history.search import MAX_LIMIT, MAX_NOTE, MAX_TAGS, SORTS, RunQuery
from svdlab.lab.desk import Desk
from svdlab.lab.lab import Lab
from svdlab.metrics.definitions import METRICS
from svdlab.recipes.records import Recipe, Run
from svdlab.recipes.settings import KNOBS, GenerationSettings
from tests import rows
from tests.made import make_pair, make_run, picture_of
from tests.synthetic import EVERY, START, TAGS, fill

COUNT = 400


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    history = History(tmp_path_factory.mktemp("many"))
    fill(history, COUNT)
    yield history
    history.close()


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with Lab(tmp_path / "data") as lab:
        yield lab


def all_of(history: History, query: RunQuery, limit: int = 37) -> list[Run]:
    found, after = [], None
    while True:
        page = history.find(query, after, limit)
        found += page.runs
        after = page.next
        if after is None:
            return found
        assert len(page.runs) == limit


# Finding


def test_every_knob_and_every_metric_can_be_sorted_by(many: History) -> None:
    assert {*KNOBS, *METRICS} < set(SORTS)
    assert {row[1] for row in rows.read(many, "PRAGMA table_info(finding)")} >= set(SORTS)


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("descending", [True, False])
def test_pages_in_any_order_hold_every_run_once(many: History, sort: str, descending: bool) -> None:
    found = all_of(many, RunQuery(sort=sort, descending=descending))
    assert len({run.id for run in found}) == len(found) == COUNT
    values = [value_of(run, sort) for run in found]
    there = [value for value in values if value is not None]
    assert values == there + [None] * (COUNT - len(there))
    assert there == sorted(there, reverse=descending)
    if sort != "created":  # equal ones newest first
        keys = [(values.index(value), -run.created) for value, run in zip(values, found, strict=True)]
        assert keys == sorted(keys)


def value_of(run: Run, sort: str) -> object:
    if sort == "seconds":
        spent = [value for part, value in run.outcome.seconds.items() if part != "load"]
        return round(sum(spent), 6) if spent else None
    if sort == "peak_memory_bytes":
        return run.outcome.peak_memory_bytes or None
    if sort == "checkpoint":
        return run.recipe.checkpoint
    if sort in METRICS:
        return run.outcome.metrics.get(sort)
    return getattr(run.settings if sort in KNOBS else run, sort)


FILTERS = {
    "checkpoint": (RunQuery(checkpoint="svd-xt"), lambda r: r.recipe.checkpoint == "svd-xt"),
    "preset": (RunQuery(preset="calm"), lambda r: r.preset == "calm"),
    "picture": (
        RunQuery(picture="00000007" * 8),
        lambda r: r.recipe.picture_sha256 == "00000007" * 8,
    ),
    "the beginning of a picture": (
        RunQuery(picture="00000001"),
        lambda r: r.recipe.picture_sha256.startswith("00000001"),
    ),
    "dates": (
        RunQuery(since=START + 10 * EVERY, until=START + 20 * EVERY),
        lambda r: START + 10 * EVERY <= r.created < START + 20 * EVERY,
    ),
    "states": (RunQuery(states=("failed", "cancelled")), lambda r: r.state in ("failed", "cancelled")),
    "rating": (RunQuery(rating=3), lambda r: (r.rating or 0) >= 3),
    "starred": (RunQuery(starred=True), lambda r: r.starred),
    "not starred": (RunQuery(starred=False), lambda r: not r.starred),
    "tag": (RunQuery(tags=(" SEA ",)), lambda r: "sea" in r.tags),
    "text": (
        RunQuery(text="The  SEA"),
        lambda r: "the sea" in r.note or ("the" in r.note and "sea" in r.tags),
    ),
    "text of a preset": (
        RunQuery(text="cal xt-1-1"),
        lambda r: r.preset == "calm" and "xt-1-1" in r.recipe.checkpoint,
    ),
    "several": (
        RunQuery(checkpoint="svd", states=("done",), starred=True, sort="zoom"),
        lambda r: r.recipe.checkpoint == "svd" and r.done and r.starred,
    ),
}


@pytest.mark.parametrize(("query", "holds"), FILTERS.values(), ids=FILTERS)
def test_a_filter_finds_what_it_says_and_all_of_it(many: History, query: RunQuery, holds) -> None:
    wanted = {run.id for run in many.runs(MAX_LIMIT) if holds(run)}
    assert {run.id for run in all_of(many, query)} == wanted
    assert many.count(query) == len(wanted)
    assert wanted


def test_runs_that_come_meanwhile_move_no_page(tmp_path: Path) -> None:
    history = History(tmp_path)
    fill(history, 40)
    first = history.find(limit=20)
    history.add(Recipe(checkpoint="svd", picture_sha256="a" * 64, settings=GenerationSettings()))
    history.delete([first.runs[3].id, first.runs[-1].id])
    second = history.find(after=first.next, limit=20)
    assert len({run.id for run in first.runs + second.runs}) == 40
    assert second.next is None
    history.close()


def test_what_there_is_to_filter_by_is_counted(many: History) -> None:
    facets = many.facets()
    assert sum(count for _, count in facets.checkpoints) == COUNT
    assert {name for name, _ in facets.presets} == {"official", "fast", "calm"}
    assert {tag for tag, _ in facets.tags} == set(TAGS)
    for tag, count in facets.tags:
        assert many.count(RunQuery(tags=(tag,))) == count


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"sort": "beauty"}, "runs cannot be sorted by 'beauty'; choose one of created, finished"),
        ({"sort": "created; DROP TABLE runs"}, "cannot be sorted by"),
        ({"states": ("lost",)}, "state must be queued"),
        ({"rating": 6}, "rating must be a whole number from 0 to 5, got 6"),
        ({"rating": True}, "rating must be"),
        ({"picture": "../../x"}, "picture must be the hash"),
        ({"since": math.nan}, "since must be seconds since 1970"),
        ({"tags": ("a,b",)}, "without commas"),
        ({"tags": ("",)}, "a tag must be 1 to 40 letters"),
        ({"text": "x" * 201}, "at most 200 characters"),
        ({"text": "\ud800"}, "unpaired surrogates"),
    ],
)
def test_a_query_that_cannot_be_is_one_sentence(bad: dict, said: str) -> None:
    with pytest.raises(BadInput, match=said.replace("(", r"\(")):
        RunQuery(**bad)


@pytest.mark.parametrize(
    "after", ["", "x", "é", "W10", "bnVsbA", "A" * 500, "WyJjcmVhdGVkIiwgdHJ1ZSwgbnVsbCwgMWU5OTksICJ4Il0"]
)
def test_a_cursor_from_elsewhere_is_refused(many: History, after: str) -> None:
    with pytest.raises(BadInput, match="begin again at the first page"):
        many.find(after=after)


def test_a_cursor_belongs_to_its_order(many: History) -> None:
    after = many.find(RunQuery(sort="zoom"), limit=5).next
    with pytest.raises(BadInput, match="does not belong to this list"):
        many.find(RunQuery(sort="fps"), after)
    for limit in (0, MAX_LIMIT + 1):
        with pytest.raises(BadInput, match="limit must be"):
            many.find(limit=limit)


def test_comparisons_are_found_by_their_sides_and_their_own_marks(tmp_path: Path) -> None:
    history = History(tmp_path)
    recipes = [
        Recipe(checkpoint=c, picture_sha256="a" * 64, settings=GenerationSettings())
        for c in ("svd", "svd-xt")
    ]
    old = history.add_comparison(*recipes)
    new = history.add_comparison(recipes[0], recipes[0], preset="calm")
    history.set_star(old.id)
    history.rate(old.id, 5)
    history.note(old.id, "Straße am Meer")
    history.tag(old.id, "Best of")

    def ids(**query: object) -> list[str]:
        return [pair.id for pair in history.find_comparisons(RunQuery(**query)).comparisons]

    assert ids() == [new.id, old.id]
    assert ids(descending=False) == [old.id, new.id]
    assert ids(checkpoint="svd") == [new.id, old.id]
    assert (
        ids(checkpoint="svd-xt") == ids(starred=True) == ids(rating=4) == ids(tags=("best of",)) == [old.id]
    )
    assert ids(text="STRASSE") == ids(text="best svd-xt") == [old.id]
    assert ids(text="calm") == ids(preset="calm") == [new.id]
    assert ids(states=("done",)) == []
    first = history.find_comparisons(limit=1)
    assert history.find_comparisons(after=first.next, limit=1).comparisons[0].id == old.id
    assert (history.comparison(old.id).tags, history.comparison(old.id).rating) == (("best of",), 5)
    with pytest.raises(BadInput, match="comparisons can be sorted by created only"):
        history.find_comparisons(RunQuery(sort="zoom"))
    history.close()


# Marks


def test_marks_are_kept_and_taken_away(lab: Lab) -> None:
    run = make_run(lab)
    lab.history.set_star(run.id)
    lab.history.rate(run.id, 0)
    lab.history.note(run.id, " ÄRGER\r\nam Ufer ")
    lab.history.tag(run.id, "Zwei  Worte", "a", "A")
    marked = lab.history.get(run.id)
    assert (marked.starred, marked.rating, marked.note) == (True, 0, "ÄRGER\nam Ufer")
    assert marked.tags == ("a", "zwei worte")
    assert [r.id for r in lab.history.find(RunQuery(text="ärger zwei")).runs] == [run.id]
    lab.history.set_star(run.id, False)
    lab.history.rate(run.id, None)
    lab.history.note(run.id, "")
    lab.history.untag(run.id, "a", "zwei worte", "never had")
    assert lab.history.get(run.id) == run
    assert lab.history.find(RunQuery(text="ufer")).runs == ()


def test_marks_that_cannot_be_are_refused(lab: Lab) -> None:
    run = make_run(lab)
    for call, said in (
        (lambda: lab.history.rate(run.id, 6), "rating must be"),
        (lambda: lab.history.note(run.id, "x" * (MAX_NOTE + 1)), "a note may have 4000 characters"),
        (lambda: lab.history.note(run.id, "\0"), "zero byte"),
        (lambda: lab.history.tag(run.id, "a\u202eb"), "a tag must be"),
        (lambda: lab.history.tag(run.id, *map(str, range(MAX_TAGS + 1))), "may have 32 tags"),
        (lambda: lab.history.set_star("nobody"), "there is no run or comparison 'nobody'"),
    ):
        with pytest.raises(BadInput, match=said):
            call()
    assert lab.history.get(run.id) == run


# The bin


def test_what_is_deleted_is_hidden_and_comes_back_as_it_was(lab: Lab) -> None:
    run, other = make_run(lab, seed=1), make_run(lab, seed=2)
    lab.history.tag(run.id, "keep")
    before = lab.history.get(run.id)
    lab.delete([run.id])
    assert [r.id for r in lab.history.find().runs] == [r.id for r in lab.history.runs()] == [other.id]
    assert [r.id for r in lab.history.find(RunQuery(bin=True)).runs] == [run.id]
    assert lab.history.get(run.id).deleted == pytest.approx(time.time(), abs=60)
    assert lab.history.get(run.id).video.is_file()
    assert lab.before.run(run.recipe) is None
    assert lab.history.facets().tags == ()
    lab.history.take_back([run.id])
    assert lab.history.get(run.id) == before
    assert lab.before.run(run.recipe) is not None


def test_deleting_is_all_or_nothing_and_never_hits_a_running_run(lab: Lab) -> None:
    run = make_run(lab)
    running = lab.submit(replace_seed(run.recipe, 5))
    assert Desk(lab, only=[running.id]).claim()
    with pytest.raises(BadInput, match=f"run {running.id} is being rendered; cancel it before deleting it"):
        lab.delete([run.id, running.id])
    with pytest.raises(NotFound, match="no run or comparison 'x'"):
        lab.delete([run.id, "x"])
    assert lab.history.get(run.id).deleted is lab.history.get(running.id).deleted is None


def test_a_waiting_run_in_the_bin_is_never_rendered(lab: Lab) -> None:
    waiting = lab.submit(make_run(lab).recipe)
    lab.delete([waiting.id])
    assert lab.history.get(waiting.id).state == "cancelled"
    assert Desk(lab).claim() == []
    with pytest.raises(BadInput, match="is in the bin; take it back first"):
        lab.resume(waiting.id)
    lab.history.take_back([waiting.id])
    assert [run.state for run in lab.resume(waiting.id)] == ["queued"]


def test_a_comparison_takes_its_own_runs_along_and_brings_them_back(lab: Lab) -> None:
    pair = make_pair(lab)
    lab.delete([pair.a.id])
    assert lab.history.comparisons() == []
    lab.delete([pair.id])
    lab.history.take_back([pair.id])
    assert lab.history.get(pair.a.id).deleted is not None  # it was deleted before, on its own
    assert lab.history.get(pair.b.id).deleted is None
    assert lab.history.comparisons() == list(lab.history.find_comparisons().comparisons) == []
    lab.history.take_back([pair.a.id])
    assert [one.id for one in lab.history.comparisons()] == [pair.id]


def test_emptying_the_bin_removes_files_and_rows_of_what_lay_long_enough(lab: Lab) -> None:
    pair, kept = make_pair(lab), make_run(lab, seed=9)
    lab.delete([pair.a.id, kept.id])
    lab.history.take_back([kept.id])
    assert lab.history.empty_bin(3600) == []
    assert lab.history.empty_bin(-1) == [pair.a.id]
    assert not pair.a.folder.exists()
    for gone in (
        lambda: lab.history.get(pair.a.id),
        lambda: lab.history.comparison(pair.id),
        lambda: lab.history.take_back([pair.a.id]),
    ):
        with pytest.raises(NotFound):
            gone()
    assert lab.history.get(pair.b.id).comparison is None
    assert {run.id for run in lab.history.find().runs} == {pair.b.id, kept.id}
    assert lab.doctor() == []


def test_latents_that_a_waiting_run_needs_are_not_removed(lab: Lab) -> None:
    source = make_run(lab, latents=b"not looked at")
    again = lab.decode_again(source.id, decode_chunk_size=1)
    lab.delete([source.id])
    assert lab.history.empty_bin(-1) == []
    lab.cancel(again.b.id)
    assert lab.history.empty_bin(-1) == [source.id]
    assert lab.history.get(again.b.id).comparison is None


KILLED = """
import os, signal, sqlite3, sys
from pathlib import Path
from svdlab.history.queue import History
folder, at = Path(sys.argv[1]), 0
while True:
    at += 1
    child = os.fork()
    if child == 0:
        steps = 0
        def step(*_):
            global steps
            steps += 1
            if steps == at:
                os.kill(os.getpid(), signal.SIGKILL)
        connections = []
        def connect(*given, **options):
            connections.append(sqlite3.connect(*given, **options))
            return connections[-1]
        history = History(folder, connect=connect)
        connections[0].set_trace_callback(step)
        sys.addaudithook(lambda event, _: step() if event in ("os.remove", "os.rmdir") else None)
        history.empty_bin(-1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    history = History(folder)
    rows = dict(sqlite3.connect(history.file).execute("SELECT id, deleted FROM runs").fetchall())
    folders = {path.name for path in history.runs_folder.iterdir()}
    assert folders <= set(rows), (at, "files without a row")
    for id, deleted in rows.items():
        whole = len(list((history.runs_folder / id).glob("*"))) == 3
        assert whole or deleted == 0.0, (at, "half a run that can be taken back")
    assert [id for id, deleted in rows.items() if deleted is None] == [sys.argv[2]]
    history.close()
    if status == 0:
        break
print(at, len(rows))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_emptying_the_bin_can_be_killed_at_every_step(tmp_path: Path) -> None:
    history = History(tmp_path)
    ids = [history.add(replace_seed(RECIPE, seed)).id for seed in range(4)]
    for id in ids:
        (history.runs_folder / id).mkdir()
        for name in ("video.mp4", "poster.webp", "result.json"):
            (history.runs_folder / id / name).write_bytes(b"x")
    history.delete(ids[1:])
    history.close()
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path), ids[0]], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    kills, left = map(int, done.stdout.split())
    assert kills > 15
    assert left == 1


def test_pictures_go_only_when_no_run_names_them_and_they_are_not_fresh(lab: Lab) -> None:
    run = make_run(lab)
    lone = lab.add_picture(picture_of(99))
    assert lab.history.remove_unused_pictures() == []
    for path in lab.history.pictures_folder.iterdir():
        os.utime(path, (1, 1))
    lab.delete([run.id])
    lab.add_picture(picture_of(99))  # asked for again: fresh again
    assert lab.history.remove_unused_pictures() == []
    os.utime(lone.path, (1, 1))
    assert lab.history.remove_unused_pictures() == [lone.sha256]
    assert run.picture.is_file()
    lab.history.empty_bin(-1)
    assert lab.history.remove_unused_pictures() == [run.recipe.picture_sha256]


# The doctor

RECIPE = Recipe(checkpoint="demo-1-0", picture_sha256="a" * 64, settings=GenerationSettings())


def replace_seed(recipe: Recipe, seed: int) -> Recipe:
    return recipe.model_copy(update={"settings": recipe.settings.but(seed=seed), "versions": {}})


def said(lab: Lab, repair: bool = False) -> list[tuple[str, str, bool]]:
    return [(finding.kind, finding.about, finding.repaired) for finding in lab.doctor(repair)]


def test_a_healthy_folder_has_no_findings(lab: Lab) -> None:
    run = make_run(lab)
    make_pair(lab)
    lab.delete([run.id])
    lab.submit(replace_seed(run.recipe, 8))
    assert lab.doctor() == lab.doctor(repair=True) == []
    assert run.outcome.video_sha256 == sha256_of(run.video)


def test_files_deleted_by_hand_are_found_and_the_run_can_be_rendered_again(lab: Lab) -> None:
    run = make_run(lab)
    shutil.rmtree(run.folder)
    assert said(lab) == [("files", run.id, False)]
    assert said(lab, repair=True) == [("files", run.id, True)]
    lost = lab.history.get(run.id)
    assert (lost.state, lost.error) == ("interrupted", GONE)
    assert lab.doctor() == []
    assert [again.state for again in lab.resume(run.id)] == ["queued"]


def test_damaged_and_exchanged_videos_are_told_apart(lab: Lab) -> None:
    cut, longer, exchanged = (make_run(lab, seed=seed) for seed in (1, 2, 3))
    cut.video.write_bytes(cut.video.read_bytes()[:100])
    longer.video.write_bytes(longer.video.read_bytes() + b"\0" * 8)
    shutil.copy(make_run(lab, seed=4).video, exchanged.video)
    sentences = {finding.about: finding.sentence for finding in lab.doctor()}
    assert "cannot be shown" in sentences[cut.id]
    assert "the hash differs" in sentences[longer.id]
    assert "recipe inside its video is not the one" in sentences[exchanged.id]
    assert len(sentences) == 3
    assert {finding.about for finding in lab.doctor(repair=True) if finding.repaired} == {cut.id}


def test_a_result_line_that_differs_from_its_row_is_written_anew(lab: Lab) -> None:
    run, other = make_run(lab, seed=1), make_run(lab, seed=2)
    write_result(run.folder, run.recipe, replace(run.outcome, device="elsewhere"))
    (other.folder / "result.json").write_text("[" * 100_000)
    assert said(lab, repair=True) == [("files", run.id, True), ("files", other.id, True)]
    assert lab.doctor() == []


def test_finished_folders_without_a_row_are_adopted(lab: Lab, tmp_path: Path) -> None:
    run = make_run(lab)
    elsewhere = tmp_path / "second"
    with Lab(elsewhere) as second:
        shutil.copytree(run.folder, second.history.runs_folder / run.id)
        shutil.copy(run.picture, second.history.picture_path(run.recipe.picture_sha256))
        stranger = second.history.runs_folder / "holiday"
        stranger.mkdir()
        half = second.history.runs_folder / ("0" * 17)
        shutil.copytree(run.folder, half)
        (half / "video.mp4").unlink()
        assert said(second) == [
            ("orphan", "0" * 17, False),
            ("orphan", run.id, False),
            ("orphan", "holiday", False),
        ]
        assert [repaired for *_, repaired in said(second, repair=True)] == [False, True, False]
        adopted = second.history.get(run.id)
        assert (adopted.recipe, adopted.outcome, adopted.state) == (run.recipe, run.outcome, "done")
        assert adopted.created == pytest.approx(run.created, abs=0.1)
        assert stranger.is_dir()


def test_leftovers_go_when_nobody_writes_them_any_more(lab: Lab) -> None:
    running = lab.submit(make_run(lab).recipe)
    assert Desk(lab, only=[running.id]).claim()
    old, fresh, live = (
        lab.history.runs_folder / name for name in (".0123.abc", ".4567.def", f".{running.id}.abc")
    )
    for folder in (old, fresh, live):
        folder.mkdir()
        (folder / "video.mp4").write_bytes(b"x" * 1000)
    for folder in (old, live):
        os.utime(folder, (1, 1))
    assert lab.disk_use().leftovers == 3000
    assert said(lab, repair=True) == [("leftover", ".0123.abc", True)]
    assert [folder.exists() for folder in (old, fresh, live)] == [False, True, True]


def test_a_picture_that_is_not_its_hash_is_put_aside(lab: Lab) -> None:
    run, other = make_run(lab, picture=picture_of(1)), make_run(lab, picture=picture_of(2))
    shutil.copy(other.picture, run.picture)
    name = run.picture.name
    assert said(lab) == [("picture", name, False)]
    assert said(lab, repair=True) == [("picture", name, True), ("picture", name, False)]
    lab.add_picture(picture_of(1))
    assert lab.doctor() == []


def test_a_row_that_differs_from_itself_is_mended(lab: Lab) -> None:
    run, other = make_run(lab, seed=1), make_run(lab, seed=2)
    with rows.opened(lab.history) as db:
        db.execute("UPDATE runs SET recipe_hash = 'x', comparison = 'gone' WHERE id = ?", (run.id,))
        db.execute("UPDATE finding SET fps = 99")
        db.execute("UPDATE runs SET deleted = 0 WHERE id = ?", (other.id,))  # as a kill leaves it
    kinds = [(kind, about) for kind, about, _ in said(lab)]
    assert kinds == [("database", "finding"), ("bin", other.id), ("row", run.id), ("row", run.id)]
    assert {repaired for *_, repaired in said(lab, repair=True)} == {True}
    assert lab.doctor() == []
    assert lab.history.get(run.id).recipe.hash == run.recipe.hash
    with pytest.raises(NotFound):
        lab.history.get(other.id)


def test_disk_use_is_counted_by_kind(lab: Lab) -> None:
    run, binned = make_run(lab, seed=1, latents=b"l" * 500), make_run(lab, seed=2)
    lab.delete([binned.id])
    use = lab.disk_use()
    assert use.videos == run.video.stat().st_size
    assert (use.latents, use.frames) == (500, run.frames_zip.stat().st_size)
    assert use.bin == sum(path.stat().st_size for path in binned.folder.iterdir())
    everything = sum(path.stat().st_size for path in lab.data_dir.rglob("*") if path.is_file())
    assert use.total == pytest.approx(everything, rel=0.02)
    assert use.free == pytest.approx(shutil.disk_usage(lab.data_dir).free, rel=0.2)


def test_a_clock_set_back_a_day_loses_nothing(lab: Lab) -> None:
    run = make_run(lab)
    # Made and deleted "tomorrow".
    rows.change(lab.history, "UPDATE runs SET created = created + 86400 WHERE id = ?", run.id)
    newer = make_run(lab, seed=2)
    assert [one.id for one in lab.history.find().runs] == [run.id, newer.id]
    lab.delete([run.id])
    rows.change(lab.history, "UPDATE runs SET deleted = deleted + 86400 WHERE id = ?", run.id)
    assert lab.history.empty_bin(3600) == []
    lab.history.take_back([run.id])
    assert lab.doctor() == []


def test_a_read_only_lab_still_finds(lab: Lab) -> None:
    run = make_run(lab)
    rows.change(lab.history, "PRAGMA user_version=99")
    with Lab(lab.data_dir) as newer:
        assert newer.history.read_only
        assert [one.id for one in newer.history.find().runs] == [run.id]
        for write in (
            lambda: newer.submit(run.recipe),
            lambda: newer.add_picture(picture_of(1)),
            lambda: newer.doctor(repair=True),
            lambda: newer.delete([run.id]),
        ):
            with pytest.raises(DataFolderError, match="newer svdlab"):
                write()
        assert Desk(newer).claim() == []
        assert newer.doctor() == []


# The shell


def shell(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main([str(argument) for argument in arguments])
    return code, *capsys.readouterr()


def test_the_shell_finds_marks_deletes_and_restores(
    data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Lab(data_dir) as lab:
        pair, run = make_pair(lab), make_run(lab, seed=9, num_frames=5)
    assert shell(capsys, "runs", "star", "last", pair.id)[1] == f"{run.id}: starred\n{pair.id}: starred\n"
    assert shell(capsys, "runs", "rate", run.id, "4")[1] == f"{run.id}: 4 of 5\n"
    assert shell(capsys, "runs", "note", "last", "A calm sea")[1] == f"{run.id}: noted\n"
    assert shell(capsys, "runs", "tag", run.id, "Sea", "two words")[1] == f"{run.id}: tagged Sea, two words\n"
    for filters in (
        ["--starred"],
        ["--rating", 4],
        ["--tag", "sea", "--tag", "two words"],
        ["--text", "CALM words"],
        ["--picture", run.recipe.picture_sha256[:8], "--sort", "num-frames", "-n", 1],
        ["--since", "2020-01-01", "--until", time.strftime("%Y-%m-%d"), "--starred"],
    ):
        code, out, _ = shell(capsys, "runs", "list", *filters)
        assert (code, [line.split()[0] for line in out.splitlines()]) == (0, ["run", run.id])
        assert "★ 4/5 sea, two words" in out
    assert "fidelity" in shell(capsys, "runs", "--sort", "fidelity")[1].splitlines()[0]
    assert "A calm sea" in shell(capsys, "runs", "show", run.id)[1]
    assert (
        shell(capsys, "runs", "delete", pair.id, run.id)[1]
        == f"{pair.id}: in the bin\n{run.id}: in the bin\n"
    )
    assert shell(capsys, "runs")[2] == "There are no runs yet.\n"
    assert len(shell(capsys, "runs", "--bin")[1].splitlines()) == 4
    assert shell(capsys, "runs", "take-back", run.id)[0] == 0
    assert shell(capsys, "runs", "empty-bin", "--days", "0", "--pictures")[1].startswith(
        "2 runs and 0 pictures removed"
    )
    code, _, err = shell(capsys, "runs", "take-back", pair.id)
    assert (code, err) == (2, f"svdlab: there is no run or comparison '{pair.id}'\n")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["runs", "--sort", "beauty"], "runs cannot be sorted by 'beauty'"),
        (["runs", "--since", "yesterday"], "since must be a date such as 2026-01-31"),
        (["runs", "list", "--rating", "7"], "rating must be a whole number from 0 to 5, got 7"),
        (["runs", "rate", "x", "7"], "rating must be a whole number from 0 to 5, or none"),
        (["runs", "delete", "x"], "there is no run or comparison 'x'"),
        (["runs", "star", "last"], "there are no runs yet"),
    ],
)
def test_the_shell_says_in_one_sentence_what_is_wrong(
    data_dir: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    code, out, err = shell(capsys, *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"svdlab: {sentence}")


def test_the_doctors_command_says_what_is_wrong_and_mends_it(
    data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Lab(data_dir) as lab:
        run, other = make_run(lab, seed=1), make_run(lab, seed=2)
    alone = typer.Typer()
    alone.command()(look.doctor)
    command = typer.main.get_command(alone)

    def ask(*arguments: str) -> tuple[int, str]:
        capsys.readouterr()
        code = command.main(list(arguments), standalone_mode=False)
        return code or 0, capsys.readouterr().out

    code, out = ask()
    assert (code, out.splitlines()[0]) == (0, "All is well.")
    assert "videos" in out
    (run.folder / "result.json").unlink()
    other.poster.unlink()
    code, out = ask()
    assert (code, out.count("result.json did not say"), out.count("Mended.")) == (2, 1, 0)
    code, out = ask("--repair", "--json")
    findings = {finding["about"]: finding["repaired"] for finding in json.loads(out)["findings"]}
    assert (code, findings) == (2, {run.id: True, other.id: False})
    with Lab(data_dir) as lab:
        assert json.loads(ask("--json")[1])["bytes"]["videos"] == lab.disk_use().videos > 0


def test_many_processes_mark_one_folder(tmp_path: Path) -> None:
    """Two histories on one file, as two apps have it: what one marks or deletes the other sees at once."""
    one, two = History(tmp_path), History(tmp_path)
    fill(one, 50)
    runs = list(two.find(limit=50).runs)
    for number, run in enumerate(random.Random(1).sample(runs, 20)):
        (one if number % 2 else two).tag(run.id, "shared")
        (two if number % 2 else one).delete([run.id])
    assert one.count(RunQuery(bin=True, tags=("shared",))) == two.count(RunQuery(bin=True)) == 20
    one.close()
    two.close()
