"""A grouped drop-down; under it stand the summary, what to look for and the state of what is chosen.

Knows names and sentences; nothing of what is chosen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import gradio as gr

from svdlab.ui.parts.element import data, element, escape

Groups = Mapping[str, Sequence[tuple[str, str]]]  # title → (id, words) of what can be chosen
Notes = Mapping[str, Mapping[str, str]]  # id → its summary, look and state


def build(name: str, field: str, label: str, groups: Groups, notes: Notes, value: str) -> gr.HTML:
    """The element; `field` is what an error's sentence names to stand under it."""
    options = ""
    for title, entries in groups.items():
        inner = "".join(f'<option value="{escape(id)}">{escape(text)}</option>' for id, text in entries)
        options += f'<optgroup label="{escape(title)}">{inner}</optgroup>' if title and inner else inner
    template = (
        f'<div class="choice" data-field="{escape(field)}" data-notes="{data(notes)}">'
        f'<label for="{name}-select">{escape(label)}</label>'
        f'<div class="select"><select id="{name}-select">{options}</select></div>'
        '<p class="help choice-summary"></p><p class="help choice-look" hidden></p>'
        '<p class="note choice-state" hidden></p><p class="error choice-error" role="alert" hidden></p></div>'
    )
    return element("choice", value, template=template, name=name)
