"""What stands around every page: name, navigation, and in words what it renders with.

Knows which pages there are and the lab's catalogue; nothing of a page's inside.
"""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr

from svdlab.lab.lab import Lab
from svdlab.ui.parts.element import escape, plain

HEAD = """
<link rel="icon" href="data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E%3Crect
 width='32' height='32' rx='7' fill='%23137a71'/%3E%3Cpath d='M8 9h10v14H8z' fill='%23fff' opacity='.45'/%3E%3Cpath
 d='M14 9h10v14H14z' fill='%23fff'/%3E%3C/svg%3E">
"""
MARK = (
    '<svg viewBox="0 0 32 32" aria-hidden="true"><rect width="32" height="32" rx="7" fill="var(--accent)"/>'
    '<path d="M8 9h10v14H8z" fill="var(--on-accent)" opacity=".45"/><path d="M14 9h10v14H14z" fill="var(--on-accent)"/>'
    "</svg>"
)


@dataclass(frozen=True)
class PageLink:
    """A page in the navigation. `path` is "" for the first one."""

    name: str
    path: str


def build_header(lab: Lab, pages: tuple[PageLink, ...], here: str, device: str = "auto") -> None:
    """The header of the page `here`; every page calls it first."""
    gr.Navbar(visible=False)
    links = "".join(
        f'<a href="{page.path or "./"}"{" aria-current=page" if page.path == here else ""}>{escape(page.name)}</a>'
        for page in pages
    )
    plain(
        f'<header class="frame"><a class="brand" href="./">{MARK}<span>svdlab</span></a>'
        f'<nav aria-label="Pages">{links}</nav><p class="status">{escape(status(lab, device))}</p></header>',
        name=f"frame-{here or 'explore'}",
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
