"""Every knob of one generation, declared once: bounds, unit, label and help, and since when it is there.

Sliders, command-line flags, API arguments, validation, columns and docs are made from `KNOBS`.
Knows numbers and words; nothing of checkpoints, models or screens.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from svdlab.errors import BadSettings

MAX_SEED = 2**32 - 1  # torch's generator on the CPU uses 32 bits: a larger seed is one of these again
MAX_STORED_SEED = 2**63 - 1  # recipes of older versions have up to these; they stay as they are

FIRST_FORM = 1  # the canonical form of recipes that names every knob it knows; see `svdlab.recipes.identity`
NEWEST_FORM = 2  # what a new knob comes with: it is named where it is not as it was introduced

Group = Literal["essential", "motion", "sampling", "picture", "output"]


_SAME: Any = object()  # as `default`


def _knob(
    default: Any,
    label: str,
    help: str,
    *,
    unit: str = "",
    group: Group,
    ge: float | None = None,
    le: float | None = None,
    step: float | None = None,
    usual: tuple[float, float] | None = None,
    more: str = "",
    asked: float | None = None,
    since: int = NEWEST_FORM,
    introduced: Any = _SAME,
) -> Any:
    """One knob's declaration. `usual` is the stretch a slider offers; `ge`/`le` is what is possible.

    `asked` is the largest that may be asked for, where what is stored may hold more. `since` is the canonical form of
    recipes it came with, `introduced` the value it came with: what a recipe means that does not name it. It is
    `default` until another default is shown to people, and then it has to be said here.
    """
    extra: dict[str, Any] = {"unit": unit, "group": group, "step": step, "usual": usual, "more": more}
    extra |= {"asked": asked, "since": since, "introduced": default if introduced is _SAME else introduced}
    return Field(default, title=label, description=help, ge=ge, le=le, json_schema_extra=extra)


class GenerationSettings(BaseModel):
    """All knobs of one generation under diffusers' names. Frozen; equal settings hash equally.

    Sizes are in pixels, rates in frames per second. Validated on construction; use
    `GenerationSettings.parse` for input from people, which raises `BadSettings` with one sentence.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    motion_bucket_id: int = _knob(
        127,
        "Motion bucket",
        "How much should move: low is calm, high is lively.",
        group="essential",
        ge=0,
        le=1023,
        step=1,
        usual=(1, 255),
        more="Training clips were sorted by measured motion into buckets 1–255. The least predictable knob: "
        "the same bucket moves different pictures differently, and can turn the camera another way.",
        since=1,
    )
    fps: int = _knob(
        6,
        "Frame rate",
        "The rate the model is told the clip has; the model sees this minus 1.",
        unit="fps",
        group="essential",
        ge=1,
        le=60,
        step=1,
        usual=(5, 30),
        more="A higher rate means less change from one frame to the next. diffusers and ComfyUI subtract 1 before "
        "the model sees it; Stability's own scripts do not. How fast the clip plays is the playback rate.",
        since=1,
    )
    num_frames: int = _knob(
        14,
        "Frames",
        "How many frames the clip has; each checkpoint was trained for one count.",
        unit="frames",
        group="essential",
        ge=2,
        le=128,
        step=1,
        usual=(2, 50),
        more="14 for SVD, 25 for SVD-XT and 1.1. Fewer frames play less smoothly; many more lose the picture.",
        since=1,
    )
    seed: int = _knob(
        42,
        "Seed",
        "Which noise to start from; the same seed gives the same clip.",
        group="essential",
        ge=0,
        le=MAX_STORED_SEED,
        asked=MAX_SEED,
        step=1,
        more="The seed picks the camera move as much as any knob does. The noise is drawn on the CPU, so one seed "
        "means one noise on every device.",
        since=1,
    )
    noise_aug_strength: float = _knob(
        0.02,
        "Noise on the picture",
        "Noise added to the picture before the model sees it: more frees the motion, loses detail.",
        group="motion",
        ge=0.0,
        le=10.0,
        step=0.01,
        usual=(0.0, 1.0),
        more="0.02 in Stability's scripts and diffusers, 0 in ComfyUI's workflow, 0.1 in the first Hub demo.",
        since=1,
    )
    num_inference_steps: int = _knob(
        25,
        "Steps",
        "Denoising steps: more is finer and slower.",
        unit="steps",
        group="sampling",
        ge=1,
        le=200,
        step=1,
        usual=(1, 50),
        since=1,
    )
    min_guidance_scale: float = _knob(
        1.0,
        "Guidance, first frame",
        "How firmly the first frame follows the picture.",
        group="sampling",
        ge=0.0,
        le=20.0,
        step=0.1,
        usual=(0.0, 10.0),
        more="Guidance grows frame by frame from this value to the last frame's.",
        since=1,
    )
    max_guidance_scale: float = _knob(
        3.0,
        "Guidance, last frame",
        "How firmly the last frame follows the picture; high values burn colours.",
        group="sampling",
        ge=0.0,
        le=20.0,
        step=0.1,
        usual=(0.0, 10.0),
        more="At 1 or less guidance is off and every step costs half.",
        since=1,
    )
    schedule: Literal["karras", "ays", "lcm"] = _knob(
        "karras",
        "Schedule",
        "How the noise levels are spread: Karras as trained, AYS (Align Your Steps), good at 10 steps, or LCM.",
        group="sampling",
        more="LCM is the consistency sampler of few-step weights such as AnimateLCM-SVD: each step jumps to a whole "
        "clip and puts fresh noise on it, 2 to 8 times, with guidance 1. It is for weights distilled for it.",
        since=1,
    )
    feature_reuse: int = _knob(
        1,
        "Reuse features",
        "Run the whole UNet once in so many steps: 1 is exact, 2 or 3 are quicker and lose a little.",
        unit="steps",
        group="sampling",
        ge=1,
        le=10,
        step=1,
        usual=(1, 5),
        more="In the steps between, the coarse features of the last whole step are used again and only the outermost "
        "layers run (DeepCache's idea): a quarter of a step's work on SVD. Another clip than the exact one, close "
        "to it with many steps and further with few; svdlab loss measures how far.",
    )
    width: int = _knob(
        1024,
        "Width",
        "Width of the clip; checkpoints were trained at one size.",
        unit="px",
        group="picture",
        ge=64,
        le=2048,
        step=8,
        usual=(64, 1280),
        since=1,
    )
    height: int = _knob(
        576,
        "Height",
        "Height of the clip; checkpoints were trained at one size.",
        unit="px",
        group="picture",
        ge=64,
        le=2048,
        step=8,
        usual=(64, 1280),
        since=1,
    )
    fit: Literal["crop", "pad", "stretch"] = _knob(
        "crop",
        "Fit",
        "How the picture meets the clip's shape: crop it, pad it, or stretch it.",
        group="picture",
        since=1,
    )
    focus_x: float = _knob(
        0.5,
        "Focus, across",
        "Which part a crop keeps: 0 is the left edge, 1 the right.",
        group="picture",
        ge=0.0,
        le=1.0,
        step=0.01,
        usual=(0.0, 1.0),
        since=1,
    )
    focus_y: float = _knob(
        0.5,
        "Focus, down",
        "Which part a crop keeps: 0 is the top edge, 1 the bottom.",
        group="picture",
        ge=0.0,
        le=1.0,
        step=0.01,
        usual=(0.0, 1.0),
        since=1,
    )
    decoder: Literal["temporal", "image"] = _knob(
        "temporal",
        "Decoder",
        "Temporal smooths flicker between frames; image decodes each frame alone, sharper.",
        group="output",
        since=1,
    )
    decode_chunk_size: int | None = _knob(
        None,
        "Decode at once",
        "Frames decoded together: fewer needs less memory and can show seams. Empty means all.",
        unit="frames",
        group="output",
        ge=1,
        le=128,
        step=1,
        usual=(1, 50),
        since=1,
    )
    playback_fps: float | None = _knob(
        None,
        "Playback rate",
        "How fast the clip plays. Empty means the frame rate above; the model never sees it.",
        unit="fps",
        group="output",
        ge=1.0,
        le=60.0,
        step=1,
        usual=(1.0, 30.0),
        since=1,
    )

    @field_validator("*", mode="before")
    @classmethod
    def _no_booleans(cls, value: Any) -> Any:
        """True would pass for 1 and nobody means that; an empty box means "not given"."""
        if isinstance(value, bool):
            raise ValueError("a yes/no value is not a number")
        return value

    @model_validator(mode="after")
    def _guidance_pair(self) -> Self:
        # diffusers decides by max_guidance_scale whether to run the unguided branch; with max ≤ 1 < min
        # its first frames would need a branch that does not exist (it fails on shapes).
        if self.max_guidance_scale <= 1.0 < self.min_guidance_scale:
            raise ValueError(
                f"max_guidance_scale must be above 1 when min_guidance_scale is above 1 ({self.min_guidance_scale:g}), "
                f"got {self.max_guidance_scale:g}; raise it or set both to 1"
            )
        return self

    @property
    def conditioning_fps(self) -> int:
        """What the model is told (diffusers' meaning): fps − 1."""
        return self.fps - 1

    @property
    def effective_playback_fps(self) -> float:
        """How fast the clip plays, in frames per second."""
        return float(self.playback_fps if self.playback_fps is not None else self.fps)

    @property
    def duration(self) -> float:
        """Length of the clip in seconds as it plays."""
        return self.num_frames / self.effective_playback_fps

    @property
    def frames_at_once(self) -> int:
        """How many frames the decoder is given at a time: `decode_chunk_size`, or all there are."""
        return min(self.decode_chunk_size or self.num_frames, self.num_frames)

    @property
    def drawn_seed(self) -> int:
        """The seed as the generator takes it: a seed of an older version that has more than 32 bits is the same."""
        return self.seed % (MAX_SEED + 1)

    @property
    def guided(self) -> bool:
        """Whether classifier-free guidance runs (two model branches a step)."""
        return self.max_guidance_scale > 1.0

    @classmethod
    def parse(cls, values: Mapping[str, Any], base: GenerationSettings | None = None) -> GenerationSettings:
        """Settings from untrusted values, laid over `base`.

        Raises `BadSettings` naming the first knob that is wrong, what it got and what would be right.
        """
        for name in values:
            if name not in KNOBS:
                known = ", ".join(KNOBS)
                raise BadSettings(f"there is no knob called {str(name)[:40]!r}; the knobs are {known}")
        start = base.model_dump() if base is not None else {}
        merged = {**start, **{name: _emptied(value, name) for name, value in values.items()}}
        try:
            read = cls.model_validate(merged)
        except ValidationError as error:
            first = error.errors()[0]
            if not first["loc"]:  # the pair of guidance values
                raise BadSettings(str(first["ctx"]["error"]), "max_guidance_scale") from None
            name = str(first["loc"][0])
            raise BadSettings(
                f"{name} must be {KNOBS[name].wanted}, got {_shown(first['input'])}", name
            ) from None
        if "seed" in values and read.seed > MAX_SEED:
            raise BadSettings(f"seed must be {KNOBS['seed'].wanted}, got {_shown(read.seed)}", "seed")
        return read

    def but(self, **changes: Any) -> GenerationSettings:
        """A validated copy with some knobs changed; raises `BadSettings`."""
        return type(self).parse(changes, base=self)

    def differences(self, other: GenerationSettings) -> dict[str, tuple[Any, Any]]:
        """Knobs whose values differ: name → (mine, theirs), in declaration order."""
        mine, theirs = self.model_dump(), other.model_dump()
        return {name: (mine[name], theirs[name]) for name in mine if mine[name] != theirs[name]}


