"""The worker's side of the lab: claims runs, makes jobs of them, and writes what becomes of them.

Everything between the queue and a worker's one verb is here, once for every kind of worker: fetching weights, fitting
pictures, telling how far it is, renewing the claim, finishing, fencing, settling what broke off, keeping house. Knows
the lab and frozen jobs and updates; nothing of torch, of threads that render or of screens.
"""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from svdlab.clips import fitting, video
from svdlab.errors import (
    BadInput,
    BadPicture,
    Cancelled,
    CheckpointUnavailable,
    DataFolderError,
    RenderFailed,
    SvdlabError,
    reason,
)
from svdlab.failpoints import failpoint
from svdlab.history.bin import FRESH_SECONDS
from svdlab.history.doctor import remove_leftovers
from svdlab.history.ids import new_id
from svdlab.history.owners import this_process
from svdlab.history.retention import DAY
from svdlab.history.turns import OfSweep, Only
from svdlab.lab.lab import Lab
from svdlab.lab.results import write_files
from svdlab.lab.sharing import twin_of
from svdlab.recipes import work
from svdlab.recipes.events import Event
from svdlab.recipes.records import Recipe, Run
from svdlab.recipes.work import Job, Render, Rendered, Update
from svdlab.weights.availability import availability
from svdlab.weights.downloads import Download

log = logging.getLogger(__name__)

IDLE_SECONDS = 1.0  # how often the queue is looked at when nobody in this process submits
BEAT_SECONDS = 0.5  # how often progress is written for other processes
RECOVER_SECONDS = 60.0  # how often runs of workers that have died are looked for
TIDY_SECONDS = 3600.0
PREVIEW_QUALITY = 60

CLOSED = "The program was closed while this was being rendered."
UNSAID = "rendering ended without saying how"


