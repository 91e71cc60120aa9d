"""How a picture meets a checkpoint's sizes: which native size fits its shape, and what a crop then leaves out.

A checkpoint was trained at one size; the same turned is as good as native. Knows checkpoints, settings and the crop's
arithmetic; nothing of files, models or screens.
"""

from __future__ import annotations

from collections.abc import Container

from svdlab.clips.fitting import cut_share
from svdlab.recipes.checkpoint import Checkpoint
from svdlab.recipes.limits import Note
from svdlab.recipes.settings import GenerationSettings

WORTH_SAYING = 0.1  # of the picture's area

Size = tuple[int, int]  # width, height


def native_sizes(checkpoint: Checkpoint) -> tuple[Size, ...]:
    """The size it was trained at, and that turned."""
    size = checkpoint.width, checkpoint.height
    return (size,) if size[0] == size[1] else (size, size[::-1])


def size_for(checkpoint: Checkpoint, picture: Size) -> Size:
    """The native size of which a crop keeps most of a picture; the one trained at for a square."""
    return min(native_sizes(checkpoint), key=lambda size: cut_share(*picture, *size))


def shaped(
    checkpoint: Checkpoint, settings: GenerationSettings, picture: Size, told: Container[str]
) -> GenerationSettings:
    """The settings at the native size that fits a picture, unless a width or height is among the knobs `told`."""
    if "width" in told or "height" in told:
        return settings
    width, height = size_for(checkpoint, picture)
    return settings.but(width=width, height=height)


def lying_as(checkpoint: Checkpoint, settings: GenerationSettings, size: Size) -> GenerationSettings:
    """The settings with their native size turned as `size` lies, upright or not; any other size stays."""
    native = native_sizes(checkpoint)
    if (settings.width, settings.height) not in native:
        return settings
    width, height = next((one for one in native if (one[0] < one[1]) == (size[0] < size[1])), native[0])
    return settings.but(width=width, height=height)


def crop_note(checkpoint: Checkpoint, settings: GenerationSettings, picture: Size) -> Note | None:
    """What a crop leaves out of a picture, and what would leave out less; None if it is little or nothing."""
    cut = cut_share(*picture, settings.width, settings.height)
    if settings.fit != "crop" or cut < WORTH_SAYING:
        return None
    width, height = size_for(checkpoint, picture)
    less = cut_share(*picture, width, height)
    better = (
        f"{width}×{height} would leave out {less:.0%}" if cut - less > WORTH_SAYING else "fit pad keeps all"
    )
    return Note("fit", f"The crop leaves out {cut:.0%} of the picture; {better}.")
