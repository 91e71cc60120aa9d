"""Models: what weights there are, where they are, how to get them, what is in memory, and what differs between two.

Handlers parse, ask the lab and show; downloads go on in the lab when the page is left.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gradio as gr

from svdlab.errors import BadCheckpoint, BadInput, SvdlabError
from svdlab.lab.lab import Lab
from svdlab.lab.watching import QUIET_SECONDS, Watching
from svdlab.recipes.loras import LoraFile
from svdlab.ui.frame import Page
from svdlab.ui.identity import visit_of
from svdlab.ui.parts import follow, models
from svdlab.ui.parts.element import EACH, QUIET, asked, saying
from svdlab.ui.stream import Wanted, message
from svdlab.ui.words import sentence
from svdlab.words import counted

DRAWN_SECONDS = 0.5  # how often a running download is drawn


class Models:
    """The page's parts and handlers."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.view: gr.HTML
        self.following: gr.HTML

    def lay_out(self) -> None:
        """Everything on the page."""
        if self.lab.policy.log_in:
            gr.LoginButton("Log in with Hugging Face to use gated weights", size="sm")
        self.view = models.build(self.lab, "models-view")
        self.following = follow.build("models-follow")

    # Handlers

    def open(self) -> dict[Any, Any]:
        """A visit: the list as it is now, followed while anything is downloaded."""
        if not self.lab.policy.public:
            self.lab.refresh_checkpoints()
        shown: dict[Any, Any] = {self.view: models.value(self.lab)}
        if self.lab.downloads.running():
            shown[self.following] = follow.value("models")
        return shown

    def get(self, event: gr.EventData, request: gr.Request) -> dict[Any, Any]:
        """Starts or continues a download and follows it."""
        return self._get(event, request, None)

    def get_with_login(
        self, event: gr.EventData, request: gr.Request, login: gr.OAuthToken | None = None
    ) -> dict[Any, Any]:
        """As `get`, with the visitor's own login of a Space."""
        return self._get(event, request, login.token if login else None)

    def _get(self, event: gr.EventData, request: gr.Request, token: str | None) -> dict[Any, Any]:
        id = str(asked(event).get("id"))
        try:
            if token is None:  # whoever is logged in fetches what their own account may have
                visit_of(self.lab, request).require("fetch_weights")
            self.lab.downloads.start(self.lab.catalogue.get(id), token)
        except SvdlabError as error:
            return {self.view: models.value(self.lab, checked={"id": id, "error": sentence(error)})}
        return {self.following: follow.value("models")}

    async def news(self, wanted: Wanted, watching: Watching) -> AsyncIterator[str]:
        """The list as it changes, until nothing is downloaded any more."""
        bell, loop = asyncio.Event(), asyncio.get_running_loop()

        def hear() -> None:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(bell.set)

        end = self.lab.downloads.listen(hear)
        try:
            while True:
                bell.clear()
                running = self.lab.downloads.running()
                yield message({"models-view": await asyncio.to_thread(models.value, self.lab)})
                if not running:
                    return
                with suppress(TimeoutError):
                    async with asyncio.timeout(QUIET_SECONDS):
                        await bell.wait()
                await asyncio.sleep(DRAWN_SECONDS)
        finally:
            end()

    def cancel(self, event: gr.EventData, request: gr.Request) -> None:
        """Stops a download; what it has stays."""
        with saying():
            visit_of(self.lab, request).require("fetch_weights")
        self.lab.downloads.cancel(str(asked(event).get("id")))

    def add(self, event: gr.EventData, request: gr.Request) -> dict[str, Any]:
        """Checks and registers a file or folder of this machine."""
        path, frames = str(asked(event).get("place") or "").strip(), asked(event).get("frames")
        try:
            visit_of(self.lab, request).require("change_weights")
            if not path:
                raise BadInput("say where the file or folder is")
            lora = self._lora(Path(path))
            if lora is not None:
                said = f"{lora.id} is here now: a LoRA of {counted(lora.layers, 'layer')}, rank {lora.rank}."
                return models.value(self.lab, added={"said": said, "clear": True})
            count = _count(frames)
            facts = self.lab.verify(self.lab.registry.read(Path(path), None, count))
            added = self.lab.add_checkpoint(path, None, count)
        except (SvdlabError, OSError) as error:
            return models.value(self.lab, added={"error": sentence(error)})
        said = f"{added.id} is here now, whole: {'; '.join(facts)}."
        return models.value(self.lab, added={"said": said, "clear": True})

    def _lora(self, path: Path) -> LoraFile | None:
        """The LoRA at a path, registered; None for what is none."""
        try:
            return self.lab.loras.add(path)
        except BadCheckpoint:  # a checkpoint, or broken: what reads checkpoints says so
            return None

    def remove(self, event: gr.EventData, request: gr.Request) -> dict[str, Any]:
        """Forgets a registered checkpoint, or a LoRA; files stay."""
        wanted = asked(event)
        try:
            visit_of(self.lab, request).require("change_weights")
            if "lora" in wanted:
                self.lab.loras.remove(str(wanted["lora"]))
            else:
                self.lab.remove_checkpoint(str(wanted.get("id")))
        except SvdlabError as error:
            return models.value(self.lab, added={"error": sentence(error)})
        return models.value(self.lab)

    def check(self, event: gr.EventData, request: gr.Request) -> dict[str, Any]:
        """Reads all of a checkpoint's weights."""
        id = str(asked(event).get("id"))
        try:
            visit_of(self.lab, request).require("read_weights")
            facts = self.lab.verify(self.lab.catalogue.get(id))
        except SvdlabError as error:
            return models.value(self.lab, checked={"id": id, "error": sentence(error)})
        return models.value(self.lab, checked={"id": id, "said": "Whole. " + "; ".join(facts) + "."})

    def contrast(self, event: gr.EventData, request: gr.Request) -> dict[str, Any]:
        """Compares two checkpoints' weights block by block."""
        a_id, b_id = (str(asked(event).get(side)) for side in ("a", "b"))
        try:
            visit_of(self.lab, request).require("read_weights")
            a, b = self.lab.catalogue.get(a_id), self.lab.catalogue.get(b_id)
            changes = [asdict(change) for change in self.lab.diff(a, b)]
        except SvdlabError as error:
            return models.value(self.lab, touched={"error": sentence(error)})
        return models.value(self.lab, touched=models.touched(a, b, changes))

    # Wiring

    def wire(self, app: gr.Blocks) -> None:
        """Who calls what."""
        get = self.get_with_login if self.lab.policy.log_in else self.get
        self.view.fetch(get, None, [self.view, self.following], **EACH)
        self.view.halt(self.cancel, None, None, **QUIET)
        self.view.register(self.add, None, self.view, **EACH)
        self.view.forget(self.remove, None, self.view, **EACH)
        self.view.check(self.check, None, self.view, **EACH)
        self.view.contrast(self.contrast, None, self.view, **EACH)
        app.load(self.open, None, [self.view, self.following], **QUIET)


def _count(frames: Any) -> int | None:
    """Frames as a form sends them; empty for what the file says. Raises `BadInput`."""
    if frames in (None, ""):
        return None
    try:
        return int(frames)
    except (TypeError, ValueError):
        raise BadInput(f"frames must be a whole number, got {str(frames)[:40]!r}") from None


def build(lab: Lab, app: gr.Blocks) -> Models:
    """Components, handlers, wiring; inside the app's Blocks."""
    page = Models(lab)
    page.lay_out()
    page.wire(app)
    return page


PAGE = Page("Models", "models", build, place=6)
