"""Weights in a single safetensors file: a whole checkpoint, or a UNet whose other components a base lends."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

from svdlab.errors import BadCheckpoint, SvdlabError
from svdlab.recipes.checkpoint import Checkpoint, Source, possible_size
from svdlab.recipes.limits import LCM_STEPS
from svdlab.weights.availability import Asked, Availability, SourceKind, availability
from svdlab.weights.bases import sockets
from svdlab.weights.catalogue import official_xt
from svdlab.weights.layouts import folders
from svdlab.weights.layouts.single_files import PART_NAMES, SingleFile, recognise_file
from svdlab.words import listed, size

# Names of the released files → the checkpoint they are, and the frames it was made for.
RELEASED = {
    "svd": ("svd", 14),
    "svd_image_decoder": ("svd-image-decoder", 14),
    "svd_xt": ("svd-xt", 25),
    "svd_xt_image_decoder": ("svd-xt-image-decoder", 25),
    "svd_xt_1_1": ("svd-xt-1-1", 25),
}

# How names of weights distilled to few steps begin → the knobs their makers sample with, beside SVD-XT's. Guidance is
# in the weights: at 1 a step costs half.
FEW_STEPS = {
    "animatelcm_svd": {
        "schedule": "lcm",
        "num_inference_steps": 4,
        "min_guidance_scale": 1.0,
        "max_guidance_scale": 1.0,
    }
}
UNET_FILES = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.fp16.safetensors")

# Pixels per latent of every released autoencoder: what a UNet without one is assumed to be for.
VAE_SCALE = 8


class File(SourceKind):
    """A file that a person has."""

    general = True

    def claims(self, path: Path) -> bool:
        """Any file, and a folder with a component's file alone: what it is not is said when it is read."""
        return path.is_file() or unet_in(path) is not None

    def read(self, path: Path, asked: Asked) -> Checkpoint:
        """By its header; a released file's name says for how many frames it was made."""
        path = unet_in(path) or path
        found, parameters = recognise_file(path)
        base = asked.base if found.lacks else None
        released = RELEASED.get(stem(path))
        frames = asked.num_frames or (released[1] if released else 25)
        few = few_steps(path)
        known = asked.num_frames or released or few
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
                {
                    **official_xt(),
                    **few,
                    "width": width,
                    "height": height,
                    "num_frames": frames,
                    "decoder": decoder,
                }
            ),
            trained_for=_trained_for(frames, bool(known), bool(few)),
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
            found, _ = recognise_file(path)
        except BadCheckpoint as error:
            return Availability("broken", f"It cannot be used: {error}.")
        if found.lacks != checkpoint.lacks:
            return Availability(
                "broken",
                f"It cannot be used: {path.name} holds other components than when it was looked at; list them again.",
            )
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
            how = f"get them with svdlab checkpoints pull {base.id}." if lent.obtainable else lent.sentence
            return Availability("missing", f"{where}, without {lacking}, which are those of {base.id}: {how}")
        return Availability("on disk", f"{where}; {lacking} of {base.id}.", path, count)


def size_step(found: SingleFile, base: Checkpoint | None) -> int:
    """What sizes must be multiples of, in pixels; without an autoencoder at hand, as for the released one."""
    scale = found.vae_scale
    if scale is None and base is not None:
        with suppress(SvdlabError):  # it may have gone
            scale = sockets(base).vae_scale
    return int((scale or VAE_SCALE) * 2 ** (found.levels - 1))


def unet_in(folder: Path) -> Path | None:
    """The file of a folder as diffusers writes one for a single component; None for a whole pipeline, or no folder."""
    if not folder.is_dir() or (folder / folders.INDEX).is_file():
        return None
    return next((folder / name for name in UNET_FILES if (folder / name).is_file()), None)


def few_steps(path: Path) -> Mapping[str, Any]:
    """The knobs of weights that were distilled to few steps, as far as the name tells; else none."""
    own = stem(path)
    return next((knobs for start, knobs in FEW_STEPS.items() if own.startswith(start)), {})


def _trained_for(frames: int, known: bool, few: bool) -> str:
    if few:
        return f"distilled to {LCM_STEPS[0]} to {LCM_STEPS[1]} steps at {frames} frames"
    return (
        f"made for {frames} frames"
        if known
        else f"the file does not say for how many frames; {frames} assumed"
    )


def _summary(path: Path, found: SingleFile, base: Checkpoint | None) -> str:
    coarse = ", in float8: coarser than they were published" if found.float8 else ""
    style = "Stability's original layout" if found.parts["unet"].style == "original" else "diffusers layout"
    if not found.lacks:
        return f"Weights in {path.name}, {style}{coarse}."
    lent = f", those of {base.id}" if base else ""
    lacking = listed([PART_NAMES[part] for part in found.lacks])
    return f"A UNet in {path.name}, {style}{coarse}, without {lacking}{lent}."


def stem(path: Path) -> str:
    """A released file's name as others spell it: svd_xt_1_1-fp16 is svd_xt_1_1."""
    return re.sub(r"[._](fp16|fp32|bf16)$", "", path.stem.lower().replace("-", "_"))


KIND = File()
