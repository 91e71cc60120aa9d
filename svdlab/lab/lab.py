"""The one way in: submit (`lab.asking`), watch, cancel, compare, find. Pages, shell and Python use only this.

Knows the history, pictures and videos; models are behind whoever claims the runs (`svdlab.workers`),
so building a Lab loads neither torch nor gradio.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from svdlab.clips import video
from svdlab.clips.frames import read_frames_zip
from svdlab.clips.sheets import side_by_side
from svdlab.environment import Environment
from svdlab.errors import BadInput, Cancelled, NotFound, RenderFailed
from svdlab.history.database import BUSY_SECONDS
from svdlab.history.doctor import DiskUse, Finding, disk_use, examine
from svdlab.history.queue import History
from svdlab.history.retention import Retention
from svdlab.lab.asking import Asking
from svdlab.lab.before import Before
from svdlab.lab.bits import Bits, Numbers
from svdlab.lab.examiner import Change, Examiner, NoExaminer
from svdlab.lab.expected import Expected
from svdlab.lab.live import Live
from svdlab.lab.pictures import PictureSource
from svdlab.lab.policy import Policy
from svdlab.lab.pulse import Pulse
from svdlab.lab.quota import Quota
from svdlab.lab.sweeps import AxisValues, Sweeps, SweepStanding
from svdlab.lab.votes import Booth
from svdlab.recipes.checkpoint import Checkpoint
from svdlab.recipes.events import Event
from svdlab.recipes.fairness import Fairness, fairness, same_latents
from svdlab.recipes.plan import Plan
from svdlab.recipes.presets import Preset, Presets
from svdlab.recipes.records import Comparison, Resident, Run
from svdlab.recipes.settings import GenerationSettings
from svdlab.recipes.visitors import OPERATOR, Visitor
from svdlab.weights.catalogue import Catalogue
from svdlab.weights.content import Hashes
from svdlab.weights.downloads import Downloads
from svdlab.weights.loras import Loras
from svdlab.weights.register import Registry

Planner = Callable[[Sequence[Checkpoint], GenerationSettings], Plan | None]


class Lab(Asking):
    """Pictures, recipes, runs and comparisons in one data folder.

    Thread-safe. Several processes may open one folder: each run is claimed by one worker, at a `Desk`. `busy_seconds`
    is how long a write waits for another process's to end; `environment` is this process's unless one is given.
    Raises `BadInput`, `DataFolderError`.

    What there is to find, mark and put away is in `history`, what is happening now in `live`, whether something was
    rendered before in `before`, whether with the weights of today in `bits`, what a visitor may do in `policy`.
    `numbers` is what this process's worker renders with, `quota` how it is lent time, if that is rationed; `sweeps` has
    the verbs of sweeps, `booth` those of blind votes.
    """

    def __init__(
        self,
        data_dir: Path | str | None = None,
        catalogue: Catalogue | None = None,
        presets: Presets | None = None,
        busy_seconds: float = BUSY_SECONDS,
        environment: Environment | None = None,
    ) -> None:
        self.environment = environment or Environment.read()
        self.policy = Policy.of(self.environment)
        self.retention = Retention.of(self.environment)
        self.data_dir = Path(data_dir) if data_dir is not None else self.environment.data_folder
        self.registry = Registry(self.data_dir, self.environment.checkpoint_dirs)
        self.hashes = Hashes(self.data_dir)
        self.loras = Loras(self.data_dir, self.hashes)
        self.catalogue = catalogue or Catalogue(self.registry.checkpoints(Catalogue()))
        self.presets = presets or Presets()
        self.history = History(self.data_dir, busy_seconds)
        self.numbers = Numbers(
            self.environment.device, self.environment.dtype, self.environment.acceleration == "fast"
        )
        self.bits = Bits(self.catalogue.get, self.hashes)
        self.before = Before(self.history, self.bits, lambda: self.numbers)
        self.live = Live(self.history)
        self.pulse = Pulse()
        self.downloads = Downloads()
        self.examiner: Examiner = NoExaminer()
        self.planner: Planner = lambda *_: None
        self.quota: Quota | None = None
        self._on_asked = []
        self.sweeps = Sweeps(self)
        self.booth = Booth(self)
        self.interrupted = self.history.recover()
        self._closers: list[Callable[[], None]] = []
        self._residents: list[Callable[[], list[Resident]]] = []

    # Life

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stops the workers attached to this lab and closes the database."""
        if self.live.closed:
            return
        self.downloads.close()
        self.live.close()
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

    def verify(self, checkpoint: Checkpoint) -> list[str]:
        """Reads all of a checkpoint's weights: what is in them. Raises `BadCheckpoint`, `CheckpointUnavailable`."""
        return list(self.examiner.verify(checkpoint))

    def diff(self, a: Checkpoint, b: Checkpoint) -> list[Change]:
        """What differs between two checkpoints' weights, by block. Raises `BadCheckpoint`."""
        return list(self.examiner.diff(a, b))

    def notice_checkpoints(self) -> None:
        """Looks again if the register was written since, by this process or another: an id may mean other weights."""
        if self.registry.changed():
            self.refresh_checkpoints()

    # Asking and waiting, in one call

    def generate(
        self,
        picture: PictureSource,
        checkpoint: str | None = None,
        preset: str | None = None,
        seed: int | str | None = None,
        loras: Iterable[str] = (),
        **changes: Any,
    ) -> Run:
        """Picture in, finished run out; needs a worker. Raises `SvdlabError` of any kind.

        `changes` are knobs by name; without a size among them, it is the native one that fits the picture's shape.
        `loras` are files or ids of LoRAs, each with `:STRENGTH` behind it or not. Raises `RenderFailed` with the run's
        sentence if it failed.
        """
        chosen = self.loras.chosen(loras)
        run = self.submit(self.recipe_of(picture, checkpoint, preset, seed, changes, chosen), preset)
        return self.wait(run.id)[0]

    def compare(
        self,
        picture: PictureSource,
        a: str | None = None,
        b: str | None = None,
        preset: str | None = None,
        seed: int | str | None = None,
        loras: Iterable[str] = (),
        **changes: Any,
    ) -> Comparison:
        """One picture and one set of knobs through two checkpoints, same noise; needs a worker. `loras` are both's."""
        chosen = self.loras.chosen(loras)
        stored = self.add_picture(picture)
        recipes = self.comparison_recipes(stored, a, b, preset, seed, changes, loras=chosen)
        comparison = self.submit_comparison(*recipes, preset=preset)
        self.wait(comparison.a.id, comparison.b.id)
        return self.history.comparison(comparison.id)

    def sweep(
        self,
        picture: PictureSource,
        axes: Mapping[str, AxisValues],
        checkpoint: str | None = None,
        preset: str | None = None,
        seed: int | str | None = None,
        loras: Iterable[str] = (),
        *,
        together: Sequence[Sequence[str]] = (),
        skip: Sequence[str] = (),
        **changes: Any,
    ) -> SweepStanding:
        """One picture, a grid of changes, all cells rendered; needs a worker. Raises `BadInput`.

        `axes` has for each name the values or a text such as "1..255[6]" (`svdlab.recipes.axes`); pictures are what
        `add_picture` takes. `together` names axes that change together, `skip` what is left out: "fps>8 seed=1".
        `changes` are knobs by name. A cell that fails stops none of the others.
        """
        chosen = self.loras.chosen(loras)
        recipe = self.recipe_of(picture, checkpoint, preset, seed, changes, chosen)
        grid = self.sweeps.grid(axes, together, skip)
        sweep = self.sweeps.submit(self.sweeps.plan(recipe, grid, preset, told=changes))
        for _ in self.sweeps.watch(sweep.id):
            pass
        return self.sweeps.standing(sweep.id)

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
        return self.live.watch(*run_ids)

    def wait(self, *run_ids: str) -> list[Run]:
        """Watches to the end. Raises `RenderFailed` with the sentence of the first that failed, `Cancelled`."""
        for _ in self.watch(*run_ids):
            pass
        return self.ended(*run_ids)

    def ended(self, *run_ids: str) -> list[Run]:
        """Runs that were watched to the end. Raises as `wait`."""
        runs = [self.history.get(id) for id in run_ids]
        for run in runs:
            if run.state in ("failed", "interrupted"):
                raise RenderFailed(run.error or "rendering failed")
            if run.state == "cancelled":
                raise Cancelled("the run was cancelled")
            if run.unfinished:
                raise Cancelled(
                    "svdlab was closed before the run was rendered; it goes on when it is opened again"
                )
        return runs

    def cancel(self, run_id: str) -> None:
        """Asks a run to stop: a queued one at once, a running one within one step; ended ones are left."""
        self.history.cancel(run_id)
        self.live.ask_to_stop(run_id)

    def resume(self, *run_ids: str, by: Visitor = OPERATOR, most: int | None = None) -> list[Run]:
        """Queues interrupted, failed or cancelled runs again under their own ids, in one go.

        `by` asks for it, of whose runs at most `most` may wait. Raises `BadInput`.
        The two of a comparison must be named together: one alone would be claimed and rendered without the other.
        """
        self.live.forget(run_ids)
        runs = self.history.requeue(*run_ids, by=by, most=most)
        self._tell_asked(*run_ids)
        return runs

    def estimate(self, checkpoint: str, settings: GenerationSettings) -> float | None:
        """Seconds a run will take, from the newest finished one of that checkpoint; None if there is none."""
        return Expected(self.history).seconds(checkpoint, settings)

    def plan(self, checkpoints: Sequence[Checkpoint], settings: GenerationSettings) -> Plan | None:
        """How a clip of the first of these would fit in memory beside the others' weights, as far as its worker knows.

        May take seconds. Raises `CheckpointUnavailable`, `BadCheckpoint`.
        """
        return self.planner(checkpoints, settings)

    # Finding again

    def delete(self, ids: Iterable[str]) -> None:
        """Puts runs and comparisons into the bin, all or none; a comparison takes its own runs along.

        Their files stay until `history.empty_bin`. A waiting run is cancelled. Raises `BadInput` for one that is being
        rendered, `NotFound`.
        """
        self.history.delete(ids)
        self.live.notify()

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
        clips = [read_frames_zip(run.frames_zip) for run in (a, b)]
        labels = self.labels(comparison)
        frames = side_by_side(clips[0], clips[1], labels[0], labels[1])
        fps = a.settings.effective_playback_fps
        if path.suffix.lower() == ".webp":
            video.write_webp(path, frames, fps)
        else:
            video.write_mp4(path, frames, fps)
        return path

    def name(self, run: Run) -> str:
        """A run's checkpoint as a person calls it; its id if it is not known any more."""
        return self.checkpoint_name(run.recipe.checkpoint)

    def checkpoint_name(self, id: str) -> str:
        """A checkpoint as a person calls it; its id if it is not known any more."""
        try:
            return self.catalogue.get(id).name
        except NotFound:
            return id

    def label(self, run: Run) -> str:
        """What stands above a clip: the checkpoint's name and id, and the LoRAs added to it."""
        try:
            label = f"{self.catalogue.get(run.recipe.checkpoint).name} · {run.recipe.checkpoint}"
        except NotFound:
            label = run.recipe.checkpoint
        return self._with_loras(label, run)

    def called(self, run: Run) -> str:
        """A run's checkpoint as a person calls it, and the LoRAs added to it."""
        return self._with_loras(self.name(run), run)

    def _with_loras(self, label: str, run: Run) -> str:
        added = [f"{self.loras.name(lora)} {lora.strength:g}" for lora in run.recipe.loras]
        return " + ".join((label, *added))

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
