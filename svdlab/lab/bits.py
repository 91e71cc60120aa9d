"""What decides a clip's bits beside its recipe: the content of the weights, the number format, the kind of device.

A finished run says what it was rendered with; here that is held against what would render its recipe now. An id may be
given to other weights meanwhile, and a file may be written over. Knows records, the catalogue and hashes; nothing of
torch, of databases or of screens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from svdlab.errors import BadCheckpoint, CheckpointUnavailable, NotFound
from svdlab.recipes.checkpoint import Checkpoint
from svdlab.recipes.limits import AYS_STEPS
from svdlab.recipes.records import AYS_LEVELS, Recipe
from svdlab.weights.content import Hashes
from svdlab.weights.layouts.single_files import PART_NAMES
from svdlab.words import listed

Keys = Callable[[Checkpoint, str, str], str | None]


@dataclass(frozen=True)
class Numbers:
    """What is rendered with, as a person names it. 'auto' as a device is any; as a number format, the device's own.
    `fast` is what is not equal to the last bit.
    """

    device: str = "auto"
    dtype: str = "auto"
    fast: bool = False

    def fits(self, recipe: Recipe) -> bool:
        """Whether a finished recipe was rendered so. One that does not say how is taken for it."""
        device, dtype = recipe.versions.get("device", ""), recipe.versions.get("dtype", "")
        kind = device.partition(" ")[0]
        wanted = self.device.partition(":")[0]
        number = ("float16" if kind == "cuda" else "float32") if self.dtype == "auto" else self.dtype
        fits = (not kind or wanted in ("auto", kind)) and (not dtype or number == dtype)
        return fits and (not kind or recipe.computed_fast == self.fast)


def same_schedule(recipe: Recipe) -> bool:
    """Whether a finished recipe was sampled at the noise levels that its settings mean today."""
    settings, (name, levels) = recipe.settings, AYS_LEVELS
    interpolated = settings.schedule == "ays" and settings.num_inference_steps != AYS_STEPS
    return not interpolated or not recipe.versions or recipe.versions.get(name) == levels


class Bits:
    """Holds what runs were rendered with against what is here now."""

    def __init__(self, find: Callable[[str], Checkpoint], hashes: Hashes) -> None:
        self._find, self._hashes = find, hashes

    def of_today(self, recipe: Recipe, numbers: Numbers) -> bool:
        """Whether rendering a finished recipe again would go by the same weights and numbers.

        Reads weights whose hash is not known yet. Weights that are not here at all cannot differ from themselves.
        """
        return numbers.fits(recipe) and same_schedule(recipe) and not self._others(recipe, self._hashes.key)

    def sentence(self, recipe: Recipe) -> str:
        """What to say of a finished run whose weights are not those of today; empty if they are, or if gigabytes
        would have to be read to know.
        """
        others = self._others(recipe, self._quick_key)
        if not others:
            return ""
        names = listed([PART_NAMES[part] for part in others])
        verb = "is" if len(others) == 1 else "are"
        return (
            f"Rendered with other weights than {recipe.checkpoint} has now: its {names} {verb} not the same, "
            "so rendering it again gives another clip."
        )

    def _quick_key(self, checkpoint: Checkpoint, part: str, dtype: str) -> str | None:
        """A hash that is known, or that of the small weights that come with svdlab."""
        key = self._hashes.key if checkpoint.demo else self._hashes.known_key
        return key(checkpoint, part, dtype)

    def _others(self, recipe: Recipe, key: Keys) -> list[str]:
        """The components that are not what they were."""
        then, dtype = recipe.versions, recipe.versions.get("dtype", "float32")
        try:
            homes = self._homes(recipe)
            found = {part: key(homes[part], part, dtype) for part in PART_NAMES if f"{part}_sha256" in then}
        except (CheckpointUnavailable, NotFound):
            return []
        except BadCheckpoint:  # what is broken now is not what rendered it
            return list(PART_NAMES)
        return [part for part, now in found.items() if now is not None and then[f"{part}_sha256"] != now]

    def _homes(self, recipe: Recipe) -> dict[str, Checkpoint]:
        """Component → the checkpoint it comes from: a decoder may be lent."""
        own = self._find(recipe.checkpoint)
        decoder = recipe.settings.decoder
        lender = None if decoder in own.decoders else own.lenders.get(decoder)
        return dict.fromkeys(PART_NAMES, own) | ({"vae": self._find(lender)} if lender else {})
