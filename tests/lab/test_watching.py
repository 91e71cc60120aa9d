"""Watching from an event loop: any number of clients, one look for all of them, and nothing left when they go."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from svdlab.errors import NotFound
from svdlab.lab.desk import Desk
from svdlab.lab.lab import Lab
from svdlab.lab.watching import Watching
from svdlab.recipes.events import Event
from tests.made import SMALL, finish, picture_of


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with Lab(tmp_path / "data") as lab:
        yield lab


def submit(lab: Lab, seed: int = 7) -> str:
    settings = lab.settings("demo-1-0", SMALL, seed=seed)
    return lab.submit(lab.recipe("demo-1-0", lab.add_picture(picture_of(0)), settings)).id


async def story(watching: Watching, *ids: str) -> list[tuple[str, str]]:
    return [(event.run_id, event.kind) async for event in watching.watch(*ids)]


def test_many_see_the_end_of_one_run_without_a_thread_each(lab: Lab) -> None:
    id = submit(lab)

    async def follow() -> list[list[tuple[str, str]]]:
        watching = Watching(lab.live)
        stories = [asyncio.create_task(story(watching, id)) for _ in range(300)]
        while watching.watched == 0:
            await asyncio.sleep(0)
        threads = threading.active_count()
        desk = Desk(lab)
        [claimed] = await asyncio.to_thread(desk.claim)
        await asyncio.to_thread(finish, desk, claimed, picture_of(0))
        told = await asyncio.gather(*stories)
        assert threading.active_count() - threads < 40
        assert watching.watched == 0
        return told

    told = asyncio.run(asyncio.wait_for(follow(), 120))
    assert len(told) == 300
    assert {one[-1] for one in told} == {(id, "done")}


def test_the_story_is_in_order_and_ends_when_all_have_ended(lab: Lab) -> None:
    first, second = submit(lab), submit(lab, 8)

    async def follow() -> list[tuple[str, str]]:
        watching = Watching(lab.live)
        told = asyncio.create_task(story(watching, first, second))
        while watching.watched < 2:
            await asyncio.sleep(0)
        await asyncio.to_thread(lab.cancel, first)
        await asyncio.to_thread(lab.cancel, second)
        return await told

    told = asyncio.run(asyncio.wait_for(follow(), 120))
    assert told[:2] == [(first, "queued"), (second, "queued")]
    assert {(first, "cancelled"), (second, "cancelled")} <= set(told)


def test_what_has_ended_says_so_at_once_and_what_is_not_there_raises(lab: Lab) -> None:
    id = submit(lab)
    lab.cancel(id)

    async def follow() -> list[tuple[str, str]]:
        watching = Watching(lab.live)
        with pytest.raises(NotFound, match="there is no run"):
            await story(watching, "nothing")
        return await story(watching, id)

    assert asyncio.run(asyncio.wait_for(follow(), 120)) == [(id, "cancelled")]


def test_what_another_process_does_is_seen(lab: Lab) -> None:
    id = submit(lab)

    async def follow(other: Lab) -> list[tuple[str, str]]:
        watching = Watching(lab.live)
        told = asyncio.create_task(story(watching, id))
        while watching.watched == 0:
            await asyncio.sleep(0)
        await asyncio.to_thread(other.cancel, id)
        return await told

    with Lab(lab.data_dir) as other:
        assert asyncio.run(asyncio.wait_for(follow(other), 120))[-1] == (id, "cancelled")


def test_whoever_leaves_leaves_nothing(lab: Lab) -> None:
    id = submit(lab)

    async def follow() -> int:
        watching = Watching(lab.live)
        told = watching.watch(id)
        assert (await anext(told)).kind == "queued"
        await told.aclose()  # type: ignore[attr-defined]
        return watching.watched

    assert asyncio.run(asyncio.wait_for(follow(), 120)) == 0


def test_closing_the_lab_ends_all_watching(lab: Lab) -> None:
    id = submit(lab)

    async def follow() -> list[tuple[str, str]]:
        watching = Watching(lab.live)
        told = asyncio.create_task(story(watching, id))
        while watching.watched == 0:
            await asyncio.sleep(0)
        await asyncio.to_thread(lab.live.close)
        return await told

    assert asyncio.run(asyncio.wait_for(follow(), 120)) == [(id, "queued")]


def test_a_listener_hears_every_event_until_it_ends(lab: Lab) -> None:
    heard: list[Event | None] = []
    end = lab.live.listen(heard.append)
    lab.live.publish(Event("a", "step", 1, 3))
    lab.live.notify()
    end()
    lab.live.publish(Event("a", "done"))
    assert heard == [Event("a", "step", 1, 3), None]
