"""A GPU that is lent for each clip or pair, in a forked process (ZeroGPU).

Checkpoints are placed once, before the page is served; every call is a fork of that process with a real GPU in it, so
nothing else is shared: jobs go there and updates come back as pickles, previews too. A call is made in the context that
its run was asked for in, which is how the lender knows whose seconds it takes. Knows the package `spaces`.
"""

from __future__ import annotations

import html
import logging
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Generator, Sequence
from contextvars import Context, copy_context
from dataclasses import replace
from typing import Any, Self

from svdlab.errors import BadInput, RenderFailed, SvdlabError
from svdlab.history.turns import Only
from svdlab.lab.examiner import Examiner
from svdlab.lab.lab import Lab
from svdlab.lab.quota import TODAY, Quota
from svdlab.recipes.checkpoint import Checkpoint
from svdlab.recipes.records import Resident
from svdlab.recipes.work import Failed, Job, Rendered, Stop, Stopped, Update
from svdlab.weights.availability import availability
from svdlab.weights.content import Hashes
from svdlab.weights.safety import checker_folder
from svdlab.workers.contract import Compute, Worker
from svdlab.workers.local import LocalWorker

log = logging.getLogger(__name__)

MOST_ASKED = 2000  # contexts that are kept for runs that wait
CONTEXT_SECONDS = 1.0  # how long the context of a claimed run is waited for

Lend = Callable[..., Callable[[Callable[..., Any]], Callable[..., Any]]]  # as `spaces.GPU` is called


