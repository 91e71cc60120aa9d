"""A thread that claims runs and renders them on one device of this machine.

Knows the lab and the renderer; nothing of screens. The renderer is built when the first run is claimed,
so starting a worker costs nothing.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from svdlab.clips import pictures, video
from svdlab.errors import BadPicture, Cancelled, CheckpointUnavailable, DataFolderError, SvdlabError, reason
from svdlab.failpoints import failpoint
from svdlab.lab.lab import Lab
from svdlab.recipes.records import Event, Resident, Run
from svdlab.weights.availability import availability
from svdlab.weights.downloads import Download

if TYPE_CHECKING:
    from svdlab.engine.renderer import Job, Renderer, Update

log = logging.getLogger(__name__)

IDLE_SECONDS = 1.0  # how often the queue is looked at when nobody in this process submits
BEAT_SECONDS = 0.5  # how often progress is written for other processes
WARM_SECONDS = 4.0  # a page is served by then
RECOVER_SECONDS = 60.0  # how often runs of workers that have died are looked for
TIDY_SECONDS = 3600.0
STOP_SECONDS = 30.0  # how long closing waits for the step in progress
PREVIEW_QUALITY = 60


class LocalWorker:
    """Renders what the lab's queue holds until stopped.

    `only` limits it to some run ids. With `warm`, torch is loaded a few seconds after the start even if nothing is
    asked: a server's page is up by then, and its first visitor does not wait for it.
    """

    def __init__(
        self,
        lab: Lab,
        device: str = "auto",
        dtype: str = "auto",
        only: Sequence[str] | None = None,
        warm: bool = False,
    ) -> None:
        self.lab = lab
        self._device, self._dtype = device, dtype
        self._only = only
        self._warm = warm
        self._renderer: Renderer | None = None
        self._broken: dict[str, str] = {}  # runs whose end could not be written yet, and what to say of them
        self._tidy_at = self._recover_at = time.monotonic()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="svdlab-worker", daemon=True)

    @property
    def renderer(self) -> Renderer:
        """The renderer, built at first use: this is where torch is loaded."""
        if self._renderer is None:
            from svdlab.engine.renderer import Renderer

            self._renderer = Renderer(self._device, self._dtype, hashes=self.lab.hashes)
        return self._renderer

    def start(self) -> LocalWorker:
        """Starts the thread; the lab stops it on closing."""
        self.lab.on_close(self.stop)
        self.lab.on_resident(self._resident)
        self._thread.start()
        return self

    def _resident(self) -> list[Resident]:
        return self._renderer.residency.resident() if self._renderer is not None else []

    def stop(self) -> None:
        """Asks the thread to end and waits for the step in progress."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)

    def _work(self) -> None:
        warm_at = time.monotonic() + WARM_SECONDS
        while not self._stopping.is_set():
            runs: list[Run] = []
            try:
                self._settle()
                self._keep_house()
                runs = self.lab.claim(self._only)
                if runs:
                    self._render(runs)
                elif self._warm and time.monotonic() > warm_at:
                    self._warm = False
                    _ = self.renderer
                else:
                    self.lab.wait_for_work(IDLE_SECONDS)
            except Exception as error:  # one run's fault must not stop the next one
                known = isinstance(error, SvdlabError)
                log.error("a run could not be rendered: %s", error, exc_info=not known)
                sentence = str(error) if known else f"rendering failed: {type(error).__name__}: {error}"
                self._broken.update({run.id: sentence for run in runs})
                if not runs:  # the disk or the database: not at once again
                    self._stopping.wait(IDLE_SECONDS)

    def _settle(self) -> None:
        """Ends what is left of claims that broke off; what a broken disk refuses is tried again."""
        for id, sentence in list(self._broken.items()):
            self.lab.settle(id, sentence)
            del self._broken[id]

    def _keep_house(self) -> None:
        """Now and then: runs of dead workers, and what `Lab.tidy` does. A fault in it stops no rendering."""
        now = time.monotonic()
        try:
            if now >= self._recover_at:
                self._recover_at = now + RECOVER_SECONDS
                self.lab.recover()
            if now >= self._tidy_at:
                self._tidy_at = now + TIDY_SECONDS
                self.lab.tidy()
        except Exception as error:
            log.warning("tidying up failed: %s", error)

    def _render(self, runs: Sequence[Run]) -> None:
        jobs: list[Job] = []
        for run in runs:
            event = Event(
                run.id, "loading", steps=run.settings.num_inference_steps, message=self._loading(run)
            )
            self.lab.publish(event)
        failpoint("loading")
        renderer = self.renderer
        for run in runs:
            try:
                self._fetch(run)
                jobs.append(self._job(run))
            except Cancelled:
                self.lab.cancelled(run)
            except SvdlabError as error:
                self.lab.fail(run, str(error))
        by_id = {run.id: run for run in runs}
        reporter = _Reporter(self.lab, {job.id: np.asarray(job.picture) for job in jobs})
        for update in renderer.render(jobs, self.lab.stop_asked):
            reporter.report(by_id[update.job], update)

    def _loading(self, run: Run) -> str:
        """What the first wait is for, in words."""
        return f"Loading {self.lab.catalogue.get(run.recipe.checkpoint).name}."

    def _fetch(self, run: Run) -> None:
        """Downloads the run's weights if they are not here. Raises `CheckpointUnavailable`, `Cancelled`."""
        checkpoint = self.lab.catalogue.get(run.recipe.checkpoint)
        if availability(checkpoint).state != "can be downloaded":
            return
        steps = run.settings.num_inference_steps

        def show(download: Download) -> None:
            said = (
                f"Downloading {checkpoint.name}: {download.bytes_done / 1e9:.2f} of "
                f"{(download.bytes_total or checkpoint.download_bytes) / 1e9:.2f} GB; this happens once."
            )
            event = Event(run.id, "loading", steps=steps, message=said, eta=download.seconds_left)
            self.lab.publish(event)
            self.lab.beat(run.id, 0)

        self.lab.downloads.start(checkpoint)
        ended = self.lab.downloads.wait(checkpoint.id, show, lambda: self.lab.stop_asked(run.id))
        if ended.state == "cancelled":
            raise Cancelled("the download was stopped")
        if ended.state == "failed":
            raise CheckpointUnavailable(ended.sentence)

    def _job(self, run: Run) -> Job:
        from svdlab.engine.latents import unpack
        from svdlab.engine.renderer import Job

        s = run.settings
        self.lab.picture(run.recipe.picture_sha256)
        try:
            with Image.open(run.picture) as stored:
                picture = stored.convert("RGB")
        except (OSError, SyntaxError, ValueError) as error:  # all that a damaged PNG makes Pillow raise
            raise BadPicture("the picture of that recipe is damaged; drop it in again") from error
        fitted = pictures.fit_picture(picture, s.width, s.height, s.fit, s.focus_x, s.focus_y)
        key = f"{run.recipe.picture_sha256}|{s.width}|{s.height}|{s.fit}|{s.focus_x}|{s.focus_y}"
        checkpoint = self.lab.catalogue.get(run.recipe.checkpoint)
        lender = None if s.decoder in checkpoint.decoders else checkpoint.lenders.get(s.decoder)
        return Job(
            run.id,
            checkpoint,
            s,
            fitted,
            key,
            decoder_from=self.lab.catalogue.get(lender) if lender else None,
            latents=unpack(self.lab.history.get(run.latents_of).latents) if run.latents_of else None,
            latents_of=run.latents_of or "",
        )


