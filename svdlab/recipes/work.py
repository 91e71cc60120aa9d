"""What passes between the lab's desk and whoever renders: jobs out, updates back. Frozen values.

Every value can be pickled and holds numbers, texts, bytes and numpy arrays alone, so a job can be rendered in another
thread, a forked process or on another machine, and what comes back names the run it belongs to. Knows settings and
checkpoints; nothing of torch, of databases or of screens.
"""

from __future__ import annotations

import copyreg
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np

from svdlab.errors import SvdlabError
from svdlab.recipes.checkpoint import Checkpoint
from svdlab.recipes.loras import AddedLora
from svdlab.recipes.records import Outcome
from svdlab.recipes.settings import GenerationSettings

# Checkpoints hold mappings that are only read; pickle does not know that type by itself.
copyreg.pickle(MappingProxyType, lambda proxy: (_read_only, (dict(proxy),)))


def _read_only(shown: dict[Any, Any]) -> MappingProxyType[Any, Any]:
    return MappingProxyType(shown)


@dataclass(frozen=True, eq=False)
class Job:
    """One clip to render, by its run's id.

    `picture` is (height, width, 3) uint8 RGB, exactly the settings' size; `picture_key` names its pixels, so that equal
    ones are encoded once. With `latents`, the final ones of the run `latents_of` as a safetensors file's bytes, nothing
    is sampled.
    """

    id: str
    checkpoint: Checkpoint
    settings: GenerationSettings
    picture: np.ndarray
    picture_key: str
    decoder_from: Checkpoint | None = None  # whose decoder is used; None: the checkpoint's own
    latents: bytes | None = field(default=None, repr=False)
    latents_of: str = ""
    loras: tuple[AddedLora, ...] = ()  # added to the checkpoint's UNet


@dataclass(frozen=True)
class Loading:
    """The job's weights are being read."""

    job: str


@dataclass(frozen=True)
class Encoding:
    """The job's picture is being read by the model."""

    job: str


@dataclass(frozen=True, eq=False)
class Stepped:
    """One denoising step is done. `preview` is (frames, h, w, 3) uint8 at latent size."""

    job: str
    step: int
    steps: int
    seconds_left: float
    preview: np.ndarray | None


@dataclass(frozen=True)
class Decoding:
    """Some frames are decoded."""

    job: str
    done: int
    frames: int
    seconds_left: float


@dataclass(frozen=True, eq=False)
class Rendered:
    """The job is finished: frames (n, height, width, 3) uint8, and the final latents as a safetensors file's bytes;
    these are empty where the job brought its own.
    """

    job: str
    frames: np.ndarray
    latents: bytes = field(repr=False)
    versions: dict[str, str]
    outcome: Outcome


@dataclass(frozen=True)
class Failed:
    """The job cannot be rendered; `error` is a sentence."""

    job: str
    error: SvdlabError


@dataclass(frozen=True)
class Stopped:
    """The job was asked to stop and did."""

    job: str


Update = Loading | Encoding | Stepped | Decoding | Rendered | Failed | Stopped
Stop = Callable[[str], bool]  # whether the job of that id should stop now; cheap


class Render(Protocol):
    """The one verb of whoever renders."""

    def __call__(self, jobs: Sequence[Job], stop: Stop, /) -> Generator[Update, None, None]:
        """Renders the jobs of one claim, in lockstep where it can; ends each with one of Rendered, Failed, Stopped.

        `stop` is asked between any two pieces of work; whoever renders elsewhere asks it whenever an update arrives.
        Closing the generator ends all that is left. What is raised ends every job that has not ended.
        """
