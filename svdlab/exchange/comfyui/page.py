"""The page's format (`workflow`) as a graph: what the page resolves before it sends a workflow off is resolved here.

That is: subgraphs, group nodes, Set and Get, what is sent everywhere, and muted nodes. Widgets' values have no names
in it; they come from the node's own list of inputs, or from how its type is declared. Untrusted.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from svdlab.errors import BadInput
from svdlab.exchange.comfyui.declared import CONTROL, CONTROLS, SPECS
from svdlab.exchange.comfyui.everywhere import Waiting, broadcast
from svdlab.exchange.comfyui.graph import MAX_NODES, Graph, Link, Node, is_number
from svdlab.exchange.comfyui.untrusted import listed, mapped, objects

MUTED, BYPASSED = 2, 4  # a node's mode; 0 is on
MAX_NESTED = 16  # subgraphs in subgraphs
MAX_SLOTS = 100  # inputs or outputs of a node
INSIDE, OUTSIDE = "-10", "-20"  # ids of a subgraph's own two ends
GROUP = re.compile(r"workflow[>/](.+)", re.S)
SETS, GETS = re.compile(r"(?:.* )?set_?node", re.I), re.compile(r"(?:.* )?get_?node", re.I)
SENDERS = re.compile(r"(Anything|Prompts|Seed) Everywhere")
SUBGRAPH = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")  # a subgraph's id is its node's type
NOTHING = object()


def from_page(workflow: Mapping[str, Any]) -> Graph:
    """The graph that the page would send. Raises `BadInput` if it has more nodes than anybody draws."""
    extra = mapped(workflow.get("extra"))
    definitions = mapped(workflow.get("definitions")).get("subgraphs")
    page = _Page(
        {str(one.get("id")): one for one in objects(definitions)},
        mapped(extra.get("groupNodes")),
    )
    page.expand(_Scope(workflow))
    return page.graph


@dataclass
class _Scope:
    """The workflow itself, or one use of a subgraph in it."""

    part: Mapping[str, Any]
    path: str = ""
    given: Mapping[int, Any] = field(default_factory=dict)  # what comes in, by the subgraph's input
    above: _Scope | None = None
    depth: int = 0
    values: Mapping[tuple[str, str], Any] = field(default_factory=dict)  # widgets set from outside
    kept: dict[str, Any] = field(default_factory=dict)  # by the names that Set nodes give

    def __post_init__(self) -> None:
        self.links = dict(filter(None, map(self._link, listed(self.part.get("links")))))
        inside = mapped(self.part.get("inputNode")).get("id")
        self.inside = str(inside) if inside is not None else INSIDE

    def _link(self, link: Any) -> tuple[str, tuple[str, int, str]] | None:
        """An entry of `links`: [id, from node, from slot, to node, to slot, type], or the same as an object."""
        if isinstance(link, dict):
            link = [
                link.get(key)
                for key in ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
            ]
        if isinstance(link, list) and len(link) >= 3 and isinstance(link[2], int):
            kind = link[5] if len(link) > 5 and isinstance(link[5], str) else ""
            return _key(link[0]), (str(link[1])[:80], link[2], kind)
        return None

    def comes_from(self, link: Any) -> Any:
        """What a link by this id brings: a `Link` of the graph, a value from outside, or `NOTHING`."""
        if _key(link) not in self.links:
            return NOTHING
        origin, slot, _ = self.links[_key(link)]
        return self.given.get(slot, NOTHING) if self.part_of(origin) else Link(self.path + origin, slot)

    def part_of(self, origin: str) -> bool:
        """Whether a link starts at the subgraph's own end."""
        return self.depth > 0 and origin == self.inside

    def got(self, name: Any) -> Any:
        """What a Set node of that name keeps, here or further out."""
        scope: _Scope | None = self
        while scope is not None:
            if str(name) in scope.kept:
                return scope.kept[str(name)]
            scope = scope.above
        return None


