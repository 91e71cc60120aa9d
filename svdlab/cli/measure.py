"""`svdlab measure`: what moves and changes in any clip, made anywhere. Knows clips and metrics; opens no lab."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from svdlab.cli.options import AsJson
from svdlab.cli.words import say, say_json, table
from svdlab.errors import BadVideo
from svdlab.files import write_whole

if TYPE_CHECKING:
    from svdlab.clips.foreign import ForeignClip
    from svdlab.metrics.measure import Measurement

LEAST = 16  # px of a side of what can be measured


def measure(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE|FOLDER…", help="Videos, animated pictures or folders of frames.", show_default=False
        ),
    ],
    against: Annotated[
        Path | None,
        typer.Option("--against", metavar="OTHER", help="A clip that each is held against."),
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option("--picture", metavar="FILE", help="The picture that the clips were made from."),
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option(
            "--fps", metavar="N", min=0.1, max=240, help="Frames per second of what does not say it itself."
        ),
    ] = None,
    to_csv: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="As a table, a row for each clip and metric.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure any clip: how the camera moves, what else does, what flickers, fades or goes soft.

    What is odd about a clip, such as frames of several sizes or a damaged end, is said, and the rest is measured.
    """
    from svdlab.clips.foreign import read_clip

    other = _measured(read_clip(against), picture, fps) if against else None
    found, failed = [], False
    for file in files:
        try:
            clip = read_clip(Path(file))
            found.append((clip, _measured(clip, picture, fps)[1]))
        except BadVideo as error:
            failed = True
            say(str(error))
    held = [(clip, of_one, _against(clip, of_one, other) if other else {}) for clip, of_one in found]
    if to_csv is not None:
        _write_csv(to_csv, held)
    if as_json:
        say_json([_json(*one) for one in held])
    else:
        for one in held:
            _lines(*one, other=other[0].name if other else "")
    if failed:
        raise typer.Exit(BadVideo.exit_code)


def _measured(clip: ForeignClip, picture: Path | None, fps: float | None) -> tuple[ForeignClip, Measurement]:
    from svdlab.clips.foreign import read_clip
    from svdlab.metrics.measure import measure as measured

    height, width = clip.frames.shape[1:3]
    if min(height, width) < LEAST:
        raise BadVideo(f"{clip.name} is {width}×{height}; at least {LEAST} pixels a side can be measured.")
    start = None
    if picture is not None:
        start = read_clip(picture).frames[0]
        if start.shape != clip.frames[0].shape:
            shown = f"{start.shape[1]}×{start.shape[0]}"
            say(f"{picture.name} is {shown} and {clip.name} {width}×{height}: its fidelity is not measured.")
            start = None
    return clip, measured(clip.frames, start, clip.rate or fps)


def _against(
    clip: ForeignClip, measured: Measurement, other: tuple[ForeignClip, Measurement]
) -> dict[str, Any]:
    """The other's numbers, what was done to compare, and how alike the frames are."""
    from svdlab.metrics.similarity import psnr, ssim

    theirs, of_theirs = other
    notes = []
    sizes = [f"{one.frames.shape[2]}×{one.frames.shape[1]}" for one in (clip, theirs)]
    if sizes[0] != sizes[1]:
        notes.append(f"One is {sizes[0]}, the other {sizes[1]}: lengths in pixels are of each clip's own.")
    counts = [len(one.frames) for one in (clip, theirs)]
    if counts[0] != counts[1]:
        notes.append(f"One has {counts[0]} frames, the other {counts[1]}: each is measured over all its own.")
    rates = [one.rate for one in (clip, theirs)]
    if None not in rates and f"{rates[0]:.3g}" != f"{rates[1]:.3g}":
        notes.append(f"One plays at {rates[0]:.3g} frames a second, the other at {rates[1]:.3g}.")
    alike: dict[str, list[float | None]] = {}
    if sizes[0] == sizes[1]:
        pairs = list(zip(clip.frames, theirs.frames, strict=False))
        noise = [psnr(a, b) for a, b in pairs]
        alike = {
            "ssim": [round(ssim(a, b), 4) for a, b in pairs],
            "psnr": [None if value == float("inf") else round(value, 2) for value in noise],  # None: equal
        }
    return {"name": theirs.name, "values": of_theirs.values, "notes": notes, "alike": alike}


def _json(clip: ForeignClip, measured: Measurement, against: dict[str, Any]) -> dict[str, Any]:
    from svdlab.metrics.definitions import edition
    from svdlab.metrics.words import readout

    frames, height, width, _ = clip.frames.shape
    return {
        "name": clip.name,
        "frames": frames,
        "width": width,
        "height": height,
        "rate": clip.rate,
        "notes": list(clip.notes),
        "words": readout(measured.values, width, measured.spreads, measured.flaws),
        "edition": edition(),
        "values": measured.values,
        "spreads": measured.spreads,
        "flaws": measured.flaws,
        "series": measured.series,
        "path": measured.path,
        **({"against": against} if against else {}),
    }


def _lines(clip: ForeignClip, measured: Measurement, against: dict[str, Any], *, other: str) -> None:
    from svdlab.metrics.definitions import METRICS
    from svdlab.metrics.words import readout

    frames, height, width, _ = clip.frames.shape
    rate = f" at {clip.rate:.3g} fps" if clip.rate else ""
    typer.echo(f"{clip.name}: {frames} frames of {width}×{height}{rate}")
    typer.echo(readout(measured.values, width, measured.spreads, measured.flaws))
    for note in (*clip.notes, *against.get("notes", ())):
        typer.echo(note)
    rows = []
    for name, metric in METRICS.items():
        mine = measured.values.get(name)
        row = [metric.label, metric.number(mine), metric.number(measured.spreads.get(name)), metric.unit]
        if against:
            theirs = against["values"].get(name)
            apart = mine - theirs if mine is not None and theirs is not None else None
            row[2:2] = [metric.number(theirs), metric.number(apart, signed=True)]
        rows.append(tuple(row))
    table(("measured", "value", *((other, "difference") if against else ()), "spread", "unit"), rows)
    if against.get("alike"):
        mean = sum(against["alike"]["ssim"]) / len(against["alike"]["ssim"])
        typer.echo(f"frame by frame they are alike by {mean:.3f} SSIM on the mean")


def _write_csv(path: Path, held: list[tuple[ForeignClip, Measurement, dict[str, Any]]]) -> None:
    from svdlab.exchange.formats.csv import disarmed
    from svdlab.metrics.definitions import METRICS

    head = ("clip", "metric", "value", "spread", "unit", "version", "against", "other")

    def write(target: Path) -> None:
        with target.open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(head)
            for clip, measured, against in held:
                for name, value in measured.values.items():
                    metric = METRICS[name]
                    other = against["values"].get(name, "") if against else ""
                    by = (name, value, measured.spreads[name], metric.unit, metric.version)
                    rows.writerow((disarmed(clip.name), *by, disarmed(against.get("name", "")), other))

    write_whole(path, write)
