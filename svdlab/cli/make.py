"""`svdlab generate` and `svdlab compare`: a picture in, a clip or two side by side out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from svdlab.cli import files, words
from svdlab.cli.flags import knob_flags
from svdlab.cli.options import (
    Again,
    AsJson,
    CheckpointId,
    DataDir,
    Device,
    Dtype,
    LoraFiles,
    PicturePath,
    PresetId,
    open_data,
)
from svdlab.cli.wanted import kept_picture, say_notes, start_of, wanted
from svdlab.errors import BadInput
from svdlab.files import write_whole
from svdlab.weights.availability import availability

if TYPE_CHECKING:
    from svdlab.lab.lab import Lab
    from svdlab.lab.pictures import StoredPicture
    from svdlab.recipes.limits import Note
    from svdlab.recipes.records import Recipe


@knob_flags
def generate(
    ctx: typer.Context,
    pictures: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PICTURE…",
            help="The picture to start from; several, or a folder of them, make a clip each.",
            show_default=False,
        ),
    ] = None,
    checkpoint: CheckpointId = None,
    preset: PresetId = None,
    like: Annotated[
        Path | None,
        typer.Option(
            "--like",
            metavar="FILE",
            help="Start from this file's settings: a clip, poster or recipe of svdlab's, a ComfyUI workflow.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write the clip there: .mp4 or .webp."),
    ] = None,
    frames: Annotated[
        Path | None,
        typer.Option("--frames", metavar="DIR", help="Write the lossless frames there, numbered PNGs."),
    ] = None,
    lora: LoraFiles = None,
    again: Again = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
    device: Device = "",
    dtype: Dtype = "",
    *,
    changes: dict[str, str],
) -> None:
    """Make a clip from a picture, or one from each of several.

    Knobs that are not given are the preset's, else what the checkpoint's makers use; the size is the native one that
    fits the picture's shape, upright or lying. With --like they are the file's, and so are the checkpoint, the seed,
    the LoRAs unless others are given and, if this lab has it, the picture. Of several pictures each is a run of its
    own, all with one seed; -o and --frames then name folders, and a picture that cannot be used stops none of the
    others.
    """
    from svdlab.cli.batch import generate_each
    from svdlab.cli.progress import can_render, must_be_here, render
    from svdlab.workers import Compute

    if not pictures and like is None:
        raise BadInput("missing argument PICTURE: the picture to start from, or --like FILE; see --help")
    if like is not None and preset is not None:
        raise BadInput("--preset and --like both say what to start from; give one of them")
    several = files.pictures_in(pictures or [])
    if several is not None:
        with open_data(ctx, data_dir) as lab:
            asked = wanted(lab, checkpoint, preset, like, changes, lora or ())
            raise typer.Exit(
                generate_each(lab, asked, several, output, frames, again, as_json, device, dtype)
            )
    picture = pictures[0] if pictures else None
    files.check_video_path(output, picture or "")
    files.check_frames_folder(frames)
    with open_data(ctx, data_dir) as lab:
        asked = wanted(lab, checkpoint, preset, like, changes, lora or ())
        recipe, notes = asked.recipe(lab, start_of(lab, picture, asked.base))
        say_notes(notes)
        numbers = Compute.of(lab.environment, device, dtype).numbers
        before = None if again else lab.before.run(recipe, numbers)
        if before is None:
            must_be_here(asked.checkpoint)
            compute = can_render(lab, device, dtype)
            [run] = render(lab, [lab.submit(recipe, asked.preset)], compute)
        else:
            run = before
            words.say(f"Rendered before, as run {run.id}{words.numbers_of(run)}; --again renders it anew.")
        files.write_video(run, output)
        files.write_frames_of(run, frames)
    if as_json:
        written = {"output": output, "frames": frames}
        words.say_json({**words.run_json(run, notes, before is not None), **written})
    else:
        typer.echo(f"{output or run.video}: {words.run_line(run)}, run {run.id}")


@knob_flags
def compare(
    ctx: typer.Context,
    picture: PicturePath,
    a: Annotated[
        str | None, typer.Option("-a", metavar="ID", help="The left checkpoint. Default: a 1.0.")
    ] = None,
    b: Annotated[
        str | None, typer.Option("-b", metavar="ID", help="The right checkpoint. Default: a 1.1.")
    ] = None,
    preset: PresetId = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write both side by side there: .mp4 or .webp."),
    ] = None,
    native_frames: Annotated[
        bool, typer.Option("--native-frames", help="Each side makes the frame count it was trained for.")
    ] = False,
    lora: LoraFiles = None,
    lora_a: Annotated[
        list[str] | None,
        typer.Option("--lora-a", metavar="FILE[:STRENGTH]", help="As --lora, on A alone."),
    ] = None,
    lora_b: Annotated[
        list[str] | None,
        typer.Option("--lora-b", metavar="FILE[:STRENGTH]", help="As --lora, on B alone."),
    ] = None,
    again: Again = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
    device: Device = "",
    dtype: Dtype = "",
    *,
    changes: dict[str, str],
) -> None:
    """Make two clips to compare: two checkpoints, one noise.

    Same picture, same knobs, same noise tensors; what differs all the same is said. With -a and -b the same checkpoint
    and --lora-b a LoRA, it is the LoRA that is compared.
    Knobs that are not given are the preset's, else what A's makers use.
    """
    from svdlab.cli.progress import can_render, must_be_here, render
    from svdlab.workers import Compute

    files.check_video_path(output, picture)
    with open_data(ctx, data_dir) as lab:
        a, b = _sides(lab, a, b, preset)
        added, *own = (lab.loras.chosen(asked or ()) for asked in (lora, lora_a, lora_b))
        kept = kept_picture(lab, picture)
        first, second = lab.comparison_recipes(
            kept, a, b, preset, changes.get("seed"), changes, native_frames, added, own
        )
        notes = _both_notes(lab, first, second, kept)
        say_notes(notes)
        numbers = Compute.of(lab.environment, device, dtype).numbers
        comparison = None if again else lab.before.pair(first, second, numbers)
        before = comparison is not None
        if comparison is None:
            for recipe in (first, second):
                must_be_here(lab.catalogue.get(recipe.checkpoint))
            compute = can_render(lab, device, dtype)
            asked = lab.submit_comparison(first, second, preset)
            render(lab, [asked.a, asked.b], compute)
            comparison = lab.history.comparison(asked.id)
        else:
            with_what = words.numbers_of(comparison.a)
            words.say(f"Rendered before, as comparison {comparison.id}{with_what}; --again renders it anew.")
        done = comparison
        if output is not None:
            write_whole(output, lambda path: lab.export_side_by_side(done, path))
        verdict = lab.fairness(done)
    if as_json:
        written = {"output": output, "rendered_before": before}
        words.say_json({**words.comparison_json(done, verdict, notes), **written})
        return
    for side, run in (("A", done.a), ("B", done.b)):
        typer.echo(f"{side} {run.recipe.checkpoint}: {words.run_line(run)}, run {run.id}")
    typer.echo(words.fairness_line(verdict)[:1].upper() + words.fairness_line(verdict)[1:])
    if output is not None:
        typer.echo(f"{output}: side by side, {verdict.shared_frames} frames")


def _both_notes(lab: Lab, first: Recipe, second: Recipe, picture: StoredPicture) -> tuple[Note, ...]:
    both = [
        note for recipe in (first, second) for note in lab.notes(recipe.checkpoint, recipe.settings, picture)
    ]
    return tuple(dict.fromkeys(both))


def _sides(lab: Lab, a: str | None, b: str | None, preset: str | None) -> tuple[str, str]:
    """Which two checkpoints: as asked, else the preset's pair if it is here, else the lab's usual pair."""

    usual = lab.catalogue.pair()
    wanted = lab.presets.get(preset).compare if preset else None
    pair = (usual[0].id, usual[1].id)
    if wanted is not None and not (a and b):
        if all(availability(lab.catalogue.get(id)).ready for id in wanted):
            pair = wanted
        else:
            words.say(
                f"Note: {wanted[0]} and {wanted[1]} are not both here; comparing {a or pair[0]} and {b or pair[1]}."
            )
    return a or pair[0], b or pair[1]