@dataclass
class _Page:
    definitions: Mapping[str, Mapping[str, Any]]
    groups: Mapping[str, Any]
    graph: Graph = field(default_factory=Graph)
    drawn: int = 0

    def expand(self, scope: _Scope) -> None:
        """Adds a scope's nodes, and those of the subgraphs and groups in it."""
        nodes = [node for node in objects(scope.part.get("nodes")) if isinstance(node.get("type"), str)]
        self.drawn += len(nodes)
        if self.drawn > MAX_NODES:
            raise BadInput(f"the workflow has more than {MAX_NODES} nodes, so it was not read")
        live = [node for node in nodes if node.get("mode") != MUTED]
        for node in live:
            if SETS.fullmatch(node["type"]):
                name = next(iter(listed(node.get("widgets_values"))), node.get("title"))
                scope.kept[str(name)] = next(iter(self._linked(scope, node).values()), None)
        live = [node for node in live if not SETS.fullmatch(node["type"])]
        sent: list[Waiting] = []
        waiting: list[Waiting] = []
        for node in live:
            id = scope.path + str(node.get("id"))[:80]
            linked = self._linked(scope, node)
            if GETS.fullmatch(node["type"]):
                name = next(iter(listed(node.get("widgets_values"))), node.get("title"))
                self.graph.through[id, 0] = scope.got(name)
                continue
            if self._inside(scope, node, id, linked):
                continue
            values = widgets(node)
            values |= {name: value for (at, name), value in scope.values.items() if at == str(node.get("id"))}
            self.graph[id] = Node(
                id,
                node["type"],
                {**values, **linked},
                _slots(node, "inputs"),
                _slots(node, "outputs"),
                node.get("mode") == BYPASSED,
            )
            one = Waiting(id, node, linked)
            sent.append(one) if SENDERS.match(node["type"]) else waiting.append(one)
        kinds = {link: kind for link, (_, _, kind) in scope.links.items()}
        unclear = broadcast(self.graph, scope.part, scope.path, sent, waiting, kinds)
        self.graph.unread += unclear

    def _linked(self, scope: _Scope, node: Mapping[str, Any]) -> dict[str, Any]:
        """What comes in through links, by the inputs' names."""
        found = {}
        for one in objects(node.get("inputs")):
            value = scope.comes_from(one.get("link")) if isinstance(one.get("name"), str) else NOTHING
            if value is not NOTHING:
                found[one["name"]] = value
        return found

    def _inside(self, scope: _Scope, node: Mapping[str, Any], id: str, linked: dict[str, Any]) -> bool:
        """Adds what a subgraph or group node holds; whether it is one that could be read. A bypassed one is a node."""
        group = GROUP.fullmatch(node["type"])
        part = self.definitions.get(node["type"])
        if node.get("mode") == BYPASSED:
            return False
        if part is not None and scope.depth < MAX_NESTED:
            self._subgraph(scope, part, node, id, linked)
            return True
        held = self.groups.get(group[1]) if group else None
        if isinstance(held, dict) and self._group(held, node, id, linked):
            return True
        if part is not None or group or SUBGRAPH.fullmatch(node["type"]):
            title = node.get("title")
            self.graph.unread.append(group[1] if group else title if isinstance(title, str) else "subgraph")
        return False

    def _subgraph(
        self, scope: _Scope, part: Mapping[str, Any], node: Mapping[str, Any], id: str, linked: dict[str, Any]
    ) -> None:
        names = [str(one.get("name")) for one in objects(part.get("inputs"))[:MAX_SLOTS]]
        values = {
            ("-1", name): value for (at, name), value in scope.values.items() if at == str(node.get("id"))
        }
        values = {**dict(_promoted(node)), **values}
        given = {
            at: linked.get(name, values.get(("-1", name), NOTHING))
            for at, name in enumerate(names)
            if name in linked or ("-1", name) in values
        }
        inner = _Scope(part, f"{id}:", given, scope, scope.depth + 1, values)
        self.expand(inner)
        end = str(mapped(part.get("outputNode")).get("id", OUTSIDE))
        for at, output in enumerate(objects(part.get("outputs"))[:MAX_SLOTS]):
            for link in [*listed(output.get("linkIds"))[:MAX_SLOTS], *_ending(part, end, at)]:
                value = inner.comes_from(link)
                if value is not NOTHING:
                    self.graph.through[id, at] = value
                    break

    def _group(self, part: dict[str, Any], node: Mapping[str, Any], id: str, linked: dict[str, Any]) -> bool:
        """Adds a group node's inner nodes; False if they cannot be told apart."""
        inner = [one for one in objects(part.get("nodes")) if isinstance(one.get("type"), str)]
        links = _numbers(part.get("links"), 4)  # from node, from slot, to node, to slot
        entering = {(link[2], link[3]): link for link in links}
        leaving = {(link[0], link[1]) for link in links}
        outside = {(one[0], one[1]) for one in _numbers(part.get("external"), 2)}
        self.drawn += len(inner)
        if self.drawn > MAX_NODES:
            return False
        values = _group_values(inner, node, entering)
        if values is None or any(GROUP.fullmatch(one["type"]) for one in inner):
            return False
        opened = list(_slots(node, "inputs"))
        out = 0
        for index, one in enumerate(inner):
            inputs: dict[str, Any] = dict(values[index])
            for slot, (name, kind) in enumerate(_sockets(one)):
                if (index, slot) in entering:
                    origin = entering[index, slot]
                    inputs[name] = Link(f"{id}:{origin[0]}", origin[1])
                elif (outer := _opened(opened, name, "" if name in values[index] else kind)) in linked:
                    inputs[name] = linked[outer]
            self.graph[f"{id}:{index}"] = Node(
                f"{id}:{index}",
                one["type"],
                inputs,
                tuple(_sockets(one)),
                _outputs(one),
                one.get("mode") == BYPASSED,
            )
            for slot in range(len(_outputs(one))):
                if (index, slot) not in leaving or (index, slot) in outside:
                    self.graph.through[id, out] = Link(f"{id}:{index}", slot)
                    out += 1
        return True


