"""Weights in a single safetensors file: a whole checkpoint, or a UNet whose other components a base lends."""

from __future__ import annotations

import math
import re
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

from svdlab.errors import BadCheckpoint
from svdlab.recipes.checkpoint import Checkpoint, Source, possible_size
from svdlab.weights.availability import Asked, Availability, SourceKind, availability
from svdlab.weights.catalogue import official_xt
from svdlab.weights.layouts.single_files import PART_NAMES, SingleFile, recognise
from svdlab.weights.safetensors import read_header
from svdlab.words import listed, size

# Names of the released files → the checkpoint they are, and the frames it was made for.
RELEASED = {
    "svd": ("svd", 14),
    "svd_image_decoder": ("svd-image-decoder", 14),
    "svd_xt": ("svd-xt", 25),
    "svd_xt_image_decoder": ("svd-xt-image-decoder", 25),
    "svd_xt_1_1": ("svd-xt-1-1", 25),
}


# Pixels per latent of every released autoencoder: what a UNet without one is assumed to be for.
VAE_SCALE = 8


class File(SourceKind):
    """A file that a person has."""

    general = True

    def claims(self, path: Path) -> bool:
        """Any file: what it is not is said when it is read."""
        return path.is_file()

    def read(self, path: Path, asked: Asked) -> Checkpoint:
        """By its header; a released file's name says for how many frames it was made."""
        found, parameters = _recognised(path)
        base = asked.base if found.lacks else None
        released = RELEASED.get(stem(path))
        frames = asked.num_frames or (released[1] if released else 25)
        known = asked.num_frames or released
        decoder = found.decoder or (base.decoders[0] if base else "temporal")
        step = size_step(found, base)
        width, height = 1024, 576
        if step != 64:
            width, height = possible_size(16 * step, step), possible_size(9 * step, step)
        return Checkpoint(
            id=asked.id or path.stem,
            name=asked.name or path.stem,
            version="1.1" if released and released[0] == "svd-xt-1-1" else "",
            summary=_summary(path, found, base),
            source=Source("file", str(path)),
            native_frames=frames,
            width=width,
            height=height,
            size_step=step,
            official=MappingProxyType(
                {**official_xt(), "width": width, "height": height, "num_frames": frames, "decoder": decoder}
            ),
            trained_for=f"made for {frames} frames"
            if known
            else f"the file does not say for how many frames; {frames} assumed",
            decoders=(decoder,),
            parameters=parameters,
            lacks=found.lacks,
            base=base,
        )

    def availability(self, checkpoint: Checkpoint) -> Availability:
        """Whether it is there, is what it was, and what it lacks is here, too."""
        path = Path(checkpoint.source.location)
        if not path.is_file():
            return Availability("missing", f"The file {path} is gone.")
        try:
            found, _ = _recognised(path)
        except BadCheckpoint as error:
            return Availability("broken", f"It cannot be used: {error}.")
        count = path.stat().st_size
        where = f"In {path.parent}, {size(count)}"
        if not found.lacks:
            return Availability("on disk", f"{where}.", path, count)
        lacking = listed([PART_NAMES[part] for part in found.lacks])
        base = checkpoint.base
        if base is None:
            return Availability(
                "missing",
                f"{where}, without {lacking}, and no checkpoint that fits lends them here: get one "
                "(svdlab checkpoints pull svd-xt) or name one that you have (svdlab checkpoints add --base ID).",
            )
        lent = availability(base)
        if not lent.ready:
            return Availability(
                "missing", f"{where}, without {lacking}, which are those of {base.id}. {lent.sentence}"
            )
        return Availability("on disk", f"{where}; {lacking} of {base.id}.", path, count)


def size_step(found: SingleFile, base: Checkpoint | None) -> int:
    """What sizes must be multiples of, in pixels; without an autoencoder at hand, that of the released one."""
    if found.vae_scale or base is None:
        return int((found.vae_scale or VAE_SCALE) * 2 ** (found.levels - 1))
    return base.size_step


def _summary(path: Path, found: SingleFile, base: Checkpoint | None) -> str:
    style = "Stability's original layout" if found.parts["unet"].style == "original" else "diffusers layout"
    if not found.lacks:
        return f"Weights in {path.name}, {style}."
    lent = f", those of {base.id}" if base else ""
    lacking = listed([PART_NAMES[part] for part in found.lacks])
    return f"A UNet in {path.name}, {style}, without {lacking}{lent}."


def _recognised(path: Path) -> tuple[SingleFile, int]:
    """What the file holds, and how many numbers. Raises `BadCheckpoint`."""
    try:
        stat = path.stat()
    except OSError as error:
        raise BadCheckpoint(f"{path.name} cannot be read: {error.strerror or error}") from error
    found = _look(path, stat.st_size, stat.st_mtime_ns, stat.st_ino)
    if isinstance(found, BadCheckpoint):
        raise BadCheckpoint(str(found))
    return found


@lru_cache(maxsize=256)
def _look(path: Path, *identity: int) -> tuple[SingleFile, int] | BadCheckpoint:
    """The same once per state of a file: lists ask for it again and again."""
    try:
        header = read_header(path)
        return recognise(header, path.name), sum(math.prod(t.shape) for t in header.tensors.values())
    except BadCheckpoint as error:
        return error


def stem(path: Path) -> str:
    """A released file's name as others spell it: svd_xt_1_1-fp16 is svd_xt_1_1."""
    return re.sub(r"[._](fp16|fp32|bf16)$", "", path.stem.lower().replace("-", "_"))


KIND = File()
