"""What every request passes first: the lab's names, whose page sent it, how large it is, and what browsers are told.

An ASGI middleware around everything that is served, so that nothing can be called around it. Knows headers and the
environment; nothing of pages, Gradio's handlers or the lab.
"""

from __future__ import annotations

from http.cookies import CookieError, SimpleCookie

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from svdlab.environment import Environment
from svdlab.ui.hosts import Hosts
from svdlab.ui.identity import COOKIE, new_secret

API = "/gradio_api/"
SAFE = ("GET", "HEAD", "OPTIONS")
MAX_BODY = 4 * 2**20  # of a call: a page's values, with a small copy of the picture
MAX_UPLOAD_BODY = 66 * 2**20  # one file of the largest kind, and what is around it
COOKIE_SECONDS = 180 * 86400

# What Gradio serves and the lab has no use for.
CLOSED = (
    *("component_server", "process_recording", "stream/", "proxy=", "deep_link", "run-history", "runs"),
    *("vibe-", "undo-vibe-", "dev/", "profiling", "monitoring"),
)
NO_NAME = "This lab does not answer to that name; whoever runs it can allow it with SVDLAB_HOSTS."
OTHER_SITE = "Another site's page may not do that here; open the lab itself."
TOO_LARGE = "That is more than the lab takes at once."
NOTHING_HERE = "There is nothing here."

# Gradio's page has scripts and styles inside it and makes functions of ours from text; nothing comes from elsewhere.
_PAGE = {
    "default-src": "'self'",
    "script-src": "'self' 'unsafe-inline' 'unsafe-eval' blob:",
    "style-src": "'self' 'unsafe-inline'",
    "img-src": "'self' data: blob:",
    "media-src": "'self' data: blob:",
    "font-src": "'self' data:",
    "connect-src": "'self' data: blob:",
    "worker-src": "'self' blob:",
    "object-src": "'none'",
    "base-uri": "'self'",
    "form-action": "'self' https://huggingface.co",
}
_FILE = {  # a file that is opened by itself runs nothing
    "default-src": "'none'",
    "img-src": "'self'",
    "media-src": "'self'",
    "style-src": "'unsafe-inline'",
    "sandbox": "",
}
_FRAMED_BY = "'self'"
_SPACE_FRAMED_BY = "'self' https://huggingface.co https://*.huggingface.co https://*.hf.space"
_SPACE_SCRIPT = "https://cdnjs.cloudflare.com"  # Gradio's script that fits the frame on huggingface.co
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # an address with a run's id stays here
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",  # the page takes pictures, if asked to
}


class Guard:
    """Wraps an ASGI app. `listening` is the address it is served at."""

    def __init__(self, app: ASGIApp, environment: Environment, listening: str = "") -> None:
        self.app = app
        self.hosts = Hosts.of(environment, listening)
        self.shared, self.space = environment.shared, bool(environment.space)
        self.page_policy = _policy(_PAGE, self.space)
        self.file_policy = _policy(_FILE, self.space)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request or refuses it in one sentence."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refused = self.refusal(scope, headers)
        if refused is not None:
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
                return
            status, sentence = refused
            await PlainTextResponse(sentence, status, dict(_HEADERS))(scope, receive, send)
            return
        if scope["type"] == "websocket":
            await self.app(scope, receive, send)
            return
        await self.app(scope, _counted(scope, receive), self._answering(scope, headers, send))

    def refusal(self, scope: Scope, headers: Headers) -> tuple[int, str] | None:
        """Status and sentence for a request that is not answered."""
        host = headers.get("host", "")
        if not self.hosts.answers(host):
            return 421, NO_NAME
        if scope["path"].lstrip("/").removeprefix(API.lstrip("/")).startswith(CLOSED):
            return 404, NOTHING_HERE
        if scope.get("method", "GET") not in SAFE or scope["type"] == "websocket":
            origin = headers.get("origin")
            if origin is not None and not self.hosts.same_origin(origin, host):
                return 403, OTHER_SITE
            if origin is None and headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
                return 403, OTHER_SITE
        length = headers.get("content-length", "0")
        if not length.isascii() or not length.isdigit() or int(length) > most_bytes(scope["path"]):
            return 413, TOO_LARGE
        return None

    def _answering(self, scope: Scope, asked: Headers, send: Send) -> Send:
        """`send` with what browsers are told, and a visitor's cookie on the first page it opens."""
        path = scope["path"]
        origin = asked.get("origin")
        foreign = origin is not None and not self.hosts.same_origin(origin, asked.get("host", ""))

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS)
                is_file = path.startswith((f"{API}file", "/file"))
                headers["Content-Security-Policy"] = self.file_policy if is_file else self.page_policy
                if foreign:  # Gradio allows any page to read what a public server says
                    for name in ("Access-Control-Allow-Origin", "Access-Control-Allow-Credentials"):
                        if name in headers:
                            del headers[name]
                page = not is_file and headers.get("content-type", "").startswith("text/html")
                if self.shared and page and COOKIE not in _cookies(asked):
                    headers.append("Set-Cookie", self.cookie(scope, asked))
            await send(message)

        return answer

    def cookie(self, scope: Scope, asked: Headers) -> str:
        """A new visitor's. On a Space the page stands in a frame of another site's, and has its own there."""
        secure = self.space or "https" in (scope.get("scheme"), asked.get("x-forwarded-proto"))
        kind = "SameSite=None; Secure; Partitioned" if self.space else "SameSite=Lax"
        extra = "; Secure" if secure and not self.space else ""
        return f"{COOKIE}={new_secret()}; Path=/; Max-Age={COOKIE_SECONDS}; HttpOnly; {kind}{extra}"


def most_bytes(path: str) -> int:
    """The largest body of a request to a path."""
    return MAX_UPLOAD_BODY if path.rstrip("/") == f"{API}upload" else MAX_BODY


def _counted(scope: Scope, receive: Receive) -> Receive:
    """`receive` that refuses what is longer than it said, or does not say."""
    left = most_bytes(scope["path"])

    async def counted() -> Message:
        nonlocal left
        message = await receive()
        if message["type"] == "http.request":
            left -= len(message.get("body", b""))
            if left < 0:
                raise HTTPException(413, TOO_LARGE)
        return message

    return counted


def _cookies(headers: Headers) -> SimpleCookie:
    found = SimpleCookie()
    try:
        found.load(headers.get("cookie", ""))
    except CookieError:
        return SimpleCookie()
    return found


def _policy(parts: dict[str, str], space: bool) -> str:
    """A Content-Security-Policy as one line."""
    said = dict(parts)
    if space and "script-src" in said:
        said["script-src"] += f" {_SPACE_SCRIPT}"
    said["frame-ancestors"] = _SPACE_FRAMED_BY if space else _FRAMED_BY
    return "; ".join(f"{name} {value}".strip() for name, value in said.items())