def _emptied(value: Any, name: str) -> Any:
    """An empty text box means None where None is a value."""
    if isinstance(value, str):
        value = value.strip()
        if not value and KNOBS[name].optional:
            return None
    if isinstance(value, float) and value.is_integer() and KNOBS[name].kind == "int" and abs(value) < 2**53:
        return int(value)
    return value


def _shown(value: Any) -> str:
    """A value as it may stand in a sentence: short, printable."""
    if isinstance(value, float) and not math.isfinite(value):
        return "not a number" if math.isnan(value) else "infinity"
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 40 else text[:37] + "…"


@dataclass(frozen=True)
class Knob:
    """One knob as a control, a flag or a docs row needs it."""

    name: str
    label: str
    help: str
    more: str
    unit: str
    group: Group
    kind: Literal["int", "float", "choice"]
    default: Any
    minimum: float | None
    maximum: float | None
    usual: tuple[float, float] | None
    step: float | None
    choices: tuple[str, ...]
    optional: bool
    since: int  # the canonical form of recipes it came with
    introduced: Any  # its value in a recipe that does not name it

    @property
    def wanted(self) -> str:
        """What a right value is, as words: 'a whole number from 0 to 1023'."""
        if self.kind == "choice":
            return " or ".join(self.choices)
        noun = "a whole number" if self.kind == "int" else "a number"
        lowest, highest = (
            f"{bound:g}" if isinstance(bound, float) else str(bound) for bound in (self.minimum, self.maximum)
        )
        return f"{noun} from {lowest} to {highest}"

    def said(self, value: object) -> str:
        """A value with its unit: '127', '6 fps', '1 step'."""
        if value == 1 and self.unit in ("steps", "frames"):
            return f"{value} {self.unit[:-1]}"
        return f"{value} {self.unit}".strip()


