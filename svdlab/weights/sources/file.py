"""Weights in a single safetensors file."""

from __future__ import annotations

import math
import re
from pathlib import Path
from types import MappingProxyType

from svdlab.errors import BadCheckpoint
from svdlab.recipes.checkpoint import Checkpoint, Source, possible_size
from svdlab.weights.availability import Asked, Availability, SourceKind
from svdlab.weights.catalogue import official_xt
from svdlab.weights.layouts.single_files import decoder_of, looks_like, original_layout
from svdlab.weights.safetensors import read_header
from svdlab.words import size

# Names of the released files → the checkpoint they are, and the frames it was made for.
RELEASED = {
    "svd": ("svd", 14),
    "svd_image_decoder": ("svd-image-decoder", 14),
    "svd_xt": ("svd-xt", 25),
    "svd_xt_image_decoder": ("svd-xt-image-decoder", 25),
    "svd_xt_1_1": ("svd-xt-1-1", 25),
}


class File(SourceKind):
    """A file that a person has."""

    def claims(self, path: Path) -> bool:
        """Any file: what it is not is said when it is read."""
        return path.is_file()

    def read(self, path: Path, asked: Asked) -> Checkpoint:
        """By its header; a released file's name says for how many frames it was made."""
        header = read_header(path)
        layout = original_layout(header)
        if layout is None:
            raise BadCheckpoint(
                f"{path.name} is not a Stable Video Diffusion checkpoint: {looks_like(header)}"
            )
        released = RELEASED.get(stem(path))
        frames = asked.num_frames or (released[1] if released else layout.native_frames)
        decoder = decoder_of(header)
        full = layout.size_step == 64
        step = layout.size_step
        width, height = (
            (1024, 576) if full else (possible_size(16 * step, step), possible_size(9 * step, step))
        )
        if not asked.num_frames and not released:
            made_for = f"the file does not say for how many frames; {frames} assumed"
        else:
            made_for = f"made for {frames} frames"
        return Checkpoint(
            id=asked.id or path.stem,
            name=asked.name or path.stem,
            version="1.1" if released and released[0] == "svd-xt-1-1" else "",
            summary=f"Weights in {path.name}, Stability's original layout.",
            source=Source("file", str(path)),
            native_frames=frames,
            width=width,
            height=height,
            size_step=layout.size_step,
            official=MappingProxyType(
                {**official_xt(), "width": width, "height": height, "num_frames": frames, "decoder": decoder}
            ),
            trained_for=made_for,
            decoders=(decoder,),
            parameters=sum(math.prod(t.shape) for t in header.tensors.values()),
        )

    def availability(self, checkpoint: Checkpoint) -> Availability:
        """Whether it is there."""
        path = Path(checkpoint.source.location)
        if not path.is_file():
            return Availability("missing", f"The file {path} is gone.")
        count = path.stat().st_size
        return Availability("on disk", f"In {path.parent}, {size(count)}.", path, count)


def stem(path: Path) -> str:
    """A released file's name as others spell it: svd_xt_1_1-fp16 is svd_xt_1_1."""
    return re.sub(r"[._](fp16|fp32|bf16)$", "", path.stem.lower().replace("-", "_"))


KIND = File()
