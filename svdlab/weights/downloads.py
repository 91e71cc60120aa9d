"""Downloads of weights that go on in the background, one per checkpoint, for whoever wants to look.

Knows kinds of sources; nothing of models or screens. Leaving a page stops nothing, and what a stopped download has
fetched is where the next one goes on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from svdlab.errors import Cancelled, SvdlabError
from svdlab.hearers import Hearers
from svdlab.recipes.checkpoint import Checkpoint
from svdlab.weights.availability import kind_named

DownloadState = Literal["running", "done", "failed", "cancelled"]


@dataclass(frozen=True)
class Download:
    """How far a checkpoint's download is; `sentence` says why it failed."""

    checkpoint: str
    state: DownloadState = "running"
    bytes_done: int = 0
    bytes_total: int = 0
    bytes_per_second: float = 0.0
    seconds_left: float | None = None
    sentence: str = ""

    @property
    def fraction(self) -> float:
        """0 to 1."""
        return self.bytes_done / self.bytes_total if self.bytes_total else 0.0


class Downloads:
    """The downloads of one process. Thread-safe."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._known: dict[str, Download] = {}
        self._stops: dict[str, threading.Event] = {}
        self._hearers = Hearers[[]]()

    def listen(self, hear: Callable[[], None]) -> Callable[[], None]:
        """Has `hear` called whenever something has changed, in the thread where it did. Returns what ends it."""
        return self._hearers.add(hear)

    def start(self, checkpoint: Checkpoint, token: str | None = None) -> Download:
        """Starts a download, or returns the one that is running. `token` is used for this one and kept nowhere."""
        with self._changed:
            known = self._known.get(checkpoint.id)
            if known is not None and known.state == "running":
                return known
            stop = self._stops[checkpoint.id] = threading.Event()
            self._known[checkpoint.id] = Download(checkpoint.id)
        work = threading.Thread(
            target=self._work, args=(checkpoint, token, stop), name="svdlab-download", daemon=True
        )
        work.start()
        return self._known[checkpoint.id]

    def get(self, checkpoint_id: str) -> Download | None:
        """The newest download of a checkpoint in this process, or None."""
        return self._known.get(checkpoint_id)

    def running(self) -> list[Download]:
        """Those that go on now."""
        return [download for download in self._known.values() if download.state == "running"]

    def cancel(self, checkpoint_id: str) -> None:
        """Asks a download to stop; what it has stays for the next one."""
        stop = self._stops.get(checkpoint_id)
        if stop is not None:
            stop.set()

    def close(self) -> None:
        """Asks all to stop."""
        for id in list(self._stops):
            self.cancel(id)

    def wait(
        self, checkpoint_id: str, show: Callable[[Download], None], stop: Callable[[], bool] = lambda: False
    ) -> Download:
        """Shows a download until it ends; `stop` is asked twice a second and cancels it."""
        while True:
            with self._changed:
                download = self._known[checkpoint_id]
            show(download)
            if download.state != "running":
                return download
            if stop():
                self.cancel(checkpoint_id)
            with self._changed:
                self._changed.wait(0.5)

    def _work(self, checkpoint: Checkpoint, token: str | None, stop: threading.Event) -> None:
        try:
            for progress in kind_named(checkpoint.source.kind).fetch(checkpoint, token, stop.is_set):
                self._say(
                    checkpoint.id,
                    bytes_done=progress.bytes_done,
                    bytes_total=progress.bytes_total,
                    bytes_per_second=progress.bytes_per_second,
                    seconds_left=progress.seconds_left,
                )
            self._say(checkpoint.id, state="done", seconds_left=0.0)
        except Cancelled:
            self._say(checkpoint.id, state="cancelled", sentence="Stopped; it can be continued.")
        except SvdlabError as error:
            self._say(checkpoint.id, state="failed", sentence=str(error))
        except Exception as error:  # never a token in it: only the kind is said
            self._say(checkpoint.id, state="failed", sentence=f"the download failed ({type(error).__name__})")

    def _say(self, id: str, **news: object) -> None:
        with self._changed:
            self._known[id] = replace(self._known[id], **news)  # type: ignore[arg-type]
            self._changed.notify_all()
        self._hearers.tell()
