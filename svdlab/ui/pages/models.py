"""Models: what weights there are, where they are, how to get them, what is in memory, and what differs between two.

Handlers ask the lab and show; downloads go on in the lab when the page is left. Everything is drawn by one element from
one value.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gradio as gr

from svdlab.errors import SvdlabError
from svdlab.lab.lab import Lab
from svdlab.recipes.checkpoint import Checkpoint
from svdlab.recipes.settings import KNOBS
from svdlab.ui.pages.explore import QUIET
from svdlab.ui.parts.element import element
from svdlab.ui.words import duration, sentence
from svdlab.weights.availability import availability, fetches
from svdlab.weights.downloads import Download

WATCH_SECONDS = 0.5  # how often a running download is drawn
PART_WORDS = {"unet": "UNet", "image_encoder": "CLIP", "vae": "VAE"}
TEMPLATE = """
<div class="models">
  <section class="memory" aria-label="In memory"><h2>In memory</h2><p class="memory-line"></p>
    <div class="memory-bar" hidden></div><ul class="memory-parts"></ul></section>
  <section aria-label="Checkpoints"><h2>Checkpoints</h2><div class="cards"></div></section>
  <section class="adding" aria-label="Add weights" hidden><h2>Add weights of your own</h2>
    <p class="help">A .safetensors file in Stability's layout (from a ComfyUI folder, say) or a folder in diffusers
      layout, on the machine that svdlab runs on. It is read whole and checked first; it stays where it is.</p>
    <form class="add-form"><label>Path <input class="add-path" type="text" autocomplete="off" spellcheck="false"
      placeholder="/models/checkpoints/svd_xt.safetensors"></label><label>Frames <input class="add-frames" type="number"
      min="1" max="128" placeholder="25"></label><button type="submit" class="small">Check and add</button></form>
    <p class="error add-error" role="alert" hidden></p><p class="help add-said" role="status" hidden></p></section>
  <section class="touched" aria-label="What fine-tuning touched"><h2>What differs between two checkpoints</h2>
    <p class="help">Per block and kind of layer: ‖B − A‖ / ‖A‖ over its numbers. Where a part is identical it is in
      memory once for both.</p>
    <div class="touched-form"><label>A <span class="select"><select class="touched-a"></select></span></label>
      <label>B <span class="select"><select class="touched-b"></select></span></label>
      <button type="button" class="small touched-go">Compare weights</button></div>
    <p class="error touched-error" role="alert" hidden></p><p class="help touched-said" role="status" hidden></p>
    <div class="scroll touched-plot" tabindex="0" role="region" aria-label="Differences by block"
      hidden></div></section>
