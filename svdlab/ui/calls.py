"""How programs call: the two steps of Gradio's clients, "join" and "follow the answer", in a table of our own.

Gradio's own table of sessions ends its queue for good once 2,000 have joined while others wait: the oldest is dropped
from it, the next word about a call of that one finds no session, and the loop that hands out the work dies of it. Here
a call is a task of the event loop that asks this server's own `/run`, waits as long as that takes and is kept until the
answer is fetched; there are only so many, and each of them goes at its time. Knows HTTP and Gradio's messages; nothing
of labs or of what is called.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route
from starlette.types import Message

from svdlab.ui.bounds import API, INNER, client_of, refused

MOST = 1000  # calls that are waited for, and answers nobody has fetched yet
MOST_OF_ONE = 256
KEPT_SECONDS = 300.0  # how long an answer waits to be fetched
QUIET_SECONDS = 15.0
KEPT_OF_SCOPE = (
    *("type", "asgi", "http_version", "server", "client", "scheme"),
    *("root_path", "query_string", "state", "extensions", "app"),
)


@dataclass
class _Session:
    """What one caller waits for, and what there is to tell it."""

    client: str
    waiting: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    messages: deque[dict[str, Any]] = field(default_factory=deque)
    bell: asyncio.Event = field(default_factory=asyncio.Event)
    heard: float = field(default_factory=time.monotonic)  # when somebody last asked for an answer
    followed: int = 0  # lines that are open for it


class Calls:
    """The calls of one server. `parameters` gives the arguments of a named endpoint: name and default of each."""

    def __init__(self, parameters: Callable[[str], list[tuple[str, Any]] | None]) -> None:
        self._parameters = parameters
        self._sessions: dict[str, _Session] = {}

    @property
    def held(self) -> int:
        """How many calls are waited for or not fetched."""
        return sum(_size(session) for session in self._sessions.values())

    def routes(self) -> list[BaseRoute]:
        """In front of Gradio's own routes of the same names."""
        named = "{name}"
        return [
            Route(f"{API}/queue/join", self.join, methods=["POST"]),
            Route(f"{API}/queue/data", self.data),
            Route(f"{API}/call/{named}", self.call, methods=["POST"]),
            Route(f"{API}/call/v2/{named}", self.call_by_name, methods=["POST"]),
            Route(f"{API}/call/{named}/{{event}}", self.answer),
            Route(f"{API}/call/v2/{named}/{{event}}", self.answer),
            Route(f"{API}/cancel", self.cancel, methods=["POST"]),
        ]

    # Asking

    async def join(self, request: Request) -> Response:
        """A call as Gradio's clients make it: `{data, fn_index, session_hash}`."""
        body = await _object(request)
        session = body.get("session_hash")
        if not isinstance(session, str) or not 0 < len(session) <= 64:
            return refused(400, "a call needs a session_hash, a text of up to 64 letters")
        return self._accept(request, session, uuid.uuid4().hex, "predict", body)

    async def call(self, request: Request) -> Response:
        """A call by the endpoint's name: `{"data": [...]}`."""
        body, event = await _object(request), uuid.uuid4().hex
        body = {"data": body.get("data"), "simple_format": True}
        return self._accept(request, event, event, request.path_params["name"], body)

    async def call_by_name(self, request: Request) -> Response:
        """A call by the endpoint's name with arguments by theirs: `{"seed": 7}`."""
        body, event, name = await _object(request), uuid.uuid4().hex, request.path_params["name"]
        known = self._parameters(name)
        if known is None:
            return refused(404, f"there is no endpoint {name[:40]!r}")
        unknown = body.keys() - {one for one, _ in known}
        if unknown:
            return refused(422, f"{name} has no argument {min(unknown)[:40]!r}")
        data = [body.get(one, default) for one, default in known]
        return self._accept(request, event, event, name, {"data": data, "simple_format": True})

    def _accept(
        self, request: Request, session: str, event: str, name: str, body: dict[str, Any]
    ) -> Response:
        self._forget_old()
        client = client_of(request.scope)
        counts = Counter[str]()
        for one in self._sessions.values():
            counts[one.client] += _size(one)
        if counts[client] >= MOST_OF_ONE:
            return refused(
                429, f"you wait for {MOST_OF_ONE} answers, which is all that one may; fetch some first"
            )
        if counts.total() >= MOST:
            return refused(
                503, f"{MOST} calls are waited for, which is all there can be; try again in a moment"
            )
        held = self._sessions.setdefault(session, _Session(client))
        body = {**body, "session_hash": session}
        held.waiting[event] = asyncio.create_task(self._ask(held, request, event, name, body))
        return JSONResponse({"event_id": event})

    async def _ask(
        self, session: _Session, request: Request, event: str, name: str, body: dict[str, Any]
    ) -> None:
        try:
            status, output = await _asked(request, name, body)
        except Exception as error:  # the route's own fault; the caller is told all the same
            status, output = 500, {"error": f"the call could not be answered ({type(error).__name__})"}
        if status != 200:
            output = {"error": output.get("detail") or "the call failed", **output}
        done = {"msg": "process_completed", "event_id": event, "output": output, "success": status == 200}
        session.waiting.pop(event, None)
        session.heard = time.monotonic()
        session.messages.append(done)
        session.bell.set()

    # Fetching

    async def data(self, request: Request) -> Response:
        """What there is to tell a session, until all its calls are answered."""
        session = request.query_params.get("session_hash", "")
        return _stream(self._told(session, _as_gradio))

    async def answer(self, request: Request) -> Response:
        """What there is to tell of one call by name."""
        return _stream(self._told(request.path_params["event"], _as_event))

    async def _told(self, name: str, said: Callable[[dict[str, Any]], str]) -> AsyncIterator[str]:
        session = self._sessions.get(name)
        if session is None:
            lost = "this call is not known here, or its answer was not fetched in time"
            yield said(
                {"msg": "unexpected_error", "message": lost, "session_not_found": True, "success": False}
            )
            return
        session.followed += 1
        try:
            while True:
                session.bell.clear()
                while session.messages:
                    yield said(session.messages.popleft())
                if not session.waiting:
                    yield said({"msg": "close_stream"})
                    return
                try:
                    async with asyncio.timeout(QUIET_SECONDS):
                        await session.bell.wait()
                except TimeoutError:
                    yield said({"msg": "heartbeat"})
        finally:
            session.followed -= 1
            session.heard = time.monotonic()
            if not session.followed and self._sessions.get(name) is session:
                self._drop(name)  # fetched, or given up by who asked

    async def cancel(self, request: Request) -> Response:
        """Nobody waits for this call any more; a run it has started goes on."""
        body = await _object(request)
        session = self._sessions.get(str(body.get("session_hash")))
        event = str(body.get("event_id"))
        task = session.waiting.pop(event, None) if session else None
        if session is not None and task is not None:
            task.cancel()
            session.messages.append(
                {"msg": "process_completed", "event_id": event, "output": {}, "success": True}
            )
            session.bell.set()
        return JSONResponse({"success": True})

    # Forgetting

    def _forget_old(self) -> None:
        late = time.monotonic() - KEPT_SECONDS
        for name, session in list(self._sessions.items()):
            if not session.followed and not session.waiting and session.heard < late:
                self._drop(name)

    def _drop(self, name: str) -> None:
        for task in self._sessions.pop(name).waiting.values():
            task.cancel()


