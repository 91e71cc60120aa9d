"""Which sampler makes the clip, and what it and the nodes around it say: seed, steps, guidance, schedule.

The sampler is the one whose latents come straight from the conditioning: a second pass refines a clip that is there
already, and the order of a file means nothing. Knows samplers; nothing of pictures or savers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from svdlab.clips.carried import shown, told
from svdlab.exchange.comfyui import roles
from svdlab.exchange.comfyui.findings import Findings
from svdlab.exchange.comfyui.graph import Graph, Node, is_number

MAX_SAMPLERS = 50  # of a workflow that are looked at
KARRAS = {"sigma_max": 700.0, "sigma_min": 0.002, "rho": 7.0}  # SVD's own
LCM = "lcm"
AYS = ("ays svd", "align_your_steps", "ays")
OTHER_LEVELS = "ComfyUI's LCM steps at other noise levels; here they are those the weights were distilled on."
PARTS = ("noise", "guider", "sampler")  # nodes that a custom sampler is put together from


@dataclass(frozen=True)
class Chain:
    """The conditioning and the sampler of the clip, and what else the workflow samples."""

    conditioning: Node
    sampler: Node | None
    clips: int = 1  # that start from latents of their own
    again: int = 0  # samplers that this clip goes through afterwards
    others: frozenset[str] = frozenset()  # ids of the samplers of other clips


@dataclass(frozen=True)
class _Pass:
    conditioning: Node
    sampler: Node
    straight: bool


def chain_in(graph: Graph) -> Chain:
    """The chain whose settings are the clip's. The graph has a conditioning."""
    alone = sorted(filter(roles.conditions, graph.values()), key=_order)
    passes = []
    for sampler in [node for node in graph.values() if roles.samples(node)][:MAX_SAMPLERS]:
        conditioning, straight = _conditioned(graph, settled(graph, sampler))
        if conditioning is not None:
            passes.append(_Pass(conditioning, sampler, straight))
    if not passes:
        return Chain(alone[0], None)
    starts = [one for one in passes if one.straight] or passes
    samplers = [one.sampler for one in starts]

    savers = [node for node in graph.values() if roles.saves(node)][:MAX_SAMPLERS]

    def rank(one: _Pass) -> tuple[bool, bool, Any]:
        later = any(s is not one.sampler and graph.way(one.conditioning, s) for s in samplers)
        shown = any(graph.way(saver, one.sampler) for saver in savers)
        return later, not shown, _order(one.sampler)

    first = min(starts, key=rank) if len(starts) > 1 else starts[0]
    others = frozenset(one.sampler.id for one in starts if one is not first)
    again = [
        one
        for one in passes
        if one not in starts and graph.way(one.sampler, first.sampler, others) is not None
    ]
    return Chain(first.conditioning, first.sampler, len(starts), len(again), others)


def _order(node: Node) -> tuple[list[int], str]:
    return [int(digits[:15]) for digits in re.findall(r"\d+", node.id)], node.id


def _conditioned(graph: Graph, sampler: Node) -> tuple[Node | None, bool]:
    """The conditioning that a sampler is given, and whether its latents come straight from it."""
    socket = sampler.first("positive", "conditioning", "pipe", "basic_pipe") or "positive"
    ahead = [node for node in graph.upstream(sampler, socket) if roles.conditions(node)]
    if not ahead:
        return None, False
    latent = sampler.first("latent_image", "latent", "latents", "samples") or socket
    for node in graph.upstream(sampler, latent):
        if roles.conditions(node):
            return ahead[0], True
        if roles.samples(node) or "vae" in node.inputs:
            break
    return ahead[0], False


def settled(graph: Graph, sampler: Node) -> Node:
    """A sampler with what its noise, guider and sampler nodes say as inputs of its own."""
    inputs = dict(sampler.inputs)
    for socket in PARTS:
        part = graph.source(sampler.inputs.get(socket))
        if isinstance(part, Node):
            inputs = {**inputs, **part.inputs}
    return Node(sampler.id, sampler.type, inputs, sampler.sockets, sampler.outputs)


