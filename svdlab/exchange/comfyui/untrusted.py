"""Values of JSON that may be of any kind, as the kind that is wanted; empty where they are another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def listed(value: Any) -> list[Any]:
    """The list that it is."""
    return list(value) if isinstance(value, list) else []


def objects(value: Any) -> list[Mapping[str, Any]]:
    """The objects in the list that it is."""
    return [one for one in listed(value) if isinstance(one, dict)]


def mapped(value: Any) -> Mapping[str, Any]:
    """The object that it is."""
    return value if isinstance(value, dict) else {}
