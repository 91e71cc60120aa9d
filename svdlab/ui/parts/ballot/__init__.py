"""Two clips side by side to be voted on, and nothing that tells which is which.

Both are in one video that is made anew for each showing: neither name, size, metadata nor time of arrival speaks of one
of them. Knows open ballots and frames; nothing of counting.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from svdlab.clips.frames import read_frames_zip
from svdlab.clips.sheets import beside
from svdlab.clips.video import write_mp4
from svdlab.lab.lab import Lab
from svdlab.lab.visit import Visit
from svdlab.lab.votes import Contest, Open
from svdlab.recipes.votes import Scope
from svdlab.ui.handover import hand_over
from svdlab.ui.parts.element import element
from svdlab.words import counted

GAP = 16  # px between the clips, one of H.264's blocks: the coding of one side stays out of the other
CRF = 12  # finer than what is kept for looking at: what is judged must not be the video's own loss
MOST_NAMED = 64  # characters of an id or a sitting


def build(name: str) -> gr.HTML:
    """The element; `name` is its id on the page."""
    return element("ballot", {}, name=name)


def value(lab: Lab, contests: list[Contest], scope: Scope | None, error: str = "") -> dict[str, Any]:
    """What there is to vote on, and what was chosen by the address."""
    return {
        "contests": [
            {
                "checkpoints": one.checkpoints,
                "name": f"{_versus(lab, one)}: {counted(one.pairs, 'pair')}",
            }
            for one in contests
        ],
        "runs": list(scope.runs) if scope else [],
        "error": error,
    }


def _versus(lab: Lab, contest: Contest) -> str:
    if len(contest.checkpoints) > 2:
        return f"All {len(contest.checkpoints)} checkpoints"
    return " and ".join(map(lab.checkpoint_name, contest.checkpoints))


def pair(ballot: Open) -> dict[str, Any]:
    """An open ballot as the page has it. Raises `BadVideo`, `OSError`."""
    s = ballot.left.settings
    path = hand_over("clips.mp4", lambda path: _write(path, ballot))
    return {
        "token": ballot.token,
        "path": str(path),
        "size": [s.width, s.height],
        "gap": GAP,
    }


def _write(path: Path, ballot: Open) -> None:
    left, right = (read_frames_zip(run.frames_zip) for run in (ballot.left, ballot.right))
    fps = ballot.left.settings.effective_playback_fps
    write_mp4(path, beside(left, right, GAP), fps, every_frame_key=False, crf=CRF)


def meant(asked: dict[str, Any]) -> tuple[Scope, str]:
    """What a page's event says is voted on, and in which sitting: untrusted."""
    told = asked.get("scope")
    told = told if isinstance(told, dict) else {}
    scope = Scope(*(_ids(told.get(name)) for name in ("checkpoints", "runs")))
    return scope, str(asked.get("sitting") or "nobody's")[:MOST_NAMED]


def _ids(told: Any) -> tuple[str, ...]:
    return (
        tuple(one for one in told if isinstance(one, str) and len(one) <= MOST_NAMED)
        if isinstance(told, list)
        else ()
    )


def sitting_line(visit: Visit, scope: Scope, sitting: str) -> str:
    """How many votes a sitting has given."""
    given = len(visit.votes(scope, sitting))
    return f"{counted(given, 'vote')} given." if given else ""
