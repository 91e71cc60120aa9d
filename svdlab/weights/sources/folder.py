"""Weights in a folder in diffusers layout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from svdlab.errors import BadCheckpoint
from svdlab.recipes.checkpoint import Checkpoint, Source, possible_size
from svdlab.weights.availability import Asked, Availability, SourceKind
from svdlab.weights.catalogue import official_xt
from svdlab.weights.layouts import folders
from svdlab.words import size


class Folder(SourceKind):
    """A folder that a person has."""

    general = True

    def claims(self, path: Path) -> bool:
        """Any folder: what it lacks is said when it is read."""
        return path.is_dir()

    def read(self, path: Path, asked: Asked) -> Checkpoint:
        """Its knobs are SVD-XT's official ones, at the size and frame count its own configuration names."""
        if not (path / folders.INDEX).is_file():
            raise BadCheckpoint(f"{path} has no model_index.json, so it is not a folder in diffusers layout")
        found = local_checkpoint(path, asked.id)
        frames = asked.num_frames or found.native_frames
        return replace(found, name=asked.name or found.name, native_frames=frames)

    def availability(self, checkpoint: Checkpoint) -> Availability:
        """Whether everything that is loaded is in it."""
        folder = Path(checkpoint.source.location)
        if not folder.is_dir():
            return Availability("missing", f"The folder {folder} is gone.")
        lacking = folders.lacking(folder, checkpoint.source)
        if lacking == folders.INDEX:
            return Availability("missing", f"There is no model_index.json in {folder}.")
        if lacking:
            hint = "; only safetensors weights are read" if lacking.endswith(".safetensors") else ""
            return Availability("broken", f"In {folder}, which lacks {lacking}{hint}.")
        count = folders.bytes_below(folder)
        return Availability("on disk", f"In {folder}, {size(count)}.", folder, count)


def local_checkpoint(folder: Path, id: str | None = None) -> Checkpoint:
    """A checkpoint from any diffusers-layout folder of Stable Video Diffusion. Raises `BadCheckpoint`."""
    layout = folders.read_layout(folder)
    step = layout.size_step
    width, height = (1024, 576)
    if step != 64:
        width, height = (possible_size(n * layout.vae_scale, step) for n in layout.sample)
    official: Mapping[str, Any] = {**official_xt(), "width": width, "height": height}
    return Checkpoint(
        id=id or folder.name,
        name=folder.name,
        version="",
        summary=f"Weights in {folder}.",
        source=Source("folder", str(folder)),
        native_frames=layout.native_frames,
        width=width,
        height=height,
        size_step=step,
        official=MappingProxyType({**official, "num_frames": layout.native_frames}),
        trained_for=f"its configuration names {layout.native_frames} frames",
    )


KIND = Folder()
