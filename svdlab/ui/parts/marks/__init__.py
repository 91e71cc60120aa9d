"""Marks, the stars, ratings, notes and tags a person puts on runs and comparisons: as a page shows and asks for them.

Knows the lab as its visitor has it; nothing of the page's wiring. What a page asks is untrusted.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from svdlab.errors import BadInput
from svdlab.lab.visit import Visit
from svdlab.recipes.records import Comparison, Run
from svdlab.ui.words import ago

MOST_CHOSEN = 500  # ids in one request


def of(marked: Run | Comparison) -> dict[str, Any]:
    """What a tile shows of them."""
    return {
        "id": marked.id,
        "starred": marked.starred,
        "rating": marked.rating,
        "note": marked.note,
        "tags": list(marked.tags),
        "binned": marked.deleted is not None,
        "when": ago(marked.created),
        "moment": datetime.fromtimestamp(marked.created).strftime("%Y-%m-%d %H:%M"),
    }


def chosen(asked: Mapping[str, Any]) -> list[str]:
    """The ids a page names."""
    ids = asked.get("ids")
    return list(dict.fromkeys(str(id) for id in ids))[:MOST_CHOSEN] if isinstance(ids, list) else []


def two(asked: Mapping[str, Any]) -> tuple[str, str]:
    """The two ids a page names, the older one first: an id begins with its time. Raises `BadInput`."""
    ids = sorted(chosen(asked))
    if len(ids) != 2:
        raise BadInput(f"choose two runs, got {len(ids)}")
    return ids[0], ids[1]


def put(visit: Visit, asked: Mapping[str, Any], ids: list[str]) -> None:
    """Puts the mark that is asked for on runs and comparisons of the visitor's. Raises `SvdlabError`."""
    lab = visit.lab
    what, value = str(asked.get("what")), asked.get("value")
    for id in visit.own(ids):
        match what:
            case "star":
                lab.history.set_star(id, bool(value))
            case "rate":
                lab.history.rate(id, None if value is None else _whole(value))
            case "note":
                lab.history.note(id, str(value or ""))
            case "tag":
                lab.history.tag(id, str(value or ""))
            case "untag":
                lab.history.untag(id, str(value or ""))
            case _:
                raise BadInput("that mark is not known")


def _whole(value: Any) -> Any:
    """A number from the page as a rating wants it; anything else is refused there."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
