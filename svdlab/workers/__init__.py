"""Who renders: a thread per device here, later a cluster's actors. Torch is loaded by the worker, late."""

from __future__ import annotations

from pathlib import Path

from svdlab.lab.lab import Lab
from svdlab.workers.local import LocalWorker

__all__ = ["LocalWorker", "open_lab"]


def open_lab(
    data_dir: Path | str | None = None, device: str = "auto", dtype: str = "auto", *, warm: bool = False
) -> Lab:
    """A lab with a worker thread on one device; close it (or use `with`) to stop the worker.

    With `warm`, torch is loaded soon even if nothing is asked (servers). `device` is 'auto', 'cpu', 'cuda',
    'cuda:1' or 'mps', `dtype` 'auto', 'float32', 'float16' or 'bfloat16'.
    """
    lab = Lab(data_dir)
    LocalWorker(lab, device, dtype, warm=warm).start()
    return lab
