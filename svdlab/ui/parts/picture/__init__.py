"""The picture box of a page: an untrusted file in, the hash of a kept picture out.

The picture itself never gets an address: the page shows a small copy inside the value. Knows the lab and
images; nothing of runs.
"""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder
from PIL import Image

from svdlab.clips.pictures import load_picture
from svdlab.errors import BadInput, BadPicture, NotFound, SvdlabError
from svdlab.exchange.restore import Restored, restore, settings_in
from svdlab.lab.examples import example_pictures
from svdlab.lab.lab import Lab
from svdlab.lab.pictures import StoredPicture
from svdlab.ui.parts.element import QUIET, asked, element, escape, markup
from svdlab.ui.words import sentence

SHOWN_SIDE = 960  # pixels, long side of the copy a page shows
THUMB_SIDE = 128
CARRIERS = (".mp4", ".webm", ".json")  # files that are no pictures: without a recipe they are of no use


class PictureBox:
    """The component and what it does; `name` is its id on the page."""

    def __init__(self, lab: Lab, name: str) -> None:
        self.lab = lab
        self._shown: dict[int, dict[str, Any]] = {}  # of examples: every first visit shows one
        thumbs = "".join(
            f'<button type="button" class="example" data-example="{index}" title="{escape(_title(path))}">'
            f'<img src="{_thumb(path)}" alt="{escape(_title(path))}"></button>'
            for index, path in enumerate(example_pictures())
        )
        self.component: gr.HTML = element(
            "picture",
            {},
            template=markup("picture").replace("{examples}", thumbs),
            name=name,
            before=("picture/fitting.js",),
        )

    def wire(self, take: Callable[..., Any], inputs: list[Any], outputs: list[Any]) -> None:
        """Examples become kept pictures; what is dropped in goes to `take`, the page's own handler."""
        self.component.upload(take, inputs, outputs, **QUIET)
        self.component.select(self.example, self.component, self.component, **QUIET)

    def receive(self, before: Any, event: gr.EventData) -> dict[str, Any]:
        """Keeps an uploaded picture; a bad one leaves the former in place and says why."""
        try:
            path = uploaded(asked(event).get("path"))
            return self._kept(path, str(asked(event).get("name") or path.name)[:120])
        except SvdlabError as error:
            return {**(before if isinstance(before, dict) else {}), "error": sentence(error)}

    def recipe_in(self, event: gr.EventData) -> Restored | None:
        """What a dropped file says of settings; None for a picture that says nothing. Raises `SvdlabError`."""
        path = uploaded(asked(event).get("path"))
        if asked(event).get("plain"):
            return None
        if path.suffix.lower() in CARRIERS:
            return restore(self.lab, path)
        try:
            return settings_in(self.lab, path)
        except BadInput:  # of a kind that carries nothing, or a damaged text: the picture may still be good
            return None

    def restored(self, before: Any, found: Restored, event: gr.EventData) -> dict[str, Any]:
        """The picture a file names, if it is kept here, and in sentences what came back and what did not."""
        path = uploaded(asked(event).get("path"))
        name = str(asked(event).get("name") or path.name)[:120]
        value = dict(before) if isinstance(before, dict) else {}
        if found.picture_here and found.picture_sha256:
            value = self.value(self.lab.picture(found.picture_sha256))
        source = f"its {found.origin.removeprefix('svdlab ')}"
        said = f"{name}: the settings were read from {source}."
        plain = None if path.suffix.lower() in CARRIERS else {"place": str(path), "name": name}
        return {**value, "notes": [said, *found.notes], "error": "", "plain": plain}

    def example(self, before: Any, event: gr.EventData) -> dict[str, Any]:
        """Keeps one of the example pictures."""
        known = example_pictures()
        index = str(asked(event).get("example"))
        if not index.isdigit() or int(index) >= len(known):
            return before if isinstance(before, dict) else {}
        return self.from_example(int(index))

    def from_example(self, index: int) -> dict[str, Any]:
        """The value for an example picture, by its place; an empty one if there are no examples."""
        known = example_pictures()
        if index >= len(known):
            return {}
        if index not in self._shown or not self._is_kept(self._shown[index]["sha256"]):
            self._shown[index] = self._kept(known[index], _title(known[index]))
        return {**self._shown[index], "fresh": time.time()}

    def _is_kept(self, sha256: str) -> bool:
        try:
            return self.lab.picture(sha256).path.is_file()
        except NotFound:
            return False

    def _kept(self, path: Path, name: str) -> dict[str, Any]:
        """Reads a picture, once, keeps and shows it. Raises `BadPicture`, `DataFolderError`."""
        picture = load_picture(path)
        value = self.value(self.lab.add_picture(picture), name, picture.image)
        return {**value, "fresh": time.time()}

    def value(
        self, stored: StoredPicture, name: str = "", image: Image.Image | None = None
    ) -> dict[str, Any]:
        """What the component shows for a kept picture; `image` is it, if it is at hand."""
        if image is None:
            with Image.open(stored.path) as opened:
                image = opened.convert("RGB")
        return {
            "sha256": stored.sha256,
            "preview": data_uri(image, SHOWN_SIDE),
            "width": stored.width,
            "height": stored.height,
            "name": name,
            "notes": list(stored.notes),
        }

    def read(self, value: Any) -> StoredPicture:
        """The kept picture a value names. Raises `BadPicture`, `NotFound`."""
        sha256 = value.get("sha256") if isinstance(value, dict) else None
        if not isinstance(sha256, str) or not sha256:
            raise BadPicture("drop in a picture first")
        return self.lab.picture(sha256)

    def problem(self, before: Any, error: SvdlabError) -> dict[str, Any]:
        """The value with a sentence under the picture; the picture stays."""
        return {**(before if isinstance(before, dict) else {}), "error": sentence(error)}


def uploaded(path: Any) -> Path:
    """The path of a file that was uploaded to this server, and of no other. Raises `BadPicture`."""
    folder = Path(get_upload_folder()).resolve()
    try:
        found = Path(str(path)).resolve()
        if path and found.is_relative_to(folder) and found.is_file():
            return found
    except (OSError, ValueError):
        pass
    raise BadPicture("that file was not uploaded here; send the picture again")


@cache
def _thumb(path: Path) -> str:
    with Image.open(path) as image:
        return data_uri(image.convert("RGB"), THUMB_SIDE)


def data_uri(image: Image.Image, side: int) -> str:
    """A small copy as a data address, at most `side` pixels long."""
    small = image.copy()
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    small.save(out, "WEBP", quality=82, method=2)
    return "data:image/webp;base64," + base64.b64encode(out.getvalue()).decode("ascii")


def _title(path: Path) -> str:
    words = path.stem.replace("-", " ").replace("_", " ").lstrip("0123456789 ")
    return words.capitalize()
