"""Watching for any number of clients of one event loop: a task and a wake-up each, no thread and no look of its own.

What this process renders is heard as it is told. What waits, or what another process renders, is looked up in the
history by one task for all, each run once. Knows what goes on now (`lab.live`); nothing of pages or of HTTP.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from svdlab.errors import NotFound
from svdlab.lab.live import POLL_SECONDS, Live
from svdlab.recipes.events import Event

PACE_SECONDS = 0.003  # a follower's share of the loop: 500 of one run hear of it every second and a half
QUIET_SECONDS = (
    15.0  # after so long without news the last is told again, so that nobody between cuts the line
)
REST = 10.0  # a look at the history is followed by a rest so many times as long
TOGETHER = 8  # wake-ups between which the loop does something else


@dataclass
class _Topic:
    """A run that is followed: the newest that is known of it (None: it is not there any more), and whom to wake."""

    event: Event | None
    bells: set[asyncio.Event] = field(default_factory=set)
    fresh: bool = False  # something has happened since the last ringing
    rung: float = field(default_factory=time.monotonic)  # when that was

    @property
    def due(self) -> float:
        return self.rung + (PACE_SECONDS * len(self.bells) if self.fresh else QUIET_SECONDS)


class Watching:
    """The clients of one event loop that watch runs; of no use outside that loop."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._topics: dict[str, _Topic] = {}
        self._clients = 0
        self._wake = asyncio.Event()
        self._look_at = 0.0
        self._rested_at = 0.0
        self._task: asyncio.Task[None] | None = None

    @property
    def watched(self) -> int:
        """How many runs are watched now."""
        return len(self._topics)

    async def watch(self, *ids: str) -> AsyncIterator[Event]:
        """As `Live.watch`: events of the given runs from their present state until all have ended.

        Where many watch one run, each hears of it less often; of what has no news the last is told again now and then.
        Raises `NotFound`.
        """
        bell = asyncio.Event()
        shown: dict[str, Event] = {}
        self._clients += 1
        try:
            topics = await self._join(ids, bell)
            while True:
                bell.clear()
                news = [(id, topic.event) for id, topic in topics.items() if shown.get(id) != topic.event]
                if shown and not news and self._live.closed:
                    return
                for id, event in news or list(shown.items())[:1]:
                    if event is None:
                        raise NotFound(f"there is no run {id[:40]!r}")
                    shown[id] = event
                    yield event
                if all(event.final for event in shown.values()) or self._live.closed:
                    return
                await bell.wait()
        finally:
            self._leave(ids, bell)

    async def _join(self, ids: Iterable[str], bell: asyncio.Event) -> dict[str, _Topic]:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._serve())
        found: dict[str, Event] = {}
        while missing := [id for id in ids if id not in self._topics and id not in found]:
            found |= await asyncio.to_thread(self._look_up, missing)
            for id in missing:
                if id not in found:
                    raise NotFound(f"there is no run {id[:40]!r}")
        topics = {id: self._topics.setdefault(id, _Topic(found.get(id))) for id in ids}
        for topic in topics.values():
            topic.bells.add(bell)
        return topics

    def _leave(self, ids: Iterable[str], bell: asyncio.Event) -> None:
        self._clients -= 1
        for id in ids:
            topic = self._topics.get(id)
            if topic is not None:
                topic.bells.discard(bell)
                if not topic.bells:
                    del self._topics[id]
        self._wake.set()

    # The one task

    async def _serve(self) -> None:
        """Hears, looks and rings for as long as anybody watches."""
        loop = asyncio.get_running_loop()

        def hear(event: Event | None) -> None:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(self._take, event)

        end = self._live.listen(hear)
        self._look_at = time.monotonic() + POLL_SECONDS
        try:
            while self._clients:
                self._wake.clear()
                now = time.monotonic()
                if now >= self._look_at:
                    await self._look()
                self._ring_if_closed()
                await self._ring()
                due = [topic.due for topic in self._topics.values()]
                with suppress(TimeoutError):
                    async with asyncio.timeout(max(0.0, min([self._look_at, *due]) - time.monotonic())):
                        await self._wake.wait()
        finally:
            end()

    def _take(self, event: Event | None) -> None:
        topic = self._topics.get(event.run_id) if event is not None else None
        if topic is not None and event is not None:
            topic.event, topic.fresh = event, True
        if event is None or event.final:  # others may have moved up
            self._look_at = min(self._look_at, self._rested_at)
        self._wake.set()

    async def _look(self) -> None:
        """The present state of all that has not ended."""
        began = time.monotonic()
        ids = [id for id, topic in self._topics.items() if topic.event is not None and not topic.event.final]
        seen = await asyncio.to_thread(self._look_up, ids)
        for id in ids:
            topic = self._topics.get(id)
            if topic is not None and topic.event is not None and not topic.event.final:
                event = seen.get(id)
                topic.fresh |= event != topic.event
                topic.event = event
        now = time.monotonic()
        self._rested_at = now + REST * (now - began)
        self._look_at = max(now + POLL_SECONDS, self._rested_at)

    def _look_up(self, ids: Iterable[str]) -> dict[str, Event]:
        found = {}
        for id in ids:
            with suppress(NotFound):
                found[id] = self._live.present(id)
        return found

    async def _ring(self) -> None:
        """Wakes whoever watches what has news, not more often than their number allows."""
        for topic in list(self._topics.values()):
            if topic.due <= time.monotonic():
                topic.fresh, topic.rung = False, time.monotonic()
                for place, bell in enumerate(list(topic.bells)):
                    bell.set()
                    if place % TOGETHER == TOGETHER - 1:
                        await asyncio.sleep(0)

    def _ring_if_closed(self) -> None:
        if self._live.closed:
            for topic in self._topics.values():
                for bell in topic.bells:
                    bell.set()
