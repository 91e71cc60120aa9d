"""A Hugging Face hub on loopback: the addresses huggingface_hub asks, over real sockets, with faults to order.

Small files are sent by the hub itself; `.safetensors` are, as there, redirected to another host (localhost instead of
127.0.0.1), which must not be given the token.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import huggingface_hub
import pytest
from huggingface_hub import constants

CHUNK = 8192  # bytes per write


@dataclass(frozen=True)
class Answer:
    """What the hub says instead of what was asked for."""

    status: int
    code: str = ""  # X-Error-Code
    message: str = ""  # X-Error-Message
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


def small_repository(variant: str | None = "fp16", weights: int = 200_000) -> dict[str, bytes]:
    """The files of a Stable Video Diffusion repository; of the weights only names and sizes are real."""
    noise = random.Random(1)
    suffix = f".{variant}" if variant else ""
    texts = {
        "model_index.json": {"_class_name": "StableVideoDiffusionPipeline"},
        "feature_extractor/preprocessor_config.json": {"size": 224},
        "image_encoder/config.json": {"hidden_size": 1280},
        "scheduler/scheduler_config.json": {"beta_start": 0.00085},
        "unet/config.json": {"num_frames": 25},
        "vae/config.json": {"latent_channels": 4},
    }
    files = {name: json.dumps(content, indent=2).encode() for name, content in texts.items()}
    for name in ("image_encoder/model", "unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model"):
        files[f"{name}{suffix}.safetensors"] = noise.randbytes(weights)
    files["README.md"] = b"# Not needed\n"
    files["svd_xt.safetensors"] = noise.randbytes(weights)  # nor this
    return files


class HubServer:
    """One repository, `owner/svd`, on a hub of its own. Start with `with`; faults may be set at any time."""

    repo = "owner/svd"

    def __init__(self, files: dict[str, bytes] | None = None) -> None:
        self.commits = {"main": "a" * 40}  # branch or tag → commit
        self.files = small_repository() if files is None else files
        self.sizes: dict[str, int] = {}  # names → what the listing says instead of the truth
        self.api_fault: Answer | None = None
        self.file_fault: Answer | None = None
        self.line_bytes: int | None = None  # bytes of large files until the line breaks, for good
        self.break_every: int | None = None  # bytes of one answer until the line breaks
        self.hang_after: int | None = None  # bytes of one answer until nothing more comes
        self.chunk_seconds = 0.0  # pause before every chunk of a large file
        self.ignores_ranges = False
        self.silent = False  # takes requests and never answers
        self.damaged: set[str] = set()
        self.asked: list[str] = []  # "GET /path"
        self.ranges: list[str] = []
        self.sent: Counter[str] = Counter()  # name → bytes of its content
        self.tokens: dict[str, set[str]] = {"hub": set(), "store": set()}  # who was shown which
        self.answering = 0  # requests that are not answered to the end yet
        self.hanging = 0  # of these, those that nothing more comes for
        self._over = threading.Event()
        self._lock = threading.Lock()
        hub = self

        class Handler(_Handler):
            pass

        Handler.hub = hub
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.store = f"http://localhost:{self.port}"

    def __enter__(self) -> HubServer:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @staticmethod
    def large(name: str) -> bool:
        """Whether the hub stores it in LFS."""
        return name.endswith(".safetensors")

    def etag(self, name: str) -> str:
        """SHA-256 of a large file, git's blob hash of a small one."""
        content = self.files[name]
        if self.large(name):
            return hashlib.sha256(content).hexdigest()
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()

    def listing(self, commit: str) -> dict[str, object]:
        """The answer of /api/models/{repo}?blobs=true."""
        siblings = []
        for name, content in self.files.items():
            size = self.sizes.get(name, len(content))
            sibling: dict[str, object] = {"rfilename": name, "size": size, "blobId": "b" * 40}
            if self.large(name):
                sibling["lfs"] = {"size": size, "sha256": self.etag(name), "pointerSize": 134}
            else:
                sibling["blobId"] = self.etag(name)
            siblings.append(sibling)
        return {"id": self.repo, "modelId": self.repo, "sha": commit, "private": False, "siblings": siblings}

    def wait(self) -> None:
        """Until the test is over."""
        self.hanging += 1
        self._over.wait(30)
        self.hanging -= 1

    @contextmanager
    def counted(self) -> Iterator[None]:
        """While a request is being answered."""
        with self._lock:
            self.answering += 1
        try:
            yield
        finally:
            with self._lock:
                self.answering -= 1

    def note(self, name: str, count: int) -> bool:
        """Counts bytes about to be sent; False if the line breaks before them."""
        with self._lock:
            if self.line_bytes is not None and self.large(name):
                if self.line_bytes < count:
                    return False
                self.line_bytes -= count
            self.sent[name] += count
            return True


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: HubServer

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._serve()

    def do_GET(self) -> None:
        self._serve()

    def _serve(self) -> None:
        with self.hub.counted():
            self._answer()

    def _answer(self) -> None:
        hub = self.hub
        path = unquote(urlsplit(self.path).path)
        stored = path.startswith("/store/")
        hub.asked.append(f"{self.command} {path}")
        if token := self.headers.get("Authorization", "").removeprefix("Bearer "):
            hub.tokens["store" if stored else "hub"].add(token)
        if hub.silent:
            return hub.wait()
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", path):
            return self._model(found[1], found[2] or "main")
        if found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            return self._resolve(found[1], found[2], found[3])
        if stored:
            name = path.removeprefix("/store/")
            return self._content(name, {"ETag": f'"{hub.etag(name)}"'})
        return self._say(Answer(404))

    def _say(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.code:
            self.send_header("X-Error-Code", answer.code)
        if answer.message:
            self.send_header("X-Error-Message", answer.message)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def _commit(self, repo: str, revision: str) -> str | Answer:
        if repo != self.hub.repo:
            return Answer(401, "RepoNotFound", "Repository not found")
        commit = self.hub.commits.get(revision, revision)
        if commit not in self.hub.commits.values():
            return Answer(404, "RevisionNotFound", "Invalid rev id")
        return commit

    def _model(self, repo: str, revision: str) -> None:
        commit = self.hub.api_fault or self._commit(repo, revision)
        if isinstance(commit, Answer):
            return self._say(commit)
        body = json.dumps(self.hub.listing(commit)).encode()
        return self._say(Answer(200, headers={"Content-Type": "application/json"}, body=body))

    def _resolve(self, repo: str, revision: str, name: str) -> None:
        hub = self.hub
        commit = hub.file_fault or self._commit(repo, revision)
        if isinstance(commit, Answer):
            return self._say(commit)
        headers = {"X-Repo-Commit": commit}
        if name not in hub.files:
            return self._say(Answer(404, "EntryNotFound", "Entry not found", headers))
        if not hub.large(name):
            return self._content(name, {**headers, "ETag": f'"{hub.etag(name)}"'})
        linked = {
            "X-Linked-Etag": f'"{hub.etag(name)}"',
            "X-Linked-Size": str(len(hub.files[name])),
            "Location": f"{hub.store}/store/{name}",
        }
        return self._say(Answer(302, headers={**headers, **linked}))

    def _content(self, name: str, headers: dict[str, str]) -> None:
        hub, content = self.hub, self.hub.files[name]
        if name in hub.damaged:
            content = bytes(len(content))
        start = 0
        asked = self.headers.get("Range")
        if asked and not hub.ignores_ranges:
            hub.ranges.append(asked)
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
        self.send_response(206 if start else 200)
        for key, value in headers.items():
            self.send_header(key, value)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        if self.command == "GET":
            self._send(name, content[start:])

    def _send(self, name: str, content: bytes) -> None:
        hub = self.hub
        for at in range(0, len(content), CHUNK):
            chunk = content[at : at + CHUNK]
            if hub.large(name):
                time.sleep(hub.chunk_seconds)
                if hub.hang_after is not None and at >= hub.hang_after:
                    return hub.wait()
                if (hub.break_every is not None and at >= hub.break_every) or not hub.note(name, len(chunk)):
                    return self._break()
            else:
                hub.note(name, len(chunk))
            try:
                self.wfile.write(chunk)
            except OSError:  # the other side has gone
                self.close_connection = True
                return None
        return None

    def _break(self) -> None:
        self.close_connection = True
        self.wfile.flush()
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)


def point_at(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has the hub's library speak to a server at `url`, with an empty cache and no token."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))


@contextmanager
def on_loopback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A hub of a test's own, to which the hub's library speaks."""
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with HubServer() as server:
        point_at(server.url, tmp_path, monkeypatch)
        yield server
        huggingface_hub.close_session()
