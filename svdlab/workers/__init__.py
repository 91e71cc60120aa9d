"""Who renders: a thread here, later forks and a cluster's actors. Torch is loaded by the worker, late."""

from __future__ import annotations

from pathlib import Path

from svdlab.environment import Environment
from svdlab.lab.lab import Lab
from svdlab.workers.contract import Compute, Worker
from svdlab.workers.in_process import InProcess
from svdlab.workers.local import LocalWorker

__all__ = ["Compute", "InProcess", "LocalWorker", "Worker", "open_lab"]


def open_lab(
    data_dir: Path | str | None = None,
    device: str | None = None,
    dtype: str | None = None,
    *,
    worker: str | None = None,
    warm: bool = False,
    environment: Environment | None = None,
) -> Lab:
    """A lab with a worker; close it (or use `with`) to stop the worker.

    `device` is 'auto', 'cpu', 'cuda', 'cuda:1' or 'mps', `dtype` 'auto', 'float32', 'float16' or 'bfloat16', `worker`
    the name of a kind; what is not given is the environment's. With `warm`, torch is loaded soon even if nothing is
    asked (servers). Raises `BadInput`, also for a device that is not there, and `DataFolderError`.
    """
    from svdlab.workers.kinds import kind

    environment = environment or Environment.read()
    made = kind(worker or environment.worker_kind)
    lab = Lab(data_dir, environment=environment)
    try:
        serving = made(lab, Compute.of(environment, device, dtype), warm=warm)
        serving.check()
        serving.start()
    except BaseException:
        lab.close()
        raise
    return lab
