"""`svdlab generate` of several pictures: a run each, progress over all, and what could not be made said at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from svdlab.cli import files, words
from svdlab.cli.progress import can_render, must_be_here, render_each
from svdlab.cli.wanted import Wanted, kept_picture, say_notes
from svdlab.errors import BadInput, BadPicture, BadSettings, RenderFailed, SvdlabError
from svdlab.workers import Compute

if TYPE_CHECKING:
    from svdlab.lab.lab import Lab
    from svdlab.recipes.limits import Note
    from svdlab.recipes.records import Recipe, Run


@dataclass(frozen=True)
class Made:
    """What became of one picture: a finished run, or the sentence that says why there is none."""

    picture: Path
    run: Run | None = None
    error: SvdlabError | None = None
    before: bool = False


def generate_each(
    lab: Lab,
    asked: Wanted,
    pictures: Sequence[Path],
    output: Path | None,
    frames: Path | None,
    again: bool,
    as_json: bool,
    device: str,
    dtype: str,
) -> int:
    """Makes a clip of each picture and returns the exit code: that of the first that could not be made, or 0.

    `output` and `frames` are folders. Raises `BadInput` where nothing at all can be made, `Cancelled`.
    """
    files.check_folder(output, "clips")
    files.check_folder(frames, "folders of frames")
    must_be_here(asked.checkpoint)
    compute = can_render(lab, device, dtype)
    recipes, refused = _recipes(lab, asked, pictures)
    made = {made.picture: made for made in refused} | _rendered(lab, asked, recipes, again, compute)
    results = [made[picture] for picture in pictures]
    _write(results, output, frames)
    if as_json:
        words.say_json([_as_json(one) for one in results])
    else:
        for one in results:
            typer.echo(_line(one))
    failed = [one.error for one in results if one.error is not None]
    if failed:
        words.say(
            f"{len(failed)} of {len(results)} pictures made no clip; the reasons stand beside their names."
        )
        return failed[0].exit_code
    return 0


def _recipes(lab: Lab, asked: Wanted, pictures: Sequence[Path]) -> tuple[dict[Path, Recipe], list[Made]]:
    """A recipe for each picture that can be used; what is said of several of them is said once."""
    recipes: dict[Path, Recipe] = {}
    refused: list[Made] = []
    said: set[Note] = set()
    for path in pictures:
        try:
            recipes[path], notes = asked.recipe(lab, kept_picture(lab, str(path)))
        except (BadPicture, BadSettings) as error:
            refused.append(Made(path, error=error))
            continue
        say_notes(tuple(note for note in notes if note not in said))
        said.update(notes)
    return recipes, refused


def _rendered(
    lab: Lab, asked: Wanted, recipes: dict[Path, Recipe], again: bool, compute: Compute
) -> dict[Path, Made]:
    """The run of each recipe: one from before, else rendered now."""
    found = {path: None if again else lab.before.run(one, compute.numbers) for path, one in recipes.items()}
    made = {path: Made(path, run, before=True) for path, run in found.items() if run is not None}
    if made:
        words.say(f"{len(made)} of {len(recipes)} were rendered before; --again renders them anew.")
    submitted = {
        path: lab.submit(recipe, asked.preset) for path, recipe in recipes.items() if path not in made
    }
    ended = render_each(lab, {run.id: path.name for path, run in submitted.items()}, compute)
    for path, run in submitted.items():
        one = ended[run.id]
        error = None if one.done else RenderFailed(one.error or f"the run was {one.state}")
        made[path] = Made(path, one if one.done else None, error)
    return made


def _places(pictures: Sequence[Path]) -> dict[Path, str]:
    """A name for each picture's files: its own, and a number where two have the same."""
    names: dict[Path, str] = {}
    taken: set[str] = set()
    for path in pictures:
        name, count = path.stem, 1
        while name.casefold() in taken:
            count += 1
            name = f"{path.stem}-{count}"
        taken.add(name.casefold())
        names[path] = name
    return names


def _write(results: Sequence[Made], output: Path | None, frames: Path | None) -> None:
    names = _places([one.picture for one in results])
    for folder in (output, frames):
        if folder is not None:
            try:
                folder.mkdir(exist_ok=True)
            except OSError as error:
                raise BadInput(f"the folder {folder} could not be made: {error.strerror}") from error
    for one in results:
        if one.run is not None:
            files.write_video(one.run, None if output is None else output / f"{names[one.picture]}.mp4")
            files.write_frames_of(one.run, None if frames is None else frames / names[one.picture])


def _line(one: Made) -> str:
    if one.run is None:
        return f"{one.picture}: {one.error}"
    return f"{one.picture}: {words.run_line(one.run)}, run {one.run.id}"


def _as_json(one: Made) -> dict[str, object]:
    if one.run is None:
        return {"given": str(one.picture), "error": str(one.error)}
    return {"given": str(one.picture), **words.run_json(one.run, (), one.before)}
