"""A comparison in words, numbers and files: what stands under the player, and the endpoint /compare.

Judges nothing: it says what was the same, what was measured and what the numbers cannot say. Knows the lab;
nothing of the page's wiring.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gradio.data_classes import FileData

from svdlab.errors import NotFound
from svdlab.lab.lab import Lab
from svdlab.metrics.definitions import METRICS
from svdlab.metrics.words import in_words
from svdlab.recipes.checkpoint import Checkpoint
from svdlab.recipes.events import Event
from svdlab.recipes.fairness import Fairness
from svdlab.recipes.records import Comparison, Run
from svdlab.recipes.settings import KNOBS
from svdlab.ui.api import answer, file_of, told, with_knobs
from svdlab.ui.words import STATE_WORDS, clip_line, duration, sentence

LOOK = (
    "Camera: even speed, or does it start, stop and jerk? Step through with the arrow keys.",
    "Motion of the scene: does anything move by itself, or does only the camera?",
    "Morphing: edges, faces, hands and lettering in the last third, where it shows first. Zoom in there.",
    "Flicker: choose Difference and amplify it; noise on still surfaces is flicker, outlines are motion.",
    "The first frame against the picture: sharpness and colour lost at the start do not come back.",
    "Nothing moves? That happens with both versions; try another seed before you judge.",
)
CANNOT = (
    "Measured by optical flow and SSIM over each whole clip, in its own pixels. The numbers say how much moves and "
    "changes, not which clip looks better; and one seed on one picture is one sample."
)
YES = '<svg class="yes" viewBox="0 0 20 20" aria-hidden="true"><path d="M4.5 10.5l3.5 3.5 7.5-8"/></svg>'
NO = '<svg class="no" viewBox="0 0 20 20" aria-hidden="true"><path d="M5.5 5.5l9 9M14.5 5.5l-9 9"/></svg>'
WARN = (
    '<svg class="warn" viewBox="0 0 20 20" aria-hidden="true">'
    '<path d="M10 3.5l7 12.5H3zM10 8.5v3.5M10 14.2v.1"/></svg>'
)
_CHECKS = "".join(
    f'<li class="check" data-check="{name}">{YES}{NO}<span></span></li>'
    for name in ("picture", "settings", "noise")
)
TEMPLATE = f"""
<div class="result" hidden>
  <p class="result-note" hidden><span></span> <button type="button" class="link again">Render again</button></p>
  <div class="result-row">
    <div class="badge" role="group" aria-label="Fairness" hidden>
      <div class="badge-row"><strong>{WARN}<span class="badge-title"></span></strong><ul class="checks">{_CHECKS}</ul>
        <span class="badge-noise"><code class="noise-hash"></code><button type="button" class="link show-hashes"
        aria-expanded="false">Full hash</button></span></div>
      <ul class="badge-differences"></ul>
      <div class="hashes" hidden><dl class="noise-hashes"></dl><p class="help">SHA-256 of the noise each side really
        got: that for the picture and that the clip starts from. It is drawn on the CPU, so one seed is one noise on
        every device.</p></div>
    </div>
    <div class="actions"><button type="button" class="small deliver" data-kind="mp4">Pair as MP4</button><button
      type="button" class="small deliver" data-kind="webp">Pair as WebP</button><a
      class="small get-a">A as MP4</a><a class="small get-b">B as MP4</a><button
      type="button" class="small copy-link">Copy link</button></div>
  </div>
  <div class="result-words"><p class="result-line"></p><p class="help result-detail"></p></div>
  <div class="findings">
    <details class="look"><summary>What to look for</summary><ul></ul></details>
    <section class="measured" hidden><div class="scroll" tabindex="0" role="region"
      aria-label="What was measured"><table><thead><tr></tr></thead><tbody></tbody></table></div>
      <p class="help">{CANNOT}</p><p class="help counted" hidden></p></section>
  </div>
</div>
"""
STRIP = """
<div class="strip" hidden><div class="strip-head"><h2>Latest comparisons</h2><p class="strip-notice"
  hidden><span></span> <button type="button" class="link resume">Resume</button></p></div>
  <div class="tiles"></div></div>
"""


def nothing(text: str) -> dict[str, Any]:
    """The stage's value when there is nothing to play, and why."""
    return {"mode": "idle", "sentence": text}


def unrendered(pair: Comparison) -> dict[str, Any]:
    """The stage's value for a comparison that is over without a clip."""
    same = pair.a.state == pair.b.state and pair.a.error == pair.b.error
    lines = (
        [_ended(pair.a)]
        if same
        else [f"{letter}: {_ended(run)}" for letter, run in (("A", pair.a), ("B", pair.b))]
    )
    return nothing(" ".join(lines)) | {"comparison": pair.id, "action": _action(pair)}


def problems(pair: Comparison) -> dict[str, Any]:
    """What the stage says above the one clip there is."""
    sides = (("A", pair.a), ("B", pair.b))
    lines = [f"{letter} was not rendered. {_ended(run)}" for letter, run in sides if not run.done]
    return {"comparison": pair.id, "problems": lines, "action": _action(pair)}


def _ended(run: Run) -> str:
    return sentence(Exception(run.error or STATE_WORDS[run.state]))


def of_both(notes: list[str], a: Checkpoint, b: Checkpoint) -> list[str]:
    """Notes about a knob, with what is true of both sides said once."""
    tails = [note.removeprefix(f"{side.name} was ") for note, side in zip(notes, (a, b), strict=False)]
    if len(notes) == 2 and tails[0] == tails[1] and tails != notes:
        return [f"Both were {tails[0]}"]
    return list(dict.fromkeys(notes))


