"""What is going on now: the newest event of each run that is rendered in this process, who should stop, who watches.

Knows events and the history, which has what other processes do; nothing of models or screens. Nothing is kept here of a
run that has ended: its row says how.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from svdlab.hearers import Hearers
from svdlab.history.queue import History
from svdlab.recipes.events import Event

POLL_SECONDS = 0.5  # how often another process's progress is read from the database


class Live:
    """The events of one process. Thread-safe."""

    def __init__(self, history: History) -> None:
        self.closed = False
        self._history = history
        self._changed = threading.Condition()
        # Both count: whoever looked before and waits now misses nothing in between.
        self._news = 0  # what happened
        self._asks = (
            0  # what was asked for: a worker that has nothing to do is not woken by every step of another
        )
        self._events: dict[str, Event] = {}
        self._stops: dict[str, threading.Event] = {}
        self._hearers = Hearers[Event | None]()

    @property
    def asks(self) -> int:
        """A number that is another one whenever something was asked for; see `wait`."""
        return self._asks

    @property
    def told(self) -> frozenset[str]:
        """The ids of the runs of which something is being told now."""
        with self._changed:
            return frozenset(self._events)

    # Telling

    def begin(self, ids: Iterable[str]) -> None:
        """These runs are rendered here from now on."""
        with self._changed:
            for id in ids:
                self._stops[id] = threading.Event()
                self._events.pop(id, None)

    def publish(self, event: Event) -> None:
        """Shows an event to everyone who watches here. A final one is the last that is known of a run."""
        with self._changed:
            if event.final:
                self._stops.pop(event.run_id, None)
                self._events.pop(event.run_id, None)
            else:
                self._events[event.run_id] = event
            self._news += 1
            self._changed.notify_all()
        self._hearers.tell(event)

    def forget(self, ids: Iterable[str]) -> None:
        """What was told of these runs holds no more; the row does."""
        with self._changed:
            for id in ids:
                self._events.pop(id, None)

    def notify(self) -> None:
        """Wakes everyone who watches or waits for work: something was asked for, or is no longer."""
        with self._changed:
            self._news += 1
            self._asks += 1
            self._changed.notify_all()
        self._hearers.tell(None)

    def listen(self, hear: Callable[[Event | None], None]) -> Callable[[], None]:
        """Has `hear` called with every event as it is published, in the publisher's thread, and with None whenever
        something else may be seen differently. It must return at once and raise nothing. Returns what ends it.
        """
        return self._hearers.add(hear)

    def close(self) -> None:
        """Ends all watching and asks all that is rendered here to stop."""
        self.closed = True
        self.notify()

    # Stopping

    def ask_to_stop(self, id: str) -> None:
        """Has a run that is rendered here stopped; any other is left."""
        with self._changed:
            stop = self._stops.get(id)
        if stop is not None:
            stop.set()
        self.notify()

    def stop_asked(self, id: str) -> bool:
        """Whether this run should stop now. Cheap: asked between any two pieces of work."""
        stop = self._stops.get(id)
        return self.closed or (stop is not None and stop.is_set())

    # Waiting and watching

    def wait(self, seen: int, seconds: float) -> None:
        """Sleeps until `asks` is no longer what was `seen`, the time is over or this is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._asks != seen or self.closed, seconds)

    def rest(self, seconds: float) -> None:
        """Sleeps until something happens here, the time is over or this is closed."""
        with self._changed:
            self._changed.wait_for(partial(self._has_news, self._news), seconds)

    def present(self, id: str) -> Event:
        """The newest event of a run: this process's own, or made from the row. Raises `NotFound`."""
        live = self._events.get(id)
        if live is not None:
            return live
        run = self._history.get(id)
        steps = run.settings.num_inference_steps
        if run.state == "queued":
            return Event(id, "queued", steps=steps, position=self._history.position(id))
        if run.state == "running":  # another process's, or this one's that has just been claimed
            return Event(id, "step" if run.step else "loading", step=run.step, steps=steps)
        return Event(id, run.state, step=steps, steps=steps, message=run.error or "")

    def watch(self, *ids: str) -> Iterator[Event]:
        """Events of the given runs from their present state until all have ended.

        Stopping to watch stops nothing else. Events may be skipped, never reordered; each run's last one is final.
        """
        shown: dict[str, Event] = {}
        while True:
            seen = self._news
            fresh = []
            for id in ids:
                event = self.present(id)
                if shown.get(id) != event:
                    shown[id] = event
                    fresh.append(event)
            yield from fresh
            if all(event.final for event in shown.values()) or self.closed:
                return
            with self._changed:
                self._changed.wait_for(partial(self._has_news, seen), POLL_SECONDS)

    def _has_news(self, seen: int) -> bool:
        return self._news != seen or self.closed
