"""Runs whose numbers came about in another way than today's are measured again, one after the other, in the background.

Newest first, from their lossless frames, and only while nothing is being rendered, so that nobody waits for it. What
cannot be read is left with the numbers it has. Knows the history, clips and metrics; nothing of workers or screens.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from svdlab.clips import fitting
from svdlab.clips.frames import read_frames_zip
from svdlab.errors import SvdlabError
from svdlab.history.run_files import write_measured, write_result
from svdlab.lab.results import as_measured
from svdlab.metrics.definitions import edition
from svdlab.metrics.measure import measure
from svdlab.recipes.records import Run

if TYPE_CHECKING:
    from svdlab.lab.lab import Lab

log = logging.getLogger(__name__)

BETWEEN_SECONDS = 0.5  # two runs: others want the processor too
AGAIN_SECONDS = 600.0  # how often it is looked whether runs came from elsewhere
CLOSING_SECONDS = 10.0  # how long closing waits for the clip in hand


class Measuring:
    """Measures a lab's older runs anew, in a thread of its own from `start` until the lab is closed."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self._stopping = threading.Event()
        self._given_up: set[str] = set()
        self._thread = threading.Thread(target=self._work, name="svdlab-measuring", daemon=True)

    def start(self) -> None:
        """Begins; it ends when the lab is closed."""
        self.lab.on_close(self.stop)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether it is at work or waits for work."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Ends after the clip in hand."""
        self._stopping.set()
        self._thread.join(CLOSING_SECONDS)

    def _work(self) -> None:
        while not self._stopping.is_set():
            try:
                for run in self.outdated():
                    if not self._wait_for_quiet():
                        return
                    self.again(run)
            except Exception as error:  # the disk or the database; it is no reason to stop rendering
                log.warning("runs could not be measured again: %s", error)
            self._stopping.wait(AGAIN_SECONDS)

    def _wait_for_quiet(self) -> bool:
        """Waits while anything waits to be rendered or is; False when it is time to stop."""
        while not self._stopping.wait(BETWEEN_SECONDS):
            if not any(self.lab.history.load()):
                return True
        return False

    def outdated(self) -> Iterator[Run]:
        """Finished runs by other definitions than today's, newest first."""
        history, now = self.lab.history, edition()
        before = time.time() + 1e9
        while not history.read_only and not self._stopping.is_set():
            rows = history.editions(before)
            for id, _, by in rows:
                if by != now and id not in self._given_up:
                    yield history.get(id)
            if not rows:
                return
            before = rows[-1][1]

    def again(self, run: Run) -> bool:
        """Measures one run anew and writes what came out; False where it cannot be read or changed meanwhile."""
        try:
            frames = read_frames_zip(run.frames_zip)
            measured = measure(frames, self._picture(run), run.settings.effective_playback_fps)
            outcome = as_measured(run.outcome, measured)
            if not self.lab.history.measured_again(run, outcome):
                return False
            write_measured(run.folder, edition(), measured.series, measured.path)
            write_result(run.folder, run.recipe, outcome)
        except (SvdlabError, OSError, ValueError) as error:
            log.info("run %s could not be measured again: %s", run.id, error)
            self._given_up.add(run.id)
            return False
        return True

    def _picture(self, run: Run) -> np.ndarray | None:
        """The run's picture as the model saw it; None where it is gone."""
        s = run.settings
        try:
            with Image.open(run.picture) as stored:
                fitted = fitting.fit_picture(
                    stored.convert("RGB"), s.width, s.height, s.fit, s.focus_x, s.focus_y
                )
        except (OSError, SyntaxError, ValueError):
            return None
        return np.asarray(fitted)
