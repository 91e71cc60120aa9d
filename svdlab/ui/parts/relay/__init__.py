"""An answer that several parts of a page may hear: what a handler returns is told to them, and nothing of it is seen.

Knows how parts of a page speak to each other; nothing of what is said.
"""

from __future__ import annotations

import gradio as gr

from svdlab.ui.parts.element import element, escape


def build(name: str, topic: str) -> gr.HTML:
    """The element; parts of the page hear its values as `topic`."""
    return element("relay", None, template=f'<div hidden data-topic="{escape(topic)}"></div>', name=name)
