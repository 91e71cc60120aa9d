"""The one way in: submit, watch, cancel, compare, find. Pages, shell and Python use only this.

Knows the history, pictures and videos; models are behind whoever claims the runs (`svdlab.workers`),
so building a Lab loads neither torch nor gradio.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import platformdirs
from PIL import Image

from svdlab.clips import pictures, video
from svdlab.errors import BadInput, BadPicture, Cancelled, DataFolderError, NotFound, RenderFailed, reason
from svdlab.failpoints import failpoint
from svdlab.history.database import BUSY_SECONDS
from svdlab.history.doctor import DiskUse, Finding, disk_use, examine, remove_leftovers
from svdlab.history.kept import FRESH_SECONDS
from svdlab.history.queue import History, new_id, sync, this_process, write_result
from svdlab.history.retention import DAY, Retention
from svdlab.metrics import measure
from svdlab.recipes import limits
from svdlab.recipes.checkpoint import Checkpoint, Decoder
from svdlab.recipes.presets import Preset, Presets
from svdlab.recipes.records import (
    Comparison,
    Event,
    Fairness,
    Outcome,
    Recipe,
    Resident,
    Run,
    fairness,
    same_latents,
)
from svdlab.recipes.settings import GenerationSettings, resolve_seed
from svdlab.weights.availability import availability
from svdlab.weights.catalogue import Catalogue
from svdlab.weights.content import Hashes
from svdlab.weights.downloads import Downloads
from svdlab.weights.register import Registry

POLL_SECONDS = 0.5  # how often another process's progress is read from the database
POSTER_SIDE = 480  # pixels, long side


def default_data_dir() -> Path:
    """`SVDLAB_DATA_DIR`, or the system's place for a user's data."""
    given = os.environ.get("SVDLAB_DATA_DIR", "").strip()
    return Path(given).expanduser() if given else Path(platformdirs.user_data_dir("svdlab", appauthor=False))


def kept_latents() -> int:
    """Bytes up to which a run's latents are kept: `SVDLAB_KEEP_LATENTS_MB`, 16 unless set; 0 keeps none."""
    try:
        return int(float(os.environ.get("SVDLAB_KEEP_LATENTS_MB", "") or 16) * 1e6)
    except ValueError:
        return 16_000_000


@dataclass(frozen=True)
class StoredPicture:
    """A picture the lab keeps: upright RGB, by the hash of its pixels."""

    sha256: str
    path: Path
    width: int
    height: int
    notes: tuple[str, ...] = ()


