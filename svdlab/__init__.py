"""svdlab: a laboratory for image-to-video with Stable Video Diffusion.

    from svdlab import open_lab

    with open_lab() as lab:
        run = lab.generate("beach.jpg", checkpoint="demo-1-1", motion_bucket_id=127, seed=7)
        print(run.video)

Importing this package loads neither torch nor gradio.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["GenerationSettings", "Lab", "SvdlabError", "__version__", "open_lab"]

if TYPE_CHECKING:
    from svdlab.errors import SvdlabError
    from svdlab.lab.lab import Lab
    from svdlab.recipes.settings import GenerationSettings
    from svdlab.workers import open_lab

_HOMES = {
    "GenerationSettings": "svdlab.recipes.settings",
    "Lab": "svdlab.lab.lab",
    "SvdlabError": "svdlab.errors",
    "open_lab": "svdlab.workers",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for, so `svdlab --help` stays quick."""
    if name not in _HOMES:
        raise AttributeError(f"module 'svdlab' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
