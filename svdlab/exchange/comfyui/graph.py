"""A workflow as one graph, whatever format it came in: nodes, links, and where a value really comes from.

Follows what only hands on: reroutes, bypassed nodes, switches, contexts and pipes, constants. Knows nodes by the names
of their inputs, not by their own; nothing of what they mean for us, and nothing of the two formats. Untrusted.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from svdlab.errors import BadInput
from svdlab.exchange.comfyui.declared import CONTROL, SPECS

MAX_NODES = 2000
MAX_WORK = 1_000_000  # links that are looked up; thousands are usual
MAX_DEPTH = 64  # links that are followed one after another
REROUTES = ("Reroute", "Reroute (rgthree)", "ReroutePrimitive|pysssss")

# Inputs that a walk along pictures and latents does not follow.
ASIDE = {
    *("model", "model_opt", "vae", "optional_vae", "clip", "clip_vision", "positive", "negative", "mask"),
    *("conditioning", "noise", "guider", "sampler", "sigmas", "control_net", "upscale_model", "audio"),
    *("meta_batch", "script", "optional_interpolation_states", "get_image_size", "destination"),
}
SAME = {  # inputs that carry on what another input of this name began
    "init_image": ("image", "images", "pixels", "source", "image1", "image_1", "input_image", "frames"),
    "positive": ("conditioning", "conditioning_1", "conditioning_to", "pipe", "basic_pipe", "base_ctx"),
    "latent_image": ("latent", "samples", "latents", "pipe", "basic_pipe", "base_ctx"),
    "model": ("unet", "model1", "pipe", "basic_pipe", "base_ctx"),
    "vae": ("optional_vae", "pipe", "basic_pipe", "base_ctx"),
}
SAME["latent"] = SAME["samples"] = ("latent_image", *SAME["latent_image"])

PIPES = ("base_ctx", "ctx", "context", "pipe", "basic_pipe", "bus")
# Source: rgthree-comfy's context_utils.py; the API format does not name a node's outputs.
CONTEXT = (
    *("base_ctx", "model", "clip", "vae", "positive", "negative", "latent", "images", "seed", "steps"),
    *("step_refiner", "cfg", "ckpt_name", "sampler", "scheduler"),
)
CASES = (("on_true", "on_false"), ("if_true", "if_false"), ("tt_value", "ff_value"), ("true", "false"))
CONDITIONS = ("boolean", "switch", "condition", "cond", "bool", "value")
CHOICES = ("select", "index", "input", "selected", "switch", "choice")
VALUES = ("value", "seed", "noise_seed", "number", "int", "integer", "float", "string", "text", "num")
NAMED = {  # values that a node of several hands out under the names they are asked for
    *("seed", "noise_seed", "steps", "cfg", "sampler_name", "scheduler", "denoise", "ckpt_name", "fps"),
    *("frame_rate", "motion_bucket_id", "augmentation_level", "video_frames", "min_cfg"),
}
WORKS_OUT = re.compile(
    r"math|random|calc|expression|operat|increment|counter|list|batch|aspect|size|resolution", re.I
)
WORKED_WITH = {"expression", "operation", "operator", "op", "formula", "min", "max", "minimum", "maximum"}
FIRSTS = re.compile(
    r"\bany\b(?!.*batch)|switch|coalesce", re.I
)  # nodes that take the first input that is there
MISSING: Any = None  # what comes out of a link that leads nowhere


@dataclass(frozen=True)
class Link:
    """An input that comes from another node's output."""

    node: str
    slot: int


@dataclass(frozen=True)
class Node:
    """One node that is not muted. An input is a value or a `Link`; values are untrusted."""

    id: str
    type: str
    inputs: Mapping[str, Any] = field(default_factory=dict)
    sockets: tuple[tuple[str, str], ...] = ()  # (name, type) of all that can be linked, as far as known
    outputs: tuple[tuple[str, str], ...] = ()  # (name, type), as far as known
    bypassed: bool = False

    @property
    def links(self) -> dict[str, Link]:
        """The inputs that come from other nodes."""
        return {name: value for name, value in self.inputs.items() if isinstance(value, Link)}

    def output(self, slot: int) -> tuple[str, str]:
        """An output's name and type; empty where they are not known."""
        declared = self.outputs or (SPECS[self.type].outputs if self.type in SPECS else ())
        return declared[slot] if 0 <= slot < len(declared) else ("", "")

    def has(self, *names: str) -> bool:
        """Whether it has all of these inputs."""
        return all(name in self.inputs for name in names)

    def first(self, *names: str) -> str | None:
        """The first of these inputs that it has."""
        return next((name for name in names if name in self.inputs), None)


