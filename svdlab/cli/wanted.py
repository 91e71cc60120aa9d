"""What a person asks of a clip, before there is a picture: checkpoint, preset or file to start from, knobs.

Knows the lab and sentences; nothing of options, of rendering or of files that are written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from svdlab.cli import words
from svdlab.errors import BadInput
from svdlab.recipes.settings import GenerationSettings, resolve_seed

if TYPE_CHECKING:
    from svdlab.exchange.restore import Restored
    from svdlab.lab.lab import Lab
    from svdlab.lab.pictures import StoredPicture
    from svdlab.recipes.checkpoint import Checkpoint
    from svdlab.recipes.limits import Note
    from svdlab.recipes.loras import Lora
    from svdlab.recipes.records import Recipe


@dataclass(frozen=True)
class Wanted:
    """Checked as far as it can be without a picture; one seed for all pictures that it is asked of."""

    checkpoint: Checkpoint
    preset: str | None
    base: Restored | None  # what the file of --like says
    settings: GenerationSettings
    changes: Mapping[str, str]
    loras: tuple[Lora, ...] = ()

    def recipe(self, lab: Lab, start: StoredPicture) -> tuple[Recipe, tuple[Note, ...]]:
        """The recipe for a picture, and what the checkpoint was not trained for. Raises `BadSettings`."""
        settings = self.settings
        if self.base is None:  # the size follows the picture's shape
            settings = lab.settings(self.checkpoint.id, self.changes, self.preset, settings.seed, start)
        notes = lab.notes(self.checkpoint.id, settings, start)
        return lab.recipe(self.checkpoint.id, start, settings, self.loras), notes


def wanted(
    lab: Lab,
    checkpoint: str | None,
    preset: str | None,
    like: Path | None,
    changes: Mapping[str, str],
    loras: Sequence[str] = (),
) -> Wanted:
    """What is asked for. A wrong knob is said before any picture is read. Raises `BadInput`, `NotFound`."""
    base = _restored(lab, like) if like is not None else None
    if base is not None:
        checkpoint, preset = checkpoint or base.checkpoint, base.preset
    chosen = lab.catalogue.get(checkpoint) if checkpoint else lab.catalogue.default()
    if base is None:
        settings = lab.settings(chosen.id, changes, preset, changes.get("seed"))
    else:
        base = _for_checkpoint(lab, base, chosen.id)
        settings = GenerationSettings.parse({**changes, **_seed(changes)}, base=base.settings)
    lab.notes(chosen.id, settings)
    added = lab.loras.chosen(loras)
    if base is not None and not loras:
        added = base.loras
    return Wanted(chosen, preset, base, settings, dict(changes), added)


def _restored(lab: Lab, path: Path) -> Restored:
    """What a file says; what it does not is said too."""
    from svdlab.exchange.restore import restore

    found = restore(lab, path)
    for note in found.notes:
        words.say(f"Note: {note}")
    return found


def _for_checkpoint(lab: Lab, base: Restored, checkpoint: str) -> Restored:
    """The file's settings as the chosen checkpoint can render them; what that changes is said."""
    from svdlab.exchange.restore import fitted

    found = fitted(lab, base, checkpoint)
    for note in found.notes[len(base.notes) :]:
        words.say(f"Note: {note}")
    return found


def _seed(changes: Mapping[str, str]) -> dict[str, int]:
    return {"seed": resolve_seed(changes["seed"])} if "seed" in changes else {}


def start_of(lab: Lab, path: str | None, base: Restored | None) -> StoredPicture:
    """The picture that was given, else that of the file whose settings are used."""
    if path is not None:
        return kept_picture(lab, path)
    assert base is not None
    if base.picture_sha256 is None or not base.picture_here:
        raise BadInput("the picture of that file is not in this lab; give it before --like")
    return lab.picture(base.picture_sha256)


def kept_picture(lab: Lab, path: str) -> StoredPicture:
    """The picture, kept; what reading it had to do is said."""
    stored = lab.add_picture(path)
    for note in stored.notes:
        words.say(f"Note: {note}")
    return stored


def say_notes(notes: tuple[Note, ...]) -> None:
    for note in notes:
        words.say(f"Note: {note.sentence}")
