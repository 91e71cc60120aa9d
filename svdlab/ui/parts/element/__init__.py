"""Small page elements of our own: static HTML with one script each, speaking through one JSON value.

Gradio's HTML component runs a script once and keeps the template, so everything that changes is drawn by the
script from `value`. People's words reach the page as text nodes only, never as HTML. Knows Gradio; nothing of
the lab.
"""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

import gradio as gr

HERE = Path(__file__).parent
PARTS = HERE.parent


def element(
    script: str,
    template: str,
    value: Any = None,
    *,
    name: str,
    classes: str = "",
    before: tuple[str, ...] = (),
) -> gr.HTML:
    """An element with the script of a part; `name` is its id on the page, unique in the app.

    `before` are scripts of other parts that it calls, put in front of it.
    """
    paths = [HERE / "common.js", *(PARTS / other for other in before), PARTS / script / f"{script}.js"]
    code = "".join(path.read_text(encoding="utf-8") for path in paths)
    return gr.HTML(
        value=value,
        html_template=safe_template(template),
        js_on_load=code,
        apply_default_css=False,
        elem_id=name,
        elem_classes=["lab-element", f"lab-{script}", *classes.split()],
    )


def plain(content: str, *, name: str, classes: str = "") -> gr.HTML:
    """Static markup of ours, without a script."""
    return gr.HTML(
        content, js_on_load=None, apply_default_css=False, elem_id=name, elem_classes=classes.split()
    )


def escape(text: str) -> str:
    """Text for an HTML template or attribute."""
    return html.escape(text, quote=True)


def data(value: Any) -> str:
    """A JSON value for a `data-` attribute."""
    return escape(json.dumps(value, ensure_ascii=False))


def safe_template(template: str) -> str:
    """The template with nothing in it that Gradio's two template languages would evaluate."""
    return (
        template.replace("\\", "&#92;")
        .replace("`", "&#96;")
        .replace("${", "&#36;{")
        .replace("{{", "&#123;&#123;")
    )
