"""What votes come to, in words and as JSON: who is preferred, how surely. Knows counts and names, not screens."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from svdlab.metrics.votes import DECIDED, PRELIMINARY, Ranking, Tally
from svdlab.words import counted


@dataclass(frozen=True)
class Verdict:
    """What the votes on a scope say: a tally of two entrants, or a ranking of more; `names` by entrant, in order."""

    names: dict[str, str]
    votes: int
    tally: Tally | None
    ranking: Ranking | None


def headline(verdict: Verdict) -> str:
    """Who is better, in one sentence, "not decided" included."""
    if not verdict.votes:
        return "No votes yet."
    tally = verdict.tally
    if tally is None:
        found = verdict.ranking
        if found is None or not found.standings:
            return "No votes yet."
        first = verdict.names.get(found.standings[0].name, found.standings[0].name)
        clear = len(found.standings) > 1 and found.standings[0].low > found.standings[1].high
        so_far = " so far" if found.preliminary else ""
        return (
            f"{first} is preferred to all others{so_far}."
            if clear
            else f"{first} leads{so_far}, not clearly."
        )
    a, b = verdict.names.values()
    if tally.decided:
        return f"{b if tally.decided == 'b' else a} is preferred."
    return "Not decided yet."


def lines(verdict: Verdict) -> list[str]:
    """What the headline rests on."""
    if not verdict.votes:
        return []
    if verdict.tally is not None:
        return _of_two(verdict.tally, *verdict.names.values())
    preliminary = verdict.ranking is not None and verdict.ranking.preliminary
    return [
        f"{counted(verdict.votes, 'vote')}. Strengths are Bradley and Terry's with ties, ranked by the lower end of"
        " their 95 % interval.",
        *([f"Preliminary: below {PRELIMINARY} votes places still change."] if preliminary else []),
    ]


def _of_two(tally: Tally, a: str, b: str) -> list[str]:
    low, high = tally.interval
    said = [f"{b} won {tally.b} and {a} won {tally.a} of {counted(tally.votes, 'vote')}."]
    if tally.ties or tally.both_bad:
        said.append(f"{counted(tally.ties, 'tie')}, {tally.both_bad} times both bad.")
    if tally.a + tally.b:
        said.append(
            f"{b} wins {100 * tally.win_rate:.0f} % of them, with ties left out; between {100 * low:.0f} and"
            f" {100 * high:.0f} % at 95 %, however often one looks."
        )
        said.append(f"Evidence {_number(tally.evidence)}; {DECIDED:.0f} decides.")
    if tally.one_sided:
        side = "left" if tally.left > tally.right else "right"
        said.append(f"The clip on the {side} was preferred more often than chance allows, whichever it was.")
    return said


def _number(value: float) -> str:
    return "over 1000" if value > 1000 else f"{value:.2g}" if value < 10 else f"{value:.0f}"


def as_json(verdict: Verdict) -> dict[str, Any]:
    """All of it, for programs."""
    found: dict[str, Any] = {"headline": headline(verdict), "names": verdict.names, "votes": verdict.votes}
    if verdict.tally is not None:
        one = verdict.tally
        more = {
            name: getattr(one, name) for name in ("win_rate", "interval", "evidence", "decided", "one_sided")
        }
        found["tally"] = asdict(one) | more
    if verdict.ranking is not None:
        found["ranking"] = asdict(verdict.ranking)
    return found
