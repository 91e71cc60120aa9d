"""What a visitor may do, decided in one place. Knows the environment and who asks; nothing of pages or cookies.

On a machine of one's own everything is allowed. On a public lab (`SVDLAB_PUBLIC`, a Space) visitors are strangers to
each other: each sees what it asked for itself and whatever it has the address of, changes what it asked for, and
nothing else. Every door (`svdlab.lab.visit`) asks here; pages hide what would be refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from svdlab.environment import Environment
from svdlab.errors import BadInput, BadSettings, NotAllowed
from svdlab.history.ids import unguessable
from svdlab.recipes.records import Comparison, Run
from svdlab.recipes.settings import GenerationSettings
from svdlab.recipes.sweeps import Sweep
from svdlab.recipes.visitors import OPERATOR, Visitor

Permission = Literal[
    "see_all_runs", "see_the_machine", "change_weights", "read_weights", "fetch_weights", "import_runs"
]

# What is said to somebody who asks for it all the same.
REFUSALS: dict[Permission, str] = {
    "see_all_runs": "runs on a public lab are private; ask for one by its id",
    "see_the_machine": "this machine is not yours, so its folders are not shown",
    "change_weights": "the weights here belong to everybody, so they cannot be changed",
    "read_weights": "checking and comparing whole weights keeps everybody waiting, so it is off on a public lab",
    "fetch_weights": "weights are fetched by whoever runs this lab; choose a checkpoint that is here",
    "import_runs": "nothing is imported into a public lab; drop a video on the page to have its settings",
}
NOT_YOURS = (
    "that was asked for by somebody else, so it is not yours to change; render it yourself to have your own"
)


@dataclass(frozen=True)
class Bounds:
    """The largest run and sweep a visitor may ask for."""

    pixels: int = Environment.max_pixels  # width × height
    frames: int = Environment.max_frames
    steps: int = Environment.max_steps
    cells: int = Environment.max_cells  # of one sweep

    def check(self, settings: GenerationSettings) -> None:
        """Raises `BadSettings` with one sentence on what is larger."""
        if settings.width * settings.height > self.pixels:
            raise BadSettings(
                f"width × height may be {self.pixels:,} pixels here, got {settings.width}×{settings.height}; "
                f"choose a smaller size",
                "width",
            )
        for name, value, most in (
            ("num_frames", settings.num_frames, self.frames),
            ("num_inference_steps", settings.num_inference_steps, self.steps),
        ):
            if value > most:
                raise BadSettings(f"{name} must be at most {most} here, got {value}", name)

    def check_cells(self, count: int) -> None:
        """Raises `BadInput` if a sweep has more cells."""
        if count > self.cells:
            raise BadInput(f"a sweep may have {self.cells} cells here, got {count}; leave some values out")


@dataclass(frozen=True)
class Policy:
    """What whoever visits may do. The defaults are those of somebody at their own machine."""

    public: bool = False  # visitors are strangers to each other
    log_in: bool = False  # one's own Hugging Face login fetches gated weights
    bounds: Bounds | None = None  # None: whatever a checkpoint can do
    most_waiting: int | None = None  # runs of one visitor that may wait

    @classmethod
    def of(cls, environment: Environment) -> Policy:
        """What visitors may do in an environment: on a Space they are strangers to each other."""
        if not environment.shared:
            return cls()
        e = environment
        bounds = Bounds(e.max_pixels, e.max_frames, e.max_steps, e.max_cells)
        return cls(True, bool(e.login), bounds, e.max_waiting)

    # What is about the lab as a whole

    def allows(self, permission: Permission, visitor: Visitor = OPERATOR) -> bool:
        """Whether a visitor may."""
        return not self.public or visitor.operator

    def require(self, permission: Permission, visitor: Visitor) -> None:
        """Raises `NotAllowed` with one sentence if a visitor may not."""
        if not self.allows(permission, visitor):
            raise NotAllowed(REFUSALS[permission])

    # What is about one run, comparison or sweep

    def may_read(self, visitor: Visitor, thing: Run | Comparison | Sweep) -> bool:
        """Whether a visitor who has its id may see it: its own, or what somebody handed on."""
        if not self.public or visitor.owns(thing.visitor):
            return True
        return thing.deleted is None and unguessable(thing.id)

    def may_change(self, visitor: Visitor, thing: Run | Comparison | Sweep) -> bool:
        """Whether a visitor may cancel, resume, mark and delete it: its own only."""
        return not self.public or visitor.owns(thing.visitor)

    def require_own(self, visitor: Visitor, thing: Run | Comparison | Sweep) -> None:
        """Raises `NotAllowed` if a visitor may not change it."""
        if not self.may_change(visitor, thing):
            raise NotAllowed(NOT_YOURS)

    # What is about asking

    def check(self, settings: GenerationSettings, visitor: Visitor) -> None:
        """Raises `BadSettings` on a run that is larger than a visitor may ask for."""
        if self.bounds is not None and not visitor.operator:
            self.bounds.check(settings)

    def check_cells(self, count: int, visitor: Visitor) -> None:
        """Raises `BadInput` on a sweep that is larger than a visitor may ask for."""
        if self.bounds is not None and not visitor.operator:
            self.bounds.check_cells(count)
