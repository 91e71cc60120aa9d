"""A real Ray cluster of several nodes on this machine: the same bytes, whoever is killed in the middle."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from svdlab.cli import main
from svdlab.engine.renderer import Renderer
from svdlab.environment import Environment
from svdlab.errors import BadInput
from svdlab.lab.lab import Lab
from svdlab.recipes.sweeps import Sweep
from svdlab.workers import InProcess
from svdlab.workers.cluster import Cluster
from tests.conftest import ROOT
from tests.made import SMALL, picture_of
from tests.waiting import until

SETTINGS = {**SMALL, "num_inference_steps": 8}
SEEDS = range(1, 7)


@pytest.fixture(scope="module")
def nodes() -> Iterator[Any]:
    """A head without cores and two nodes with one core each."""
    from ray.cluster_utils import Cluster as Nodes

    made = Nodes(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    for _ in range(2):
        made.add_node(num_cpus=1)
    yield made
    made.shutdown()


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[int, str]:
    """The hash of each seed's video as one process here renders it with one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with Lab(tmp_path_factory.mktemp("here") / "data") as lab:
            sweep = submitted(lab)
            with InProcess(lab, Renderer("cpu").render):
                pass
            return hashes(lab, sweep)
    finally:
        torch.set_num_threads(before)


def submitted(lab: Lab, **changes: Any) -> Sweep:
    stored = lab.add_picture(picture_of(0))
    base = lab.recipe("demo-1-0", stored, lab.settings("demo-1-0", {**SETTINGS, **changes}, seed=1))
    return lab.sweeps.submit(lab.sweeps.plan(base, lab.sweeps.grid({"seed": list(SEEDS)})))


def hashes(lab: Lab, sweep: Sweep) -> dict[int, str]:
    """Each seed's video, of cells that are all done, each by a run of its own."""
    cells = lab.sweeps.standing(sweep.id).cells
    assert [cell.state for cell in cells] == ["done"] * len(SEEDS)
    runs = [lab.history.get(cell.run or "") for cell in cells]
    assert len({run.id for run in runs}) == len(lab.history.runs()) == len(SEEDS)  # none twice
    return {run.settings.seed: run.outcome.video_sha256 for run in runs}


def clustered(nodes: Any, folder: Path) -> Lab:
    return Lab(folder, environment=Environment(cluster=nodes.address, cluster_cpus=1, device="cpu"))


def test_a_node_that_is_lost_loses_and_doubles_no_cell_and_changes_no_bytes(
    nodes: Any, expected: dict[int, str], tmp_path: Path
) -> None:
    with clustered(nodes, tmp_path / "data") as lab:
        worker = Cluster(lab).start()
        assert worker.seats == 2
        sweep = submitted(lab)
        until(lambda: lab.sweeps.standing(sweep.id).done >= 1, seconds=120)
        nodes.remove_node(nodes.worker_nodes.copy().pop(), allow_graceful=False)
        for _ in lab.sweeps.watch(sweep.id):
            pass
        assert hashes(lab, sweep) == expected
    nodes.add_node(num_cpus=1)


def test_a_driver_that_is_killed_goes_on_where_it_was(
    nodes: Any, expected: dict[int, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture_of(0).save(tmp_path / "hills.png")
    monkeypatch.setenv("SVDLAB_CLUSTER_CPUS", "1")
    monkeypatch.setenv("SVDLAB_DATA_DIR", str(tmp_path / "data"))
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in SETTINGS.items()]
    where = ["--cluster", nodes.address, "--device", "cpu"]
    asked = [str(tmp_path / "hills.png"), "--axis", "seed=1..6", "-c", "demo-1-0", *flags, *where]
    with Lab() as lab:
        driver = subprocess.Popen(
            [sys.executable, "-m", "svdlab", "sweep", *asked], cwd=ROOT, start_new_session=True
        )
        until(lambda: any(run.done for run in lab.history.runs()), seconds=120)
        os.killpg(driver.pid, signal.SIGKILL)
        driver.wait()
        [sweep] = lab.history.sweeps()
        assert 0 < lab.sweeps.standing(sweep.id).done < len(SEEDS)
    assert main(["sweep", "--resume", "last", *where]) == 0
    with Lab() as lab:
        assert hashes(lab, sweep) == expected


def test_a_cancel_reaches_an_actor_and_a_killed_actor_comes_back(nodes: Any, tmp_path: Path) -> None:
    with clustered(nodes, tmp_path / "data") as lab:
        Cluster(lab).start()
        stored = lab.add_picture(picture_of(0))
        endless = lab.settings("demo-1-0", {**SMALL, "num_inference_steps": 100, "num_frames": 14}, seed=1)
        run = lab.submit(lab.recipe("demo-1-0", stored, endless))
        until(lambda: lab.history.get(run.id).step > 0, seconds=120)
        lab.cancel(run.id)
        until(lambda: lab.history.get(run.id).state == "cancelled", seconds=20)
        other = lab.submit(lab.recipe("demo-1-0", stored, endless.but(seed=2, num_inference_steps=20)))
        until(lambda: lab.history.get(other.id).step > 0, seconds=120)
        seats = [
            one
            for one in psutil.process_iter(["cmdline"])
            if "ray::Seat" in " ".join(one.info["cmdline"] or [])
        ]
        assert seats
        for seat in seats:
            seat.kill()
        until(lambda: lab.history.get(other.id).done, seconds=120)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1"])
def test_a_cluster_that_cannot_be_reached_is_a_sentence(
    address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SVDLAB_DATA_DIR", str(tmp_path / "data"))
    picture_of(0).save(tmp_path / "hills.png")
    with Lab(tmp_path / "data") as lab, pytest.raises(BadInput, match="no Ray cluster can be reached at"):
        Cluster(lab, address=address).check()
    assert main(["sweep", str(tmp_path / "hills.png"), "--axis", "seed=1,2", "--cluster", address]) == 2
    assert "no Ray cluster can be reached" in capsys.readouterr().err
    with Lab() as lab:
        assert lab.history.sweeps() == []  # nothing was accepted
