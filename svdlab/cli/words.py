"""Runs, findings, checkpoints and presets as JSON and as lines of text. Knows records; nothing of the lab's doings."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import typer

from svdlab.metrics.definitions import METRICS
from svdlab.recipes.checkpoint import Checkpoint
from svdlab.recipes.fairness import Fairness
from svdlab.recipes.limits import Note
from svdlab.recipes.presets import Preset
from svdlab.recipes.records import Comparison, Run
from svdlab.weights.availability import Availability, availability
from svdlab.words import counted, size

if TYPE_CHECKING:
    from svdlab.exchange.tables import ImportReport
    from svdlab.history.doctor import DiskUse, Finding


def say_json(value: object) -> None:
    """One JSON value on stdout."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def say(line: str) -> None:
    """A remark on stderr, apart from the result."""
    typer.echo(line, err=True)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Columns as wide as they need to be, on stdout."""
    lines = [list(head), *map(list, rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    for line in lines:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def run_json(run: Run, notes: Sequence[Note] = (), again: bool = False) -> dict[str, Any]:
    """A run for programs. `again` says it was rendered before and taken from the history."""
    return {
        "run": run.id,
        "state": run.state,
        "checkpoint": run.recipe.checkpoint,
        "preset": run.preset,
        "seed": run.settings.seed,
        "picture": str(run.picture.absolute()),
        "video": str(run.video.absolute()) if run.done else None,
        "frames_zip": str(run.frames_zip.absolute()) if run.done else None,
        "rendered_before": again,
        "seconds": run.outcome.seconds,
        "device": run.outcome.device,
        "dtype": run.outcome.dtype,
        "noise_sha256": run.outcome.noise_sha256,
        "peak_memory_bytes": run.outcome.peak_memory_bytes,
        "error": run.error,
        "created": run.created,
        "starred": run.starred,
        "rating": run.rating,
        "note": run.note,
        "tags": list(run.tags),
        "deleted": run.deleted,
        "comparison": run.comparison,
        "metrics": run.outcome.metrics,
        "recipe_hash": run.recipe.hash,
        "recipe": run.recipe.model_dump(mode="json"),
        "notes": [{"knob": note.field, "sentence": note.sentence} for note in notes],
    }


def comparison_json(comparison: Comparison, verdict: Fairness, notes: Sequence[Note]) -> dict[str, Any]:
    """A comparison for programs."""
    return {
        "comparison": comparison.id,
        "fair": verdict.fair,
        "same_picture": verdict.same_picture,
        "same_settings": verdict.same_settings,
        "same_noise": verdict.same_noise,
        "noise": verdict.noise,
        "subject": verdict.subject,
        "differences": list(verdict.differences),
        "remarks": list(verdict.remarks),
        "shared_frames": verdict.shared_frames,
        "seed": comparison.a.settings.seed,
        "notes": [{"knob": note.field, "sentence": note.sentence} for note in notes],
        "a": run_json(comparison.a),
        "b": run_json(comparison.b),
    }


def run_line(run: Run) -> str:
    """'14 frames, 2.3 s at 6 fps (the model saw 5), seed 7, noise 3f9a1c2e, 8.1 s on cpu'."""
    s = run.settings
    clip = f"{s.num_frames} frames, {s.duration:.1f} s at {s.effective_playback_fps:g} fps"
    spent = run.outcome.spent
    effort = f", {spent:.1f} s on {run.outcome.device}" if spent else ""
    added = f", with {counted(len(run.recipe.loras), 'LoRA file')}" if run.recipe.loras else ""
    noise = f", noise {run.outcome.noise_sha256[:8]}" if run.outcome.noise_sha256 else ""
    return f"{clip} (fps {s.fps}, the model saw {s.conditioning_fps}), seed {s.seed}{added}{noise}{effort}"


def numbers_of(run: Run) -> str:
    """' (float32 on cpu)', what a clip was rendered with; nothing where it does not say."""
    made = run.outcome
    return f" ({made.dtype} on {made.device})" if made.dtype and made.device else ""


def fairness_line(verdict: Fairness) -> str:
    """Whether the pair may be compared, or exactly what differs."""
    if verdict.fair:
        return " ".join((f"same picture, same settings, same noise {verdict.noise}", *verdict.remarks))
    return "not a fair pair: " + " ".join(verdict.differences)


def runs_table(runs: Sequence[Run], asked: Sequence[str] = ()) -> None:
    """Runs, one a line; what they were sorted by or asked for gets a column where it has none."""
    head = ["run", "state", "when", "checkpoint", "frames", "bucket", "fps", "seed", "took"]
    shown = {"created", "checkpoint", "num_frames", "motion_bucket_id", "fps", "seed", "seconds", "rating"}
    extra = [name for name in dict.fromkeys(asked) if name not in shown]
    rows = [
        (
            run.id,
            run.state,
            time.strftime("%Y-%m-%d %H:%M", time.localtime(run.created)),
            run.recipe.checkpoint,
            str(run.settings.num_frames),
            str(run.settings.motion_bucket_id),
            str(run.settings.fps),
            str(run.settings.seed),
            f"{run.outcome.spent:.1f} s" if run.done else (run.error or ""),
            *(_value_of(run, name) for name in extra),
            marks_of(run),
        )
        for run in runs
    ]
    table((*head, *extra, "marks"), rows)


def _value_of(run: Run, name: str) -> str:
    """A knob, a metric or another thing that runs are found by; empty if the run has none."""
    if name in METRICS:
        return METRICS[name].number(run.outcome.metrics[name]) if name in run.outcome.metrics else ""
    for place in (run.settings, run.outcome, run):
        if hasattr(place, name):
            value = getattr(place, name)
            return "" if value is None else str(value)
    return ""


def marks_of(run: Run) -> str:
    """'★ 4/5 beach, keep', empty for a run nobody has marked."""
    rated = "" if run.rating is None else f"{run.rating}/5"
    return " ".join(filter(None, ("★" * run.starred, rated, ", ".join(run.tags))))


def marks_lines(run: Run) -> list[str]:
    """What a person said of a run, and whether it lies in the bin."""
    binned = "In the bin; svdlab runs take-back takes it out." if run.deleted is not None else ""
    return [line for line in (marks_of(run), run.note, binned) if line]


def import_lines(report: ImportReport) -> None:
    """What became of a zip; what was refused on stderr."""
    for name, ids in (("added", report.added), ("here already", report.skipped)):
        for id in ids:
            typer.echo(f"{id}: {name}")
    typer.echo(
        f"{len(report.added)} runs, {len(report.comparisons)} comparisons and {len(report.pictures)} pictures added, "
        f"{len(report.skipped)} here already, {len(report.refused)} refused"
    )
    for refusal in report.refused:
        say(f"{refusal.name}: {refusal.sentence}")


def doctor_lines(findings: Sequence[Finding], use: DiskUse) -> None:
    """What is wrong, what was mended, and what takes how much room."""
    for finding in findings:
        typer.echo(
            f"{finding.kind} {finding.about}: {finding.sentence}{' Mended.' if finding.repaired else ''}"
        )
    if not findings:
        typer.echo("All is well.")
    room = {name: size for name, size in vars(use).items() if name != "free"}
    table(("what", "room"), [(name, f"{size / 1e6:.1f} MB") for name, size in room.items() if size])
    typer.echo(f"{use.total / 1e6:.1f} MB in all; {use.free / 1e9:.1f} GB are free on this disk")


def checkpoint_json(checkpoint: Checkpoint) -> dict[str, Any]:
    """A checkpoint for programs."""
    here = availability(checkpoint)
    return {
        "id": checkpoint.id,
        "name": checkpoint.name,
        "version": checkpoint.version,
        "summary": checkpoint.summary,
        "state": here.state,
        "sentence": here.sentence,
        "path": str(here.path) if here.path else None,
        "bytes_on_disk": here.bytes_on_disk,
        "download_bytes": checkpoint.download_bytes,
        "base": checkpoint.base.id if checkpoint.base else None,
        **_sizes(checkpoint),
        "decoders": list(checkpoint.decoders),
        "trained_for": checkpoint.trained_for,
        "official": dict(checkpoint.official),
        "licence": checkpoint.licence,
        "licence_url": checkpoint.licence_url,
    }


def _sizes(checkpoint: Checkpoint) -> dict[str, int | None]:
    """Frames and pixels; of one that cannot be read they are not known."""
    sizes = {
        "frames": checkpoint.native_frames,
        "width": checkpoint.width,
        "height": checkpoint.height,
        "size_step": checkpoint.size_step,
    }
    return {name: None if checkpoint.fault else value for name, value in sizes.items()}


def checkpoints_table(checkpoints: Iterable[Checkpoint]) -> None:
    """What there is, where it is and what to do to have it."""
    everything = [(checkpoint, availability(checkpoint)) for checkpoint in checkpoints]
    rows = [
        (
            c.id,
            c.name,
            here.state,
            *(("", "", "") if c.fault else (str(c.native_frames), f"{c.width}×{c.height}", str(c.size_step))),
            size_of(c, here),
        )
        for c, here in everything
    ]
    table(("id", "name", "weights", "frames", "size", "step", "bytes"), rows)
    for c, here in everything:
        made = "" if c.fault else f"{c.trained_for}. "
        typer.echo(f"\n{c.id}: {c.summary}\n  {made}{here.sentence}\n  Licence: {c.licence or 'not known'}")
        if c.licence_url:
            typer.echo(f"  {c.licence_url}")


def size_of(checkpoint: Checkpoint, here: Availability) -> str:
    """On disk, else to be downloaded: '27.4 MB', '4.5 GB'; nothing where neither is known."""
    count = here.bytes_on_disk or checkpoint.download_bytes
    return size(count) if count else ""


def presets_table(presets: Iterable[Preset]) -> None:
    """The presets by group, each with what it is."""
    table(("group", "id", "what it is"), [(p.group, p.id, p.summary) for p in presets])


def preset_text(preset: Preset) -> None:
    """One preset in full."""
    typer.echo(
        f"{preset.name} ({preset.id}, {preset.group})\n\n{preset.summary}\n\nLook for: {preset.look_for}\n"
    )
    if preset.compare:
        typer.echo(f"Compares {preset.compare[0]} and {preset.compare[1]}.\n")
    for name, value in preset.settings.items():
        typer.echo(f"  {name} = {'all frames' if value == '' else value}")
