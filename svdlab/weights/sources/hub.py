"""Weights on the Hugging Face hub, once downloaded in its cache."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from svdlab.recipes.checkpoint import Checkpoint
from svdlab.weights.availability import Availability, SourceKind
from svdlab.weights.hub import download, machine_token, snapshot
from svdlab.weights.layouts import folders
from svdlab.weights.progress import Progress
from svdlab.words import size


class Hub(SourceKind):
    """A repository in diffusers layout."""

    fetches = True

    def availability(self, checkpoint: Checkpoint) -> Availability:
        """Whether the cache has all that is loaded; else how it can be had."""
        source = checkpoint.source
        folder = snapshot(source)
        if folder is not None:
            count = folders.bytes_below(folder)
            return Availability("on disk", f"On disk, {size(count)}.", folder, count)
        needed = size(checkpoint.download_bytes)
        if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
            return Availability(
                "offline", f"Not on disk, and HF_HUB_OFFLINE is set; unset it to download {needed}."
            )
        if source.gated and machine_token() is None:
            return Availability(
                "terms first",
                f"Log in at {source.url}, accept the terms there, then set HF_TOKEN; the download is {needed}.",
            )
        return Availability("can be downloaded", f"Downloaded on first use, {needed}.")

    def fetch(
        self, checkpoint: Checkpoint, token: str | None, stop: Callable[[], bool]
    ) -> Iterator[Progress]:
        """Into the hub's own cache; what a stopped download has fetched is where the next one goes on."""
        return download(checkpoint, token=token, stop=stop)


KIND = Hub()