def widgets(node: Mapping[str, Any]) -> dict[str, Any]:
    """The widgets' values by name; one whose name is not known is called `#` and its place."""
    named = node.get("widgets_values_named")
    values = named if isinstance(named, dict) else node.get("widgets_values")
    if isinstance(values, dict):  # VideoHelperSuite's nodes have names here, and newer pages beside
        return {str(name)[:80]: value for name, value in values.items()}
    rest = list(values) if isinstance(values, list) else []
    names = _widget_names(node)
    if not names:
        return {f"#{at}": value for at, value in enumerate(rest[:64])}
    found: dict[str, Any] = {}
    for name in names:
        if not rest or (name == CONTROL and rest[0] not in CONTROLS and rest[0] is not None):
            continue  # older pages wrote no control widget for converted seeds
        found[name] = rest.pop(0)
        if name.endswith("seed") and CONTROL not in names and rest and rest[0] in CONTROLS:
            rest.pop(0)
    found.pop(CONTROL, None)
    return found


def _widget_names(node: Mapping[str, Any]) -> list[str]:
    """As its type is declared, else as the node lists them among its inputs."""
    if node.get("type") in SPECS:
        return list(SPECS[str(node["type"])].widgets)
    return [
        one["name"]
        for one in objects(node.get("inputs"))[:MAX_SLOTS]
        if isinstance(one.get("widget"), dict) and isinstance(one.get("name"), str)
    ]


def _promoted(node: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str], Any]]:
    """Values that a subgraph's use sets, by (inner node or -1 for its own input, widget). Pages wrote them two ways."""
    values = listed(node.get("widgets_values"))
    proxies = mapped(node.get("properties")).get("proxyWidgets")
    pairs = [one for one in listed(proxies) if isinstance(one, list) and len(one) == 2]
    if pairs:
        places = [(str(at), str(name)) for at, name in pairs]
    else:
        own = [one for one in objects(node.get("inputs")) if isinstance(one.get("widget"), dict)]
        places = [("-1", str(one.get("name"))) for one in own]
    if len(values) > len(places):  # with the control behind each seed
        values = [value for value in values if value not in CONTROLS]
    if len(values) == len(places):
        yield from ((place, value) for place, value in zip(places, values, strict=True) if value is not None)


def _group_values(
    inner: list[Mapping[str, Any]], node: Mapping[str, Any], entering: Container[tuple[int, int]]
) -> list[dict[str, Any]] | None:
    """Each inner node's widgets as the group node sets them; None if it has more or fewer values than they have."""
    given = node.get("widgets_values")
    if isinstance(given, dict):
        return [{**widgets(one), **given} for one in inner]
    older = _dealt(inner, listed(given), entering, all_listed=False)
    return older if older is not None else _dealt(inner, listed(given), entering, all_listed=True)


def _dealt(
    inner: list[Mapping[str, Any]], rest: list[Any], entering: Container[tuple[int, int]], all_listed: bool
) -> list[dict[str, Any]] | None:
    """The same where pages list every widget among a node's inputs, or only those that were turned into one."""
    found = []
    for index, one in enumerate(inner):
        own = widgets(one)
        turned = {
            str(socket.get("name"))
            for slot, socket in enumerate(objects(one.get("inputs")))
            if isinstance(socket.get("widget"), dict) and (not all_listed or (index, slot) in entering)
        }
        for name in [name for name in own if name not in turned]:
            if not rest:
                return None
            own[name] = rest.pop(0)
            if is_number(own[name]) and not name.startswith("#") and rest and rest[0] in CONTROLS:
                rest.pop(0)
        found.append(own)
    return found if not rest else None


def _opened(opened: list[tuple[str, str]], name: str, kind: str) -> str:
    """Takes the group node's input that stands for an inner one; pages put the inner node's title before a name."""
    named = [one for one in opened if one[0] == name or one[0].endswith(f" {name}")]
    alike = named or [one for one in opened if kind and one[1] == kind]
    if not alike:
        return ""
    opened.remove(alike[0])
    return alike[0][0]


def _numbers(value: Any, many: int) -> list[list[int]]:
    """The lists in a list that begin with so many whole numbers."""
    lists = [one for one in listed(value) if isinstance(one, list) and len(one) >= many]
    return [one for one in lists if all(isinstance(number, int) for number in one[:many])]


def _ending(part: Mapping[str, Any], end: str, slot: int) -> list[Any]:
    """The links of a subgraph that lead to one of its outputs."""
    links = objects(part.get("links"))
    return [
        one.get("id") for one in links if str(one.get("target_id")) == end and one.get("target_slot") == slot
    ]


def _sockets(node: Mapping[str, Any]) -> list[tuple[str, str]]:
    return list(_slots(node, "inputs")) or list(SPECS[node["type"]].sockets if node["type"] in SPECS else ())


def _outputs(node: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return _slots(node, "outputs") or (SPECS[node["type"]].outputs if node["type"] in SPECS else ())


def _slots(node: Mapping[str, Any], side: str) -> tuple[tuple[str, str], ...]:
    """The names and types of a node's inputs or outputs."""
    return tuple(
        (str(one.get("name"))[:80], kind if isinstance(kind := one.get("type"), str) else "")
        for one in objects(node.get(side))[:MAX_SLOTS]
    )


def _key(link: Any) -> str:
    return str(link)[:40]
