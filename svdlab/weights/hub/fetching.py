"""A download one can watch, stop and go on with.

Knows the hub's addresses and its cache; nothing of tensors, runs or screens. Tokens are sent, never kept, and appear in
no message.

The bytes are fetched here rather than by `hf_hub_download`: that now writes to a file with a random name and deletes it
when it is cut off (huggingface_hub pull 4306: "resuming a failed download is no longer possible"), so 4 GB would start
over. hf_xet, which it prefers, has no resume either and stops only with all other downloads of the process, so plain
HTTP is spoken, which the hub serves for every file below 50 GB.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any, BinaryIO

from svdlab.errors import Cancelled, CheckpointUnavailable
from svdlab.recipes.checkpoint import Checkpoint
from svdlab.weights.hub.cache import Cache, PlannedFile, size_of, snapshot
from svdlab.weights.hub.planning import Plan, look_up, token_to_send
from svdlab.weights.hub.sentences import Failed, Refused, cut_off, name_of, passing, redact, sentence
from svdlab.weights.layouts import folders
from svdlab.weights.progress import Progress
from svdlab.words import size

POLL = 0.2  # seconds between two looks at the work: how soon a stop is heard, how often progress is told
RETRY_WAITS = (0.3, 1.0, 2.0)  # seconds before trying again; after any new bytes, patience starts anew
CHUNK = 1 << 20  # bytes, reading back what an earlier download left


def download(
    checkpoint: Checkpoint,
    token: str | None = None,
    stop: Callable[[], bool] = lambda: False,
    plan: Plan | None = None,
) -> Iterator[Progress]:
    """Fetches what is missing into the hub's own cache and tells how far it is, about five times a second.

    `token` (default: this machine's) is used for this call alone; `stop` is asked as often as progress is told. With a
    `plan`, exactly that commit is fetched; without one, and with a complete snapshot here, the network is not asked.
    Raises `CheckpointUnavailable` with what to do, `Cancelled`; either way what has come stays, and the next download
    goes on from there.
    """
    name = name_of(checkpoint)
    if stop():
        raise Cancelled(f"the download of {name} was stopped")
    if plan is None and (folder := snapshot(checkpoint.source)) is not None:
        here = folders.bytes_below(folder)
        yield Progress("", here, here, 0.0, 0.0)
        return
    work = _Work(checkpoint, token, plan)
    work.start()
    meter = _Meter()
    try:
        while not work.ended.wait(POLL):
            if stop():
                raise Cancelled(f"the download of {name} was stopped; the next one goes on from there")
            if work.plan is not None:
                yield meter.read(work.file, work.done, work.plan.bytes_total)
    finally:
        work.stop()
    if work.failure is not None:
        raise CheckpointUnavailable(work.failure)
    assert work.plan is not None
    yield meter.read(work.file, work.plan.bytes_total, work.plan.bytes_total)


class _Stopped(Exception):
    """Ends the work without one."""


class _Work(threading.Thread):
    """One download in a thread of its own, so that a read that hangs keeps nobody from stopping."""

    def __init__(self, checkpoint: Checkpoint, token: str | None, plan: Plan | None) -> None:
        super().__init__(name="svdlab-hub", daemon=True)
        self.checkpoint, self.plan = checkpoint, plan
        self.file, self.done = "", 0  # bytes of all files
        self.failure: str | None = None
        self.ended = threading.Event()
        self._token, self._headers = token, dict[str, str]()
        self._stopped = threading.Event()
        self._socket: Any = None

    def stop(self) -> None:
        """Ends it, at the latest within the hub's timeout; a read under way ends now."""
        self._stopped.set()
        if (hanging := self._socket) is not None:
            with suppress(OSError, TypeError):
                socket.socket.shutdown(hanging, socket.SHUT_RDWR)
        self.join(timeout=0.5)

    def run(self) -> None:
        try:
            self._run()
        except _Stopped:
            pass
        except Exception as error:
            said = sentence(self.checkpoint, error, "authorization" in self._headers, self._so_far())
            self.failure = redact(said, self._token)
        finally:
            self._token, self._headers = None, {}
            self.ended.set()

    def _run(self) -> None:
        from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined, unused-ignore]

        sent = token_to_send(self._token)
        # Compressed answers cannot be resumed: ranges count the bytes as sent.
        self._headers = {**build_hf_headers(token=sent or False), "accept-encoding": "identity"}
        plan = self.plan or look_up(self.checkpoint, sent)
        cache = Cache(plan.repo, plan.commit)
        self.done = plan.bytes_total - plan.bytes_missing
        self.plan = plan
        self._check_room(cache.root, plan.bytes_missing)
        for file in plan.files:
            self._check()
            self.file = file.name
            self._get(cache, file)
        cache.settle(self.checkpoint.source.revision, plan.absent)

    def _check(self) -> None:
        if self._stopped.is_set():
            raise _Stopped

    def _check_room(self, folder: Path, needed: int) -> None:
        there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        free = shutil.disk_usage(there).free
        if needed > free:
            raise Failed(
                f"{name_of(self.checkpoint)} needs {size(needed)} more, but only {size(free)} are free in {folder};"
                " make room there, or set HF_HOME to a folder on a larger disk"
            )

    def _so_far(self) -> str:
        if self.plan is None or self.done == 0:
            return ""
        return f"{size(self.done)} of {size(self.plan.bytes_total)}"

    def _get(self, cache: Cache, file: PlannedFile) -> None:
        """One file into the cache, unless it is there, perhaps by another process that was faster."""
        from huggingface_hub.utils import WeakFileLock  # type: ignore[attr-defined, unused-ignore]

        before = self.done - file.bytes_here
        if size_of(cache.pointer(file.name)) != file.bytes:
            lock = cache.lock(file.digest)  # the one that the hub's own client takes
            lock.parent.mkdir(parents=True, exist_ok=True)
            with ExitStack() as held:
                while True:
                    with suppress(TimeoutError):
                        held.enter_context(WeakFileLock(lock, timeout=POLL))
                        break
                    self._check()
                if size_of(cache.blob(file.digest)) != file.bytes:
                    self._fetch(cache, file, before)
                cache.link(file)
        self.done = max(self.done, before + file.bytes)

    def _fetch(self, cache: Cache, file: PlannedFile, before: int) -> None:
        """A file's missing bytes after those that are here; `before` is how many the others have."""
        partial = cache.partial(file.digest)
        partial.parent.mkdir(parents=True, exist_ok=True)
        partial.touch()
        here = size_of(partial) or 0
        digest = hashlib.sha256() if len(file.digest) == 64 else hashlib.sha1(b"blob %d\0" % file.bytes)
        # Written in place, not appended: where locks do not work (Lustre, some NFS) two writers do no harm.
        with partial.open("r+b") as out:
            if here > file.bytes:
                out.truncate(here := 0)
            while out.tell() < here and (read := out.read(min(CHUNK, here - out.tell()))):
                digest.update(read)
                self._check()
            self._fill(out, digest, file, here, before)
            out.flush()
            os.fsync(out.fileno())
        if digest.hexdigest() != file.digest:
            partial.unlink()
            raise Failed(
                f"{file.name} of {name_of(self.checkpoint)} arrived damaged and was thrown away; "
                "start the download again"
            )
        partial.replace(cache.blob(file.digest))

    def _fill(self, out: BinaryIO, digest: Any, file: PlannedFile, have: int, before: int) -> None:
        """Reads from the hub until the file is whole, as often as the line breaks while anything comes."""
        self.done, waits = max(self.done, before + have), iter(RETRY_WAITS)
        while have < file.bytes:
            trouble: Exception = Failed(cut_off(self.checkpoint, self._so_far()))
            try:
                with closing(self._bytes_from(file, have)) as chunks:
                    for chunk in chunks:
                        out.write(chunk)
                        digest.update(chunk)
                        have += len(chunk)
                        self.done, waits = max(self.done, before + have), iter(RETRY_WAITS)
            except Exception as error:
                self._check()  # an error that stop() made is none
                if not passing(error):
                    raise
                trouble = error
            if have < file.bytes:
                wait = next(waits, None)
                if wait is None:
                    raise trouble
                self._stopped.wait(wait)
                self._check()

    def _bytes_from(self, file: PlannedFile, have: int) -> Generator[bytes, None, None]:
        """What the hub sends of a file from byte `have` on, up to its size."""
        from huggingface_hub import constants, get_session, hf_hub_url

        assert self.plan is not None
        url = hf_hub_url(self.plan.repo, file.name, revision=self.plan.commit)
        headers = {**self._headers, **({"range": f"bytes={have}-"} if have else {})}
        # The client drops the token when it is sent on to another host, as it is for large files.
        with get_session().stream(
            "GET", url, headers=headers, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT, follow_redirects=True
        ) as response:
            stream = response.extensions.get("network_stream")
            self._socket = stream.get_extra_info("socket") if stream is not None else None
            try:
                self._check()
                if response.status_code not in (200, 206):
                    raise Refused(response)
                at = _first_byte(response, file.bytes)
                for chunk in response.iter_bytes():
                    self._check()
                    skip = max(have - at, 0)  # a server may ignore the range and begin at 0
                    if new := chunk[skip : file.bytes - at]:
                        yield new
                    at += len(chunk)
            finally:
                self._socket = None


def _first_byte(response: Any, size: int) -> int:
    """Where in a file of `size` bytes an answer begins. Raises `ValueError` if it is no answer about that file."""
    sent = response.headers
    if response.status_code == 206:
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", sent.get("content-range", ""))
        if found is None or found[2] not in (str(size), "*"):
            raise ValueError("a part of something else")
        return int(found[1])
    if "content-encoding" not in sent and sent.get("content-length", str(size)) != str(size):
        raise ValueError("something else")
    return 0


class _Meter:
    """Bytes so far → progress with a speed over the last ten seconds."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()  # seconds, bytes

    def read(self, file: str, done: int, total: int) -> Progress:
        now = time.monotonic()
        self._seen.append((now, done))
        while now - self._seen[0][0] > 10:
            self._seen.popleft()
        since, before = self._seen[0]
        speed = (done - before) / (now - since) if now > since else 0.0
        left = 0.0 if done >= total else (total - done) / speed if speed > 0 else None
        return Progress(file, done, total, speed, left)
