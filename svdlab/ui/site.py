"""All pages as one Gradio app, and its launch. Finds the pages by their files; knows nothing of what is on them."""

from __future__ import annotations

import importlib
import logging
import os
import pkgutil
from contextlib import suppress
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import gettempdir
from typing import Any

# Before gradio is imported. What is uploaded gets a folder of this user's svdlab alone, so that it may be tidied.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("GRADIO_TEMP_DIR", str(Path(gettempdir()) / f"svdlab-{getattr(os, 'getuid', int)()}"))

import gradio as gr
from gradio.exceptions import InvalidPathError
from gradio.utils import get_upload_folder
from starlette.middleware import Middleware
from starlette.routing import BaseRoute

from svdlab.errors import BadInput
from svdlab.lab.lab import Lab
from svdlab.lab.watching import Watching
from svdlab.ui import api, calls, frame, health, pages, stream
from svdlab.ui.bounds import Bounds
from svdlab.ui.guard import Guard
from svdlab.ui.handover import remove_older
from svdlab.ui.kept_pages import KeptPages
from svdlab.ui.sessions import OneSession
from svdlab.ui.theme import stylesheet, theme

log = logging.getLogger(__name__)

THREADS = 40  # handlers at a time; none of them waits for a run
CONNECTIONS = 16384  # at a time
MAX_UPLOAD = "64mb"  # as images.MAX_FILE_BYTES
TIDY_SECONDS = 300  # how often uploads and answers are looked through
KEPT_SECONDS = 3600  # how long an upload or the answer of an endpoint is kept
NOT_UPLOADED = "that file was not uploaded here; send it again"
UNFORESEEN = "that went wrong here, and the log says where; try it again"


@cache
def all_pages() -> tuple[frame.Page, ...]:
    """Every page there is a file of in `svdlab/ui/pages`: those of the navigation in its order, then the others."""
    modules = (
        importlib.import_module(f"{pages.__name__}.{found.name}")
        for found in pkgutil.iter_modules(pages.__path__)
    )
    return tuple(
        sorted(
            (module.PAGE for module in modules),
            key=lambda page: (page.place is None, page.place or 0, page.path),
        )
    )


class Pages(gr.Blocks):
    """As Gradio's, but guarded, that a caller is told in a sentence what was wrong with the data of a call, and that no
    call waits in Gradio's queue: whatever is waited for is followed on a stream of our own.
    """

    routes: list[BaseRoute]  # beside Gradio's own, in front of them
    guarded_by: dict[str, Any]  # what `Guard` is made with
    _served: Any = None

    @property
    def server_app(self) -> Any:
        """The ASGI app, which Gradio sets just before it is served: the guard goes around all that is in it."""
        return self._served

    @server_app.setter
    def server_app(self, made: Any) -> None:
        if made is not None and made is not self._served:
            made.add_middleware(Guard, **self.guarded_by)
        self._served = made

    async def preprocess_data(self, *call: Any, **more: Any) -> Any:
        """The values of a call as its handler takes them. Raises `gr.Error`."""
        try:
            return await super().preprocess_data(*call, **more)
        except InvalidPathError:
            raise gr.Error(NOT_UPLOADED, print_exception=False) from None
        except (ValueError, TypeError, KeyError, AttributeError):
            raise gr.Error("the arguments are not those of this call", print_exception=False) from None

    async def call_function(self, *call: Any, **more: Any) -> Any:
        """What a handler answers. Raises `gr.Error` with one sentence; of what nobody foresaw the log has more."""
        try:
            return await super().call_function(*call, **more)
        except gr.Error as error:
            if not error.print_exception:
                raise
            # Gradio's own word, which it would print with a traceback: the event named a file of this machine
            raise gr.Error(NOT_UPLOADED, print_exception=False) from None
        except Exception as error:
            log.error("a handler failed: %s", type(error).__name__, exc_info=error)
            raise gr.Error(UNFORESEEN, print_exception=False) from None


