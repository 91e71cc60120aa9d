"""What the lab keeps: a recipe, what became of it, a run and a comparison. Frozen values, no behaviour beyond reading
them. Knows settings; nothing of databases, models or screens.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from svdlab.errors import BadInput, BadVideo
from svdlab.recipes import identity
from svdlab.recipes.loras import Lora, together
from svdlab.recipes.settings import GenerationSettings

RunState = Literal["queued", "running", "done", "failed", "cancelled", "interrupted"]
RUN_STATES: tuple[RunState, ...] = get_args(RunState)
UNFINISHED: tuple[RunState, ...] = ("queued", "running")
MAX_RECIPE_BYTES = 64 * 1024
Plain = Annotated[str, Field(pattern=r"^\P{C}{0,200}$")]  # one line that a terminal shows as it is


# What a clip by the AYS schedule says it was sampled with. Interpolating once left the last of the eleven published
# levels out, so that at other than ten steps older clips of the same recipe are other clips.
AYS_LEVELS = ("ays_levels", "11")


class Recipe(BaseModel):
    """Checkpoint, settings and picture: all that is needed to make the same clip again.

    `versions` says with what it was rendered (empty before that) and is not part of `hash`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    svdlab_recipe: Literal[1] = 1
    checkpoint: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    picture_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    settings: GenerationSettings
    loras: tuple[Lora, ...] = ()  # added to the checkpoint's UNet; in the order of their hashes
    versions: dict[Plain, Plain] = Field(default_factory=dict, max_length=32)

    @field_validator("settings", mode="before")
    @classmethod
    def _as_introduced(cls, settings: Any) -> Any:
        """A stored recipe that does not name a knob was made before there was one."""
        return identity.complete(settings) if isinstance(settings, Mapping) else settings

    @field_validator("loras")
    @classmethod
    def _in_order(cls, loras: tuple[Lora, ...]) -> tuple[Lora, ...]:
        try:
            return together(loras)
        except BadInput as error:  # what pydantic takes for a fault of a value
            raise ValueError(str(error)) from None

    @property
    def hash(self) -> str:
        """SHA-256 of what decides the frames: everything but the versions. It outlives new knobs."""
        return identity.hash_of(self._content())

    @property
    def computed_fast(self) -> bool:
        """Whether it was rendered in the way that is not equal to the last bit."""
        return self.versions.get("acceleration") == "fast"

    def to_json(self) -> str:
        """As it is written into a video and the history: one line, keys sorted, without knobs that came later and are
        as they were introduced, so that an older svdlab can read what it could have rendered.
        """
        return json.dumps(self._content() | {"versions": self.versions}, sort_keys=True, ensure_ascii=False)

    def _content(self) -> dict[str, Any]:
        return identity.canonical(self.model_dump(mode="json", exclude={"versions"}))

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        """A recipe from untrusted text. Raises `BadVideo` with one sentence."""
        if len(text.encode("utf-8", "replace")) > MAX_RECIPE_BYTES:
            raise BadVideo(f"the recipe is larger than {MAX_RECIPE_BYTES // 1024} KB, so it was not read")
        try:
            return cls.model_validate(json.loads(text))
        except (ValueError, RecursionError, ValidationError) as error:
            raise BadVideo(
                _newer(error) or "this file carries no svdlab recipe, or one that was changed"
            ) from None


def _newer(error: Exception) -> str:
    """What is said of a recipe that is right but for knobs this svdlab has not heard of; empty for any other."""
    faults = error.errors() if isinstance(error, ValidationError) else []
    places = [fault["loc"] if fault["type"] == "extra_forbidden" else () for fault in faults]
    names = [str(place[1]) for place in places if len(place) == 2 and place[0] == "settings"]
    if (
        not names
        or len(names) < len(faults)
        or not all(name.isidentifier() and len(name) <= 40 for name in names)
    ):
        return ""
    known = f"it sets {', '.join(names[:3])}, which this one does not know"
    return f"this recipe is a newer svdlab's: {known}; update svdlab"