</div>
"""


class Models:
    """The page's parts and handlers."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.shared = bool(os.environ.get("SPACE_ID"))  # visitors do not change what others see
        self.view: gr.HTML

    def lay_out(self) -> None:
        """Everything on the page."""
        if self.shared and os.environ.get("OAUTH_CLIENT_ID"):
            gr.LoginButton("Log in with Hugging Face to use gated weights", size="sm")
        self.view = element("models", TEMPLATE, self.value(), name="models-view")

    # Handlers

    def open(self) -> Iterator[dict[str, Any]]:
        """A visit: the list as it is now, followed while anything is downloaded."""
        self.lab.refresh_checkpoints()
        yield self.value()
        yield from self._follow()

    def get(self, event: gr.EventData) -> Iterator[dict[str, Any]]:
        """Starts or continues a download and follows it."""
        yield from self._get(event, None)

    def get_with_login(
        self, event: gr.EventData, login: gr.OAuthToken | None = None
    ) -> Iterator[dict[str, Any]]:
        """As `get`, with the visitor's own login of a Space."""
        yield from self._get(event, login.token if login else None)

    def _get(self, event: gr.EventData, token: str | None) -> Iterator[dict[str, Any]]:
        try:
            self.lab.downloads.start(self.lab.catalogue.get(str(event._data.get("id"))), token)
        except SvdlabError as error:
            yield self.value(said={"error": sentence(error)})
            return
        yield from self._follow()

    def _follow(self) -> Iterator[dict[str, Any]]:
        while self.lab.downloads.running():
            yield self.value()
            time.sleep(WATCH_SECONDS)
        yield self.value()

    def cancel(self, event: gr.EventData) -> None:
        """Stops a download; what it has stays."""
        self.lab.downloads.cancel(str(event._data.get("id")))

    def add(self, event: gr.EventData) -> Iterator[dict[str, Any]]:
        """Checks and registers a file or folder of this machine."""
        path, frames = str(event._data.get("place") or "").strip(), event._data.get("frames")
        if self.shared:
            return
        if not path:
            yield self.value(added={"error": "Say where the file or folder is."})
            return
        yield self.value(added={"said": f"Reading {path}…"})
        try:
            count = int(frames) if frames else None
            facts = self.lab.verify(self.lab.registry.read(Path(path), None, count))
            added = self.lab.add_checkpoint(path, None, count)
        except (SvdlabError, ValueError, OSError) as error:
            yield self.value(added={"error": sentence(error)})
            return
        said = f"{added.id} is here now, whole: {'; '.join(facts)}."
        yield self.value(added={"said": said, "clear": True})

    def remove(self, event: gr.EventData) -> dict[str, Any]:
        """Forgets a registered checkpoint."""
        try:
            if not self.shared:
                self.lab.remove_checkpoint(str(event._data.get("id")))
        except SvdlabError as error:
            return self.value(added={"error": sentence(error)})
        return self.value()

    def check(self, event: gr.EventData) -> Iterator[dict[str, Any]]:
        """Reads all of a checkpoint's weights."""
        id = str(event._data.get("id"))
        yield self.value(checked={"id": id, "said": "Reading all of it…", "busy": True})
        try:
            facts = self.lab.verify(self.lab.catalogue.get(id))
        except SvdlabError as error:
            yield self.value(checked={"id": id, "error": sentence(error)})
            return
        yield self.value(checked={"id": id, "said": "Whole. " + "; ".join(facts) + "."})

    def diff(self, event: gr.EventData) -> Iterator[dict[str, Any]]:
        """Compares two checkpoints' weights block by block."""
        ids = [str(event._data.get(side)) for side in ("a", "b")]
        yield self.value(touched={"said": "Reading both…", "busy": True})
        try:
            a, b = (self.lab.catalogue.get(id) for id in ids)
            changes = [asdict(change) for change in self.lab.diff(a, b)]
        except SvdlabError as error:
            yield self.value(touched={"error": sentence(error)})
            return
        same = [PART_WORDS[c["part"]] for c in changes if c["kind"] == "identical"]
        said = f"{a.name} and {b.name}: " + (
            f"identical {' and '.join(same)}" if same else "no part is identical"
        )
        if len(same) == len(PART_WORDS):
            said = f"{a.name} and {b.name} are identical"
        for change in changes:
            change["part"] = PART_WORDS[change["part"]]
        yield self.value(touched={"said": said + ".", "changes": changes})

    # What the element shows

    def value(self, **news: Any) -> dict[str, Any]:
        """The whole page; `news` are answers to what was just asked."""
        return {
            "memory": self.memory(),
            "cards": [self.card(checkpoint) for checkpoint in self.lab.catalogue],
            "ready": [[c.id, c.name] for c in self.lab.catalogue if availability(c).ready],
            "shared": self.shared,
            **news,
        }

    def memory(self) -> dict[str, Any]:
        """What this process holds: every component once, and what sharing saves."""
        held = self.lab.resident()
        names = {c.id: c.name for c in self.lab.catalogue}
        used = sum(one.bytes for one in held)
        apart = sum(one.bytes * max(1, len(one.used_by)) for one in held)
        line = "Nothing yet: weights are read when something is rendered."
        if held:
            line = f"{size(used)} of weights"
            if apart > used:
                line += f"; {size(apart)} if nothing were shared, so {1 - used / apart:.0%} are saved"
            offload = held[0].offload
            line += {"none": ".", "model": "; each part waits in main memory until its turn."}.get(
                offload, "; the UNet is moved layer by layer."
            )
        parts = [
            {
                "part": PART_WORDS[one.part],
                "users": " and ".join(sorted(names.get(id, id) for id in one.used_by)) or "no checkpoint now",
                "size": size(one.bytes),
                "share": one.bytes / used,
                "shared": len(one.used_by) > 1,
            }
            for one in sorted(held, key=lambda one: -one.bytes)
        ]
        return {"line": line, "parts": parts}

    def card(self, c: Checkpoint) -> dict[str, Any]:
        """One checkpoint as the page shows it."""
        here = availability(c)
        download = self.lab.downloads.get(c.id)
        made = f"{c.native_frames} frames, {c.width}×{c.height}, sizes in steps of {c.size_step}"
        facts = [
            ["Frames and size", made],
            ["Trained for", c.trained_for[:1].upper() + c.trained_for[1:]],
            ["Decoder", " or ".join(c.decoders)],
        ]
        if c.fault:  # nothing is known of it
            facts.clear()
        if c.parameters:
            facts.append(["Parameters", f"{c.parameters / 1e6:,.1f} M"])
        facts += [[f"File, {precision}", f"{name}, {size(count)}"] for name, precision, count in c.files]
        official = [
            [KNOBS[name].label, f"{value} {KNOBS[name].unit}".strip()]
            for name, value in c.official.items()
            if name in KNOBS and value is not None and not c.fault
        ]
        return {
            "id": c.id,
            "name": c.name,
            "summary": c.summary,
            "state": here.state,
            "sentence": here.sentence,
            "facts": facts,
            "official": official,
            "limits": list(c.limits),
            "licence": c.licence,
            "licence_url": c.licence_url,
            "gettable": fetches(c) and not here.ready,
            "removable": not self.shared and self.lab.registry.has(c.id),
            "checkable": here.ready and not self.shared,
            "download": _download(download) if download and not here.ready else None,
        }

    # Wiring

    def wire(self, page: gr.Blocks) -> None:
        """Who calls what."""
        quiet: dict[str, Any] = {"trigger_mode": "multiple", **QUIET}
        login = self.shared and os.environ.get("OAUTH_CLIENT_ID")
        self.view.fetch(self.get_with_login if login else self.get, None, self.view, **quiet)
        self.view.halt(self.cancel, None, None, **QUIET)
        self.view.register(self.add, None, self.view, **quiet)
        self.view.forget(self.remove, None, self.view, **quiet)
        self.view.check(self.check, None, self.view, **quiet)
        self.view.contrast(self.diff, None, self.view, **quiet)
        page.load(self.open, None, self.view, **QUIET)


def _download(download: Download) -> dict[str, Any]:
    """A download as the page shows it."""
    done, total = download.bytes_done, download.bytes_total
    said = download.sentence
    if download.state == "running":
        said = "Asking the hub…" if not total else f"{size(done)} of {size(total)}"
        if download.seconds_left:
            said += f", {size(int(download.bytes_per_second))} a second, about {duration(download.seconds_left)} left"
    return {"state": download.state, "said": said, "fraction": download.fraction}


def size(count: int) -> str:
    """Bytes as a person says them: '4.5 GB', '27.4 MB'."""
    if count >= 1e8:
        return f"{count / 1e9:.1f} GB"
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.0f} kB"


def build(lab: Lab, page: gr.Blocks) -> Models:
    """Components, handlers, wiring; inside the page's Blocks."""
    models = Models(lab)
    models.lay_out()
    models.wire(page)
    return models
