"""Those who wait are served in turns: what somebody has asked for keeps nobody else waiting for long."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from svdlab.errors import BadInput
from svdlab.history.queue import History
from svdlab.recipes.records import Recipe
from svdlab.recipes.settings import GenerationSettings
from svdlab.recipes.visitors import OPERATOR, Visitor

HEAVY, NEW, THIRD = (Visitor(f"visitor-{name}", f"lane-{name}") for name in ("heavy", "new", "third"))


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    history = History(tmp_path / "data")
    yield history
    history.close()


def recipe(seed: int) -> Recipe:
    return Recipe(checkpoint="demo-1-0", picture_sha256="a" * 64, settings=GenerationSettings(seed=seed))


def served(history: History, count: int) -> list[str | None]:
    """Who is served next, so many times; each run ends before the next is claimed."""
    order = []
    for _ in range(count):
        claimed = history.claim("me|1|0")
        order.append(claimed[0].visitor if claimed else None)
        for run in claimed:
            history.finish(run.id, "cancelled")
    return order


def test_a_newcomer_waits_for_at_most_two_of_somebodys_many(history: History) -> None:
    for seed in range(500):
        history.add(recipe(seed), by=HEAVY)
    [running] = history.claim("me|1|0")
    newcomer = history.add(recipe(1000), by=NEW)
    assert history.position(newcomer.id) <= 2
    history.finish(running.id, "cancelled")
    assert "visitor-new" in served(history, 2)
    served(history, 100)  # and later, however long the other has waited
    newcomer = history.add(recipe(1001), by=THIRD)
    assert history.position(newcomer.id) <= 2
    assert "visitor-third" in served(history, 2)


def test_those_who_wait_take_turns_and_nobody_waits_for_ever(history: History) -> None:
    for visitor in (HEAVY, NEW, THIRD):
        for seed in range(4):
            history.add(recipe(seed), by=visitor)
    order = served(history, 12)
    for start in range(0, 12, 3):
        assert set(order[start : start + 3]) == {"visitor-heavy", "visitor-new", "visitor-third"}
    history.add(recipe(50), by=HEAVY)
    history.add(recipe(51), by=HEAVY)
    for seed in range(60, 63):  # newcomers who come one after the other do not keep the second one waiting
        history.add(recipe(seed), by=Visitor(f"n{seed}", f"n{seed}"))
        served(history, 1)
    assert "visitor-heavy" not in served(history, 3)[2:]


def test_many_secrets_of_one_address_have_one_turn(history: History) -> None:
    for number in range(50):
        history.add(recipe(number), by=Visitor(f"secret-{number}", "lane-heavy"))
    newcomer = history.add(recipe(1000), by=NEW)
    assert history.position(newcomer.id) <= 1


def test_who_is_alone_is_served_in_the_order_of_asking(history: History) -> None:
    ids = [history.add(recipe(seed)).id for seed in range(5)]
    assert [history.position(id) for id in ids] == [0, 1, 2, 3, 4]
    claimed = [history.claim("me|1|0")[0].id for _ in range(2)]
    late = history.add(recipe(9)).id
    claimed += [history.claim("me|1|0")[0].id for _ in range(4)]
    assert claimed == [*ids, late]


def test_a_pair_takes_one_turn_together(history: History) -> None:
    pair = history.add_comparison(recipe(1), recipe(2), by=HEAVY)
    history.add_comparison(recipe(3), recipe(4), by=HEAVY)
    history.add(recipe(5), by=NEW)
    assert [run.id for run in history.claim("me|1|0")] == [pair.a.id, pair.b.id]
    assert [run.visitor for run in history.claim("me|1|0")] == ["visitor-new"]
    assert [run.visitor for run in history.claim("me|1|0")] == ["visitor-heavy"] * 2


def test_asking_again_for_what_was_cancelled_jumps_no_queue(history: History) -> None:
    mine = [history.add(recipe(seed), by=HEAVY) for seed in range(10)]
    for run in mine:
        history.cancel(run.id)
    for seed in range(3):
        history.add(recipe(50 + seed), by=NEW)
    history.requeue(*(run.id for run in mine), by=HEAVY)
    assert served(history, 4).count("visitor-new") == 2


def test_a_run_that_is_taken_by_its_id_takes_nobodys_turn(history: History) -> None:
    many = [history.add(recipe(seed), by=HEAVY) for seed in range(50)]
    history.claim("me|1|0", only=[many[-1].id])
    newcomer = history.add(recipe(1000), by=NEW)
    assert history.position(newcomer.id) <= 2


def test_so_many_of_a_visitors_may_wait_and_no_more(history: History) -> None:
    for seed in range(3):
        history.add(recipe(seed), by=HEAVY, most=3)
    for attempt in (
        lambda: history.add(recipe(9), by=HEAVY, most=3),
        lambda: history.add_comparison(recipe(9), recipe(10), by=HEAVY, most=3),
    ):
        with pytest.raises(BadInput) as raised:
            attempt()
        assert str(raised.value) == "3 runs of yours are waiting, and at most 3 may; wait for some to finish"
    with pytest.raises(BadInput):
        history.add_comparison(recipe(1), recipe(2), by=NEW, most=1)
    history.add(recipe(1), by=OPERATOR, most=0)
    served(history, 1)
    history.add(recipe(9), by=HEAVY, most=3)


def test_an_address_may_have_a_few_visitors_runs_waiting(history: History) -> None:
    for number in range(10):
        history.add(recipe(number), by=Visitor(f"secret-{number}", "lane-heavy"), most=2)
    with pytest.raises(BadInput, match="10 runs from your network are waiting"):
        history.add(recipe(99), by=Visitor("secret-99", "lane-heavy"), most=2)
    history.add(recipe(99), by=NEW, most=2)


def test_turns_are_found_in_indexes(tmp_path: Path) -> None:
    """What a claim and an acceptance cost does not grow with what waits."""
    asked: list[str] = []

    def connect(*given: Any, **more: Any) -> sqlite3.Connection:
        db = sqlite3.connect(*given, **more)
        db.set_trace_callback(asked.append)
        return db

    history = History(tmp_path / "data", connect=connect)
    asked.clear()
    history.add(recipe(1), by=HEAVY, most=3)
    history.claim("me|1|0")
    history.close()
    asked = [sql for sql in asked if ("FROM runs" in sql and "turn" in sql) or "COUNT" in sql]
    assert (
        len(asked) == 4
    )  # waiting of the visitor's, of the lane's, the lane's last turn, the first that waits
    with closing(sqlite3.connect(history.file)) as db:
        plans = [row[3] for sql in asked for row in db.execute(f"EXPLAIN QUERY PLAN {sql}")]
    looked = [plan for plan in plans if not plan.startswith("CORRELATED")]  # whether a sweep's pause holds it
    assert all("INDEX" in plan for plan in looked), plans
    of_runs = [plan for plan in looked if " runs " in plan]
    assert all("INDEX runs_in_" in plan or "INDEX runs_waiting_by_" in plan for plan in of_runs), plans