@dataclass(frozen=True)
class Outcome:
    """What rendering a run gave beside the frames."""

    noise_sha256: str = ""  # of both noise tensors as float32 bytes
    noise_frames: tuple[str, ...] = ()  # the same per frame, shortened: a shorter clip's is a prefix
    seconds: dict[str, float] = field(default_factory=dict)  # load, encode, denoise, decode, write
    device: str = ""
    dtype: str = ""
    peak_memory_bytes: int = 0
    decode_chunk_size: int = 0  # what was really used
    sampling: str = ""  # how the UNet was called where it was not in the fastest way
    plan: str = ""  # what the run was going to take, and how, said before it
    offload: str = (
        ""  # where the weights waited: none (on the device), model, streamed; of older runs also sequential
    )
    fallbacks: tuple[str, ...] = ()  # what was changed because memory ran out, each a sentence
    latents_of: str = ""  # the run whose latents were decoded again; empty if these were sampled
    metrics: dict[str, float] = field(default_factory=dict)  # by name; `svdlab.metrics.definitions`
    spreads: dict[str, float] = field(
        default_factory=dict
    )  # of metrics: the standard deviation the grain gives them
    flaws: dict[str, tuple[int, ...]] = field(default_factory=dict)  # frames by name; `svdlab.metrics.flaws`
    measured_as: str = ""  # the edition of the definitions these are by; empty in runs of older versions
    video_sha256: str = ""  # of the MP4's bytes; empty in runs of older versions

    @property
    def spent(self) -> float:
        """Seconds that rendering took, without loading the weights."""
        return sum(seconds for part, seconds in self.seconds.items() if part != "load")

    def to_json(self) -> str:
        """For the history's column."""
        return json.dumps(self.__dict__, sort_keys=True)

    @classmethod
    def from_json(cls, text: str | None) -> Outcome:
        """From the history's column; unknown keys of other versions are dropped."""
        if not text:
            return cls()
        known = {k: v for k, v in json.loads(text).items() if k in cls.__dataclass_fields__}
        lists = {name: tuple(known.get(name, ())) for name in ("noise_frames", "fallbacks")}
        flaws = {name: tuple(frames) for name, frames in known.get("flaws", {}).items()}
        return cls(**{**known, **lists, "flaws": flaws})


@dataclass(frozen=True)
class Resident:
    """One component of checkpoints that is in memory: its bytes, and who uses it."""

    part: str  # unet | image_encoder | vae
    key: str  # hash of its weights
    bytes: int
    used_by: tuple[str, ...]  # checkpoint ids; several share it
    offload: str = "none"
    acceleration: str = (
        "off"  # off; exact: what no step of a run changes is computed once; fast: not to the last bit
    )


@dataclass(frozen=True)
class Run:
    """One recipe being or having been rendered."""

    id: str
    state: RunState
    recipe: Recipe
    folder: Path
    picture: Path
    created: float  # seconds since 1970
    started: float | None = None
    finished: float | None = None
    step: int = 0
    error: str | None = None
    comparison: str | None = None
    preset: str | None = None
    latents_of: str | None = None  # the run whose latents are decoded again; None for one that is sampled
    outcome: Outcome = Outcome()
    starred: bool = False
    rating: int | None = None  # 0 to 5
    note: str = ""
    tags: tuple[str, ...] = ()  # sorted
    deleted: float | None = None  # when it was put into the bin, seconds since 1970
    visitor: str | None = None  # who asked for it (`Visitor.id`); None: whoever runs the lab
    sweep: str | None = None  # the sweep that had it made

    @property
    def settings(self) -> GenerationSettings:
        """The recipe's settings."""
        return self.recipe.settings

    @property
    def done(self) -> bool:
        """Whether its files are whole and can be shown."""
        return self.state == "done"

    @property
    def unfinished(self) -> bool:
        """Whether it waits or is being rendered."""
        return self.state in UNFINISHED

    @property
    def video(self) -> Path:
        """The MP4 (exists when done)."""
        return self.folder / "video.mp4"

    @property
    def poster(self) -> Path:
        """The first frame as a small picture (exists when done)."""
        return self.folder / "poster.webp"

    @property
    def frames_zip(self) -> Path:
        """The lossless frames, one PNG each, with the recipe (exists when done)."""
        return self.folder / "frames.zip"

    @property
    def latents(self) -> Path:
        """The final latents as safetensors (exists when done, if they were kept)."""
        return self.folder / "latents.safetensors"


@dataclass(frozen=True)
class Comparison:
    """Two runs meant to differ in the checkpoint alone."""

    id: str
    a: Run
    b: Run
    created: float
    starred: bool = False
    rating: int | None = None  # 0 to 5
    note: str = ""
    tags: tuple[str, ...] = ()  # sorted
    deleted: float | None = None  # when it was put into the bin, seconds since 1970
    visitor: str | None = None  # who asked for it (`Visitor.id`); None: whoever runs the lab

    @property
    def unfinished(self) -> bool:
        """Whether either side waits or is being rendered."""
        return self.a.unfinished or self.b.unfinished
