"""What the lab keeps: Recipe, Run, Comparison and the events of a run. Frozen values, no behaviour
beyond reading them. Knows settings; nothing of databases, models or screens.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from svdlab.errors import BadVideo
from svdlab.recipes.settings import GenerationSettings

RunState = Literal["queued", "running", "done", "failed", "cancelled", "interrupted"]
RUN_STATES: tuple[RunState, ...] = get_args(RunState)
UNFINISHED: tuple[RunState, ...] = ("queued", "running")
MAX_RECIPE_BYTES = 64 * 1024
Plain = Annotated[str, Field(pattern=r"^\P{C}{0,200}$")]  # one line that a terminal shows as it is

# What is measured of every clip, by the names `svdlab.metrics.measure` gives; runs can be sorted by each.
METRICS = (
    "camera_motion",
    "object_motion",
    "camera_jerk",
    "pan_x",
    "pan_y",
    "zoom",
    "rotation",
    "flicker",
    "sharpness_kept",
    "fidelity",
    "loop_closure",
)


class Recipe(BaseModel):
    """Checkpoint, settings and picture: all that is needed to make the same clip again.

    `versions` says with what it was rendered (empty before that) and is not part of `hash`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    svdlab_recipe: Literal[1] = 1
    checkpoint: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    picture_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    settings: GenerationSettings
    versions: dict[Plain, Plain] = Field(default_factory=dict, max_length=32)

    @property
    def hash(self) -> str:
        """SHA-256 of what decides the frames: everything but the versions."""
        content = self.model_dump(mode="json", exclude={"versions"})
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def to_json(self) -> str:
        """As it is written into a video: one line, keys sorted."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        """A recipe from untrusted text. Raises `BadVideo` with one sentence."""
        if len(text.encode("utf-8", "replace")) > MAX_RECIPE_BYTES:
            raise BadVideo(f"the recipe is larger than {MAX_RECIPE_BYTES // 1024} KB, so it was not read")
        try:
            return cls.model_validate(json.loads(text))
        except (ValueError, RecursionError, ValidationError):
            raise BadVideo("this file carries no svdlab recipe, or one that was changed") from None


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
    offload: str = ""  # where the weights waited: none (on the device), model, sequential
    fallbacks: tuple[str, ...] = ()  # what was changed because memory ran out, each a sentence
    latents_of: str = ""  # the run whose latents were decoded again; empty if these were sampled
    metrics: dict[str, float] = field(default_factory=dict)
    video_sha256: str = ""  # of the MP4's bytes; empty in runs of older versions

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
        return cls(**{**known, **lists})


@dataclass(frozen=True)
class Resident:
    """One component of checkpoints that is in memory: its bytes, and who uses it."""

    part: str  # unet | image_encoder | vae
    key: str  # hash of its weights
    bytes: int
    used_by: tuple[str, ...]  # checkpoint ids; several share it
    offload: str = "none"


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

    @property
    def unfinished(self) -> bool:
        """Whether either side waits or is being rendered."""
        return self.a.unfinished or self.b.unfinished


@dataclass(frozen=True)
class Event:
    """One thing that happened to a run, as `Lab.watch` yields it.

    `preview` is the predicted clip so far as an animated WebP; `eta` is seconds left.
    """

    run_id: str
    kind: Literal[
        "queued",
        "loading",
        "encoding",
        "step",
        "decoding",
        "saving",
        "done",
        "failed",
        "cancelled",
        "interrupted",
    ]
    step: int = 0
    steps: int = 0
    position: int = 0  # runs ahead of it in the queue
    eta: float | None = None
    preview: bytes | None = None
    message: str = ""

    @property
    def final(self) -> bool:
        """Whether nothing follows."""
        return self.kind in ("done", "failed", "cancelled", "interrupted")

    @property
    def text(self) -> str:
        """What to tell the person, as one short sentence."""
        left = "" if self.eta is None else f", about {_duration(self.eta)} left"
        match self.kind:
            case "queued" if self.position:
                return f"Waiting: {self.position} ahead in the queue."
            case "queued":
                return "Next in the queue."
            case "loading":
                return self.message or "Loading the model."
            case "encoding":
                return "Reading the picture."
            case "step":
                return f"Rendering: {self.step} of {self.steps} steps{left}."
            case "decoding":
                return f"Decoding: {self.step} of {self.steps} frames{left}."
            case "saving":
                return "Writing the video."
            case "done":
                return "Done."
            case "cancelled":
                return "Cancelled."
            case "interrupted":
                return "Interrupted before it was finished."
            case _:
                return self.message or "Failed."


def _duration(seconds: float) -> str:
    """Seconds as a person says them: '8 s', '1:20 min'."""
    whole = max(1, round(seconds))
    return f"{whole} s" if whole < 60 else f"{whole // 60}:{whole % 60:02d} min"


DECODING = ("decoder", "decode_chunk_size")  # the knobs that act on finished latents


@dataclass(frozen=True)
class Fairness:
    """Whether two runs may be compared, and in words why or why not."""

    subject: Literal["checkpoint", "decoding"]  # the one thing that is meant to differ
    same_picture: bool
    same_settings: bool
    same_noise: bool
    noise: str  # short hash of A's noise
    differences: tuple[str, ...]  # each a sentence
    remarks: tuple[str, ...]  # what differs with the checkpoints themselves: it belongs to the comparison
    shared_frames: int

    @property
    def fair(self) -> bool:
        """Same picture, same settings, same noise."""
        return self.same_picture and self.same_settings and self.same_noise


def fairness(a: Run, b: Run, forced_decoders: bool = False) -> Fairness:
    """Compares two runs' recipes and, where both are rendered, the noise they really got.

    With `forced_decoders` neither side's checkpoint has another decoder than the one used: that difference comes with
    the checkpoints. Two runs from the same latents are a comparison of decoding.
    """
    differences, remarks = [], []
    decoding = same_latents(a, b)
    same_picture = a.recipe.picture_sha256 == b.recipe.picture_sha256
    if not same_picture:
        differences.append("The two started from different pictures.")
    changed = a.settings.differences(b.settings)
    if decoding:
        for name in DECODING:
            changed.pop(name, None)
    elif forced_decoders and "decoder" in changed:
        mine, theirs = changed.pop("decoder")
        remarks.append(
            f"Each checkpoint brings its own decoder, {mine} on A and {theirs} on B: sharpness and flicker may come "
            f"from it."
        )
    counts = changed.pop("num_frames", None)
    for name, (mine, theirs) in changed.items():
        differences.append(f"{name} is {mine} on A and {theirs} on B.")
    chunks = a.outcome.decode_chunk_size, b.outcome.decode_chunk_size
    short_of_memory = bool(a.outcome.fallbacks or b.outcome.fallbacks) and not decoding
    if short_of_memory and chunks[0] != chunks[1] and counts is None:
        differences.append(f"Memory was short: A decoded {chunks[0]} frames at once and B {chunks[1]}.")
        changed["decode_chunk_size"] = chunks
    shared = min(a.settings.num_frames, b.settings.num_frames)
    noise_a, noise_b = a.outcome.noise_frames, b.outcome.noise_frames
    known = bool(noise_a and noise_b)
    same_noise = known and noise_a[: shared + 1] == noise_b[: shared + 1]
    if counts is not None:
        tail = ", on the same noise" if same_noise else ""
        differences.append(
            f"A has {counts[0]} frames and B has {counts[1]}: only the first {shared} can be put side by side{tail}, "
            f"and each model saw a clip of another length."
        )
    if known and not same_noise:
        differences.append("The two got different noise.")
    return Fairness(
        subject="decoding" if decoding else "checkpoint",
        same_picture=same_picture,
        same_settings=not changed and counts is None,
        same_noise=same_noise,
        noise=a.outcome.noise_sha256[:8],
        differences=tuple(differences),
        remarks=tuple(remarks),
        shared_frames=shared,
    )


def same_latents(a: Run, b: Run) -> bool:
    """Whether both clips were decoded from the same latents."""
    sources = [run.latents_of or run.id for run in (a, b)]
    return sources[0] == sources[1] and a.id != b.id
