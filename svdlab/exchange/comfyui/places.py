"""Where workflows stand in what a file carries: under which keys, as text once more, in what ComfyUI's server answers.

Knows places; nothing of nodes. Untrusted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from svdlab.exchange.comfyui.formats import is_workflow

MAX_ITEMS = 1000  # of an answer of the server that are looked at


def parsed(text: str) -> dict[str, Any] | None:
    """A JSON object; None for anything else: nesting without end, other text.

    `NaN` and `Infinity`, which Python writes though JSON has no such numbers, are read as such: whoever uses a value
    sees that it is none.
    """
    try:
        value = json.loads(text) if text.lstrip()[:1] == "{" else None
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def workflows_in(values: Mapping[str, dict[str, Any]]) -> Iterator[tuple[Any, Any]]:
    """Pairs of (API format, page's format), either of which may be None, in the texts of a file by their keys."""
    for value in (values, *values.values()):
        yield from _pair(value.get("prompt"), value.get("workflow"))
    for value in values.values():
        if is_workflow(value):
            yield value, value
        yield from _answered(value)


def _pair(prompt: Any, workflow: Any) -> Iterator[tuple[Any, Any]]:
    prompt, workflow = _unpacked(prompt), _unpacked(workflow)
    if is_workflow(prompt) or is_workflow(workflow):
        yield prompt, workflow


def _unpacked(value: Any) -> Any:
    """A workflow that some programs write as text once more."""
    return parsed(value) if isinstance(value, str) else value


def _answered(value: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
    """What `/history` and `/queue` answer: (number, id, the API format, more, outputs), alone, by id or listed."""
    items: list[Any] = [value]
    for one in list(value.values())[:MAX_ITEMS]:
        items += one[:MAX_ITEMS] if isinstance(one, list) else [one]
    for item in items[: 2 * MAX_ITEMS]:
        asked = item.get("prompt") if isinstance(item, dict) else item
        if isinstance(asked, list) and len(asked) >= 3:
            more = asked[3] if len(asked) > 3 and isinstance(asked[3], dict) else {}
            info = more.get("extra_pnginfo")
            yield from _pair(asked[2], info.get("workflow") if isinstance(info, dict) else None)
