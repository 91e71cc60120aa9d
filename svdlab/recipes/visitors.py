"""Who asks: one browser or program, as what is kept of it. Frozen values; knows neither cookies nor what is allowed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Visitor:
    """One who asks. `id` and `lane` are hashes: neither a secret nor an address can be told from them.

    `id` names whoever holds one secret (a cookie, a token, a session): what it asks for is its own. `lane` names where
    it comes from: those who come from one place take their turns together, however many secrets they have.
    """

    id: str = ""  # empty: nobody in particular, who has nothing of their own
    lane: str = ""
    operator: bool = False  # whoever runs the lab: everything is theirs

    @property
    def stored(self) -> str | None:
        """What is written beside what it asks for; None for whoever runs the lab."""
        return None if self.operator else self.id

    def owns(self, visitor: str | None) -> bool:
        """Whether what `visitor` asked for is this one's; None is what the operator asked for."""
        return self.operator or (bool(self.id) and self.id == visitor)


OPERATOR = Visitor(operator=True)
NOBODY = Visitor()
