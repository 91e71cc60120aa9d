"""What has been found in a workflow so far: knobs, what was lost, and what is to be said of either.

Knows knobs by name and sentences; nothing of what a node is for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from svdlab.clips.carried import shown, told
from svdlab.exchange.comfyui.graph import Graph, Node, is_number

DRAWN = (-1, -2, -3)  # what seed nodes of several packs call a seed that is drawn anew

MADE_TO_SIZE = ("ImageScale", "EmptyImage")  # nodes whose picture has exactly the size they are given


@dataclass(frozen=True)
class Lost:
    """Knobs that the workflow has another value for, or none, which could not be read, and why; no full stop."""

    sentence: str
    knobs: tuple[str, ...]


@dataclass
class Findings:
    """Filled while a workflow is read."""

    graph: Graph
    knobs: dict[str, Any] = field(default_factory=dict)
    notes: list[tuple[str, str]] = field(default_factory=list)  # the knob it is about, and the sentence
    lost: list[Lost] = field(default_factory=list)
    used: set[str] = field(default_factory=set)  # ids of nodes that were understood

    def note(self, sentence: str, knob: str = "") -> None:
        """Keeps a sentence; one about a knob falls away if that is known from elsewhere."""
        self.notes.append((knob, sentence))

    def lose(self, sentence: str, *knobs: str) -> None:
        """Keeps that these knobs are not known, and why."""
        self.lost.append(Lost(sentence, knobs))

    def read(self, node: Node, *names: str) -> Any:
        """The value behind the first of these inputs that the node has, whatever it is; None if there is none."""
        name = node.first(*names)
        return self.graph.source(node.inputs[name], name) if name is not None else None

    def value(self, node: Node, names: tuple[str, ...], *knobs: str) -> Any:
        """The same where it is a plain value; else None, and the knobs are lost."""
        found = self.read(node, *names)
        name = node.first(*names) or names[0]
        if isinstance(found, Node) and (side := self._side_of(found, name)):
            return side
        if isinstance(found, Node):
            self.used.add(found.id)
            self.lose(f"{name} is worked out by a {shown(found.type)} node there and cannot be read", *knobs)
        elif found is None:
            said = "is not in what could be read of the workflow" if self.graph.unread else ""
            self.lose(f"{name} {said}" if said else f"The workflow does not say {name}", *knobs)
        elif isinstance(found, float) and not math.isfinite(found):
            self.lose(f"{name} is {told(found)} there", *knobs)
        elif "seed" in knobs and is_number(found) and found in DRAWN:
            self.lose("The seed is drawn anew each time there", *knobs)
        else:
            return found
        return None

    def _side_of(self, node: Node, name: str) -> int | None:
        """The width or height that a node tells of a picture which another node has just brought to it."""
        if name not in ("width", "height") or set(node.links) != {"image"}:
            return None
        scaled = self.graph.source(node.inputs["image"])
        if not isinstance(scaled, Node) or scaled.type not in MADE_TO_SIZE or set(node.inputs) != {"image"}:
            return None
        sides = {side: self.graph.source(scaled.inputs.get(side), side) for side in ("width", "height")}
        if not all(isinstance(side, int) and side > 0 for side in sides.values()):
            return None  # 0 stands for what keeps the picture's shape
        self.used.add(node.id)
        return int(sides[name])

    def take(self, node: Node, names: tuple[str, ...], knob: str) -> None:
        """Makes a value a knob's."""
        value = self.value(node, names, knob)
        if value is not None:
            self.knobs[knob] = value
