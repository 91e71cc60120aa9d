"""What blind votes say once they are revealed: who wins, how surely, what was voted. Knows votes; counts nothing."""

from __future__ import annotations

import time
from typing import Any

import gradio as gr

from svdlab.lab.verdicts import Verdict, headline, lines
from svdlab.recipes.votes import Vote
from svdlab.ui.parts.element import element
from svdlab.words import counted

MOST_LISTED = 50


def build(name: str) -> gr.HTML:
    """The element; `name` is its id on the page."""
    return element("verdict", {}, name=name)


def value(verdict: Verdict, mine: list[Vote]) -> dict[str, Any]:
    """A verdict in words and bars, and the votes of the sitting that looks, newest first."""
    return {
        "headline": headline(verdict),
        "lines": lines(verdict),
        "bars": bars(verdict),
        "two": verdict.tally is not None,
        "asked": time.time(),
        "votes": [
            {
                "left": verdict.names.get(vote.ballot.left)
                or verdict.names.get(vote.ballot.left_checkpoint, ""),
                "right": verdict.names.get(vote.ballot.right)
                or verdict.names.get(vote.ballot.right_checkpoint, ""),
                "answer": vote.answer,
                "runs": [vote.ballot.left, vote.ballot.right],
            }
            for vote in reversed(mine[-MOST_LISTED:])
        ],
    }


def bars(verdict: Verdict) -> list[dict[str, Any]]:
    """A point and its interval for each entrant: shares of 0 to 1 along one scale."""
    if verdict.tally is not None:
        if not verdict.tally.a + verdict.tally.b:
            return []
        low, high = verdict.tally.interval
        *_, b = verdict.names.values()
        at = verdict.tally.win_rate
        return [{"name": b, "low": low, "at": at, "high": high, "said": f"{100 * at:.0f} %"}]
    standings = verdict.ranking.standings if verdict.ranking else ()
    if not standings:
        return []
    least, most = min(one.low for one in standings), max(one.high for one in standings)
    span = max(most - least, 1e-9)
    return [
        {
            "name": verdict.names.get(one.name, one.name),
            "low": (one.low - least) / span,
            "at": (one.strength - least) / span,
            "high": (one.high - least) / span,
            "said": counted(one.votes, "vote"),
        }
        for one in standings
    ]
