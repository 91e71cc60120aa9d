"""What the player shows of runs and comparisons that are over. Knows records and the lab's labels; nothing of pages."""

from __future__ import annotations

from typing import Any

from svdlab.lab.lab import Lab
from svdlab.recipes.records import Comparison, Run
from svdlab.ui.parts.player import Clip, player_value


def of_run(run: Run) -> dict[str, Any]:
    """A finished run's clip."""
    s = run.settings
    return player_value(
        Clip(run.video, "", s.num_frames), fps=s.effective_playback_fps, size=(s.width, s.height)
    )


def of_comparison(lab: Lab, pair: Comparison) -> dict[str, Any]:
    """Both clips of a comparison, or the one there is; at least one side is done."""
    labels = dict(zip("AB", lab.labels(pair), strict=True))
    done = [(letter, run) for letter, run in (("A", pair.a), ("B", pair.b)) if run.done]
    s = done[0][1].settings
    clips = [Clip(run.video, labels[letter], run.settings.num_frames) for letter, run in done]
    if len(done) == 1:
        letter, run = done[0]
        clips = [Clip(run.video, f"{letter} · {labels[letter]}", s.num_frames)]
    return player_value(*clips, fps=s.effective_playback_fps, size=(s.width, s.height))
