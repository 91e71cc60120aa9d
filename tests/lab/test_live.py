"""Watching: nothing is missed between looking and waiting, and nobody waits for what has happened."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from svdlab.lab.desk import Desk
from svdlab.lab.lab import Lab
from svdlab.recipes.events import Event
from tests.made import SMALL, finish, picture_of


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with Lab(tmp_path / "data") as lab:
        yield lab


def submit(lab: Lab, seed: int = 7) -> str:
    settings = lab.settings("demo-1-0", SMALL, seed=seed)
    return lab.submit(lab.recipe("demo-1-0", lab.add_picture(picture_of(0)), settings)).id


def test_what_was_asked_for_after_the_look_is_not_waited_for(lab: Lab) -> None:
    seen = lab.live.asks
    submit(lab)
    lab.live.wait(seen, 3600)  # returns at once, or this test never ends


def test_a_step_of_one_run_wakes_no_worker_that_waits_for_another(lab: Lab) -> None:
    seen = lab.live.asks
    lab.live.publish(Event("a", "step", 1, 3))
    lab.live.publish(Event("a", "done"))
    assert lab.live.asks == seen


def test_a_closed_lab_waits_for_nothing(lab: Lab) -> None:
    lab.close()
    lab.live.wait(lab.live.asks, 3600)


def test_several_watchers_each_see_the_last_event(lab: Lab) -> None:
    id = submit(lab)
    ended: list[str] = []
    watchers = [
        threading.Thread(target=lambda: ended.append([event.kind for event in lab.watch(id)][-1]))
        for _ in range(4)
    ]
    for watcher in watchers:
        watcher.start()
    desk = Desk(lab)
    [claimed] = desk.claim()
    finish(desk, claimed, picture_of(0))
    for watcher in watchers:
        watcher.join(60)
    assert ended == ["done"] * 4


def test_a_wish_to_stop_reaches_only_the_run_it_is_for(lab: Lab) -> None:
    first, second = submit(lab), submit(lab, 8)
    desk = Desk(lab)
    desk.claim()
    desk.claim()
    lab.cancel(first)
    assert lab.live.stop_asked(first)
    assert not lab.live.stop_asked(second)
    lab.close()
    assert lab.live.stop_asked(second)


def test_a_wish_to_stop_from_before_does_not_stop_a_run_that_is_queued_again(lab: Lab) -> None:
    id = submit(lab)
    desk = Desk(lab)
    [claimed] = desk.claim()
    lab.cancel(id)
    desk.stopped(claimed)
    assert lab.history.get(id).state == "cancelled"
    lab.resume(id)
    desk.claim()
    assert not lab.live.stop_asked(id)
