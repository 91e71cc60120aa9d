"""Which checkpoint lends a UNet the components that its own file does not hold.

Knows records, configurations and headers; nothing of tensors.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from svdlab.errors import BadInput, SvdlabError
from svdlab.recipes.checkpoint import Checkpoint
from svdlab.weights.availability import availability, place
from svdlab.weights.layouts.folders import read_layout
from svdlab.weights.layouts.single_files import recognise_file

PREFERRED = ("svd-xt-1-1", "svd-xt", "svd")  # their autoencoders and image encoders are the same


@dataclass(frozen=True)
class Sockets:
    """Where a UNet meets the rest: channels of its latents, and how wide the picture's embedding is."""

    latent_channels: int
    embedding: int
    vae_scale: int | None = field(
        default=None, compare=False
    )  # pixels per latent, where the autoencoder is known

    def __str__(self) -> str:
        return f"{self.latent_channels} channels of latents and embeddings of {self.embedding} values"


def sockets(checkpoint: Checkpoint) -> Sockets:
    """Of a checkpoint whose weights are here, or of a file that lacks something. Raises `BadCheckpoint` and others."""
    path = Path(checkpoint.source.location) if checkpoint.lacks else place(checkpoint)
    if path.is_dir():
        layout = read_layout(path)
        return Sockets(layout.latent_channels, layout.embedding, layout.vae_scale)
    found, _ = recognise_file(path)
    unet = found.parts["unet"].config
    return Sockets(unet["out_channels"], unet["cross_attention_dim"], found.vae_scale)


def base_for(checkpoint: Checkpoint, known: Iterable[Checkpoint]) -> Checkpoint | None:
    """The first that fits and is here, a released one if there is one; None if none is."""
    able = [one for one in known if _lends(one)]
    able.sort(
        key=lambda one: (
            "temporal" not in one.decoders,
            PREFERRED.index(one.id) if one.id in PREFERRED else len(PREFERRED),
        )
    )
    wanted = sockets(checkpoint)
    return next((one for one in able if _has(one, wanted)), None)


def named_base(checkpoint: Checkpoint, base: Checkpoint) -> Checkpoint:
    """The base a person chose. Raises `BadInput` if it cannot be one, `CheckpointUnavailable` if it is not here."""
    if base.lacks or base.fault:
        raise BadInput(f"{base.id} cannot lend {checkpoint.name} anything: it is not whole itself")
    wanted, there = sockets(checkpoint), sockets(base)
    if wanted != there:
        raise BadInput(
            f"{base.id} does not fit: the UNet of {checkpoint.name} is for {wanted}, {base.id} is for {there}"
        )
    return base


def _lends(one: Checkpoint) -> bool:
    return not one.lacks and not one.fault and availability(one).ready


def _has(one: Checkpoint, wanted: Sockets) -> bool:
    try:
        return sockets(one) == wanted
    except SvdlabError:
        return False