def build_app(lab: Lab, device: str = "auto") -> Pages:
    """Every page over one lab. Loads no model library."""
    first, *others = all_pages()
    watching = Watching(lab.live)
    with Pages(
        title="svdlab",
        fill_width=True,
        analytics_enabled=False,
        delete_cache=(TIDY_SECONDS, KEPT_SECONDS),
    ) as app:
        api.build(lab, watching)  # first: a page's handler of the same name would take it
        frame.build_header(lab, all_pages(), first, device)
        built = {first.name: first.build(lab, app)}
    for page in others:
        with app.route(page.name, f"/{page.path}"):
            frame.build_header(lab, all_pages(), page, device)
            built[page.name] = page.build(lab, app)
    for handler in app.fns.values():  # a component of Gradio's may have brought its own
        # On a Space the page says whose quota of GPU time a call takes, but only in calls it joins: ours (`calls`).
        handler.queue = bool(lab.environment.space)
    app.queue(api_open=True)
    news = {name.lower(): page.news for name, page in built.items() if hasattr(page, "news")}
    app.routes = [
        health.route(lab),
        *stream.routes(lab, watching, news),
        *calls.Calls(partial(_parameters, app)).routes(),
    ]
    return app


def _parameters(app: gr.Blocks, name: str) -> list[tuple[str, Any]] | None:
    """Name and default of each argument of a named endpoint; None if there is no such endpoint."""
    endpoint = app.get_api_info()["named_endpoints"].get(f"/{name}")
    if endpoint is None:
        return None
    return [(one["parameter_name"], one.get("parameter_default")) for one in endpoint["parameters"]]


def launch(
    lab: Lab,
    host: str = "127.0.0.1",
    port: int | None = 7860,
    *,
    device: str = "auto",
    open_browser: bool = False,
    block: bool = True,
) -> str:
    """Serves the pages over a lab and returns the address; with `block`, until it is interrupted.

    `port` None takes the first free one from 7860. Closing the lab stops the serving.
    """
    _bypass_proxies()
    uploads = Path(get_upload_folder())
    remove_older(uploads, KEPT_SECONDS)  # what a killed process has left
    app = build_app(lab, device)
    app.guarded_by = {"environment": lab.environment, "listening": host}
    # A finished run's files are answered as they are, not as copies.
    gr.set_static_paths([lab.history.runs_folder.resolve()])
    bounds = Middleware(Bounds, folder=uploads, environment=lab.environment)
    pages_kept = Middleware(KeptPages, paths=[f"/{page.path}" for page in all_pages()])
    _allow_many_connections()
    server, address, _ = app.launch(
        server_name=host,
        server_port=port,
        inbrowser=open_browser,
        prevent_thread_lock=True,
        quiet=True,
        share=False,
        run_history=False,
        footer_links=[],
        show_error=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=_for_agents(lab),
        enable_monitoring=False,
        max_threads=THREADS,
        app_kwargs={"routes": app.routes, "middleware": [bounds, pages_kept]},
        max_file_size=MAX_UPLOAD,
        # Public to whoever has a file's address: runs only, and a run's id is not guessable. Pictures stay out.
        allowed_paths=[str(lab.history.runs_folder.resolve())],
        theme=theme(),
        css=stylesheet(),
        head=frame.HEAD,
    )
    server.state_holder = OneSession(app)
    app._queue.close()  # Gradio's own: nothing is ever put into it, so it need not look a thousand times a second
    lab.on_close(partial(app.close, verbose=False))
    if block:
        print(f"svdlab is at {address}", flush=True)
        app.block_thread()
    return address


def _allow_many_connections() -> None:
    """A follower is an open file: as many as this process may have, not the few it starts with."""
    with suppress(ImportError, OSError, ValueError):  # there is no such limit on Windows
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = CONNECTIONS if hard == resource.RLIM_INFINITY else min(CONNECTIONS, hard)
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _for_agents(lab: Lab) -> bool:
    """Whether the named endpoints are an MCP server's tools too. Raises `BadInput` without the package."""
    if lab.environment.mcp and find_spec("mcp") is None:
        raise BadInput('SVDLAB_MCP needs the package mcp; pip install "svdlab[mcp]"')
    return lab.environment.mcp


def _bypass_proxies() -> None:
    """Gradio asks its own address before it calls itself started; a proxy would not find it."""
    for name in ("NO_PROXY", "no_proxy"):
        known = os.environ.get(name, "")
        os.environ[name] = ",".join(filter(None, (known, "127.0.0.1", "localhost")))
