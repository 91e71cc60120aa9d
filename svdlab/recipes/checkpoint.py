"""A checkpoint as a record: what it is called, where it comes from and what it was made for.

Knows ids and sizes; reads no file and asks no network. Whether its weights are here is `svdlab.weights.availability`'s
to say, which checkpoints there are `svdlab.weights.catalogue`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Decoder = Literal["temporal", "image"]

HUB = "https://huggingface.co/"
CARD_LIMITS = (
    "Clips are short: 4 seconds or less.",
    "Not perfectly photoreal; shapes may morph.",
    "May come out with no motion, or only a slow camera pan.",
    "No control by text.",
    "No legible text.",
    "Faces and people may fail.",
)


@dataclass(frozen=True)
class Source:
    """Where a checkpoint's weights are. `kind` names the module of `svdlab/weights/sources` that knows such places."""

    kind: str  # embedded | folder | file | hub, or one that was added there
    location: str  # folder, single file, or hub repository id
    variant: str | None = None  # "fp16" where the hub repository carries half-size files
    revision: str | None = None
    gated: bool = False
    image_decoder_file: str | None = (
        None  # original-layout file in the repository that holds a frame-wise decoder
    )

    @property
    def url(self) -> str | None:
        """The page a person reads before downloading, or None for local weights."""
        return HUB + self.location if self.kind == "hub" else None


@dataclass(frozen=True)
class Checkpoint:
    """One set of weights by id. Sizes in pixels; `official` holds the maker's own knob values."""

    id: str
    name: str
    version: str  # "1.0" | "1.1": which side of the usual comparison it is
    summary: str
    source: Source
    native_frames: int
    width: int
    height: int
    size_step: int  # pixels; 8·2^(levels−1) of the UNet's config
    official: Mapping[str, Any]  # knobs as the maker samples, under diffusers' names
    trained_for: str  # one sentence
    tuned_fps: int | None = None  # the only fps_id it was tuned at (what the model sees), if one
    tuned_bucket: int | None = None
    decoders: tuple[Decoder, ...] = ("temporal",)
    lenders: Mapping[Decoder, str] = field(
        default_factory=dict
    )  # decoder → checkpoint with it for these latents
    parameters: int = 0
    download_bytes: int = 0
    files: tuple[tuple[str, str, int], ...] = ()  # what its maker publishes: name, precision, bytes
    licence: str = ""
    licence_url: str = ""
    use: str = ""  # what its makers forbid, in a sentence
    use_url: str = ""  # where they say it
    limits: tuple[str, ...] = field(default=CARD_LIMITS)
    demo: bool = False
    lacks: tuple[str, ...] = ()  # components its own file does not hold: they are its base's
    base: Checkpoint | None = None  # the checkpoint that lends those, if one that fits is known
    fault: str = ""  # why it cannot be read now, where it was registered; nothing else is known of it then


def possible_size(pixels: int, step: int) -> int:
    """The nearest size from `pixels` upward that can be rendered at all: at least 64, in steps of `step`."""
    return -(-max(64, pixels) // step) * step
