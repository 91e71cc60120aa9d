"""A page's HTML is the same for everybody, so it is made and compressed once for each name the lab is called by.

Gradio makes it anew for each visit, which takes some 20 ms of a processor that renders or answers others meanwhile. An
ASGI middleware. Knows HTTP; nothing of what is on a page.
"""

from __future__ import annotations

import gzip
from collections import OrderedDict
from collections.abc import Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST = 32  # pages kept: a page and a name it was asked for by
# What a page's own address in it is made of.
NAMING = (
    b"host",
    b"x-forwarded-host",
    b"x-forwarded-proto",
    b"x-forwarded-port",
    b"x-gradio-server",
    b"x-direct-url",
)
DEEP_LINK = b"deep_link="  # Gradio's: a page with somebody's values in it

Headers = list[tuple[bytes, bytes]]


class KeptPages:
    """The middleware; `paths` are the pages'."""

    def __init__(self, app: ASGIApp, paths: Iterable[str]) -> None:
        self.app = app
        self.paths = frozenset(paths)
        self._kept: OrderedDict[tuple[object, ...], tuple[Headers, bytes, bytes]] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers with the kept page, or passes the request on and keeps what comes."""
        if not self._is_page(scope):
            await self.app(scope, receive, send)
            return
        naming = tuple(pair for pair in scope["headers"] if pair[0] in NAMING)
        key = (scope["path"], scope.get("root_path"), scope.get("scheme"), naming)
        if key not in self._kept:
            made = await self._made(scope, receive)
            if made[0]["status"] != 200:
                for message in made:
                    await send(message)
                return
            body = b"".join(message.get("body", b"") for message in made[1:])
            unsized = (b"content-length", b"content-encoding", b"vary")
            headers = [pair for pair in made[0]["headers"] if pair[0].lower() not in unsized]
            self._kept[key] = headers, body, gzip.compress(body, 6)
            while len(self._kept) > MOST:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        await self._send(self._kept[key], scope, send)

    def _is_page(self, scope: Scope) -> bool:
        return (
            scope["type"] == "http"
            and scope["method"] == "GET"
            and scope["path"] in self.paths
            and DEEP_LINK not in scope["query_string"]
        )

    async def _made(self, scope: Scope, receive: Receive) -> list[Message]:
        """What the app answers: its start and its parts."""
        made: list[Message] = []

        async def keep(message: Message) -> None:
            made.append(message)

        plain = [pair for pair in scope["headers"] if pair[0] != b"accept-encoding"]
        await self.app({**scope, "headers": plain}, receive, keep)
        return made

    async def _send(self, kept: tuple[Headers, bytes, bytes], scope: Scope, send: Send) -> None:
        headers, body, small = kept
        accepted = b",".join(value for name, value in scope["headers"] if name == b"accept-encoding")
        headers = [*headers, (b"vary", b"Accept-Encoding")]
        if b"gzip" in accepted:
            body = small
            headers.append((b"content-encoding", b"gzip"))
        headers.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})
