"""Whether the queue moves: a worker that is silent, a database that cannot be written and a closed lab are noticed."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from svdlab.lab.desk import Desk
from svdlab.lab.lab import Lab
from svdlab.lab.pulse import SILENT_SECONDS, STUCK_SECONDS, Pulse, health
from tests.made import SMALL, draw, picture_of
from tests.waiting import until


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with Lab(tmp_path / "data") as lab:
        yield lab


def test_a_seat_that_is_not_heard_is_a_problem_sooner_when_it_has_nothing_to_do() -> None:
    pulse, seat, now = Pulse(), object(), time.monotonic()
    pulse.beat(seat)
    assert pulse.problems(now + SILENT_SECONDS - 1) == []
    assert pulse.problems(now + SILENT_SECONDS + 10) == ["a worker has looked at no run for 1 minutes"]
    pulse.beat(seat, rendering=True)
    assert pulse.problems(now + STUCK_SECONDS - 1) == []
    assert pulse.problems(now + STUCK_SECONDS + 10) == ["a worker has rendered nothing for 30 minutes"]
    pulse.leave(seat)
    assert pulse.problems(now + 2 * STUCK_SECONDS) == []


def test_a_lab_without_problems_says_how_much_it_has_to_do(lab: Lab) -> None:
    settings = lab.settings("demo-1-0", SMALL, seed=1)
    recipe = lab.recipe("demo-1-0", lab.add_picture(picture_of(0)), settings)
    first = lab.submit(recipe)
    lab.submit(recipe.model_copy(update={"settings": settings.but(seed=2)}))
    Desk(lab, only=[first.id]).claim()
    found = health(lab)
    assert (found.well, found.problems, found.waiting, found.rendering) == (True, (), 1, 1)


def test_whoever_serves_is_heard_until_it_leaves(lab: Lab) -> None:
    stopping = threading.Event()
    serving = threading.Thread(target=Desk(lab).serve, args=(draw, stopping))
    serving.start()
    late = time.monotonic() + STUCK_SECONDS + 60
    until(lambda: lab.pulse.problems(late), "a seat")
    stopping.set()
    serving.join(60)
    assert lab.pulse.problems(late) == []


def test_a_database_that_is_only_read_and_a_closed_lab_are_problems(lab: Lab) -> None:
    lab.history.read_only = True
    assert health(lab).problems == ("the database cannot be written",)
    lab.history.read_only = False
    lab.live.close()
    assert health(lab).problems == ("svdlab is being closed",)
