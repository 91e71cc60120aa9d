"""All pages as one Gradio app, and its launch. Finds the pages by their files; knows nothing of what is on them."""

from __future__ import annotations

import importlib
import os
import pkgutil
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

from svdlab.errors import BadInput
from svdlab.lab.lab import Lab
from svdlab.ui import api, frame, pages
from svdlab.ui.handover import remove_older
from svdlab.ui.theme import stylesheet, theme

THREADS = 256  # each page that watches a run holds one while it waits for news
MAX_UPLOAD = "64mb"  # as images.MAX_FILE_BYTES
TIDY_SECONDS = 3600  # how often uploads and answers are looked through
KEPT_SECONDS = 86400  # how long an upload or the answer of an endpoint is kept


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
    """As Gradio's, but that a caller is told in a sentence what was wrong with the data of a call."""

    async def preprocess_data(self, *call: Any, **more: Any) -> Any:
        """The values of a call as its handler takes them. Raises `gr.Error`."""
        try:
            return await super().preprocess_data(*call, **more)
        except InvalidPathError:
            raise gr.Error("that file was not uploaded here; send it again", print_exception=False) from None
        except (ValueError, TypeError, KeyError, AttributeError):
            raise gr.Error("the arguments are not those of this call", print_exception=False) from None


def build_app(lab: Lab, device: str = "auto") -> gr.Blocks:
    """Every page over one lab. Loads no model library."""
    first, *others = all_pages()
    with Pages(
        title="svdlab",
        fill_width=True,
        analytics_enabled=False,
        delete_cache=(TIDY_SECONDS, KEPT_SECONDS),
    ) as app:
        api.build(lab)  # first: a page's handler of the same name would take it
        frame.build_header(lab, all_pages(), first, device)
        first.build(lab, app)
    for page in others:
        with app.route(page.name, f"/{page.path}"):
            frame.build_header(lab, all_pages(), page, device)
            page.build(lab, app)
    app.queue(api_open=False, default_concurrency_limit=None)
    return app


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
    remove_older(Path(get_upload_folder()), KEPT_SECONDS)  # what a killed process has left
    app = build_app(lab, device)
    _, address, _ = app.launch(
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
        max_file_size=MAX_UPLOAD,
        # Public to whoever has a file's address: runs only, and a run's id is not guessable. Pictures stay out.
        allowed_paths=[str(lab.history.runs_folder.resolve())],
        theme=theme(),
        css=stylesheet(),
        head=frame.HEAD,
    )
    lab.on_close(partial(app.close, verbose=False))
    if block:
        print(f"svdlab is at {address}", flush=True)
        app.block_thread()
    return address


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
