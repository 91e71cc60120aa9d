"""What weights there are: cards of the checkpoints, what is in memory, adding one's own, what differs between two.

Knows the lab; nothing of the page's wiring.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr

from svdlab.lab.lab import Lab
from svdlab.recipes.checkpoint import Checkpoint
from svdlab.recipes.settings import KNOBS
from svdlab.ui.parts.element import element
from svdlab.ui.words import PARTS
from svdlab.weights.availability import availability, fetches
from svdlab.weights.downloads import Download
from svdlab.words import counted, duration, size


def build(lab: Lab, name: str) -> gr.HTML:
    """The element; `name` is its id on the page."""
    return element("models", value(lab), name=name)


def value(lab: Lab, **news: Any) -> dict[str, Any]:
    """The whole page; `news` are answers to what was just asked."""
    return {
        "memory": memory(lab),
        "cards": [card(lab, checkpoint) for checkpoint in lab.catalogue],
        "ready": [[c.id, c.name] for c in lab.catalogue if availability(c).ready],
        "content": content(lab),
        "loras": loras(lab),
        "shared": lab.policy.public,
        **news,
    }


def content(lab: Lab) -> str:
    """What is done about what clips show, in sentences."""
    checker, mark = lab.environment.safety_checker, lab.environment.watermark
    looked = (
        f"The safety checker {checker.rstrip('/').rpartition('/')[2]} looks at pictures and clips."
        if checker
        else "No safety checker looks at pictures or clips here."
    )
    marked = " Frames carry an invisible watermark." if mark else ""
    return f"Every clip says in its file that it is generated.{marked} {looked}"


def loras(lab: Lab) -> list[list[str]]:
    """[id, what it is, the beginning of its hash] of each LoRA file."""
    return [
        [one.id, f"{counted(one.layers, 'layer')}, rank {one.rank}, {size(one.bytes)}", one.sha256[:8]]
        for one in lab.loras
    ]


def memory(lab: Lab) -> dict[str, Any]:
    """What this process holds: every component once, and what sharing saves."""
    held = lab.resident()
    names = {c.id: c.name for c in lab.catalogue}
    used = sum(one.bytes for one in held)
    apart = sum(one.bytes * max(1, len(one.used_by)) for one in held)
    line = "Nothing yet: weights are read when something is rendered."
    if held:
        line = f"{size(used)} of weights"
        if apart > used:
            line += f"; {size(apart)} if nothing were shared, so {1 - used / apart:.0%} are saved"
        offload = held[0].offload
        line += {"none": ".", "model": "; each part waits in main memory until its turn."}.get(
            offload, "; the UNet comes piece by piece while it computes."
        )
        line += {
            "exact": " What no step of a run changes is computed once.",
            "fast": " Computed fast: what no step changes once, and not equal to the last bit.",
        }.get(held[0].acceleration, "")
    parts = [
        {
            "part": PARTS[one.part],
            "users": " and ".join(sorted(names.get(id, id) for id in one.used_by)) or "no checkpoint now",
            "size": size(one.bytes),
            "share": one.bytes / used,
            "shared": len(one.used_by) > 1,
        }
        for one in sorted(held, key=lambda one: -one.bytes)
    ]
    return {"line": line, "parts": parts}


def card(lab: Lab, c: Checkpoint) -> dict[str, Any]:
    """One checkpoint as the page shows it."""
    here = availability(c)
    download = lab.downloads.get(c.id)
    made = f"{c.native_frames} frames, {c.width}×{c.height}, sizes in steps of {c.size_step}"
    facts = [
        ["Frames and size", made],
        ["Trained for", c.trained_for[:1].upper() + c.trained_for[1:]],
        ["Decoder", " or ".join(c.decoders)],
    ]
    if c.fault:  # nothing is known of it
        facts.clear()
    if c.parameters:
        facts.append(["Parameters", f"{c.parameters / 1e6:,.1f} M"])
    facts += [[f"File, {precision}", f"{name}, {size(count)}"] for name, precision, count in c.files]
    official = [
        [KNOBS[name].label, KNOBS[name].said(value)]
        for name, value in c.official.items()
        if name in KNOBS and value is not None and not c.fault
    ]
    own = not lab.policy.public
    return {
        "id": c.id,
        "name": c.name,
        "summary": c.summary,
        "state": here.state,
        "sentence": here.sentence,
        "facts": facts,
        "official": official,
        "limits": list(c.limits),
        "licence": c.licence,
        "licence_url": c.licence_url,
        "use": c.use,
        "use_url": c.use_url,
        "gettable": fetches(c) and not here.ready,
        "removable": own and lab.registry.has(c.id),
        "checkable": here.ready and own,
        "download": _download(download) if download and not here.ready else None,
    }


def touched(a: Checkpoint, b: Checkpoint, changes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What differs between two checkpoints' weights, in one line and by block."""
    same = [PARTS[change["part"]] for change in changes if change["kind"] == "identical"]
    said = f"{a.name} and {b.name}: " + (
        f"identical {' and '.join(same)}" if same else "no part is identical"
    )
    if len(same) == len(PARTS):
        said = f"{a.name} and {b.name} are identical"
    named = [{**change, "part": PARTS[change["part"]]} for change in changes]
    return {"said": said + ".", "changes": named}


def _download(download: Download) -> dict[str, Any]:
    """A download as the page shows it."""
    done, total = download.bytes_done, download.bytes_total
    said = download.sentence
    if download.state == "running":
        said = "Asking the hub…" if not total else f"{size(done)} of {size(total)}"
        if download.seconds_left:
            said += f", {size(int(download.bytes_per_second))} a second, about {duration(download.seconds_left)} left"
    return {"state": download.state, "said": said, "fraction": download.fraction}
