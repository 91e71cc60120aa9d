"""What stands around every page: name, navigation, and in words what it renders with.

Knows what a page says of itself and the lab's catalogue; nothing of a page's inside.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from svdlab.lab.lab import Lab
from svdlab.ui.parts.element import escape, plain

HEAD = """
<link rel="icon" href="data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E%3Crect
 width='32' height='32' rx='7' fill='%23137a71'/%3E%3Cpath d='M8 9h10v14H8z' fill='%23fff' opacity='.45'/%3E%3Cpath
 d='M14 9h10v14H14z' fill='%23fff'/%3E%3C/svg%3E">
"""
LOGO = (
    '<svg viewBox="0 0 32 32" aria-hidden="true"><rect width="32" height="32" rx="7" fill="var(--accent)"/>'
    '<path d="M8 9h10v14H8z" fill="var(--on-accent)" opacity=".45"/><path d="M14 9h10v14H14z" fill="var(--on-accent)"/>'
    "</svg>"
)


@dataclass(frozen=True)
class Page:
    """What the file of a page says of it, as its `PAGE`."""

    name: str
    path: str  # of its address; "" for the first one
    build: Callable[
        [Lab, gr.Blocks], Any
    ]  # puts components, handlers and wiring into the app; returns the page
    place: int | None = None  # in the navigation, from the left; None: others lead there
    within: str = ""  # path of the page that the navigation shows instead, where it has no place


def build_header(lab: Lab, pages: Sequence[Page], here: Page, device: str = "auto") -> None:
    """The header of the page `here`, in front of everything else on it."""
    gr.Navbar(visible=False)
    present = here.path if here.place is not None else here.within
    links = "".join(
        f'<a href="{page.path or "./"}"{" aria-current=page" if page.path == present else ""}>{escape(page.name)}</a>'
        for page in pages
        if page.place is not None
    )
    plain(
        f'<header class="frame"><a class="brand" href="./">{LOGO}<span>svdlab</span></a>'
        f'<nav aria-label="Pages">{links}</nav><p class="status">{escape(status(lab, device))}</p></header>',
        name=f"frame-{here.path or 'first'}",
        classes="frame-holder",
    )


def status(lab: Lab, device: str) -> str:
    """'Demo pair on CPU', 'SVD-XT 1.1 on cuda': what a first Generate would use."""
    start = lab.catalogue.default()
    name = "Demo pair" if start.demo else start.name
    done = lab.history.runs(limit=1, states=("done",))
    where = device if device != "auto" else done[0].outcome.device if done else ""
    return f"{name} on {where.upper() if where == 'cpu' else where}" if where else name


def build_about(lab: Lab) -> None:
    """A line on what the present checkpoint is, and where there are others."""
    start = lab.catalogue.default()
    more = "Get Stability's weights under" if start.demo else "What there is beside it:"
    plain(
        f'<p class="about">{escape(start.name)}: {escape(start.limits[0])} {more} <a href="models">Models</a>.</p>',
        name="about",
    )
