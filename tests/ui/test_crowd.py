"""A crowd: sessions without end, hundreds who follow one job, and one who asks for all there is. Nobody loses out."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from svdlab.ui.calls import MOST_OF_ONE
from tests.crowd import crowd, served


def play(folder: Path, steps: int, sessions: int, followers: int, joins: int) -> None:
    with served(folder, steps) as server:
        figures = asyncio.run(crowd(server, sessions, followers, joins))
    print(figures)
    assert figures.answered == sessions
    assert figures.followers_heard == followers
    assert (figures.accepted, figures.refused) == (MOST_OF_ONE, joins - MOST_OF_ONE)
    assert set(figures.health) == {200}
    assert figures.files[2] <= figures.files[0] + 20  # nobody's connection is kept
    assert figures.after_mb < figures.before_mb + 150  # nor what was told to anybody


def test_a_small_crowd_is_served(tmp_path: Path) -> None:
    play(tmp_path, steps=12, sessions=30, followers=20, joins=MOST_OF_ONE + 10)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_2500_sessions_and_500_followers_are_served(tmp_path: Path) -> None:
    play(tmp_path, steps=250, sessions=2500, followers=500, joins=2100)