def names(lab: Lab, pair: Comparison) -> list[str]:
    """What the two sides differ in, as a person calls it: for tiles and tables."""
    if lab.fairness(pair).subject == "decoding":
        return list(lab.labels(pair))
    return [lab.name(pair.a), lab.name(pair.b)]


def stem(pair: Comparison) -> str:
    """The name of a downloaded file, without its ending."""
    return f"svdlab-{pair.a.recipe.checkpoint}-beside-{pair.b.recipe.checkpoint}-{pair.id[-6:]}"


def native_frames(a: Checkpoint, b: Checkpoint) -> dict[str, str]:
    """What stands under 'Each side its native frame count', ticked and not."""
    if a.native_frames == b.native_frames:
        both = f"Both were trained on {a.native_frames} frames."
        return {"on": both, "off": both}
    counts = f"A was trained on {a.native_frames} frames, B on {b.native_frames}"
    shared = min(a.native_frames, b.native_frames)
    return {"on": f"{counts}; only the first {shared} can be put side by side.", "off": f"{counts}."}


# While it renders


def progress(a: Event | None, b: Event | None) -> str:
    """Both sides' progress as one line."""
    if a is None or b is None:
        return (a or b).text if a or b else "Waiting."  # type: ignore[union-attr]
    if (a.kind, a.step, a.steps) == (b.kind, b.step, b.steps):
        if a.kind == "step":
            known = [event.eta for event in (a, b) if event.eta is not None]
            left = f", about {duration(sum(known))} left" if known else ""  # each counts its own work only
            return f"Rendering both: {a.step} of {a.steps} steps{left}."
        if a.kind != "loading":
            return a.text
    return f"A: {a.text} B: {b.text}"


# When it is over


def result(lab: Lab, pair: Comparison, before: bool) -> dict[str, Any]:
    """The value of the element under the player."""
    sides = list(zip("AB", (pair.a, pair.b), names(lab, pair), strict=True))
    both = pair.a.done and pair.b.done
    fairness = lab.fairness(pair)
    preset = lab.preset_of(pair.a)
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
                "words": in_words(run.outcome.metrics, run.settings.width),
                "file": str(run.video) if run.done else "",
                "stem": f"svdlab-{run.recipe.checkpoint}-{run.id}",
            }
            for letter, run, called in sides
        ],
        "measures": measures(pair.a, pair.b) if both else [],
        "counted": _counted(pair),
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


def _action(pair: Comparison) -> str:
    states = {pair.a.state, pair.b.state} - {"done"}
    if not states:
        return ""
    return "resume" if "interrupted" in states else "again"


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


def measures(a: Run, b: Run) -> list[dict[str, str]]:
    """The table's rows: each metric on A, on B, and B minus A."""
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
            }
        )
    return rows


# Files and the endpoint


def side_by_side(lab: Lab, pair: Comparison, kind: str = "mp4") -> Path:
    """Both sides with labels as one MP4 or WebP, kept beside A's files and made once. Raises `SvdlabError`."""
    if not (pair.a.done and pair.b.done):
        raise NotFound("both sides must be rendered first")
    path = pair.a.folder / f"{stem(pair)}.{kind}"  # Gradio serves a file under the name it has on disk
    if not path.is_file():
        temporary = path.with_name(f"making-{time.time_ns()}.{kind}")
        try:
            lab.export_side_by_side(pair, temporary).replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    return path


def summary(lab: Lab, pair: Comparison) -> dict[str, Any]:
    """A finished comparison as JSON."""
    fairness = lab.fairness(pair)
    return {
        "id": pair.id,
        "a": pair.a.recipe.model_dump(mode="json"),
        "b": pair.b.recipe.model_dump(mode="json"),
        "fairness": {
            "fair": fairness.fair,
            "same_picture": fairness.same_picture,
            "same_settings": fairness.same_settings,
            "same_noise": fairness.same_noise,
            "shared_frames": fairness.shared_frames,
            "subject": fairness.subject,
            "differences": list(fairness.differences),
            "remarks": list(fairness.remarks),
        },
        "noise_sha256": {"a": pair.a.outcome.noise_sha256, "b": pair.b.outcome.noise_sha256},
        "metrics": {"a": pair.a.outcome.metrics, "b": pair.b.outcome.metrics},
    }


def endpoint(lab: Lab) -> Callable[..., Any]:
    """The function behind /compare: `picture`, `a`, `b`, `preset` and one parameter per knob."""

    def compare(picture: Any, a: Any = None, b: Any = None, preset: Any = None, *knobs: Any) -> Any:
        changes = {name: value for name, value in zip(KNOBS, knobs, strict=False) if value is not None}
        seed = changes.pop("seed", None)
        pair: Comparison = told(lambda: lab.compare(file_of(picture), a, b, preset, seed, **changes))
        return answer(told(lambda: side_by_side(lab, pair))), summary(lab, pair)

    compare.__doc__ = (
        "A picture in, two checkpoints side by side out: the labelled MP4, and both recipes with what was measured. "
        "Without a and b it is the best pair of 1.0 and 1.1 that is here. Both sides get the same noise."
    )
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    first = [
        inspect.Parameter("picture", kind, annotation=FileData),
        *(inspect.Parameter(n, kind, default=None, annotation=str | None) for n in ("a", "b", "preset")),
    ]
    return with_knobs(compare, first, tuple[FileData, dict])
