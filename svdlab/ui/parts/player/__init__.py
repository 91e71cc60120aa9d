"""The frame-locked A/B player as a Gradio component. Knows Gradio and files; nothing of the lab.

    ComparePlayer(empty="…")                  the component; with one clip, a looping player with the same transport
    player_value(Clip(…), Clip(…), fps=6)     what it shows when there are clips
    preview_value(url, url, text="…")         what it shows while they form
    None                                      the placeholder

`player.html` never changes after it is on the page; the scripts draw everything from the value.
"""

from __future__ import annotations

from abc import ABCMeta
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import gradio as gr
from gradio.component_meta import ComponentMeta, updateable

from svdlab.ui.parts.element import text_of

# One function body, in this order.
SCRIPTS = (
    "element/news.js",
    "element/address.js",
    "player/frames.js",
    "player/player.js",
    "player/drawing.js",
    "player/hands.js",
)


@dataclass(frozen=True)
class Clip:
    """One side: an MP4 of ours, what stands above it, and how many frames it has."""

    path: Path | str
    label: str
    frames: int


def player_value(
    a: Clip, b: Clip | None = None, *, fps: float, size: tuple[int, int] | None = None
) -> dict[str, Any]:
    """Clips to play at `fps`; of unequal clips, what both have. `size` (width, height) reserves their place early."""
    return {"kind": "clips", "a": _side(a), "b": _side(b) if b else None, "fps": fps, "aspect": _aspect(size)}


def preview_value(
    a: str | None,
    b: str | None = None,
    *,
    text: str,
    fraction: float,
    labels: tuple[str, ...] = ("", ""),
    size: tuple[int, int] | None = None,
    cancel: str | None = None,
) -> dict[str, Any]:
    """Clips as they form: `a` and `b` are `data:image/…` or page-relative addresses, None while there is nothing yet.

    Two `labels` make two sides, one makes one. `fraction` is 0 to 1; `text` says it in words. With `cancel` (the run's
    id) a button triggers the event `stop`, whose data holds that id as `run`.
    """
    sides = [{"url": url, "label": label} for url, label in zip((a, b), labels, strict=False)]
    return {
        "kind": "preview",
        "a": sides[0],
        "b": sides[1] if len(sides) > 1 else None,
        "text": text,
        "fraction": fraction,
        "aspect": _aspect(size),
        "cancel": cancel,
    }


class _WithoutStub(ComponentMeta):
    """Gradio writes a `.pyi` beside every component class it meets on import; not into our package."""

    def __new__(cls, name: str, bases: tuple[type, ...], attrs: dict[str, Any]) -> Any:
        attrs["__init__"] = updateable(attrs["__init__"])
        return ABCMeta.__new__(cls, name, bases, attrs)


class ComparePlayer(gr.HTML, metaclass=_WithoutStub):
    """Two clips on one clock: side by side, wipe, difference, blink; or one clip."""

    def __init__(
        self,
        value: dict[str, Any] | None = None,
        *,
        empty: str = "Nothing to play yet.",
        sides: Literal[1, 2] = 2,
        aspect: str = "16/9",
        autoplay: bool = True,
        keys: Literal["page", "player"] = "page",
        visible: bool | Literal["hidden"] = True,
        elem_id: str | None = None,
        elem_classes: list[str] | str | None = None,
        render: bool = True,
    ) -> None:
        """`sides` and `aspect` shape the empty place; `keys="page"` takes keys also when nothing has the focus."""
        self.empty, self.sides, self.aspect, self.autoplay, self.keys = empty, sides, aspect, autoplay, keys
        super().__init__(
            value=value,
            html_template=text_of("player/player.html"),
            css_template=text_of("player/player.css"),
            js_on_load="".join(text_of(path) for path in SCRIPTS),
            apply_default_css=False,
            visible=visible,
            elem_id=elem_id,
            elem_classes=elem_classes,
            render=render,
            empty=empty,
            sides=sides,
            aspect=aspect,
            autoplay=autoplay,
            keys=keys,
        )

    def preprocess(self, payload: Any) -> Any:
        """The value as the page has it: untrusted."""
        return payload

    def postprocess(self, value: Any) -> Any:
        """A value of `player_value` or `preview_value`, or None."""
        if value is not None and not isinstance(value, dict):
            raise TypeError(
                f"the player shows player_value(…), preview_value(…) or None, got {type(value).__name__}"
            )
        return value

    def api_info(self) -> dict[str, Any]:
        return {"type": "object", "description": "what the player shows"}

    def example_payload(self) -> Any:
        return None

    def example_value(self) -> Any:
        return None


def _side(clip: Clip) -> dict[str, Any]:
    # Not Gradio's FileData, which would copy the file: the server may show a run's files where they are.
    return {"path": str(clip.path), "label": clip.label, "frames": clip.frames}


def _aspect(size: tuple[int, int] | None) -> str | None:
    return f"{size[0]}/{size[1]}" if size else None