class _Reporter:
    """Turns the renderer's updates into the lab's events and records."""

    def __init__(self, lab: Lab, pictures: Mapping[str, np.ndarray]) -> None:
        self.lab = lab
        self._pictures = pictures
        self._last_beat: dict[str, float] = {}

    def report(self, run: Run, update: Update) -> None:
        """Publishes one update; the last of a run writes its files and its row."""
        from svdlab.engine import renderer as r

        steps = run.settings.num_inference_steps
        match update:
            case r.Loading():
                pass  # said when the run was claimed
            case r.Encoding():
                self.lab.publish(Event(run.id, "encoding", steps=steps))
                failpoint("encoding")
            case r.Stepped():
                frames = update.preview
                shown = None if frames is None else video.webp_bytes(frames, _rate(run), PREVIEW_QUALITY)
                left = update.seconds_left
                self.lab.publish(Event(run.id, "step", update.step, update.steps, eta=left, preview=shown))
                self._beat(run, update.step)
                failpoint("step")
            case r.Decoding():
                event = Event(run.id, "decoding", update.done, update.frames, eta=update.seconds_left)
                self.lab.publish(event)
                self._beat(run, steps)
                failpoint("decoding")
            case r.Rendered():
                self.lab.publish(Event(run.id, "saving", steps, steps))
                self._finish(run, update)
            case r.Failed():
                self.lab.fail(run, str(update.error))
            case r.Stopped():
                self.lab.cancelled(run)

    def _finish(self, run: Run, update: object) -> None:
        from svdlab.engine import renderer as r
        from svdlab.engine.latents import pack

        assert isinstance(update, r.Rendered)
        kept = b"" if run.latents_of else pack(update.latents)
        try:
            self.lab.finish(run, update.frames, update.versions, update.outcome, self._pictures[run.id], kept)
        except OSError as error:
            self.lab.fail(run, f"the video could not be written: {reason(error)}")

    def _beat(self, run: Run, step: int) -> None:
        now = time.monotonic()
        if now - self._last_beat.get(run.id, 0.0) >= BEAT_SECONDS:
            self._last_beat[run.id] = now
            try:
                self.lab.beat(run.id, step)
            except DataFolderError as error:  # locked or full now is not yet locked or full at the end
                log.warning("the progress could not be noted: %s", error)


def _rate(run: Run) -> float:
    return run.settings.effective_playback_fps
