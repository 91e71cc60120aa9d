"""What a browser has asked for is its own, whatever it says; what a page follows is new each time."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from svdlab.ui.visitor import (
    KEPT_IDS,
    Watching,
    kept_ids,
    to_follow,
    with_own,
)


@pytest.mark.parametrize("sent", [None, "abc", 7, {"a": 1}, [None, 7, {}]])
def test_what_is_no_list_of_ids_is_none(sent: Any) -> None:
    assert kept_ids(sent) == []


def test_the_newest_id_stands_first_once_and_the_oldest_goes() -> None:
    many = [f"{n:03}" for n in range(KEPT_IDS)]
    kept = with_own("new", with_own("007", many))
    assert kept[:2] == ["new", "007"]
    assert (len(kept), kept.count("007")) == (KEPT_IDS, 1)
    assert many[-1] not in kept


def test_following_the_same_run_again_is_a_change() -> None:
    assert to_follow("1") != to_follow("1")


def test_what_an_older_turn_says_last_does_not_stay_on_the_page() -> None:
    watching, page = Watching(), {"stage": ""}
    says_more = threading.Event()

    def older() -> Iterator[dict[str, str]]:
        yield {"stage": "first"}
        says_more.wait(10)
        yield {"stage": "never shown"}

    following = watching.take(1, older())
    page.update(next(following))
    newer = watching.take(2, iter([{"stage": "second"}, {"stage": "third"}]))
    page.update(next(newer))
    page.update({"stage": "first"})  # was on its way when the turn was taken
    says_more.set()
    assert list(following) == []  # the older turn ends without another word
    page.update(next(newer))
    assert page == {"stage": "second"}
    assert list(newer) == [{"stage": "third"}]


def test_a_turn_that_is_alone_says_everything_once() -> None:
    assert list(Watching().take(1, iter([{"stage": "a"}, {"stage": "b"}]))) == [
        {"stage": "a"},
        {"stage": "b"},
    ]


def test_a_session_has_turns_of_its_own() -> None:
    watching = Watching()
    other = copy.deepcopy(watching)
    older = watching.take(1, iter([{}, {}]))
    next(older)
    list(other.take(2, iter([{}])))
    assert list(older) == [{}]
