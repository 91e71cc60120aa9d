"""A run in words and numbers: what it is, what was measured, what it took, what a person said of it.

Stands beside the player on the run's own page. Judges nothing. Knows the lab; nothing of the page's wiring.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import gradio as gr

from svdlab.errors import NotFound, SvdlabError
from svdlab.exchange.restore import workflow_of
from svdlab.lab.lab import Lab
from svdlab.lab.visit import Visit
from svdlab.metrics.definitions import METRICS
from svdlab.recipes import limits
from svdlab.recipes.records import Comparison, Run
from svdlab.recipes.settings import KNOBS
from svdlab.ui.parts import plots
from svdlab.ui.parts.element import element
from svdlab.ui.parts.picture.small import thumbnail
from svdlab.ui.words import AUTOMATIC, PARTS, STATE_WORDS, clip_line, clip_words, knob_words, sentence
from svdlab.words import duration, size

STAGES = {
    "load": "Loading weights",
    "encode": "Encoding the picture",
    "denoise": "Denoising",
    "decode": "Decoding",
    "write": "Measuring and writing files",
}


def build(name: str) -> gr.HTML:
    """The element; `name` is its id on the page."""
    return element("run", {}, name=name, before=plots.SCRIPTS)


def nothing(text: str) -> dict[str, Any]:
    """No run to show, and why."""
    return {"absent": text}


def value(visit: Visit, run: Run) -> dict[str, Any]:
    """The value of the element beside the player; marks are their owner's alone."""
    lab, own = visit.lab, visit.owns(run)
    done = run.done and run.video.is_file()
    return {
        "id": run.id,
        "title": lab.name(run),
        "line": clip_line(run),
        "words": clip_words(run),
        "problem": _problem(run, done) or lab.bits.sentence(run.recipe),
        "binned": run.deleted is not None,
        "shared": not own,
        "starred": run.starred and own,
        "rating": run.rating if own else None,
        "note": run.note if own else "",
        "tags": list(run.tags) if own else [],
        "video": str(run.video) if done else "",
        "frames": str(run.frames_zip) if done and run.frames_zip.is_file() else "",
        "stem": f"svdlab-{run.id}",
        "picture": thumbnail(run.picture),
        "picture_hash": run.recipe.picture_sha256,
        "facts": [
            {"title": "Settings", "rows": settings_rows(lab, run)},
            {"title": "Measured", "rows": measured_rows(run)},
            {"title": "What it took", "rows": effort_rows(run)},
            {"title": "Where it comes from", "rows": origin_rows(lab, run)},
        ],
        "pairs": [[pair.id, _pair_words(lab, pair, run)] for pair in visit.comparisons_of(run)],
        "plots": plots.value(run),
        "recipe": run.recipe.model_dump_json(indent=2),
        **_workflow(lab, run),
    }


def _workflow(lab: Lab, run: Run) -> dict[str, Any]:
    """The run as ComfyUI would do it, and what differs there."""
    try:
        flow = workflow_of(lab, run)
    except SvdlabError as error:
        return {"workflow": "", "workflow_notes": [sentence(error)]}
    return {"workflow": flow.text(ui=True), "workflow_notes": list(flow.notes)}


def _problem(run: Run, done: bool) -> str:
    if run.done and not done:
        return "Its video was removed from the data folder; render it again to have it."
    return "" if run.done else sentence(Exception(run.error or STATE_WORDS[run.state]))


def settings_rows(lab: Lab, run: Run) -> list[list[str]]:
    """[label, value, what the preset has instead]: every knob, those that differ from the start marked."""
    preset = lab.preset_of(run)
    try:
        checkpoint = lab.catalogue.get(run.recipe.checkpoint)
        start = preset.settings_for(checkpoint) if preset else limits.defaults_for(checkpoint)
        differing = run.settings.differences(start)
    except NotFound:
        differing = {}
    rows = [["Preset", preset.name if preset else "Checkpoint's own settings", ""]]
    for name, knob in KNOBS.items():
        instead = ""
        if name in differing and name != "seed":
            given = differing[name][1]
            instead = (
                f"{'preset' if preset else 'own'}: {AUTOMATIC.get(name, 'none') if given is None else given}"
            )
        rows.append([knob.label, knob_words(run, name), instead])
    return rows


def measured_rows(run: Run) -> list[list[str]]:
    """[label, value with unit, what it says] of each metric there is, with its spread where the grain gives it one."""
    spreads = run.outcome.spreads
    return [
        [metric.label, metric.text(run.outcome.metrics[name], spreads.get(name)), metric.help]
        for name, metric in METRICS.items()
        if name in run.outcome.metrics
    ]


def effort_rows(run: Run) -> list[list[str]]:
    """[what, how much, ""]: seconds by stage, memory, and what had to give way."""
    outcome = run.outcome
    rows = [
        [STAGES.get(name, name), duration(spent) if spent >= 1 else f"{spent:.2f} s", ""]
        for name, spent in outcome.seconds.items()
    ]
    if outcome.peak_memory_bytes:
        rows.append(["Peak of memory", size(outcome.peak_memory_bytes), ""])
    if outcome.device:
        rows.append(["Device", f"{outcome.device}, {outcome.dtype}", ""])
    if outcome.decode_chunk_size:
        rows.append(["Decoded at once", f"{outcome.decode_chunk_size} frames", ""])
    if outcome.plan:
        rows.append(["Planned", outcome.plan, ""])
    return rows + [["Changed", line, ""] for line in outcome.fallbacks]


def origin_rows(lab: Lab, run: Run) -> list[list[str]]:
    """[what, which, ""]: times, checkpoint, hashes, versions."""
    rows = [["Asked for", datetime.fromtimestamp(run.created).strftime("%Y-%m-%d %H:%M:%S"), ""]]
    rows += [["Checkpoint", lab.label(run), ""], ["Picture", run.recipe.picture_sha256[:16], ""]]
    if run.outcome.noise_sha256:
        rows.append(["Noise", run.outcome.noise_sha256[:16], ""])
    if run.latents_of:
        rows.append(["Latents of", run.latents_of, ""])
    for name, version in run.recipe.versions.items():
        part = name.removesuffix("_sha256")
        rows.append(
            [f"{PARTS.get(part, part)} weights", version[:16], ""] if part != name else [name, version, ""]
        )
    return rows


def _pair_words(lab: Lab, pair: Comparison, run: Run) -> str:
    other = pair.b if pair.a.id == run.id else pair.a
    return f"beside {lab.name(other)}, seed {other.settings.seed}"
