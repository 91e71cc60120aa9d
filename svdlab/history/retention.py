"""How long what is not wanted any more is kept. Knows days; nothing of rows or files."""

from __future__ import annotations

from dataclasses import dataclass

from svdlab.environment import Environment

DAY = 86_400.0  # seconds


@dataclass(frozen=True)
class Retention:
    """Days until the lab tidies up by itself; None is never."""

    bin_days: float | None = Environment.bin_days  # what has been in the bin for longer is removed for good
    keep_days: float | None = (
        Environment.keep_days
    )  # finished runs that nobody marked go to the bin when older
    public: bool = False  # what visitors asked for goes then, whatever it ended as and whoever marked it

    @classmethod
    def of(cls, environment: Environment) -> Retention:
        """What an environment asks for."""
        return cls(environment.bin_days, environment.keep_days, environment.shared)