class Desk:
    """One worker's place at a lab. Several may serve one lab, each in a thread of its own.

    `only` limits it to some run ids, or to one sweep's cells. `owner` names who claims: this process, unless it works
    for another.
    """

    def __init__(self, lab: Lab, only: Only = None, owner: str | None = None) -> None:
        self.lab = lab
        self.only = only
        self.owner = owner or this_process()
        self._broken: dict[str, str] = {}  # runs whose end could not be written yet, and what to say of them
        self._tidy_at = self._recover_at = time.monotonic()

    # Serving

    def serve(
        self, render: Render, stopping: threading.Event, idle: Callable[[], None] = lambda: None
    ) -> None:
        """Has rendered whatever is asked for, until `stopping`; calls `idle` now and then while nothing is.

        No run's fault stops the next one.
        """
        self.lab.pulse.beat(self)
        while not stopping.is_set():
            seen = self.lab.live.asks
            try:
                worked = self.turn(render)
                self.lab.pulse.beat(self)
                if not worked:
                    idle()
                    self.lab.live.wait(seen, IDLE_SECONDS)
            except Exception as error:  # the disk or the database: not at once again
                log.error(
                    "the queue could not be served: %s", error, exc_info=not isinstance(error, SvdlabError)
                )
                stopping.wait(IDLE_SECONDS)
        self.lab.pulse.leave(self)

    def turn(self, render: Render) -> bool:
        """Ends what broke off, keeps house, has rendered what waits longest; False if nothing waited.

        What breaks once a run is claimed ends that run at the next turn. Raises `DataFolderError` where the queue
        cannot be written.
        """
        self._settle()
        self._keep_house()
        runs = self.claim()
        try:
            if runs and not self._answered(runs):
                self._render(runs, render)
        except Exception as error:
            known = isinstance(error, SvdlabError)
            log.error("a run could not be rendered: %s", error, exc_info=not known)
            sentence = str(error) if known else f"rendering failed: {type(error).__name__}: {error}"
            self._broken.update({run.id: sentence for run in runs})
        return bool(runs)

    def _settle(self) -> None:
        """Ends what is left of claims that broke off; what a broken disk refuses is tried again."""
        for id, sentence in list(self._broken.items()):
            self.settle(id, sentence)
            self._broken.pop(id, None)

    def _keep_house(self) -> None:
        """Now and then: runs of dead workers, and what `tidy` does. A fault in it stops no rendering."""
        now = time.monotonic()
        try:
            if now >= self._recover_at:
                self._recover_at = now + RECOVER_SECONDS
                self.recover()
            if now >= self._tidy_at:
                self._tidy_at = now + TIDY_SECONDS
                self.tidy()
        except Exception as error:
            log.warning("tidying up failed: %s", error)

    def _answered(self, runs: Sequence[Run]) -> bool:
        """Whether claimed runs of visitors were finished with the files of equal ones, rendered while these waited."""
        found = [(run, twin) for run in runs if (twin := self._equal_of(run)) is not None]
        if len(found) < len(runs):
            return False
        for run, twin in found:
            with twin_of(twin, run.id) as files:
                self.lab.history.finish(
                    run.id, "done", recipe=twin.recipe, outcome=twin.outcome, owner=self.owner, files=files
                )
            self.lab.live.publish(Event(run.id, "done", step=_steps(run), steps=_steps(run)))
        return True

    def _answer_waiting(self, recipe: Recipe) -> None:
        """Finishes visitors' waiting runs of a recipe that has just been rendered; a pair waits for its turn."""
        for run in list(self.lab.history.same(recipe.hash, ("queued",))):
            if run.comparison is None and self._equal_of(run) is not None:
                claimed = self.lab.history.claim(self.owner, only=[run.id])
                try:
                    self._answered(claimed)
                except (OSError, SvdlabError) as error:  # not the fault of the one that was rendered
                    self._broken.update({one.id: f"rendering failed: {error}" for one in claimed})

    def _equal_of(self, run: Run) -> Run | None:
        """A run of the same recipe that was rendered since this one was asked for; None for the operator's."""
        if run.visitor is None or run.latents_of is not None:
            return None
        twin = self.lab.before.run(run.recipe)
        fresh = twin is not None and twin.finished is not None and twin.finished > run.created
        return twin if fresh else None

    def _render(self, runs: Sequence[Run], render: Render) -> None:
        self.lab.pulse.beat(self, rendering=True)
        for run in runs:
            said = f"Loading {self.lab.name(run)}."
            self.lab.live.publish(Event(run.id, "loading", steps=_steps(run), message=said))
        failpoint("loading")
        waiting = {run.id: (run, job) for run in runs if (job := self._prepared(run)) is not None}
        if not waiting:
            return
        updates = render([job for _, job in waiting.values()], self.lab.live.stop_asked)
        beats = _Beats(self)
        try:
            for update in updates:
                self.lab.pulse.beat(self, rendering=True)
                run, job = waiting[update.job]
                if self._take(run, job, update, beats):
                    del waiting[update.job]
        finally:
            updates.close()
        if waiting:
            raise RenderFailed(UNSAID)

    def _prepared(self, run: Run) -> Job | None:
        """The run's job; None for a run that ends before it is rendered."""
        try:
            self._fetch(run)
            return self.job(run)
        except Cancelled:
            self.stopped(run)
        except SvdlabError as error:
            self.fail(run, str(error))
        return None

    # From runs to jobs

    def claim(self) -> list[Run]:
        """The next run to render, or a comparison's two; empty if none waits. Raises `DataFolderError`."""
        if self.only is None:
            self.lab.sweeps.feed()
        elif isinstance(self.only, OfSweep):
            self.lab.sweeps.feed(self.only.id)
        runs = self.lab.history.claim(self.owner, self.only)
        self.lab.live.begin(run.id for run in runs)
        return runs

    def _fetch(self, run: Run) -> None:
        """Downloads the run's weights if they are not here. Raises `CheckpointUnavailable`, `Cancelled`."""
        checkpoint = self.lab.catalogue.get(run.recipe.checkpoint)
        if availability(checkpoint).state != "can be downloaded":
            return

        def show(download: Download) -> None:
            said = (
                f"Downloading {checkpoint.name}: {download.bytes_done / 1e9:.2f} of "
                f"{(download.bytes_total or checkpoint.download_bytes) / 1e9:.2f} GB; this happens once."
            )
            event = Event(run.id, "loading", steps=_steps(run), message=said, eta=download.seconds_left)
            self.lab.live.publish(event)
            self.lab.pulse.beat(self, rendering=True)
            self.beat(run.id, 0)

        self.lab.downloads.start(checkpoint)
        ended = self.lab.downloads.wait(checkpoint.id, show, lambda: self.lab.live.stop_asked(run.id))
        if ended.state == "cancelled":
            raise Cancelled("the download was stopped")
        if ended.state == "failed":
            raise CheckpointUnavailable(ended.sentence)

    def job(self, run: Run) -> Job:
        """What a worker needs to know of a run. Raises `NotFound`, `BadPicture`, `BadInput`, `BadCheckpoint`."""
        s = run.settings
        self.lab.notice_checkpoints()
        checkpoint = self.lab.catalogue.get(run.recipe.checkpoint)
        lender = None if s.decoder in checkpoint.decoders else checkpoint.lenders.get(s.decoder)
        return Job(
            run.id,
            checkpoint,
            s,
            self._picture(run),
            f"{run.recipe.picture_sha256}|{s.width}|{s.height}|{s.fit}|{s.focus_x}|{s.focus_y}",
            decoder_from=self.lab.catalogue.get(lender) if lender else None,
            latents=self._latents(run.latents_of) if run.latents_of else None,
            latents_of=run.latents_of or "",
            # Decoding asks nothing of the UNet.
            loras=() if run.latents_of else tuple(map(self.lab.loras.of, run.recipe.loras)),
        )

    def _picture(self, run: Run) -> np.ndarray:
        """The run's picture as the model is to see it."""
        s = run.settings
        path = self.lab.picture(run.recipe.picture_sha256).path
        try:
            with Image.open(path) as stored:
                picture = stored.convert("RGB")
        except (OSError, SyntaxError, ValueError) as error:  # all that a damaged PNG makes Pillow raise
            raise BadPicture("the picture of that recipe is damaged; drop it in again") from error
        return np.asarray(fitting.fit_picture(picture, s.width, s.height, s.fit, s.focus_x, s.focus_y))

    def _latents(self, id: str) -> bytes:
        try:
            return self.lab.history.get(id).latents.read_bytes()
        except OSError as error:
            raise BadInput(
                f"the kept latents cannot be read ({reason(error)}); render the run again"
            ) from error

    # From updates to records

    def _take(self, run: Run, job: Job, update: Update, beats: _Beats) -> bool:
        """Tells and records one update; returns whether it was the run's last one."""
        tell, steps = self.lab.live.publish, _steps(run)
        match update:
            case work.Loading():
                pass  # said when the run was claimed
            case work.Encoding():
                tell(Event(run.id, "encoding", steps=steps))
                failpoint("encoding")
            case work.Stepped():
                shown = _preview(run, update.preview)
                tell(Event(run.id, "step", update.step, update.steps, eta=update.seconds_left, preview=shown))
                beats.beat(run.id, update.step)
                failpoint("step")
            case work.Decoding():
                tell(Event(run.id, "decoding", update.done, update.frames, eta=update.seconds_left))
                beats.beat(run.id, steps)
                failpoint("decoding")
            case work.Rendered():
                tell(Event(run.id, "saving", steps, steps))
                try:
                    self.finish(run, update, job.picture)
                except OSError as error:
                    self.fail(run, f"the video could not be written: {reason(error)}")
            case work.Failed():
                self.fail(run, str(update.error))
            case work.Stopped():
                self.stopped(run)
        return isinstance(update, work.Rendered | work.Failed | work.Stopped)

    def beat(self, run_id: str, step: int) -> None:
        """Renews the claim and lets other processes see the step; picks up their wish to cancel, or that it is lost."""
        if self.lab.history.beat(run_id, step, self.owner):
            self.lab.live.ask_to_stop(run_id)

    def finish(self, run: Run, rendered: Rendered, picture: np.ndarray | None = None) -> Run:
        """Measures a rendered run and writes its files, then says done.

        `picture` is what the model was given, (height, width, 3) uint8. Returns the run as it then is: not done by this
        if it was taken for dead meanwhile. Raises `OSError`, `DataFolderError`.
        """
        temporary = run.folder.with_name(f".{run.id}.{new_id()}")
        temporary.mkdir(parents=True)
        try:
            environment = self.lab.environment
            kept, mark = environment.kept_latents_bytes, environment.watermark
            recipe, outcome = write_files(temporary, run, rendered, picture, kept, mark)
            self.lab.history.finish(
                run.id, "done", recipe=recipe, outcome=outcome, owner=self.owner, files=temporary
            )
        finally:
            shutil.rmtree(temporary, ignore_errors=True)  # in place by now, or not wanted
        self.lab.live.publish(Event(run.id, "done", step=_steps(run), steps=_steps(run)))
        self._answer_waiting(run.recipe)
        return self.lab.history.get(run.id)

    def fail(self, run: Run, error: str) -> None:
        """Says why a run could not be rendered, in one sentence."""
        self.lab.history.finish(run.id, "failed", error=error, owner=self.owner)
        self.lab.live.publish(Event(run.id, "failed", message=error))

    def stopped(self, run: Run) -> None:
        """Says that a run stopped because it was asked to, or was interrupted by the lab's closing."""
        if self.lab.history.stop_asked(run.id) or not self.lab.live.closed:
            self.lab.history.finish(run.id, "cancelled", owner=self.owner)
            self.lab.live.publish(Event(run.id, "cancelled"))
        else:
            self.lab.history.finish(run.id, "interrupted", error=CLOSED, owner=self.owner)
            self.lab.live.publish(Event(run.id, "interrupted"))

    def settle(self, run_id: str, error: str) -> None:
        """Ends a claimed run whose rendering broke off: done if its files are whole, else failed.

        A run that has ended or is another's is left as it is. Raises `DataFolderError`: then ask again later.
        """
        self.lab.history.settle(run_id, self.owner, "failed", error)
        self.lab.live.forget([run_id])
        event = self.lab.live.present(run_id)
        if event.final:
            self.lab.live.publish(event)

    # Keeping house

    def recover(self) -> list[Run]:
        """Settles runs of workers that have died, and returns them: done if their files are whole, else interrupted."""
        settled = self.lab.history.recover()
        if settled:
            self.lab.live.notify()
        return settled

    def tidy(self) -> list[str]:
        """Does what the lab's `retention` asks for, and returns the ids of the runs put into the bin.

        Old runs nobody marked go to the bin, what has been in the bin for long is removed with pictures no run names,
        and so is what killed writers left. Nothing is done to a folder that is only read. Raises `DataFolderError`.
        """
        history, retention = self.lab.history, self.lab.retention
        binned: list[str] = []
        if history.read_only:
            return binned
        if retention.keep_days is not None:
            binned = history.delete_unmarked(retention.keep_days * DAY)
            if retention.public:
                binned += history.delete_visitors(retention.keep_days * DAY)
        if retention.bin_days is not None:
            history.empty_bin(retention.bin_days * DAY)
            history.remove_unused_pictures(max(retention.bin_days * DAY, FRESH_SECONDS))
        remove_leftovers(history)
        return binned


class _Beats:
    """Writes a run's progress for other processes, not more often than it is read."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._last: dict[str, float] = {}

    def beat(self, run_id: str, step: int) -> None:
        """Notes the step if it is time. What cannot be noted now need not stop the rendering."""
        now = time.monotonic()
        if now - self._last.get(run_id, 0.0) < BEAT_SECONDS:
            return
        self._last[run_id] = now
        try:
            self._desk.beat(run_id, step)
        except DataFolderError as error:  # locked or full now is not yet locked or full at the end
            log.warning("the progress could not be noted: %s", error)


def _preview(run: Run, frames: np.ndarray | None) -> bytes | None:
    """The predicted clip as an animated WebP."""
    if frames is None:
        return None
    return video.webp_bytes(frames, run.settings.effective_playback_fps, PREVIEW_QUALITY)


def _steps(run: Run) -> int:
    return run.settings.num_inference_steps