class ZeroGpu(Worker):
    """Renders each claim in one call that is lent a GPU; `lend` stands in for `spaces.GPU`."""

    seats = 2  # calls at a time; who waits longer waits at the lender

    def __init__(
        self,
        lab: Lab,
        compute: Compute | None = None,
        only: Only = None,
        warm: bool = False,
        lend: Lend | None = None,
    ) -> None:
        super().__init__(lab, compute, only, warm)
        self.compute = replace(self.compute, offload=self.compute.offload or "none")
        self.quota = Quota(TODAY)
        self._lend = lend
        self._there = LocalWorker(lab, self.compute)  # its renderer is filled here and renders in forks alone
        self._asked: OrderedDict[str, Context] = OrderedDict()
        self._told = threading.Condition()
        self._call: Callable[[list[Job]], Generator[Update, None, None]] | None = None

    def check(self) -> None:
        """Raises `BadInput` without the package `spaces`, which must be imported before torch sees a GPU."""
        if self._lend is not None:
            return
        if self.lab.environment.safety_checker:
            checker_folder(self.lab.environment.safety_checker, fetch=False)
        # The package would delete the hub's files of what it has packed; they say here that the weights are there.
        os.environ.setdefault("ZEROGPU_MMAP_AUTOPRUNE_PATTERN", "/none/of/them")
        try:
            import spaces
            from spaces.zero.config import get_config
        except ImportError as error:
            raise BadInput(
                f"the worker zerogpu needs the package spaces ({error}); pip install spaces"
            ) from None
        self._lend = spaces.GPU
        self.quota = Quota(float(get_config()["duration_factor"]))

    def start(self) -> Self:
        """Places the checkpoints, in the thread that called, and serves."""
        self.ready()
        self.lab.on_asked(self.remember)
        return super().start()

    def ready(self) -> None:
        """Places what is named and makes the call that is lent a GPU. Raises `BadInput`, `CheckpointUnavailable`."""
        self.check()
        assert self._lend is not None
        wanted = [one for one in self.lab.catalogue if one.demo or one.id in self.lab.environment.placed]
        placed = frozenset(one.id for one in wanted if self._place(one))
        _ = self._there.safety
        self.quota = self.lab.quota = replace(self.quota, placed=placed)
        self._call = self._lend(duration=self._seconds)(self._rendered)

    def resident(self) -> list[Resident]:
        """What is placed, which a call finds in its GPU."""
        return self._there.resident()

    def examiner(self) -> Examiner:
        """Reads weights in whoever's thread asks, without a GPU."""
        return self._there.examiner()

    def remember(self, run_ids: Sequence[str]) -> None:
        """Keeps the caller's context for these runs, which it has just asked for."""
        with self._told:
            for id in run_ids:
                self._asked[id] = copy_context()
            while len(self._asked) > MOST_ASKED:
                self._asked.popitem(last=False)
            self._told.notify_all()

    def render(self, jobs: Sequence[Job], stop: Stop) -> Generator[Update, None, None]:
        """Renders all jobs in one call. A job that is to stop is let go at its next update, the call with the last."""
        context = self._context([job.id for job in jobs])
        left = [job for job in jobs if not stop(job.id)]
        yield from (Stopped(job.id) for job in jobs if job not in left)
        if not left:
            return
        if self._call is None:
            self.ready()
        assert self._call is not None
        updates = context.run(self._call, left)
        try:
            yield from _until_stopped(
                lambda: context.run(next, updates, None), {job.id for job in left}, stop
            )
        except SvdlabError:
            raise
        except Exception as error:
            log.warning("a call was not lent a GPU to its end: %s", error)
            raise RenderFailed(_sentence(error)) from None
        finally:
            context.run(updates.close)

    def _context(self, run_ids: Sequence[str]) -> Context:
        """The context that runs were asked for in; of those that an earlier process accepted, nobody's.

        A run may be claimed before whoever asked has come to say so.
        """
        with self._told:
            self._told.wait_for(lambda: self._asked.keys() & set(run_ids), CONTEXT_SECONDS)
            found = [self._asked.pop(id, None) for id in run_ids]
        return next(filter(None, found), None) or copy_context()

    def _place(self, checkpoint: Checkpoint) -> bool:
        """Fetches a checkpoint and puts it where a fork finds it; one that cannot be had is said and left."""
        here = availability(checkpoint)
        if here.state == "can be downloaded":
            self.lab.downloads.start(checkpoint)
            self.lab.downloads.wait(checkpoint.id, lambda _: None, lambda: self.lab.live.closed)
            here = availability(checkpoint)
        if not here.ready:
            log.warning("%s is not placed: %s", checkpoint.id, here.sentence)
            return False
        try:
            self._there.renderer.residency.get(checkpoint, keep=tuple(one.id for one in self.lab.catalogue))
        except SvdlabError as error:
            log.warning("%s is not placed: %s", checkpoint.id, error)
            return False
        return True

    def _seconds(self, jobs: Sequence[Job]) -> int:
        return self.quota.seconds([(job.checkpoint, job.settings) for job in jobs])

    def _rendered(self, jobs: list[Job]) -> Generator[Update, None, None]:
        """In the forked process: locks and threads of the one it comes from are of no use here."""
        from svdlab.engine.memory import settle_after_fork

        settle_after_fork()
        self._there.renderer.residency.hashes = Hashes(self.lab.data_dir)
        yield from self._there.render(jobs, lambda _: False)


def _until_stopped(
    following: Callable[[], Update | None], left: set[str], stop: Stop
) -> Generator[Update, None, None]:
    """Updates of the jobs that are `left`, until each has ended."""
    while left and (update := following()) is not None:
        if update.job not in left:
            continue
        over = isinstance(update, Rendered | Failed | Stopped)
        if stop(update.job) and not over:
            left.discard(update.job)
            yield Stopped(update.job)
            continue
        if over:
            left.discard(update.job)
        yield update


def _sentence(error: Exception) -> str:
    """What the lender says, which may be marked up for a page, as one plain sentence."""
    said = html.unescape(re.sub(r"<[^>]*>", "", str(getattr(error, "message", "") or error)))
    said = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", " ".join(said.split()))[:400].rstrip(". ")
    if "aborted" in said.lower():
        return "the GPU was taken back before the clip was finished; fewer frames or steps or a smaller size take less"
    return f"no GPU was lent: {said}" if said else "no GPU was lent"