def read_sampling(found: Findings, sampler: Node) -> Node | None:
    """Takes what the sampler says; returns the node that loads its model, if that is reached."""
    graph = found.graph
    whole = settled(graph, sampler)
    found.used.add(sampler.id)
    for socket in PARTS:
        part = graph.source(sampler.inputs.get(socket))
        found.used |= {part.id} if isinstance(part, Node) else set()
    found.take(whole, roles.SEEDS, "seed")
    consistency = _kind(found, whole)
    loader = _guide(found, whole)
    sigmas = graph.source(whole.inputs.get("sigmas"))
    while isinstance(sigmas, Node) and sigmas.first(*roles.STEPS) is None and "sigmas" in sigmas.inputs:
        found.used.add(sigmas.id)
        found.note(f"The schedule goes through a {shown(sigmas.type)} node there, which is not mapped.")
        sigmas = graph.source(sigmas.inputs["sigmas"]) if sigmas.id not in graph.passed else None
    _schedule(found, sigmas if isinstance(sigmas, Node) else whole, consistency)
    if found.read(whole, "add_noise") in (False, "disable"):
        found.note("The sampler there adds no noise of its own; here every clip starts from noise.")
    first, last = found.read(whole, "start_at_step"), found.read(whole, "end_at_step")
    steps: Any = found.knobs.get("num_inference_steps")
    if first not in (None, 0) or (is_number(last) and is_number(steps) and last < steps):
        found.note("The sampler there does only some of the steps; here all of them are done.")
    return loader


def _kind(found: Findings, whole: Node) -> bool:
    """The sampler's name, where it has one. Returns whether it is the consistency sampler."""
    name = found.read(whole, "sampler_name")
    part = found.graph.source(whole.inputs.get("sampler"))
    if name is None and isinstance(part, Node):
        name = part.type
    if isinstance(name, Node):
        found.note(f"The sampler is chosen by a {shown(name.type)} node there; here it is always euler.")
    elif name is not None and name not in ("euler", LCM):
        found.note(f"The sampler there is {told(name)}; here it is always euler.")
    return name == LCM


def _guide(found: Findings, whole: Node) -> Node | None:
    """Guidance: cfg for the last frame, min_cfg for the first; without that node cfg for all. Returns the loader."""
    loader = None
    if whole.type == "SamplerCustomAdvanced" and whole.first(*roles.CFG) is None:
        highest: Any = 1.0
    else:
        highest = found.value(whole, roles.CFG, "max_guidance_scale")
    lowest, known = highest, highest is not None
    for node in found.graph.upstream(whole, whole.first("model", "pipe", "basic_pipe") or "model"):
        if roles.samples(node) and node.id == whole.id:
            continue
        found.used.add(node.id)
        if roles.guides(node):
            lowest, known = found.value(node, ("min_cfg",), "min_guidance_scale"), True
            if "triangle" in node.type.lower():
                found.note(
                    "Guidance rises to the middle and falls again there; here it rises to the last frame."
                )
        elif roles.loads(node):
            loader = node
            break
        elif not roles.samples(node) and not roles.conditions(node):
            found.note(f"The model goes through a {shown(node.type)} node there, which is not mapped.")
    if not known:
        found.lose("Without cfg its least value is not known either", "min_guidance_scale")
    if is_number(highest) and highest < 1:
        found.note("cfg is below 1 there; here guidance is off at 1 or less.")
    pair = {"min_guidance_scale": lowest, "max_guidance_scale": highest}
    found.knobs |= {knob: value for knob, value in pair.items() if value is not None}
    return loader


def _schedule(found: Findings, node: Node, consistency: bool) -> None:
    found.used.add(node.id)
    found.take(node, roles.STEPS, "num_inference_steps")
    found.knobs["schedule"] = "karras"
    denoise = found.read(node, "denoise")
    if isinstance(denoise, Node):
        found.note(
            f"denoise is worked out by a {shown(denoise.type)} node there; here every clip starts from noise alone."
        )
    elif denoise not in (None, 1):
        found.note(f"denoise is {told(denoise)} there; here every clip starts from noise alone.")
    scheduler = found.read(node, "scheduler")
    if consistency:
        found.knobs["schedule"] = LCM
        found.note(OTHER_LEVELS)
        return
    if node.type == "AlignYourStepsScheduler":
        found.knobs["schedule"] = "ays"
        if (model := found.read(node, "model_type")) not in ("SVD", None):
            found.note(f"The AYS schedule there is {told(model)}'s; here it is SVD's.")
        return
    if isinstance(scheduler, str) and scheduler.lower() in AYS:
        found.knobs["schedule"] = "ays"
        return
    if any(found.read(node, name) not in (None, -1, value) for name, value in KARRAS.items()):
        found.note("The Karras schedule there has other ends; here it has SVD's own, 700 to 0.002.")
    if scheduler != "karras" and node.type != "KarrasScheduler":
        named = shown(scheduler.type if isinstance(scheduler, Node) else node.type)
        said = told(scheduler) if isinstance(scheduler, str) else f"a {named} node's"
        found.note(f"The schedule there is {said}; karras is used here.", "schedule")
