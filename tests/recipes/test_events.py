"""What is said of a run while it waits and is rendered."""

from __future__ import annotations

from svdlab.recipes.events import Event


def test_events_speak_in_sentences() -> None:
    assert Event("r", "step", 12, 25, eta=8.2).text == "Rendering: 12 of 25 steps, about 8 s left."
    assert Event("r", "queued", position=2).text == "Waiting: 2 ahead in the queue."
    assert Event("r", "step", 1, 25, eta=80).text.endswith("about 1:20 min left.")
    assert Event("r", "failed", message="Out of paint.").text == "Out of paint."
