"""Ways to have a clip sooner that cost some of what it is: the one list that is measured, compared and shown.

Knows settings; nothing of models, runs or screens. What each costs is measured by `svdlab loss`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from svdlab.recipes.limits import AYS_STEPS
from svdlab.recipes.settings import GenerationSettings

SHALLOW = 0.25  # of a whole step's work is a step's that uses features again, counted on SVD's UNet


@dataclass(frozen=True)
class Shortcut:
    """One way: its id, what it is in words, and what it changes of the settings it starts from."""

    id: str
    name: str
    changes: Callable[[GenerationSettings], Mapping[str, Any]]

    def of(self, exact: GenerationSettings) -> GenerationSettings | None:
        """The settings with the shortcut taken; None where it would save nothing. Raises `BadSettings`."""
        taken = exact.but(**self.changes(exact))
        return taken if unet_calls(taken) < unet_calls(exact) else None


def unet_calls(settings: GenerationSettings) -> float:
    """How often the UNet runs in a run, one branch of guidance at a time; a step that uses features again in part."""
    steps = settings.num_inference_steps
    whole = -(-steps // settings.feature_reuse)
    return (whole + SHALLOW * (steps - whole)) * (2 if settings.guided else 1)


def exact_of(settings: GenerationSettings) -> GenerationSettings:
    """The settings with nothing used again: what the shortcuts are held against."""
    return settings.but(feature_reuse=1)


def _fewer(share: int) -> Callable[[GenerationSettings], Mapping[str, Any]]:
    return lambda exact: {"num_inference_steps": max(1, exact.num_inference_steps // share)}


def _always(**changes: Any) -> Callable[[GenerationSettings], Mapping[str, Any]]:
    return lambda _: changes


_AYS = {"schedule": "ays", "num_inference_steps": AYS_STEPS}

SHORTCUTS: tuple[Shortcut, ...] = (
    Shortcut("half", "half the steps", _fewer(2)),
    Shortcut("ays", f"AYS, {AYS_STEPS} steps", _always(**_AYS)),
    Shortcut("reuse-2", "features used again, 1 of 2 steps whole", _always(feature_reuse=2)),
    Shortcut("reuse-3", "features used again, 1 of 3 steps whole", _always(feature_reuse=3)),
    Shortcut(
        "ays-reuse-2", f"AYS, {AYS_STEPS} steps, 1 of 2 of them whole", _always(**_AYS, feature_reuse=2)
    ),
    Shortcut("quarter", "a quarter of the steps", _fewer(4)),
)
