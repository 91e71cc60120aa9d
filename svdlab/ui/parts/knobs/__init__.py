"""The knob panel: every knob with its control, its help and its place for notes and errors, made from `KNOBS`.

Its value is one dict, so that what a person typed reaches `GenerationSettings.parse` untouched. Knows knobs; nothing
of checkpoints or the lab.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from svdlab.recipes.settings import KNOBS, Knob
from svdlab.ui.parts.element import element, escape, markup

GROUPS = {
    "motion": "Motion",
    "sampling": "Sampling",
    "picture": "Size and crop",
    "output": "Decoding and playback",
}
EMPTY = {  # what an empty box means
    "seed": "random",
    "decode_chunk_size": "all",
    "playback_fps": "as frame rate",
}
DICE = (
    '<svg viewBox="0 0 20 20" aria-hidden="true"><rect x="3" y="3" width="14" height="14" rx="3" fill="none" '
    'stroke="currentColor" stroke-width="1.5"/><circle cx="7" cy="7" r="1.3"/><circle cx="13" cy="7" r="1.3"/>'
    '<circle cx="10" cy="10" r="1.3"/><circle cx="7" cy="13" r="1.3"/><circle cx="13" cy="13" r="1.3"/></svg>'
)
LOCK = (
    '<svg viewBox="0 0 20 20" aria-hidden="true" fill="none" stroke="currentColor" stroke-width="1.5">'
    '<rect x="4" y="9" width="12" height="8" rx="2"/><path class="closed" d="M6.5 9V6.5a3.5 3.5 0 0 1 7 0V9"/>'
    '<path class="open" d="M6.5 9V5.5a3.5 3.5 0 0 1 6.6-1.6"/></svg>'
)


def build(name: str, value: dict[str, Any]) -> gr.HTML:
    """The element; `name` is also the prefix of the knobs' ids. It triggers `submit` on Enter."""
    template = _markup(name)
    return element("knobs", value, template=template, name=f"{name}-knobs", before=("loras/loras.js",))


def _markup(name: str) -> str:
    essential = "".join(_cell(name, knob) for knob in KNOBS.values() if knob.group == "essential")
    folded = ""
    for group, title in GROUPS.items():
        cells = "".join(_cell(name, knob) for knob in KNOBS.values() if knob.group == group)
        folded += f'<section><h3>{title}</h3><div class="knob-grid">{cells}</div></section>'
    return (
        f'<div class="knobs"><div class="knob-grid essential">{essential}</div>'
        '<details class="knobs-more"><summary>More'
        "<span>noise, steps, guidance, size, crop, decoding, LoRA</span></summary>"
        f"{folded}{markup('loras')}</details></div>"
    )


def _cell(panel: str, knob: Knob) -> str:
    id = f"{panel}-{knob.name}"
    why = more = ""
    if knob.more:
        why = (
            f'<button type="button" class="why" aria-expanded="false" aria-controls="{id}-more" '
            f'aria-label="More about {escape(knob.label.lower())}" title="More">?</button>'
        )
        more = f'<p class="help knob-explained" id="{id}-more" hidden>{escape(knob.more)}</p>'
    limits = f'data-min="{knob.minimum}" data-max="{knob.maximum}" data-step="{knob.step or ""}"'
    return (
        f'<div class="knob {knob.name}" data-knob="{knob.name}" {limits}>'
        f'<div class="knob-head"><label for="{id}" id="{id}-label">{escape(knob.label)}</label>{why}</div>'
        f'<div class="knob-row">{_body(id, knob)}</div>'
        f'<p class="help" id="{id}-help">{escape(knob.help)}</p>'
        '<p class="knob-live" hidden></p><p class="note knob-note" hidden></p>'
        f'<p class="error knob-error" role="alert" hidden></p>{more}</div>'
    )


def _body(id: str, knob: Knob) -> str:
    if knob.kind == "choice":
        radios = "".join(
            f'<label><input type="radio" name="{id}" value="{word}"><span>{_word(word)}</span></label>'
            for word in knob.choices
        )
        return f'<div class="segments" role="radiogroup" aria-labelledby="{id}-label">{radios}</div>'
    mode = "numeric" if knob.kind == "int" else "decimal"
    number = (
        f'<input class="number" id="{id}" type="text" inputmode="{mode}" autocomplete="off" spellcheck="false" '
        f'placeholder="{EMPTY.get(knob.name, "")}" aria-describedby="{id}-help">'
    )
    if knob.name == "seed":
        return (
            f'{number}<button type="button" class="icon dice" aria-label="New seed" title="New seed">{DICE}</button>'
            f'<button type="button" class="icon lock" aria-label="Keep the seed" aria-pressed="true">{LOCK}</button>'
        )
    unit = f'<span class="unit">{escape(knob.unit)}</span>' if knob.unit in ("px", "fps") else ""
    if knob.optional or knob.usual is None:
        return number + unit
    low, high = knob.usual
    return (
        f'<input type="range" min="{low:g}" max="{high:g}" step="{knob.step or "any"}" '
        f'aria-labelledby="{id}-label" aria-describedby="{id}-help">{number}{unit}'
    )


def _word(word: str) -> str:
    return word.upper() if word in ("ays", "lcm") else word.capitalize()
