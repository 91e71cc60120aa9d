"""`svdlab generate` and `svdlab compare`: a picture in, a clip or two side by side out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from svdlab.cli import files
from svdlab.cli.flags import knob_flags
from svdlab.cli.options import Again, AsJson, DataDir, Device, Dtype, PicturePath, PresetId, open_data
from svdlab.errors import BadInput
from svdlab.files import write_whole
from svdlab.recipes.settings import GenerationSettings, resolve_seed
from svdlab.weights.availability import availability

if TYPE_CHECKING:
    from svdlab.exchange.restore import Restored
    from svdlab.lab.lab import Lab
    from svdlab.lab.pictures import StoredPicture
    from svdlab.recipes.limits import Note
    from svdlab.recipes.records import Recipe, Run


@knob_flags
def generate(
    ctx: typer.Context,
    picture: Annotated[
        str | None,
        typer.Argument(metavar="PICTURE", help="The picture to start from.", show_default=False),
    ] = None,
    checkpoint: Annotated[
        str | None,
        typer.Option("--checkpoint", "-c", metavar="ID", help="Which weights. Default: the best here."),
    ] = None,
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
    again: Again = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
    device: Device = "",
    dtype: Dtype = "",
    *,
    changes: dict[str, str],
) -> None:
    """Make a clip from a picture.

    Knobs that are not given are the preset's, else what the checkpoint's makers use; the size is the native one that
    fits the picture's shape, upright or lying. With --like they are the
    file's, and so are the checkpoint, the seed and, if this lab has it, the picture.
    """
    from svdlab.cli import words
    from svdlab.cli.progress import can_render, must_be_here, render
    from svdlab.workers import Compute

    if picture is None and like is None:
        raise BadInput("missing argument PICTURE: the picture to start from, or --like FILE; see --help")
    if like is not None and preset is not None:
        raise BadInput("--preset and --like both say what to start from; give one of them")
    files.check_video_path(output, picture or "")
    files.check_frames_folder(frames)
    with open_data(ctx, data_dir) as lab:
        base = _restored(lab, like) if like is not None else None
        if base is not None:
            checkpoint, preset = checkpoint or base.checkpoint, base.preset
        chosen = lab.catalogue.get(checkpoint) if checkpoint else lab.catalogue.default()
        if base is not None:
            base = _for_checkpoint(lab, base, chosen.id)
        if base is None:
            settings = lab.settings(chosen.id, changes, preset, changes.get("seed"))
        else:
            settings = GenerationSettings.parse({**changes, **_seed(changes)}, base=base.settings)
        lab.notes(chosen.id, settings)  # a wrong knob is said before the picture is read
        start = _start(lab, picture, base)
        if base is None:
            settings = lab.settings(chosen.id, changes, preset, settings.seed, start)
        notes = lab.notes(chosen.id, settings, start)
        recipe = lab.recipe(chosen.id, start, settings)
        _say_notes(notes)
        numbers = Compute.of(lab.environment, device, dtype).numbers
        before = None if again else lab.before.run(recipe, numbers)
        if before is None:
            must_be_here(chosen)
            compute = can_render(lab, device, dtype)
            [run] = render(lab, [lab.submit(recipe, preset)], compute)
        else:
            run = before
            words.say(f"Rendered before, as run {run.id}{words.numbers_of(run)}; --again renders it anew.")
        _write_video(run, output)
        _write_frames(run, frames)
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
    again: Again = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
    device: Device = "",
    dtype: Dtype = "",
    *,
    changes: dict[str, str],
) -> None:
    """Make two clips to compare: two checkpoints, one noise.

    Same picture, same knobs, same noise tensors; what differs all the same is said.
    Knobs that are not given are the preset's, else what A's makers use.
    """
    from svdlab.cli import words
    from svdlab.cli.progress import can_render, must_be_here, render
    from svdlab.workers import Compute

    files.check_video_path(output, picture)
    with open_data(ctx, data_dir) as lab:
        a, b = _sides(lab, a, b, preset)
        kept = _picture(lab, picture)
        first, second = lab.comparison_recipes(
            kept, a, b, preset, changes.get("seed"), changes, native_frames
        )
        notes = _both_notes(lab, first, second, kept)
        _say_notes(notes)
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


def _restored(lab: Lab, path: Path) -> Restored:
    """What a file says; what it does not is said too."""
    from svdlab.cli import words
    from svdlab.exchange.restore import restore

    found = restore(lab, path)
    for note in found.notes:
        words.say(f"Note: {note}")
    return found


def _for_checkpoint(lab: Lab, base: Restored, checkpoint: str) -> Restored:
    """The file's settings as the chosen checkpoint can render them; what that changes is said."""
    from svdlab.cli import words
    from svdlab.exchange.restore import fitted

    found = fitted(lab, base, checkpoint)
    for note in found.notes[len(base.notes) :]:
        words.say(f"Note: {note}")
    return found


def _seed(changes: dict[str, str]) -> dict[str, int]:
    return {"seed": resolve_seed(changes["seed"])} if "seed" in changes else {}


def _start(lab: Lab, path: str | None, base: Restored | None) -> StoredPicture:
    """The picture that was given, else that of the file whose settings are used."""
    if path is not None:
        return _picture(lab, path)
    assert base is not None
    if base.picture_sha256 is None or not base.picture_here:
        raise BadInput("the picture of that file is not in this lab; give it before --like")
    return lab.picture(base.picture_sha256)


def _picture(lab: Lab, path: str) -> StoredPicture:
    """The picture, kept; what reading it had to do is said."""
    from svdlab.cli import words

    stored = lab.add_picture(path)
    for note in stored.notes:
        words.say(f"Note: {note}")
    return stored


def _say_notes(notes: tuple[Note, ...]) -> None:
    from svdlab.cli import words

    for note in notes:
        words.say(f"Note: {note.sentence}")


def _both_notes(lab: Lab, first: Recipe, second: Recipe, picture: StoredPicture) -> tuple[Note, ...]:
    both = [
        note for recipe in (first, second) for note in lab.notes(recipe.checkpoint, recipe.settings, picture)
    ]
    return tuple(dict.fromkeys(both))


def _sides(lab: Lab, a: str | None, b: str | None, preset: str | None) -> tuple[str, str]:
    """Which two checkpoints: as asked, else the preset's pair if it is here, else the lab's usual pair."""
    from svdlab.cli import words

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


def _write_video(run: Run, output: Path | None) -> None:
    if output is None:
        return
    if output.suffix.lower() == ".mp4":
        write_whole(output, files.copy_to(run.video))
        return
    from svdlab.clips import video
    from svdlab.clips.frames import read_frames_zip

    clip = read_frames_zip(run.frames_zip)
    rate = run.settings.effective_playback_fps
    write_whole(output, lambda path: video.write_webp(path, clip, rate, comment=run.recipe.to_json()))


def _write_frames(run: Run, folder: Path | None) -> None:
    if folder is None:
        return
    from svdlab.clips.frames import read_frames_zip, write_frames_dir

    clip = read_frames_zip(run.frames_zip)
    files.write_frames(folder, lambda path: write_frames_dir(path, clip, run.recipe.to_json()))
