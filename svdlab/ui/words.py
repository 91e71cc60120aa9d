"""How pages say things: sentences, moments, lines about a run. Knows records, metrics and knobs; nothing of Gradio."""

from __future__ import annotations

import time

from svdlab.metrics.words import readout
from svdlab.recipes.records import Run
from svdlab.recipes.settings import KNOBS
from svdlab.words import duration

STATE_WORDS = {
    "queued": "Waiting",
    "running": "Rendering",
    "done": "Done",
    "failed": "Failed",
    "cancelled": "Cancelled",
    "interrupted": "Interrupted",
}
AUTOMATIC = {"decode_chunk_size": "automatic", "playback_fps": "as the frame rate"}  # of a knob left empty
PARTS = {"unet": "UNet", "image_encoder": "CLIP", "vae": "VAE"}


def sentence(error: Exception) -> str:
    """An error's words as they stand on a page: the control's label, a capital and a full stop."""
    text = str(error).strip()
    name = text.split(" ", 1)[0]
    if name in KNOBS:
        text = KNOBS[name].label + text[len(name) :]
    if name.isalpha():  # a file or checkpoint stays as it is called
        text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "?", "!")) else text + "."


def ago(when: float) -> str:
    """A moment as a person says it: 'just now', '5 min ago', '12 May'."""
    passed = max(0.0, time.time() - when)
    if passed < 60:
        return "just now"
    if passed < 3600:
        return f"{passed // 60:.0f} min ago"
    if passed < 86400:
        return f"{passed // 3600:.0f} h ago"
    day = time.localtime(when)
    return f"{day.tm_mday} {time.strftime('%b', day)}"


def clip_words(run: Run) -> str:
    """What was measured of a run's clip, in one line of words; empty where nothing was."""
    out = run.outcome
    return readout(out.metrics, run.settings.width, out.spreads, out.flaws)


def clip_line(run: Run) -> str:
    """'14 frames, 2.3 s at 6 fps · model saw 5 · seed 42'."""
    s = run.settings
    return (
        f"{s.num_frames} frames, {s.duration:.1f} s at {s.effective_playback_fps:g} fps · "
        f"model saw {s.conditioning_fps} · seed {s.seed}"
    )


def effort_line(run: Run) -> str:
    """'Rendered in 8 s on cpu, float32', or nothing where it is not known."""
    if not run.outcome.spent:
        return ""
    where = f" on {run.outcome.device}, {run.outcome.dtype}" if run.outcome.device else ""
    return f"Rendered in {duration(run.outcome.spent)}{where}."


def knob_words(run: Run, name: str) -> str:
    """A knob's value with its unit: '6 fps', 'automatic'."""
    given = getattr(run.settings, name)
    return AUTOMATIC[name] if given is None and name in AUTOMATIC else KNOBS[name].said(given)
