"""What the pages' tests share: a lab of finished runs behind a running app.

The clips are drawn by the tests and recorded by the lab as any worker's are; no model is needed to look at them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from svdlab.lab.desk import Desk
from svdlab.lab.lab import Lab
from svdlab.recipes.records import Run
from svdlab.ui import launch
from tests.made import make_pair, make_run, picture_of
from tests.snapshot import Snapshot

NASTY = "<img src=x onerror=\"document.title='taken'\">"


@dataclass(frozen=True)
class Filled:
    """A lab with six finished runs of two pictures, one that failed, and a pair."""

    lab: Lab
    address: str
    runs: tuple[Run, ...]
    failed: Run

    @property
    def history(self) -> str:
        """The History page's address."""
        return self.address + "history"

    def page_of(self, run: Run) -> str:
        """The address of a run's own page."""
        return f"{self.address}run?run={run.id}"


@pytest.fixture(scope="session")
def first_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Filled, Snapshot]]:
    folder = tmp_path_factory.mktemp("filled")
    with Lab(folder / "data") as lab:
        pair = make_pair(lab, seed=90)
        lab.history.note(pair.id, "the pair")
        runs = tuple(
            make_run(
                lab,
                seed=seed,
                picture=picture_of(seed // 3),
                checkpoint=("demo-1-0", "demo-1-1")[seed % 2],
                motion_bucket_id=40 + 30 * seed,
            )
            for seed in range(6)
        )
        lab.history.tag(runs[0].id, "beach")
        lab.history.set_star(runs[1].id)
        lab.history.rate(runs[2].id, 4)
        lab.history.note(runs[3].id, NASTY)
        waiting = lab.submit(runs[5].recipe)
        desk = Desk(lab, only=[waiting.id])
        [claimed] = desk.claim()
        desk.fail(claimed, "memory ran out")
        address = launch(lab, port=None, block=False)
        yield Filled(lab, address, runs, lab.history.get(waiting.id)), Snapshot(lab, folder)


@pytest.fixture
def filled(first_state: tuple[Filled, Snapshot]) -> Iterator[Filled]:
    """One app for all these tests, and the runs as they were at first for each of them."""
    filled, snapshot = first_state
    yield filled
    snapshot.put_back()