class Graph(dict[str, Node]):
    """A workflow's nodes by id, `through` what is no node once the page has run, and `unread` what is not known."""

    def __init__(self) -> None:
        super().__init__()
        self.through: dict[tuple[str, int], Any] = {}  # (subgraph or Get node, output) → where it comes from
        self.unread: list[str] = []  # types of nodes that hold others which could not be read
        self.passed: set[str] = set()  # ids of nodes that handed something on when they were asked
        self._known: dict[tuple[str, int, str], Any] = {}  # sources that were looked up already
        self._plain: set[str] = set()  # ids of nodes that are no switch and no pipe
        self._work = self._nested = 0

    def source(self, value: Any, wanted: str = "") -> Any:
        """What a value really comes from: the node that makes it, or a value; None if cut off.

        With `wanted`, the name of an input that is a number or a word, constants are values too.
        """
        if not isinstance(value, Link):
            return value
        key = value.node, value.slot, wanted
        if key not in self._known:
            self._spend(1 if self._nested <= MAX_DEPTH else MAX_WORK)
            self._known[key] = MISSING  # for links in a circle
            self._nested += 1
            self._known[key] = self._followed(value, wanted)
            self._nested -= 1
        return self._known[key]

    def _spend(self, work: int) -> None:
        """Counts links that are looked up. Raises `BadInput` where somebody tied a knot."""
        self._work += work
        if self._work >= MAX_WORK:
            raise BadInput("the workflow's links are too tangled to be followed, so it was not read")

    def _followed(self, value: Any, wanted: str) -> Any:
        for _ in range(MAX_DEPTH):
            if not isinstance(value, Link):
                return value
            if (value.node, value.slot) in self.through:
                value = self.through[value.node, value.slot]
                continue
            node = self.get(value.node)
            if node is None:
                return MISSING
            found = self._handed_on(node, value.slot, wanted)
            if found is node:
                return node
            self.passed.add(node.id)
            value = found
        return MISSING

    def _handed_on(self, node: Node, slot: int, wanted: str) -> Any:
        """What a node that only hands on hands on; the node itself if it makes something of its own."""
        if node.bypassed:
            return _past(node, slot)
        if node.type in REROUTES:
            return next(iter(node.links.values()), MISSING)
        if node.id not in self._plain:
            chosen = self._switched(node)
            if isinstance(chosen, Link) and node.type.startswith(
                "Context"
            ):  # a context is chosen, not what is in it
                chosen = Link(chosen.node, slot)
            if chosen is node:
                chosen = self._unpacked(node, slot)
            if chosen is not node:
                return chosen
            if not any(name in node.inputs for name in PIPES):  # what a pipe holds depends on the output
                self._plain.add(node.id)
        return _constant(node, slot, wanted) if wanted else node

    def _switched(self, node: Node) -> Any:
        """The branch that a switch takes; the node itself if it is none, or its choice is not known."""
        names = {name.lower(): name for name in node.inputs}
        for yes, no in CASES:
            if yes in names or no in names:
                by = next((name for name in CONDITIONS if name in names), "")
                picked = self.source(node.inputs.get(names.get(by, "")), by) if by else None
                if isinstance(picked, bool | int):
                    return node.inputs.get(names.get(yes if picked else no, ""))
        links = node.links
        if links and FIRSTS.search(node.type) and all(re.fullmatch(r"[a-z]+_\d+", name) for name in links):
            return next((link for _, link in sorted(links.items()) if self.source(link) is not None), MISSING)
        by = next((name for name in CHOICES if name in names), "")
        numbered = {int(found[0]): name for name in links if (found := re.search(r"\d+$", name))}
        if by and numbered and set(links) - {names[by]} <= set(numbered.values()):
            picked = self.source(node.inputs[names[by]], by)
            if isinstance(picked, int) and picked in numbered:
                return links[numbered[picked]]
        return node

    def _unpacked(self, node: Node, slot: int) -> Any:
        """What a context or a pipe holds under an output's name; the node itself if it holds nothing."""
        packed = next((name for name in PIPES if name in node.inputs), None)
        if packed is None and not node.type.startswith("Context"):
            return node
        named = CONTEXT[slot] if node.type.startswith("Context") and 0 < slot < len(CONTEXT) else ""
        name = (node.output(slot)[0] or named).lower()
        name = {"image": "images"}.get(name, name)
        if not name or name in PIPES:  # a pipe that is handed on with more in it is the node's own
            return node
        behind: Any = node
        for _ in range(MAX_DEPTH):
            if isinstance(behind.inputs.get(name), Link):
                return behind.inputs[name]
            link = next(
                (behind.inputs[one] for one in PIPES if isinstance(behind.inputs.get(one), Link)), None
            )
            behind = self.get(link.node) if link is not None else None
            if behind is None or behind.bypassed:
                return node
        return node

    def upstream(self, node: Node, socket: str) -> Iterator[Node]:
        """The nodes behind a socket, nearest first, going on through sockets that carry the same thing."""
        names = (socket, *SAME.get(socket, ()))
        value, seen = node.inputs.get(socket), {node.id}
        while (
            isinstance(found := self.source(value), Node) and found.id not in seen and len(seen) < MAX_DEPTH
        ):
            seen.add(found.id)
            yield found
            value = next(
                (found.inputs[name] for name in names if isinstance(found.inputs.get(name), Link)), None
            )

    def way(self, start: Node, goal: Node, around: frozenset[str] = frozenset()) -> list[Node] | None:
        """The nodes from one up along pictures and latents to another, both included; None if there is no way.

        Nodes `around` are not gone through.
        """
        came: dict[str, Node | None] = {start.id: None}
        waiting = deque([start])
        while waiting:
            node = waiting.popleft()
            if node.id == goal.id:
                steps = [node]
                while (before := came[steps[-1].id]) is not None:
                    steps.append(before)
                return steps[::-1]
            if node.id in around:
                continue
            self._spend(len(node.inputs))
            for name, link in node.links.items():
                found = self.source(link) if name.lower() not in ASIDE else None
                if isinstance(found, Node) and found.id not in came:
                    came[found.id] = node
                    waiting.append(found)
        return None


