"""A comparison in words, numbers and files: what stands under the player.

Judges nothing: it says what was the same, what was measured and what the numbers cannot say. Knows the lab;
nothing of the page's wiring.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from math import hypot
from typing import Any

import gradio as gr

from svdlab.lab.lab import Lab
from svdlab.lab.seeds import FEWEST, Seeds, seeds_like
from svdlab.metrics.definitions import METRICS, SURE
from svdlab.recipes.fairness import Fairness
from svdlab.recipes.records import Comparison, Run
from svdlab.ui.parts import plots
from svdlab.ui.parts.element import element
from svdlab.ui.words import clip_line, clip_words, sentence
from svdlab.words import duration

LOOK = (
    "Camera: even speed, or does it start, stop and jerk? Step through with the arrow keys.",
    "Motion of the scene: does anything move by itself, or does only the camera?",
    "Morphing: edges, faces, hands and lettering in the last third, where it shows first. Zoom in there.",
    "Flicker: choose Difference and amplify it; noise on still surfaces is flicker, outlines are motion.",
    "The first frame against the picture: sharpness and colour lost at the start do not come back.",
    "Nothing moves? That happens with both versions; try another seed before you judge.",
)


def build(name: str) -> gr.HTML:
    """The element; `name` is its id on the page."""
    return element("compare_result", {}, name=name, before=plots.SCRIPTS)


def started() -> dict[str, Any]:
    """Nothing yet: a comparison was just asked for, and the player comes into sight."""
    return {"started": time.time()}


def names(lab: Lab, pair: Comparison) -> list[str]:
    """What the two sides differ in, as a person calls it: for tiles and tables."""
    if lab.fairness(pair).subject == "decoding":
        return list(lab.labels(pair))
    called = lab.called if pair.a.recipe.loras != pair.b.recipe.loras else lab.name
    return [called(pair.a), called(pair.b)]


def value(lab: Lab, pair: Comparison, before: bool) -> dict[str, Any]:
    """The value of the element under the player."""
    sides = list(zip("AB", (pair.a, pair.b), names(lab, pair), strict=True))
    both = pair.a.done and pair.b.done
    fairness = lab.fairness(pair)
    preset = lab.preset_of(pair.a)
    seeds = [seeds_like(lab.history, run) for run in (pair.a, pair.b)] if both else []
    return {
        "comparison": pair.id,
        "pair": both,
        "note": "Rendered before." if before else "",
        "badge": badge(pair, fairness) if both else None,
        "line": _line(pair),
        "detail": _effort(pair) if both else "",
        "sides": [
            {
                "letter": letter,
                "name": called,
                "words": clip_words(run),
                "file": str(run.video) if run.done else "",
                "stem": f"svdlab-{run.recipe.checkpoint}-{run.id}",
            }
            for letter, run, called in sides
        ],
        "measures": measures(pair.a, pair.b, seeds) if both else [],
        "plots": plots.value(pair.a, pair.b) if both else None,
        "counted": " ".join(filter(None, (_counted(pair), _seeds_words(seeds) if both else ""))),
        "look": [*([preset.look_for] if preset and preset.look_for else []), *LOOK] if both else [],
    }


def _line(pair: Comparison) -> str:
    """Frames, rates and seed; of sides of different length, both counts."""
    a, b = pair.a, pair.b
    counts = (a.settings.num_frames, b.settings.num_frames)
    if counts[0] == counts[1] or not (a.done and b.done):
        return clip_line(a if a.done else b)
    return f"{counts[0]} and {counts[1]} frames at {clip_line(a).split(' at ', 1)[1]}"


def _effort(pair: Comparison) -> str:
    """'Rendered together in 28 s on cpu, float32', by the clock, without loading."""
    a, b = pair.a, pair.b
    if not (a.started and b.started and a.finished and b.finished):
        return ""
    spans = [(a.started, a.finished), (b.started, b.finished)]
    together = abs(a.started - b.started) < 1  # claimed together; a side that was tried again is apart
    whole = (
        max(ends for _, ends in spans) - a.started
        if together
        else sum(ends - starts for starts, ends in spans)
    )
    load = sum(run.outcome.seconds.get("load", 0.0) for run in (a, b))
    how = "together " if together else ""
    return f"Rendered {how}in {duration(whole - load)} on {a.outcome.device}, {a.outcome.dtype}."


def _counted(pair: Comparison) -> str:
    mine, other = pair.a.settings.num_frames, pair.b.settings.num_frames
    return "" if mine == other else f"A is measured over its {mine} frames, B over its {other}."


def badge(pair: Comparison, fairness: Fairness) -> dict[str, Any]:
    """Whether the pair is fair, check by check, and what differs in sentences."""
    counts = (pair.a.settings.num_frames, pair.b.settings.num_frames)
    prefix = f" in the first {fairness.shared_frames} frames" if counts[0] != counts[1] else ""
    hashes = [pair.a.outcome.noise_sha256, pair.b.outcome.noise_sha256]
    sides = [["A and B", hashes[0]]] if hashes[0] == hashes[1] else [["A", hashes[0]], ["B", hashes[1]]]

    def check(same: bool, what: str, tail: str = "") -> dict[str, Any]:
        return {"ok": same, "text": f"{'same' if same else 'different'} {what}{tail if same else ''}"}

    return {
        "fair": fairness.fair,
        "checks": {
            "picture": check(fairness.same_picture, "picture"),
            "settings": check(fairness.same_settings, "settings"),
            "noise": check(fairness.same_noise, "noise", prefix),
        },
        "noise": fairness.noise,
        "hashes": sides,
        "differences": [sentence(Exception(line)) for line in (*fairness.differences, *fairness.remarks)],
        "title": _title(fairness),
    }


def _title(fairness: Fairness) -> str:
    if not fairness.fair:
        return "Not a fair comparison"
    return "Same latents, decoded twice" if fairness.subject == "decoding" else "Fair comparison"


def _seeds_words(seeds: Sequence[Seeds]) -> str:
    """What the last column goes by."""
    counts = [one.count for one in seeds]
    if min(counts) >= FEWEST:
        return f"What another seed changes is known from {counts[0]} seeds of A and {counts[1]} of B, all else equal."
    return f"With {FEWEST} seeds of this picture and these settings on both sides, it would say what another seed does."


def _against_seeds(name: str, apart: float | None, a: Run, b: Run, seeds: Sequence[Seeds]) -> str:
    """Whether a difference is more than grain, and more than another seed makes; empty where that is not known."""
    if apart is None:
        return ""
    if abs(apart) <= SURE * hypot(a.outcome.spreads.get(name, 0.0), b.outcome.spreads.get(name, 0.0)):
        return "within the clips' own grain"
    known = [one.spreads[name] for one in seeds if name in one.spreads]
    if len(known) < 2:
        return ""
    return "more than another seed" if abs(apart) > SURE * hypot(*known) else "within what another seed does"


def measures(a: Run, b: Run, seeds: Sequence[Seeds] = ()) -> list[dict[str, str]]:
    """The table's rows: each metric on A, on B, B minus A, and what that is beside what another seed changes."""
    rows = []
    for metric in METRICS.values():
        mine, other = a.outcome.metrics.get(metric.name), b.outcome.metrics.get(metric.name)
        apart = other - mine if mine is not None and other is not None else None
        rows.append(
            {
                "label": metric.label,
                "unit": metric.unit,
                "help": metric.help,
                "a": metric.number(mine),
                "b": metric.number(other),
                "difference": metric.number(apart, signed=True),
                "beside": _against_seeds(metric.name, apart, a, b, seeds),
            }
        )
    return rows