def _bound(field: Any, attribute: str) -> Any:
    """The `ge`/`le` of a pydantic field, or None."""
    return next((getattr(m, attribute) for m in field.metadata if hasattr(m, attribute)), None)


def _knob_from(name: str, field: Any) -> Knob:
    extra = field.json_schema_extra
    parts = get_args(field.annotation)
    optional = type(None) in parts
    words = tuple(p for p in parts if isinstance(p, str))
    inner = next((p for p in parts if isinstance(p, type) and p is not type(None)), field.annotation)
    return Knob(
        name=name,
        label=field.title,
        help=field.description,
        more=extra["more"],
        unit=extra["unit"],
        group=extra["group"],
        kind="choice" if words else ("int" if inner is int else "float"),
        default=field.default,
        minimum=_bound(field, "ge"),
        maximum=extra["asked"] if extra["asked"] is not None else _bound(field, "le"),
        usual=extra["usual"],
        step=extra["step"],
        choices=words,
        optional=optional,
        since=extra["since"],
        introduced=extra["introduced"],
    )


KNOBS: dict[str, Knob] = {
    name: _knob_from(name, field) for name, field in GenerationSettings.model_fields.items()
}


def random_seed() -> int:
    """A fresh seed, short enough to read out: 0 to 2³²−1."""
    return secrets.randbelow(2**32)


def resolve_seed(value: int | str | None) -> int:
    """The seed itself, or a fresh one for None, an empty box, -1 or 'random'. Raises `BadSettings`."""
    if (
        value is None
        or (isinstance(value, str) and value.strip().lower() in ("", "random", "-1"))
        or value == -1
    ):
        return random_seed()
    return GenerationSettings.parse({"seed": value}).seed