def _past(node: Node, slot: int) -> Any:
    """What comes out of a bypassed node: its input of the output's type, at the same place if it can be."""
    kind = node.output(slot)[1]
    sockets = node.sockets or (SPECS[node.type].sockets if node.type in SPECS else ())
    if not kind or not sockets:
        return next(iter(node.links.values()), MISSING)
    same = [name for at, (name, type) in enumerate(sockets) if type == kind and at == slot]
    fitting = same + [name for name, type in sockets if type == kind]
    return (
        node.inputs.get(fitting[0]) if fitting and isinstance(node.inputs.get(fitting[0]), Link) else MISSING
    )


def _constant(node: Node, slot: int, wanted: str) -> Any:
    """The value of a node that holds one, a seed's or a number's; the node itself if it works something out."""
    if WORKS_OUT.search(node.type) or WORKED_WITH & {name.lower() for name in node.inputs}:
        return node
    given = {
        name: value
        for name, value in node.inputs.items()
        if value is not None and name != CONTROL and not name.startswith("is")
    }
    names = {name.lower(): name for name in given}
    links = node.links
    if len(links) == 1 and next(iter(links)).lower() in VALUES and len(numbers_in(given)) == 0:
        return next(iter(links.values()))
    if links:
        return node
    for name in (wanted, node.output(slot)[0].lower()):
        own = next((one for one in (name, f"{name}_total") if name in NAMED and one in names), None)
        if own is not None:
            return given[names[own]]
    named = next((names[name] for name in VALUES if name in names), None)
    if named is not None and not isinstance(given[named], list | dict):
        return given[named]
    numbers = numbers_in(given)
    if len(numbers) == 1:
        return numbers[0]
    words = [value for value in given.values() if isinstance(value, str) and value]
    return words[0] if not numbers and len(words) == 1 else node


def numbers_in(given: Mapping[str, Any]) -> list[Any]:
    """The different numbers among values."""
    return list(dict.fromkeys(value for value in given.values() if is_number(value)))


def is_number(value: Any) -> bool:
    """Whether a value out of a file is a number; truths are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)
