"""Sweeps: planning a grid, accepting it, having its cells rendered turn by turn, and how far it is.

A cell becomes an ordinary run when its turn comes: workers ask for that (`feed`) before they claim, so nothing else has
to live for a sweep to go on, and whatever is killed, the next worker goes on with it. Knows the lab; nothing of models
or screens.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from svdlab.errors import BadInput, BadSettings, DataFolderError, NotFound, SvdlabError
from svdlab.failpoints import failpoint
from svdlab.history.ids import new_id
from svdlab.history.sweeps import Basis, CellRow
from svdlab.lab import sharing
from svdlab.lab.before import asked
from svdlab.lab.expected import Expected, work
from svdlab.lab.pictures import PictureSource
from svdlab.lab.sweep_plans import May, Plan, Resolver, recipe_with, values_of
from svdlab.metrics.definitions import METRICS
from svdlab.recipes import limits
from svdlab.recipes.axes import Axis, axis_of
from svdlab.recipes.records import Recipe
from svdlab.recipes.sweeps import CellStanding, CellState, Grid, Sweep, grid_of
from svdlab.recipes.visitors import OPERATOR, Visitor
from svdlab.words import listed

if TYPE_CHECKING:
    from svdlab.lab.lab import Lab

log = logging.getLogger(__name__)

AHEAD = 2  # cells of a sweep that wait as runs: one to be claimed while the last is written, for each worker's turn
ANSWERED_AT_ONCE = (
    200  # cells that are answered by runs of before in one turn: a worker is not kept from rendering
)
LOOK_SECONDS = 0.5  # how often a sweep that is watched is looked at
REST = 20.0  # a look is followed by a rest so many times as long

AxisValues = str | Iterable[Any]  # as typed, or values; of pictures, whatever `Lab.add_picture` takes


@dataclass(frozen=True)
class SweepStanding:
    """How far a sweep is."""

    sweep: Sweep
    cells: tuple[CellStanding, ...]  # by number
    seconds_left: float | None = None

    @property
    def counts(self) -> dict[CellState, int]:
        """How many cells are in each state."""
        return dict(Counter(cell.state for cell in self.cells))

    @property
    def done(self) -> int:
        """Cells with a clip."""
        return self.counts.get("done", 0)

    @property
    def unrendered(self) -> int:
        """Cells that could have a clip and have none, and are not on their way."""
        resting = self.sweep.state not in ("active", "paused")
        states = ("failed", "cancelled", "interrupted", "gone", *(("waiting",) if resting else ()))
        return sum(cell.state in states for cell in self.cells)

    @property
    def over(self) -> bool:
        """Whether nothing more will happen to it by itself."""
        if self.sweep.state == "active":
            return False
        return not any(cell.state == "running" for cell in self.cells)


class Sweeps:
    """The verbs of a lab's sweeps."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._history = lab.history
        self._bases: dict[str, Basis] = {}

    # Planning

    def grid(
        self,
        axes: Mapping[str, AxisValues] | Sequence[tuple[str, AxisValues]],
        together: Sequence[Sequence[str]] = (),
        skip: Sequence[str] = (),
    ) -> Grid:
        """A grid of what a person named; pictures are kept. Raises `BadInput`, `NotFound`, `BadPicture`."""
        named = axes.items() if isinstance(axes, Mapping) else axes
        return grid_of([self._axis(name, values) for name, values in named], together, skip)

    def _axis(self, name: str, values: AxisValues) -> Axis:
        if name.strip() != "picture":
            return axis_of(name, values)
        sources = [one.strip() for one in values.split(",")] if isinstance(values, str) else list(values)
        return self.picture_axis(sources)

    def picture_axis(self, sources: Sequence[PictureSource]) -> Axis:
        """An axis of pictures, which are kept. Raises `BadPicture`, `BadInput`, `DataFolderError`."""
        kept = [self._lab.add_picture(source).sha256 for source in sources]
        labels = [
            Path(one).stem if isinstance(one, str | Path) else f"picture {at}"
            for at, one in enumerate(sources, 1)
        ]
        return Axis("picture", tuple(kept), tuple(labels))

    def plan(
        self,
        base: Recipe,
        grid: Grid,
        preset: str | None = None,
        *,
        told: Collection[str] = (),
        may: May | None = None,
        visitor: str | None = None,
    ) -> Plan:
        """What a sweep will be. `told` are the base's knobs that a person said: a size among them stays as it is.

        `may` is asked what whoever asks may have rendered, `visitor` says whose runs answer. Raises `NotFound` for a
        checkpoint, preset or picture there is not, `BadSettings`, `BadInput`.
        """
        resolver = Resolver(self._lab, base, preset, grid, told)
        expected = Expected(self._history)
        rows: list[CellRow] = []
        recipes: dict[int, Recipe] = {}
        for place, cell in enumerate(grid.cells()):
            try:
                changes = resolver.changes(cell)
            except BadSettings as error:
                rows.append(CellRow(cell.number, place, 0.0, dict(cell.values), str(error)))
                continue
            recipe = recipe_with(base, changes)
            if grid.leaves_out(values_of(recipe, changes.get("preset", preset)) | {**cell.values}):
                continue
            refused = resolver.refusal(recipe, may)
            rows.append(CellRow(cell.number, place, work(recipe.settings), changes, refused))
            if refused is None:
                recipes[cell.number] = recipe
        hashes = {number: asked(recipe) for number, recipe in recipes.items()}
        before = self._lab.before.runs(hashes.values(), visitor=visitor)
        there = {number: before[hash].id for number, hash in hashes.items() if hash in before}
        wanted = {hashes[number]: one for number, one in recipes.items() if number not in there}.values()
        seconds = [expected.seconds(one.checkpoint, one.settings) for one in wanted]
        known = [s for s in seconds if s is not None]
        return Plan(
            base,
            preset,
            grid,
            tuple(replace(row, run=there.get(row.number)) for row in rows),
            sum(known) if len(known) == len(seconds) else None,
            sum(expected.bytes(one.settings) for one in wanted),
            shutil.disk_usage(self._lab.data_dir).free,
        )

    def submit(self, plan: Plan, by: Visitor = OPERATOR) -> Sweep:
        """Accepts a sweep: when this returns all of it is on disk. Raises `BadInput`, `DataFolderError`."""
        plan.check()
        made = Sweep(new_id(), "active", plan.base, plan.preset, plan.grid, time.time())
        sweep = self._history.add_sweep(made, plan.cells, by, plan.seconds)
        failpoint("sweep-accepted")
        self._lab.live.notify()
        return sweep

    # Scouting

    def best(self, id: str, measures: Sequence[str], count: int) -> list[int]:
        """The numbers of the best finished cells, best first, by one measure or by the sum of their ranks in several.

        Best is what a metric says is better, else the most; of seconds the least. Raises `BadInput`, `NotFound`.
        """
        if not measures or count < 1:
            raise BadInput("say how many cells and by which measure, such as camera_jerk")
        ranks: Counter[int] = Counter()
        for name in measures:
            values = self._history.measured(self._history.sweep(id).id, name)
            least = name == "seconds" or METRICS[name].better == "lower"
            for rank, number in enumerate(sorted(values, key=lambda n: values[n] if least else -values[n])):
                ranks[number] += rank
        if not ranks:
            raise BadInput(
                f"none of this sweep's cells has a number for {listed(measures)}; choose another measure"
            )
        return sorted(ranks, key=lambda number: (ranks[number], number))[:count]

    def in_full(
        self, id: str, numbers: Sequence[int], steps: int | None = None
    ) -> tuple[Recipe, Grid, str | None]:
        """Base, grid and preset of some of a sweep's cells with all the steps, to be planned.

        These are the base's where the sweep's steps were an axis, else the preset's or checkpoint's own, unless they
        are given. Raises `BadInput`, `NotFound`, `BadSettings`.
        """
        sweep = self._history.sweep(id)
        varied = "num_inference_steps" in {axis.name for axis in sweep.grid.axes}
        base = sweep.base.model_copy(update={"versions": {}})
        if steps is None and not varied:
            made_for = self._lab.catalogue.get(base.checkpoint)
            preset = self._lab.presets.get(sweep.preset) if sweep.preset else None
            whole = preset.settings_for(made_for) if preset else limits.defaults_for(made_for)
            steps = whole.num_inference_steps
        if steps is not None:
            base = base.model_copy(update={"settings": base.settings.but(num_inference_steps=steps)})
        return base, sweep.grid.only(numbers, "num_inference_steps"), sweep.preset

    # Going on

    def feed(self, only: str | None = None) -> None:
        """Has each sweep that goes on so many cells in the queue that a worker finds one; with `only`, that one.

        Raises `DataFolderError`.
        """
        if self._history.read_only:
            return
        for id in self._history.going():
            if only is not None and id != only:
                continue
            try:
                self._feed(id)
            except DataFolderError:
                raise
            except (SvdlabError, ValueError) as error:  # a newer svdlab's: it keeps nothing else waiting
                log.warning("a sweep does not go on: %s", error)

    def _feed(self, id: str) -> None:
        self._history.take_up(id)
        room = AHEAD - self._history.ahead(id)
        for _ in range(ANSWERED_AT_ONCE):
            if room <= 0:
                return
            cell = self._history.next_cell(id)
            if cell is None:
                if room == AHEAD and self._history.end_sweep(id):
                    self._bases.pop(id, None)
                    self._lab.live.notify()
                return
            try:
                room -= self._begin(id, *cell)
            except BadInput:  # of this visitor's runs as many wait as may
                return

    def _begin(self, id: str, number: int, changes: Mapping[str, Any]) -> bool:
        """Gives a cell its run: an equal one, or a new one; whether that is one that waits by this."""
        basis = self._bases.setdefault(id, self._history.basis(id))
        recipe = recipe_with(basis.recipe, changes)
        preset = changes.get("preset", basis.preset)
        whose = None if basis.by.operator or not self._lab.policy.public else basis.by.id
        before = self._lab.before
        equal = before.run(recipe, visitor=whose) or before.waiting(recipe, whose)
        if equal is None and whose is not None and (others := before.run(recipe)) is not None:
            with suppress(OSError):  # then it is rendered
                equal = sharing.give(self._history, others, basis.by, preset)
        if equal is not None:
            self._history.answer_cell(id, number, equal.id)
            return False
        run = self._history.add_cell(id, number, recipe, preset, basis.by, self._lab.policy.most_waiting)
        return run is not None

    # Watching

    def standing(self, id: str) -> SweepStanding:
        """How far a sweep is. Raises `NotFound`."""
        sweep = self._history.sweep(id)
        cells = tuple(self._history.cells(id))
        return SweepStanding(sweep, cells, self._seconds_left(id, cells))

    def _seconds_left(self, id: str, cells: Sequence[CellStanding]) -> float | None:
        """From what its own cells took so far, else from what was thought at first."""
        works, thought = self._history.work(id)
        left = sum(works[cell.number] for cell in cells if cell.pending)
        if not left:
            return 0.0
        done = [cell for cell in cells if cell.state == "done" and cell.seconds]
        worked = sum(works[cell.number] for cell in done)
        if worked:
            rate = sum(cell.seconds for cell in done) / worked
        else:
            total = sum(works[cell.number] for cell in cells if cell.state != "refused")
            rate = (thought or 0.0) / total
        at_once = max(1, sum(cell.state == "running" for cell in cells))
        return left * rate / at_once if rate else None

    def watch(self, id: str) -> Iterator[SweepStanding]:
        """How far a sweep is, whenever that changes, until it is over or the lab is closed. Raises `NotFound`."""
        shown: SweepStanding | None = None
        while True:
            looked = time.monotonic()
            now = self.standing(id)
            if shown is None or (now.sweep.state, now.cells) != (shown.sweep.state, shown.cells):
                yield now
            shown = now
            if now.over or self._lab.live.closed:
                return
            rested = time.monotonic() + max(LOOK_SECONDS, REST * (time.monotonic() - looked))
            while not self._lab.live.closed and (left := rested - time.monotonic()) > 0:
                self._lab.live.rest(left)

    # Controls

    def pause(self, id: str) -> None:
        """Lets the cells that are being rendered end, and begins no more. Raises `BadInput`, `NotFound`."""
        self._history.pause_sweep(id)
        self._lab.live.notify()

    def go_on(self, id: str) -> None:
        """Has a paused sweep go on. Raises `BadInput`, `NotFound`."""
        self._history.go_on(id)
        self._lab.live.notify()

    def cancel(self, id: str) -> None:
        """Stops a sweep, its running cells within one step; what is done stays. Raises `BadInput`, `NotFound`."""
        for run in self._history.cancel_sweep(id):
            self._lab.cancel(run)
        self._lab.live.notify()

    def retry(self, id: str) -> int:
        """Has every cell that has no clip rendered after all; how many. Raises `BadInput`, `NotFound`."""
        count = self._history.retry_sweep(id)
        self._lab.live.notify()
        return count

    def resume(self, id: str) -> None:
        """Has a sweep go on, whatever stopped it: a pause, or an end with cells that have no clip.

        One that goes on already is left. Raises `BadInput`, `NotFound`.
        """
        state = self._history.sweep(id).state
        if state == "paused":
            self.go_on(id)
        elif state != "active":
            self.retry(id)


def sweep_meant(sweeps: Sequence[Sweep], word: str) -> str:
    """The id that 'last' stands for, else the word itself. Raises `NotFound` where there is none."""
    if word != "last":
        return word
    if not sweeps:
        raise NotFound("there is no sweep yet")
    return sweeps[0].id
