"""What one client, and all together, may hold of this server at a time: open streams, calls, bytes sent.

An ASGI middleware around everything that is served. Whoever asks for more is told so in one sentence, with a status and
a time to come back; what is given back can be had again at once. How large one request may be, the guard says. Knows
HTTP and addresses; nothing of labs or pages.
"""

from __future__ import annotations

import shutil
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path

from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from svdlab.environment import Environment
from svdlab.ui.identity import address_of

API = "/gradio_api"
INNER = "svdlab.inner"  # in the scope of a call that this server makes of itself, which has passed the bounds
UPLOAD = f"{API}/upload"
STREAMS = (
    "/follow/",
    "/events",
    *(f"{API}/{name}" for name in ("queue/data", "heartbeat/", "call/", "upload_progress", "stream/")),
)
HOUR = 3600.0
FREE_BYTES = 500_000_000  # that an upload has to leave on the disk


@dataclass(frozen=True)
class Limits:
    """How much there is of everything; `_of_one` for one client."""

    streams: int = 4000
    streams_of_one: int = 600
    calls: int = 512
    calls_of_one: int = 256
    uploaded_bytes: int = 4_000_000_000  # within an hour
    uploaded_bytes_of_one: int = 500_000_000


@dataclass
class Tally:
    """How many of something are held, by whom."""

    most: int
    most_of_one: int
    held: Counter[str] = field(default_factory=Counter)

    def refusal(self, client: str, what: str) -> Response | None:
        """Why this client gets no more now; None if it does."""
        if self.held[client] >= self.most_of_one:
            return refused(
                429, f"you have {self.held[client]} {what} open, which is all that one may; close some first"
            )
        if self.held.total() >= self.most:
            return refused(
                503, f"there are {self.most} {what} open, which is all there can be; try again in a moment"
            )
        return None

    def take(self, client: str) -> None:
        """One more is held."""
        self.held[client] += 1

    def give_back(self, client: str) -> None:
        """One less is held; of who holds none nothing is kept."""
        self.held[client] -= 1
        if not self.held[client]:
            del self.held[client]


def refused(status: int, sentence: str, seconds: int = 5) -> Response:
    """An answer that is no: the sentence under both names that clients of Gradio look for."""
    content = {"error": sentence, "detail": sentence}
    return JSONResponse(content, status, {"Retry-After": str(seconds)})


def client_of(scope: Scope) -> str:
    """Who asks, as far as an address says it."""
    client = scope.get("client")
    return str(client[0]) if client else "unknown"


class Bounds:
    """The middleware. Where there are trusted proxies, a client is who the last of them saw."""

    def __init__(
        self, app: ASGIApp, folder: Path, environment: Environment, limits: Limits | None = None
    ) -> None:
        self.app = app
        self.folder = folder
        self.limits = limits or Limits()
        self.environment = environment
        self._streams = Tally(self.limits.streams, self.limits.streams_of_one)
        self._calls = Tally(self.limits.calls, self.limits.calls_of_one)
        self._uploads: deque[tuple[float, str, int]] = deque()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, or says why not."""
        if scope["type"] != "http" or scope.get(INNER):
            await self.app(scope, receive, send)
            return
        client = self._client(scope)
        path, method = scope["path"], scope["method"]
        if method == "POST":
            await self._passed(self._calls, "calls", client, scope, receive, send)
        elif method == "GET" and path.startswith(STREAMS):
            await self._passed(self._streams, "streams", client, scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def _client(self, scope: Scope) -> str:
        address = address_of(self.environment, HTTPConnection(scope))
        if address:
            scope["client"] = (address[:64], 0)
        return client_of(scope)

    async def _passed(
        self, tally: Tally, what: str, client: str, scope: Scope, receive: Receive, send: Send
    ) -> None:
        refusal = tally.refusal(client, what) or self._full(scope, client)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        uploads, got = self._uploads_to(scope), 0

        async def counted() -> Message:
            nonlocal got
            message = await receive()
            got += len(message.get("body", b""))
            return message

        tally.take(client)
        try:
            await self.app(scope, counted if uploads else receive, send)
        finally:
            tally.give_back(client)
            if got:
                self._uploads.append((time.monotonic(), client, got))

    # What is sent here

    def _full(self, scope: Scope, client: str) -> Response | None:
        """Why what a request is about to send is not taken; None if it is."""
        if not self._uploads_to(scope):
            return None
        while self._uploads and self._uploads[0][0] < time.monotonic() - HOUR:
            self._uploads.popleft()
        if sum(size for _, who, size in self._uploads if who == client) >= self.limits.uploaded_bytes_of_one:
            megabytes = self.limits.uploaded_bytes_of_one // 1_000_000
            return refused(429, f"you have uploaded {megabytes} MB within an hour; go on later", 600)
        if sum(size for _, _, size in self._uploads) >= self.limits.uploaded_bytes:
            return refused(503, "more is being uploaded than there is room for; try again later", 600)
        if self.folder.is_dir() and shutil.disk_usage(self.folder).free < FREE_BYTES:
            return refused(507, "the disk of this machine is nearly full, so nothing can be uploaded", 600)
        return None

    def _uploads_to(self, scope: Scope) -> bool:
        return scope["method"] == "POST" and scope["path"].rstrip("/") == UPLOAD
