"""What a visitor may do, decided in one place. Knows the environment; nothing of pages or of who is asking.

On a machine of one's own everything is allowed. On a shared Space visitors are strangers to each other: each sees what
its own browser asked for and whatever it has the address of, and changes nothing that others see. A page asks
`lab.policy`, and builds its controls, choices and refusals from the answers.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from svdlab.environment import Environment
from svdlab.errors import BadInput

Permission = Literal["see_all_runs", "change_runs", "see_the_machine", "change_weights"]

# What is said to somebody who asks for it all the same.
REFUSALS: dict[Permission, str] = {
    "see_all_runs": "runs on a shared Space are private; ask for one by its id",
    "change_runs": "what is kept here belongs to everybody, so it cannot be changed",
    "see_the_machine": "this machine is not yours, so its folders are not shown",
    "change_weights": "the weights here belong to everybody, so they cannot be changed",
}


@dataclass(frozen=True)
class Policy:
    """Named permissions of whoever visits. The defaults are those of somebody at their own machine."""

    see_all_runs: bool = (
        True  # list and search everybody's runs; without it, one's own and those one has the id of
    )
    change_runs: bool = True  # star, rate, tag, note; delete, take back, empty the bin; import
    see_the_machine: bool = True  # folders, disk use, files of this machine by their path
    change_weights: bool = True  # register, check and forget checkpoints
    log_in: bool = False  # one's own Hugging Face login fetches gated weights

    @classmethod
    def of(cls, environment: Environment) -> Policy:
        """What visitors may do in an environment: on a Space they are strangers to each other."""
        if not environment.space:
            return cls()
        closed = {one.name: False for one in fields(cls) if one.name in REFUSALS}
        return cls(**closed, log_in=bool(environment.login))

    def require(self, permission: Permission) -> None:
        """Raises `BadInput` with one sentence if that is not allowed."""
        if not getattr(self, permission):
            raise BadInput(REFUSALS[permission])
