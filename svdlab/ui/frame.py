"""What stands around every page: name, navigation, and in words what it renders with.

Knows which pages there are and the lab's catalogue; nothing of a page's inside.
"""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr

from svdlab.checkpoints import Checkpoint
from svdlab.lab import Lab
from svdlab.ui.elements import escape, plain

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
    done = lab.runs(limit=1, states=("done",))
    where = device if device != "auto" else done[0].outcome.device if done else ""
    return f"{name} on {where.upper() if where == 'cpu' else where}" if where else name


def build_about(lab: Lab) -> None:
    """A line on what the present checkpoint is, and the whole catalogue folded below it."""
    start = lab.catalogue.default()
    hint = " Stability's weights are used as soon as they are on disk." if start.demo else ""
    rows = "".join(map(_row, lab.catalogue))
    limits: dict[tuple[str, ...], list[str]] = {}
    for checkpoint in lab.catalogue:
        limits.setdefault(checkpoint.limits, []).append(checkpoint.name)
    known = "".join(
        f"<p><b>{escape(', '.join(names))}.</b> {escape(' '.join(said))}</p>"
        for said, names in limits.items()
    )
    plain(
        f'<section class="about"><p>{escape(start.name)}: {escape(start.limits[0])}{hint}</p>'
        "<details><summary>Checkpoints</summary><div class='scroll'><table><thead><tr><th>Checkpoint</th><th>What it is"
        "</th><th>Where it is</th><th>Licence</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></div><h3>What to expect of them</h3>{known}</details></section>",
        name="about",
    )


def _row(checkpoint: Checkpoint) -> str:
    c = checkpoint
    what = f"{c.summary} {c.trained_for[:1].upper()}{c.trained_for[1:]}."
    licence = escape(c.licence)
    if c.licence_url:
        licence = f'<a href="{escape(c.licence_url)}" target="_blank" rel="noopener">{licence}</a>'
    return (
        f"<tr><th scope='row'>{escape(c.name)}<code>{escape(c.id)}</code>"
        f"<span>{c.native_frames} frames, {c.width}×{c.height}</span></th><td>{escape(what)}</td>"
        f"<td>{escape(c.availability().sentence)}</td><td>{licence}</td></tr>"
    )
