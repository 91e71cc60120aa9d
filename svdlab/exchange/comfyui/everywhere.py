"""What is sent everywhere: the links that cg-use-everywhere's nodes stand for. Knows that pack; nothing of the rest.

A sender's inputs go to every input of the same type that has no link. What restricts a sender (names by pattern,
priority) is honoured where it can be read without running an untrusted pattern; else the sender is said to be unclear.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from svdlab.exchange.comfyui.graph import Graph, Link, Node
from svdlab.exchange.comfyui.untrusted import mapped, objects

MAX_SENT = 50  # things that are sent in one scope
WORD = re.compile(
    r"(\^?)(?:\.\*)?([\w \-]*)(?:\.\*)?(\$?)"
)  # one of a pattern's words; others could run for ever
MAX_WORDS = 20  # of a pattern
MAX_INPUTS = 100  # of a sender
SIGNS = {"+ve": "positive", "-ve": "negative"}


@dataclass(frozen=True)
class Waiting:
    """A node of the page: its id in the graph, as it was written, and what is linked to it."""

    id: str
    written: Mapping[str, Any]
    linked: Mapping[str, Any]


@dataclass(frozen=True)
class _Sent:
    """One thing that is sent: its type, where it comes from, who may have it."""

    kind: str
    value: Any
    names: tuple[str, ...]  # inputs it may go to; empty for any
    titles: tuple[str, ...]
    priority: int


def broadcast(
    graph: Graph,
    part: Mapping[str, Any],
    path: str,
    senders: Sequence[Waiting],
    waiting: Sequence[Waiting],
    kinds: Mapping[str, str],
) -> list[str]:
    """Adds the links that the senders of one scope stand for; returns the types of those that are not clear.

    Links that the pack itself wrote down (`ue_links`) go before what is worked out here.
    """
    unclear: list[str] = []
    _take_written(graph, part, path, waiting)
    sent = [one for sender in senders for one in _sent(graph, sender, kinds, unclear)]
    sent = sent[:MAX_SENT]
    for node in waiting if sent else ():
        given = dict(graph[node.id].inputs)
        for name, kind in _unlinked(graph[node.id], node):
            fitting = [one for one in sent if _goes(one, name, kind, node)]
            best = [one for one in fitting if one.priority == max(other.priority for other in fitting)]
            if len({str(one.value) for one in best}) == 1:
                given[name] = best[0].value
        graph[node.id] = _with(graph[node.id], given)
    return unclear


def _take_written(graph: Graph, part: Mapping[str, Any], path: str, waiting: Sequence[Waiting]) -> None:
    nodes = {node.id: node for node in waiting}
    for one in objects(mapped(part.get("extra")).get("ue_links")):
        if not isinstance(one.get("upstream_slot"), int):
            continue
        node = nodes.get(path + str(one.get("downstream"))[:80])
        slot, up = one.get("downstream_slot"), path + str(one.get("upstream"))[:80]
        sockets = graph[node.id].sockets if node is not None else ()
        if node is None or not isinstance(slot, int) or not 0 <= slot < len(sockets) or up not in graph:
            continue
        name = sockets[slot][0]
        if name not in node.linked:
            link = Link(up, one["upstream_slot"])
            graph[node.id] = _with(graph[node.id], {**graph[node.id].inputs, name: link})


def _with(node: Node, inputs: Mapping[str, Any]) -> Node:
    return Node(node.id, node.type, inputs, node.sockets, node.outputs, node.bypassed)


def _sent(graph: Graph, sender: Waiting, kinds: Mapping[str, str], unclear: list[str]) -> list[_Sent]:
    """What one sender sends."""
    node, written = graph[sender.id], sender.written
    if node.bypassed:
        return []
    titles, names, clear = _restrictions(written)
    if not clear:
        unclear.append(node.type)
        return []
    if node.type == "Seed Everywhere":
        return [_Sent("INT", Link(sender.id, 0), ("seed",), (), 20)]
    found = []
    for one in objects(written.get("inputs"))[:MAX_INPUTS]:
        value = sender.linked.get(str(one.get("name")))
        if value is None:
            continue
        kind = kinds.get(str(one.get("link"))[:40], "")
        if kind in ("", "*") and isinstance(value, Link) and value.node in graph:
            kind = graph[value.node].output(value.slot)[1]
        found.append((kind, value, str(one.get("label") or one.get("name"))))
    several = {kind for kind, _, _ in found if sum(kind == other for other, _, _ in found) > 1}
    priority = 10 + 20 * bool(titles or names or several) + 10 * (node.type == "Prompts Everywhere")
    return [
        _Sent(
            kind,
            value,
            (f"^{SIGNS.get(label, label)}$",)
            if kind in several or node.type == "Prompts Everywhere"
            else names,
            titles,
            priority,
        )
        for kind, value, label in found
        if kind
    ]


def _restrictions(written: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...], bool]:
    """Titles and input names that a sender is restricted to, and whether that is all and could be read."""
    properties = mapped(written.get("properties"))
    said = {**properties, **mapped(properties.get("ue_properties"))}
    values = written.get("widgets_values")
    if written.get("type") == "Anything Everywhere?" and isinstance(values, list):
        said = {**dict(zip(("title_regex", "input_regex", "group_regex"), values, strict=False)), **said}
    patterns = [said.get(f"{name}_regex") or ".*" for name in ("title", "input", "group")]
    turned = any(said.get(f"{name}_regex_invert") for name in ("title", "input", "group"))
    if turned or patterns[2] != ".*" or said.get("group_restricted") or said.get("color_restricted"):
        return (), (), False
    words = []
    for pattern in patterns[:2]:
        parts = pattern.split("|")[:MAX_WORDS] if isinstance(pattern, str) else [pattern]
        if not all(isinstance(part, str) and WORD.fullmatch(part) for part in parts):
            return (), (), False
        words.append(() if pattern == ".*" else tuple(parts))
    return words[0], words[1], True


def _fits(name: str, pattern: str) -> bool:
    """Whether a word of a pattern is found in a name, at the ends that it asks for."""
    found = WORD.fullmatch(pattern)
    if found is None:
        return False
    start, word, end = found.groups()
    if start and end and ".*" not in pattern:
        return name == word
    ahead, behind = pattern.lstrip("^").startswith(".*"), pattern.rstrip("$").endswith(".*")
    return (
        word in name
        and (not start or ahead or name.startswith(word))
        and (not end or behind or name.endswith(word))
    )


def _unlinked(node: Node, waiting: Waiting) -> list[tuple[str, str]]:
    """Inputs that are not linked and that a sender may reach: those without a widget, or with one given up for it."""
    if node.bypassed:
        return []
    entries = objects(waiting.written.get("inputs"))
    properties = mapped(waiting.written.get("properties"))
    places = (properties, mapped(properties.get("ue_properties")))
    allowed = {
        name: may for place in places for name, may in mapped(place.get("widget_ue_connectable")).items()
    }
    # Pages of before 2025 listed a widget only once it was turned into an input; later ones list them all.
    listed = sum("widget" in one for one in entries)
    turned = listed < sum(not isinstance(value, Link) for value in node.inputs.values())
    found = []
    for one in entries:
        name, kind = str(one.get("name"))[:80], one.get("type")
        if isinstance(node.inputs.get(name), Link) or name in waiting.linked or not isinstance(kind, str):
            continue
        if "widget" not in one or turned or allowed.get(name):
            found.append((name, kind))
    return found


def _goes(one: _Sent, name: str, kind: str, node: Waiting) -> bool:
    title = str(node.written.get("title") or node.written.get("type"))
    return (
        one.kind == kind
        and (not isinstance(one.value, Link) or one.value.node != node.id)
        and (not one.names or any(_fits(name, word) for word in one.names))
        and (not one.titles or any(_fits(title, word) for word in one.titles))
    )