def _size(session: _Session) -> int:
    return len(session.waiting) + len(session.messages)


def _as_gradio(message: Mapping[str, Any]) -> str:
    return f"data: {json.dumps(message)}\n\n"


def _as_event(message: Mapping[str, Any]) -> str:
    match message["msg"]:
        case "process_completed":
            output = message["output"]
            kind, data = ("complete", output.get("data")) if message["success"] else ("error", output)
        case "heartbeat":
            kind, data = "heartbeat", None
        case "close_stream":
            return ""
        case _:
            kind, data = "error", message["message"]
    return f"event: {kind}\ndata: {json.dumps(data)}\n\n"


def _stream(told: AsyncIterator[str]) -> Response:
    return StreamingResponse(told, media_type="text/event-stream", headers={"Cache-Control": "no-store"})


async def _object(request: Request) -> dict[str, Any]:
    """The JSON object of a request; an empty one for anything else."""
    try:
        body = await request.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


async def _asked(request: Request, name: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Status and answer of this server's own `/run/{name}`, asked as whoever made the request."""
    content, parts, status = json.dumps(body).encode(), [], 500
    left_out = (b"content-length", b"content-type", b"accept-encoding", b"transfer-encoding")
    headers = [pair for pair in request.scope["headers"] if pair[0] not in left_out]
    headers += [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    path = f"{API}/run/{name}"
    scope = {key: request.scope[key] for key in KEPT_OF_SCOPE if key in request.scope}
    scope |= {"method": "POST", "path": path, "raw_path": path.encode(), "headers": headers, INNER: True}
    body_left = [content]

    async def receive() -> Message:
        if body_left:
            return {"type": "http.request", "body": body_left.pop(), "more_body": False}
        await asyncio.Event().wait()  # who asked is gone only when the task is
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        parts.append(message.get("body", b""))

    await request.app(scope, receive, send)
    answer = json.loads(b"".join(parts) or b"{}")
    return status, answer if isinstance(answer, dict) else {"error": str(answer)}
