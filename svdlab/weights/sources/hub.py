"""Weights on the Hugging Face hub, once downloaded in its cache."""

from __future__ import annotations

import os

from svdlab.recipes.checkpoint import Checkpoint
from svdlab.weights.availability import Availability, SourceKind
from svdlab.weights.hub import machine_token, snapshot
from svdlab.weights.layouts import folders
from svdlab.words import size


class Hub(SourceKind):
    """A repository in diffusers layout."""

    def availability(self, checkpoint: Checkpoint) -> Availability:
        """Whether the cache has all that is loaded; else how it can be had."""
        source = checkpoint.source
        folder = snapshot(source)
        if folder is not None:
            count = folders.bytes_below(folder)
            return Availability("on disk", f"On disk, {size(count)}.", folder, count)
        download = size(checkpoint.download_bytes)
        if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
            return Availability(
                "offline", f"Not on disk, and HF_HUB_OFFLINE is set; unset it to download {download}."
            )
        if source.gated and machine_token() is None:
            return Availability(
                "terms first",
                f"Log in at {source.url}, accept the terms there, then set HF_TOKEN; the download is {download}.",
            )
        return Availability("can be downloaded", f"Downloaded on first use, {download}.")


KIND = Hub()
