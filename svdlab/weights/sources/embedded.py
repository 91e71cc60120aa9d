"""Weights that come with svdlab: the demo pair."""

from __future__ import annotations

from pathlib import Path

from svdlab.recipes.checkpoint import Checkpoint
from svdlab.weights.availability import Availability, SourceKind
from svdlab.weights.layouts import folders
from svdlab.words import size


class Embedded(SourceKind):
    """A folder of the package."""

    def availability(self, checkpoint: Checkpoint) -> Availability:
        """As for any folder; an installation may be damaged."""
        folder = Path(checkpoint.source.location)
        lacking = folders.lacking(folder, checkpoint.source)
        if lacking:
            return Availability(
                "broken", f"Part of svdlab, but {folder} lacks {lacking}: install svdlab again."
            )
        count = folders.bytes_below(folder)
        return Availability("embedded", f"Part of svdlab, {size(count)}.", folder, count)


KIND = Embedded()
