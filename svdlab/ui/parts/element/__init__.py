"""What a part is built on: static HTML with one script, speaking through one JSON value.

Gradio's HTML component runs a script once and keeps the template, so everything that changes is drawn by the
script from `value`. People's words reach the page as text nodes only, never as HTML. Knows Gradio and the folders of
the parts (`<part>/<part>.html`, `.js`, `.css`); nothing of the lab.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gradio as gr

from svdlab.errors import SvdlabError

PARTS = Path(__file__).parent.parent
COMMON = ("element/news.js", "element/address.js", "element/common.js")  # in front of every part's script

# How every handler is wired: nothing dims while it runs, no program calls it, and it answers the call itself.
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "queue": False}
# Of a click that may come again before the answer to the last one.
EACH: dict[str, Any] = {"trigger_mode": "multiple", **QUIET}


def element(
    part: str,
    value: Any = None,
    *,
    name: str,
    template: str = "",
    before: tuple[str, ...] = (),
) -> gr.HTML:
    """The element of a part; `name` is its id on the page, unique in the app.

    `template` stands for the part's own markup where that is made from knobs or choices. `before` are scripts of other
    parts that it calls, put in front of its own.
    """
    code = "".join(text_of(path) for path in (*COMMON, *before, f"{part}/{part}.js"))
    return gr.HTML(
        value=value,
        html_template=safe_template(template or markup(part)),
        js_on_load=code,
        apply_default_css=False,
        elem_id=name,
        elem_classes=["lab-element", f"lab-{part}"],
    )


def markup(part: str) -> str:
    """A part's own markup."""
    return text_of(f"{part}/{part}.html")


def text_of(path: str) -> str:
    """A file of a part, as `<part>/<name>`."""
    return (PARTS / path).read_text(encoding="utf-8")


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


@contextmanager
def saying() -> Iterator[None]:
    """Has the lab's sentences reach whoever asked, word for word, where a handler has nothing else to show them in."""
    try:
        yield
    except SvdlabError as error:
        raise gr.Error(str(error), print_exception=False) from None


def asked(event: gr.EventData) -> dict[str, Any]:
    """What a page's event says, as a dict: untrusted."""
    return event._data if isinstance(event._data, dict) else {}
