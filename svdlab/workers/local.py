"""A thread of this program that renders on one device of this machine.

Knows the renderer, which is built when the first run is claimed: starting this worker costs nothing.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING

from svdlab.environment import Environment
from svdlab.history.turns import Only
from svdlab.lab.lab import Lab
from svdlab.recipes.changes import Change
from svdlab.recipes.checkpoint import Checkpoint
from svdlab.recipes.plan import Plan
from svdlab.recipes.records import Resident
from svdlab.recipes.settings import GenerationSettings
from svdlab.recipes.work import Job, Stop, Update
from svdlab.weights.content import Hashes
from svdlab.weights.safety import checker_folder
from svdlab.workers.contract import Compute, Worker

if TYPE_CHECKING:
    from svdlab.engine.renderer import Renderer
    from svdlab.engine.safety import SafetyCheck


class Rendering:
    """The renderer of one device, and the operator's safety checker if there is one: both loaded at first use.

    `renderer` is one that is there already and that nobody else uses.
    """

    def __init__(
        self, compute: Compute, environment: Environment, hashes: Hashes, renderer: Renderer | None = None
    ) -> None:
        self.compute, self._environment, self._hashes = compute, environment, hashes
        self.loaded = renderer
        self._safety: SafetyCheck | None = None

    @property
    def renderer(self) -> Renderer:
        """The renderer, built at first use: this is where torch is loaded."""
        if self.loaded is None:
            from svdlab.engine.renderer import Renderer

            asked = self.compute
            self.loaded = Renderer(
                asked.device,
                asked.dtype,
                asked.budget_bytes,
                offload=asked.offload,
                acceleration=asked.acceleration,
                hashes=self._hashes,
            )
        return self.loaded

    @property
    def safety(self) -> SafetyCheck | None:
        """The operator's safety checker, fetched and loaded at first use. Raises `CheckpointUnavailable`."""
        place = self._environment.safety_checker
        if place and self._safety is None:
            from svdlab.engine.safety import SafetyCheck

            folder = checker_folder(place)
            assert folder is not None
            self._safety = SafetyCheck(folder, self.renderer.residency.device)
        return self._safety

    def render(self, jobs: Sequence[Job], stop: Stop) -> Generator[Update, None, None]:
        """Renders on the device, and what the operator's safety checker lets through if there is one."""
        check = self.safety
        if check is None:
            return self.renderer.render(jobs, stop)
        from svdlab.engine.safety import guarded

        return guarded(self.renderer.render, check)(jobs, stop)


class LocalWorker(Worker):
    """Renders in a thread. `renderer` is one that is there already and that nobody else uses."""

    def __init__(
        self,
        lab: Lab,
        compute: Compute | None = None,
        only: Only = None,
        warm: bool = False,
        renderer: Renderer | None = None,
    ) -> None:
        super().__init__(lab, compute, only, warm)
        self.rendering = Rendering(self.compute, lab.environment, lab.hashes, renderer)

    @property
    def renderer(self) -> Renderer:
        """The renderer, built at first use."""
        return self.rendering.renderer

    @property
    def safety(self) -> SafetyCheck | None:
        """As `Rendering.safety`."""
        return self.rendering.safety

    def render(self, jobs: Sequence[Job], stop: Stop) -> Generator[Update, None, None]:
        """As `Rendering.render`."""
        return self.rendering.render(jobs, stop)

    def check(self) -> None:
        """Raises `BadInput` if the device that was named is not there, 'auto' and 'cpu' always are, and
        `CheckpointUnavailable` if a safety checker's folder is named that is none.
        """
        if self.lab.environment.safety_checker:
            checker_folder(self.lab.environment.safety_checker, fetch=False)
        if self.compute.device not in ("auto", "cpu"):
            from svdlab.engine.memory import choose_device

            choose_device(self.compute.device)

    def prepare(self) -> None:
        """Loads torch and finds the device."""
        _ = self.renderer

    def resident(self) -> list[Resident]:
        """The components in memory, shared ones once."""
        return self.rendering.loaded.resident() if self.rendering.loaded is not None else []

    def plan(self, checkpoints: Sequence[Checkpoint], settings: GenerationSettings) -> Plan | None:
        """What the renderer would do, once there is one: a page does not wait for torch."""
        there = self.rendering.loaded
        return there.plan(checkpoints, settings) if there is not None else None

    def examiner(self) -> LocalExaminer:
        """Reads weights in whoever's thread asks."""
        return LocalExaminer(self.lab.hashes)


class LocalExaminer:
    """The engine's checks of weights, loaded when they are asked for."""

    def __init__(self, hashes: Hashes) -> None:
        self._hashes = hashes

    def verify(self, checkpoint: Checkpoint) -> Iterator[str]:
        """What is in each part, once it is read and found whole."""
        from svdlab.engine import examine

        return examine.verify(checkpoint, self._hashes)

    def diff(self, a: Checkpoint, b: Checkpoint) -> Iterator[Change]:
        """What differs, by block and kind of layer."""
        from svdlab.engine import examine

        return examine.diff(a, b, self._hashes)