class Lab:
    """Pictures, recipes, runs and comparisons in one data folder.

    Thread-safe. Several processes may open one folder: each run is claimed by one worker. `busy_seconds` is how long a
    write waits for another process's to end. `retention` is what `tidy` goes by. Raises `BadInput`, `DataFolderError`.
    """

    def __init__(
        self,
        data_dir: Path | str | None = None,
        catalogue: Catalogue | None = None,
        presets: Presets | None = None,
        busy_seconds: float = BUSY_SECONDS,
    ) -> None:
        self.retention = Retention.from_environment()
        self.data_dir = Path(data_dir) if data_dir is not None else default_data_dir()
        self.registry = Registry(self.data_dir)
        self.hashes = Hashes(self.data_dir)
        self.catalogue = catalogue or Catalogue(self.registry.checkpoints(Catalogue()))
        self.presets = presets or Presets()
        self.history = History(self.data_dir, busy_seconds)
        self.downloads = Downloads()
        self.interrupted = self.history.recover()
        self.owner = this_process()
        self._changed = threading.Condition()
        self._live: dict[str, Event] = {}
        self._stops: dict[str, threading.Event] = {}
        self._closers: list[Callable[[], None]] = []
        self._residents: list[Callable[[], list[Resident]]] = []
        self._closed = False

    # Life

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stops the workers attached to this lab and closes the database."""
        if self._closed:
            return
        self._closed = True
        self.downloads.close()
        with self._changed:
            self._changed.notify_all()
        for closer in reversed(self._closers):
            closer()
        self.history.close()

    def on_close(self, closer: Callable[[], None]) -> None:
        """Has something stopped before the lab closes (a worker)."""
        self._closers.append(closer)

    # Checkpoints

    def on_resident(self, report: Callable[[], list[Resident]]) -> None:
        """Has a worker asked what it holds in memory."""
        self._residents.append(report)

    def resident(self) -> list[Resident]:
        """What this process's workers hold in memory now, shared components once."""
        return [one for report in self._residents for one in report()]

    def add_checkpoint(
        self,
        path: Path | str,
        id: str | None = None,
        num_frames: int | None = None,
        base: str | None = None,
    ) -> Checkpoint:
        """Registers a diffusers folder or a single file by its header; `base` lends what a UNet alone lacks.

        Raises `BadCheckpoint`, `BadInput`, `CheckpointUnavailable`.
        """
        added = self.registry.add(Path(path), id, num_frames, base)
        self.refresh_checkpoints()
        return added

    def remove_checkpoint(self, id: str) -> None:
        """Forgets a registered checkpoint; its files stay. Raises `BadInput` if it is not a registered one."""
        self.catalogue.get(id)
        if not self.registry.remove(id):
            raise BadInput(f"{id} was not added by hand, so there is nothing to remove from the list")
        self.refresh_checkpoints()

    def refresh_checkpoints(self) -> None:
        """Looks again at what is registered and in the folders of `SVDLAB_CHECKPOINT_DIRS`."""
        self.catalogue.extend(self.registry.checkpoints(Catalogue()))

    # Asking

    def add_picture(self, source: str | Path | bytes | Image.Image) -> StoredPicture:
        """Checks an untrusted picture and keeps it by hash. Raises `BadPicture`, `DataFolderError`."""
        self.history.must_be_writable()
        if isinstance(source, Image.Image):
            picture = pictures.picture_from_image(source)
        else:
            picture = pictures.load_picture(source)
        path = self.history.picture_path(picture.sha256)
        try:
            self._keep(picture, path)
        except OSError as error:
            raise DataFolderError(
                f"the picture could not be written to {self.data_dir}: {reason(error)}"
            ) from error
        return StoredPicture(picture.sha256, path, picture.image.width, picture.image.height, picture.notes)

    def _keep(self, picture: pictures.Picture, path: Path) -> None:
        if _holds(path, picture.sha256):
            os.utime(path)  # in use again: sweeping the pictures lets it be for a while
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{new_id()}.png")
        try:
            pictures.save_picture(picture, temporary)
            sync(temporary)
            failpoint("picture-written")
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        sync(path.parent)
        failpoint("picture-stored")

    def picture(self, sha256: str) -> StoredPicture:
        """A kept picture by hash. Raises `NotFound`, also for one whose file is damaged."""
        path = self.history.picture_path(sha256)
        if not sha256.isalnum() or not path.is_file():
            raise NotFound("the picture of that recipe is not in this lab; drop it in again")
        try:
            with Image.open(path) as image:
                return StoredPicture(sha256, path, *image.size)
        except OSError as error:
            raise NotFound("the picture of that recipe is damaged; drop it in again") from error

    def settings(
        self,
        checkpoint: str,
        changes: Mapping[str, Any] | None = None,
        preset: str | None = None,
        seed: int | str | None = None,
    ) -> GenerationSettings:
        """All knobs: the checkpoint's official ones, then the preset's, then `changes`; the seed resolved.

        `seed` None, '' or 'random' draws one. Raises `BadSettings`, `NotFound`.
        """
        made_for = self.catalogue.get(checkpoint)
        base = self.presets.get(preset).settings_for(made_for) if preset else limits.defaults_for(made_for)
        settings = GenerationSettings.parse({**(changes or {}), "seed": resolve_seed(seed)}, base=base)
        limits.check(made_for, settings)
        return settings

    def recipe(self, checkpoint: str, picture: StoredPicture | str, settings: GenerationSettings) -> Recipe:
        """A checked recipe. Raises `NotFound`, `BadSettings`."""
        limits.check(self.catalogue.get(checkpoint), settings)
        sha256 = picture if isinstance(picture, str) else picture.sha256
        return Recipe(checkpoint=checkpoint, picture_sha256=sha256, settings=settings)

    def notes(self, checkpoint: str, settings: GenerationSettings) -> tuple[limits.Note, ...]:
        """What the checkpoint was not trained for. Raises `BadSettings` on what it cannot do."""
        return limits.check(self.catalogue.get(checkpoint), settings)

    def submit(self, recipe: Recipe, preset: str | None = None) -> Run:
        """Accepts a run: when this returns it is on disk and waits to be claimed.

        Raises `CheckpointUnavailable`-free: whether weights can be had is found when it is rendered.
        """
        self._check_recipe(recipe)
        run = self.history.add(recipe, preset)
        failpoint("accepted")
        self._notify()
        return run

    def submit_comparison(self, a: Recipe, b: Recipe, preset: str | None = None) -> Comparison:
        """Accepts two runs that are rendered together, in lockstep where both models fit."""
        self._check_recipe(a)
        self._check_recipe(b)
        comparison = self.history.add_comparison(a, b, preset)
        failpoint("accepted")
        self._notify()
        return comparison

    def decoders(self, checkpoint: str) -> tuple[Decoder, ...]:
        """The decoders a checkpoint's latents can be decoded with here: its own, and one that another lends.

        Raises `NotFound`.
        """
        made_for = self.catalogue.get(checkpoint)
        lent = [
            decoder
            for decoder, lender in made_for.lenders.items()
            if availability(self.catalogue.get(lender)).ready
        ]
        return (*made_for.decoders, *lent)

    def decode_again(
        self, run_id: str, decoder: Decoder | None = None, decode_chunk_size: int | None = None
    ) -> Comparison:
        """Decodes a finished run's latents with another decoder or chunk size, beside the run itself.

        Nothing is sampled, so what differs between the two is the decoder's doing. Raises `BadInput`, `NotFound`.
        """
        run = self.history.get(run_id)
        if not run.done:
            raise BadInput("only a finished run can be decoded again")
        source = self.history.get(run.latents_of) if run.latents_of else run
        if not source.latents.is_file():
            raise BadInput("the latents of this run were not kept; render it again to decode it again")
        changes = {"decoder": decoder or run.settings.decoder, "decode_chunk_size": decode_chunk_size}
        settings = GenerationSettings.parse(changes, base=run.settings)
        if (settings.decoder, settings.frames_at_once) == (run.settings.decoder, run.settings.frames_at_once):
            raise BadInput("choose another decoder or another chunk size than the run already has")
        recipe = run.recipe.model_copy(update={"settings": settings, "versions": {}})
        self._check_recipe(recipe)
        pair = self.history.add_decode(recipe, run)
        self._notify()
        return pair

    def pair(self, a: str, b: str) -> Comparison:
        """Two finished runs as a comparison, whatever they differ in; the one there is, if they were paired before.

        Raises `BadInput`, `NotFound`.
        """
        first, second = self.history.get(a), self.history.get(b)
        if first.id == second.id or not (first.done and second.done):
            raise BadInput("choose two different runs that are finished")
        for id in self.history.comparisons_of(first.id):
            before = self.history.comparison(id)
            if (before.a.id, before.b.id) == (first.id, second.id):
                return before
        made = Comparison(new_id(), first, second, time.time())
        self.history.adopt_comparison(made, ())
        return self.history.comparison(made.id)

    def _check_recipe(self, recipe: Recipe) -> None:
        made_for = self.catalogue.get(recipe.checkpoint)
        limits.check(made_for, recipe.settings, self.decoders(made_for.id))
        self.picture(recipe.picture_sha256)

    def rendered_before(self, recipe: Recipe) -> Run | None:
        """The newest finished run of the same recipe, to be shown instead of rendering again."""
        return self.history.rendered(recipe.hash)

    def generate(
        self,
        picture: str | Path | bytes | Image.Image,
        checkpoint: str | None = None,
        preset: str | None = None,
        seed: int | str | None = None,
        **changes: Any,
    ) -> Run:
        """Picture in, finished run out; needs a worker. Raises `SvdlabError` of any kind.

        `changes` are knobs by name. Raises `RenderFailed` with the run's sentence if it failed.
        """
        id = checkpoint or self.catalogue.default().id
        settings = self.settings(id, changes, preset, seed)
        run = self.submit(self.recipe(id, self.add_picture(picture), settings), preset)
        return self.wait(run.id)[0]

    def compare(
        self,
        picture: str | Path | bytes | Image.Image,
        a: str | None = None,
        b: str | None = None,
        preset: str | None = None,
        seed: int | str | None = None,
        **changes: Any,
    ) -> Comparison:
        """One picture and one set of knobs through two checkpoints, same noise; needs a worker."""
        recipes = self.comparison_recipes(self.add_picture(picture), a, b, preset, seed, changes)
        comparison = self.submit_comparison(*recipes, preset=preset)
        self.wait(comparison.a.id, comparison.b.id)
        return self.history.comparison(comparison.id)

    def comparison_recipes(
        self,
        picture: StoredPicture,
        a: str | None = None,
        b: str | None = None,
        preset: str | None = None,
        seed: int | str | None = None,
        changes: Mapping[str, Any] | None = None,
        native_frames: bool = False,
    ) -> tuple[Recipe, Recipe]:
        """Two recipes with the same settings: A's official ones, the preset's, then `changes`.

        Each side decodes with what its checkpoint has. With `native_frames` each side makes the frame count
        it was trained for, and only the shared prefix can be put side by side.
        """
        default_a, default_b = self.catalogue.pair()
        first = self.catalogue.get(a) if a else default_a
        second = self.catalogue.get(b) if b else default_b
        shared = dict(changes or {})
        decoder = shared.pop("decoder", None)
        base = self.settings(first.id, shared, preset, seed)

        def side(checkpoint: Checkpoint) -> Recipe:
            own: dict[str, Any] = {
                "decoder": decoder if decoder in checkpoint.decoders else checkpoint.decoders[0]
            }
            if native_frames:
                own["num_frames"] = checkpoint.native_frames
            return self.recipe(checkpoint.id, picture, base.but(**own))

        return side(first), side(second)

    # Watching

    def fairness(self, comparison: Comparison) -> Fairness:
        """Whether a comparison is one, and in words why or why not."""
        a, b = comparison.a, comparison.b
        return fairness(a, b, forced_decoders=self._decoder_forced(a) and self._decoder_forced(b))

    def _decoder_forced(self, run: Run) -> bool:
        """Whether a run's checkpoint has no other decoder than the one it used."""
        try:
            return self.catalogue.get(run.recipe.checkpoint).decoders == (run.settings.decoder,)
        except NotFound:
            return False

    def watch(self, *run_ids: str) -> Iterator[Event]:
        """Events of the given runs from their present state until all have ended.

        Stopping to watch stops nothing else. Events may be skipped, never reordered; each run's last one is final.
        """
        shown: dict[str, Event] = {}
        while True:
            fresh = []
            for id in run_ids:
                event = self._present(id)
                if shown.get(id) != event:
                    shown[id] = event
                    fresh.append(event)
            yield from fresh
            if all(event.final for event in shown.values()) or self._closed:
                return
            with self._changed:
                if all(self._live.get(id) in (None, shown[id]) for id in run_ids):
                    self._changed.wait(POLL_SECONDS)

    def _present(self, id: str) -> Event:
        """The newest event of a run: this process's own, or made from the row."""
        live = self._live.get(id)
        if live is not None and not live.final:
            return live
        run = self.history.get(id)
        steps = run.settings.num_inference_steps
        if run.state == "queued":
            return Event(id, "queued", steps=steps, position=self.history.position(id))
        if run.state == "running":  # another process's, or this one's that has just been claimed
            return Event(id, "step" if run.step else "loading", step=run.step, steps=steps)
        return Event(id, run.state, step=steps, steps=steps, message=run.error or "")

    def wait(self, *run_ids: str) -> list[Run]:
        """Watches to the end. Raises `RenderFailed` with the sentence of the first that failed, `Cancelled`."""
        for _ in self.watch(*run_ids):
            pass
        runs = [self.history.get(id) for id in run_ids]
        for run in runs:
            if run.state in ("failed", "interrupted"):
                raise RenderFailed(run.error or "rendering failed")
            if run.state == "cancelled":
                raise Cancelled("the run was cancelled")
        return runs

    def cancel(self, run_id: str) -> None:
        """Asks a run to stop: a queued one at once, a running one within one step; ended ones are left."""
        self.history.cancel(run_id)
        with self._changed:
            stop = self._stops.get(run_id)
            if stop is not None:
                stop.set()
        self._notify()

    def resume(self, *run_ids: str) -> list[Run]:
        """Queues interrupted, failed or cancelled runs again under their own ids, in one go.

        The two of a comparison must be named together: one alone would be claimed and rendered without the other.
        """
        with self._changed:
            for run_id in run_ids:
                self._live.pop(run_id, None)
        runs = self.history.requeue(*run_ids)
        self._notify()
        return runs

    def estimate(self, checkpoint: str, settings: GenerationSettings) -> float | None:
        """Seconds a run will take, from the newest finished one of that checkpoint; None if there is none."""
        for run in self.history.runs(limit=30, states=("done",)):
            spent = sum(v for k, v in run.outcome.seconds.items() if k != "load")
            if run.recipe.checkpoint == checkpoint and spent:
                return spent * _work(settings) / _work(run.settings)
        return None

    # Working: what a worker calls

    def claim(self, only: Sequence[str] | None = None) -> list[Run]:
        """The next run to render, or a comparison's two; empty if none waits."""
        runs = self.history.claim(self.owner, only)
        with self._changed:
            for run in runs:
                self._stops[run.id] = threading.Event()
                self._live.pop(run.id, None)
        return runs

    def wait_for_work(self, seconds: float) -> None:
        """Sleeps until something was submitted or the time is over."""
        with self._changed:
            if not self._closed:
                self._changed.wait(seconds)

    def publish(self, event: Event) -> None:
        """Shows an event to everyone who watches in this process."""
        with self._changed:
            self._live[event.run_id] = event
            self._changed.notify_all()

    def beat(self, run_id: str, step: int) -> None:
        """Renews the claim and lets other processes see the step; picks up their wish to cancel."""
        stop = self._stops.get(run_id)
        if self.history.beat(run_id, step, self.owner) and stop is not None:
            stop.set()

    def stop_asked(self, run_id: str) -> bool:
        """Whether this run should stop now. Cheap: asked between any two pieces of work."""
        stop = self._stops.get(run_id)
        return self._closed or (stop is not None and stop.is_set())

    def finish(
        self,
        run: Run,
        frames: np.ndarray,
        versions: Mapping[str, str],
        outcome: Outcome,
        picture: np.ndarray | None = None,
        latents: bytes = b"",
    ) -> Run:
        """Measures a rendered run and writes its files, then says done.

        `frames` is (frames, height, width, 3) uint8, `picture` what the model was given, (height, width, 3), `latents`
        a safetensors file's bytes, kept up to `SVDLAB_KEEP_LATENTS_MB` (16) so that they can be decoded again.
        Returns the run as it then is: not done by this if it was taken for dead meanwhile. Raises `OSError`,
        `DataFolderError`.
        """
        started = time.perf_counter()
        recipe = run.recipe.model_copy(update={"versions": dict(versions)})
        temporary = run.folder.with_name(f".{run.id}.{new_id()}")
        temporary.mkdir(parents=True)
        try:
            comment = recipe.to_json()
            video.write_mp4(temporary / "video.mp4", frames, run.settings.effective_playback_fps, comment)
            failpoint("video-written")
            video.write_frames_zip(temporary / "frames.zip", frames, comment)
            failpoint("frames-written")
            video.write_poster(temporary / "poster.webp", frames, POSTER_SIDE, comment)
            failpoint("poster-written")
            if 0 < len(latents) <= kept_latents():
                (temporary / "latents.safetensors").write_bytes(latents)
            measured = measure.measure(frames, picture).to_dict()
            spent = {**outcome.seconds, "write": time.perf_counter() - started}
            final = replace(
                outcome,
                seconds={k: round(v, 3) for k, v in spent.items()},
                metrics=measured,
                video_sha256=hashlib.sha256((temporary / "video.mp4").read_bytes()).hexdigest(),
            )
            write_result(temporary, recipe, final)
            failpoint("result-written")
            self.history.finish(
                run.id, "done", recipe=recipe, outcome=final, owner=self.owner, files=temporary
            )
        finally:
            shutil.rmtree(temporary, ignore_errors=True)  # in place by now, or not wanted
        steps = run.settings.num_inference_steps
        self._ended(Event(run.id, "done", step=steps, steps=steps))
        return self.history.get(run.id)

    def fail(self, run: Run, error: str) -> None:
        """Says why a run could not be rendered, in one sentence."""
        self.history.finish(run.id, "failed", error=error, owner=self.owner)
        self._ended(Event(run.id, "failed", message=error))

    def settle(self, run_id: str, error: str) -> None:
        """Ends a run of this process whose rendering broke off: done if its files are whole, else failed.

        A run that has ended or is another's is left as it is. Raises `DataFolderError`: then ask again later.
        """
        self.history.settle(run_id, self.owner, "failed", error)
        with self._changed:
            self._live.pop(run_id, None)
        event = self._present(run_id)
        if event.final:
            self._ended(event)

    def recover(self) -> list[Run]:
        """Settles runs of workers that have died, and returns them: done if their files are whole, else interrupted."""
        settled = self.history.recover()
        if settled:
            self._notify()
        return settled

    def cancelled(self, run: Run) -> None:
        """Says a run stopped because it was asked to, or was interrupted by the lab's closing."""
        if self.history.stop_asked(run.id) or not self._closed:
            self.history.finish(run.id, "cancelled", owner=self.owner)
            self._ended(Event(run.id, "cancelled"))
        else:
            said = "The program was closed while this was being rendered."
            self.history.finish(run.id, "interrupted", error=said, owner=self.owner)
            self._ended(Event(run.id, "interrupted"))

    def _ended(self, event: Event) -> None:
        with self._changed:
            self._stops.pop(event.run_id, None)
        self.publish(event)

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()

    # Finding again

    def delete(self, ids: Iterable[str]) -> None:
        """Puts runs and comparisons into the bin, all or none; a comparison takes its own runs along.

        Their files stay until `history.empty_bin`. A waiting run is cancelled. Raises `BadInput` for one that is being
        rendered, `NotFound`.
        """
        self.history.delete(ids)
        self._notify()

    def tidy(self) -> list[str]:
        """Does what `retention` asks for, and returns the ids of the runs put into the bin. Workers call it hourly.

        Old runs nobody marked go to the bin, what has been in the bin for long is removed with pictures no run names,
        and so is what killed writers left. Nothing is done to a folder that is only read. Raises `DataFolderError`.
        """
        binned: list[str] = []
        if self.history.read_only:
            return binned
        if self.retention.keep_days is not None:
            binned = self.history.delete_unmarked(self.retention.keep_days * DAY)
        if self.retention.bin_days is not None:
            self.history.empty_bin(self.retention.bin_days * DAY)
            self.history.remove_unused_pictures(max(self.retention.bin_days * DAY, FRESH_SECONDS))
        remove_leftovers(self.history)
        return binned

    def doctor(self, repair: bool = False) -> list[Finding]:
        """Checks rows, files, pictures and hashes against each other; with `repair`, mends what can be mended.

        Reads every video and picture, so it takes a while. An empty list says that all is well.
        """
        return examine(self.history, repair)

    def disk_use(self) -> DiskUse:
        """What takes how much room in the data folder, in bytes."""
        return disk_use(self.history)

    # Exports

    def export_side_by_side(self, comparison: Comparison, path: Path) -> Path:
        """Both sides with labels as one MP4 or, by the ending, animated WebP. Returns `path`."""
        a, b = comparison.a, comparison.b
        clips = [video.read_frames_zip(run.frames_zip) for run in (a, b)]
        labels = self.labels(comparison)
        frames = video.side_by_side(clips[0], clips[1], labels[0], labels[1])
        fps = a.settings.effective_playback_fps
        if path.suffix.lower() == ".webp":
            video.write_webp(path, frames, fps)
        else:
            video.write_mp4(path, frames, fps)
        return path

    def name(self, run: Run) -> str:
        """A run's checkpoint as a person calls it; its id if it is not known any more."""
        try:
            return self.catalogue.get(run.recipe.checkpoint).name
        except NotFound:
            return run.recipe.checkpoint

    def label(self, run: Run) -> str:
        """What stands above a clip: the checkpoint's name and id."""
        try:
            return f"{self.catalogue.get(run.recipe.checkpoint).name} · {run.recipe.checkpoint}"
        except NotFound:
            return run.recipe.checkpoint

    def labels(self, comparison: Comparison) -> tuple[str, str]:
        """What stands above the two clips: what they differ in."""
        a, b = comparison.a, comparison.b
        if not same_latents(a, b):
            return self.label(a), self.label(b)
        return self._decoded_as(a), self._decoded_as(b)

    def _decoded_as(self, run: Run) -> str:
        count = run.outcome.decode_chunk_size or run.settings.decode_chunk_size or run.settings.num_frames
        at_once = "all frames at once" if count >= run.settings.num_frames else f"{count} at once"
        return f"{run.settings.decoder} decoder, {at_once}"

    def preset_of(self, run: Run) -> Preset | None:
        """The preset a run was started from, if it is still there."""
        try:
            return self.presets.get(run.preset) if run.preset else None
        except NotFound:
            return None


def _holds(path: Path, sha256: str) -> bool:
    """Whether the picture of that hash is in the file, whole."""
    try:
        return pictures.load_picture(path).sha256 == sha256
    except BadPicture:
        return False


def _work(settings: GenerationSettings) -> float:
    """Relative cost of a run: model evaluations times pixels."""
    branches = 2 if settings.guided else 1
    return (
        settings.num_frames * settings.width * settings.height * (settings.num_inference_steps * branches + 4)
    )
