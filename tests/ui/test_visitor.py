"""What a browser has asked for is its own, whatever it says; what a page follows is new each time."""

from __future__ import annotations

from typing import Any

import pytest

from svdlab.ui.parts import follow
from svdlab.ui.visitor import (
    KEPT_IDS,
    kept_ids,
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
    assert follow.value("explore", "1") != follow.value("explore", "1")
