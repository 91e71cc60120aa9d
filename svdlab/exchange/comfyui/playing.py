"""How fast a workflow's clip plays, and which decoder makes it: what comes after the sampler.

Traced back from each saver to this sampler, since a workflow may save several clips, at several rates, and with frames
put in between. Knows rates; nothing of conditioning.
"""

from __future__ import annotations

from math import prod

from svdlab.clips.carried import shown, told
from svdlab.exchange.comfyui import roles
from svdlab.exchange.comfyui.findings import Findings
from svdlab.exchange.comfyui.graph import Node, is_number

MAX_SAVERS = 50  # of a workflow that are looked at


def read_rate(found: Findings, sampler: Node, others: frozenset[str]) -> None:
    """The playback rate of this sampler's clip: the nearest saver's, without the frames put in between.

    `others` are the samplers of other clips. Where the clip is saved as pictures alone, it has no rate.
    """
    rates: list[tuple[int, str, float]] = []
    unknown = []
    for node in [node for node in found.graph.values() if roles.saves(node)][:MAX_SAVERS]:
        way = found.graph.way(node, sampler, others)
        if way is None or len(way) < 2:
            continue
        found.used |= {
            one.id for one in way[:-1] if roles.saves(one) or one.first(*roles.BETWEEN, *roles.SKIPPED)
        }
        made = [roles.frames_made(found.graph, one) for one in way[1:-1]]
        rate = found.read(node, *roles.RATES)
        if isinstance(rate, Node):
            found.used.add(rate.id)
        odd = next((one for one, many in zip(way[1:-1], made, strict=True) if many is None), None)
        if odd is not None:
            unknown.append(
                f"The clip goes through a {shown(odd.type)} node there, and by how much cannot be read"
            )
        elif not is_number(rate) or not 0 < rate < 1e6:
            why = "worked out there" if isinstance(rate, Node) else f"{told(rate)} there"
            unknown.append(f"The rate of a {shown(node.type)} node is {why}")
        else:
            many = prod(one for one in made if one is not None)
            rates.append((len(way), node.id, rate if many == 1 else round(rate / many, 6)))
    if rates:
        rates.sort(key=lambda one: (one[0], one[1].zfill(12)))
        found.knobs["playback_fps"] = rates[0][2]
        several = list(dict.fromkeys(f"{rate:g}" for *_, rate in rates))
        if len(several) > 1:
            named = f"{', '.join(several[:4][:-1])} and {several[:4][-1]}"
            found.note(f"The clip is saved at {named} fps there; {several[0]} is used.")
    elif unknown:
        found.lose(unknown[0], "playback_fps")


def decoder_source(found: Findings, sampler: Node, others: frozenset[str]) -> object:
    """What the decoder nearest to the sampler is loaded by; None if there is no decoder, or nothing loads it."""
    ways = []
    for node in found.graph.values():
        if roles.decodes(node) and (way := found.graph.way(node, sampler, others)) is not None:
            ways.append((len(way), node.id, node))
    if ways:
        node = min(ways, key=lambda one: (one[0], one[1].zfill(12)))[2]
        found.used.add(node.id)
        return found.graph.source(node.inputs.get("vae"))
    return found.graph.source(sampler.inputs.get("optional_vae"))
