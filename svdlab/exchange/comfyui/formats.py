"""The two formats of a workflow: which one a value is in, and the API format as a graph.

The API format (`prompt`) names every input, and what the page resolves is resolved in it. Untrusted.
"""

from __future__ import annotations

from typing import Any

from svdlab.errors import BadInput
from svdlab.exchange.comfyui.graph import MAX_NODES, Graph, Link, Node
from svdlab.exchange.comfyui.page import from_page


def is_api(value: Any) -> bool:
    """Whether this is a workflow in the API format."""
    return (
        isinstance(value, dict)
        and bool(value)
        and any(isinstance(node, dict) and "class_type" in node for node in value.values())
    )


def is_ui(value: Any) -> bool:
    """Whether this is a workflow in the page's format."""
    return isinstance(value, dict) and isinstance(value.get("nodes"), list)


def is_workflow(value: Any) -> bool:
    """Whether this is a workflow in either format."""
    return is_api(value) or is_ui(value)


def graph_of(value: Any) -> Graph:
    """A workflow in either format. Raises `BadInput` if it has more nodes than anybody draws."""
    return from_page(value) if is_ui(value) else _from_api(value)


def _from_api(value: dict[str, Any]) -> Graph:
    if len(value) > MAX_NODES:
        raise BadInput(f"the workflow has more than {MAX_NODES} nodes, so it was not read")
    graph = Graph()
    for id, node in value.items():
        if isinstance(node, dict) and isinstance(node.get("class_type"), str):
            given = node.get("inputs")
            inputs = {k: _api_input(v) for k, v in given.items()} if isinstance(given, dict) else {}
            graph[id] = Node(id, node["class_type"], inputs)
    return graph


def _api_input(value: Any) -> Any:
    if isinstance(value, list) and len(value) == 2 and isinstance(value[1], int):
        return Link(str(value[0])[:80], value[1])
    if isinstance(value, dict) and set(value) == {"__value__"}:  # how the page marks a list that is no link
        return value["__value__"]
    return value
