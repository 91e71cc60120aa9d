"""Where the files that travel with svdlab are. Knows two places for presets and assets, nothing of what they hold.

In a checkout they are the top-level folders `presets/` and `assets/`; an installed wheel carries copies of
both in `svdlab/_data/` (pyproject.toml, force-include).
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def presets_dir() -> Path:
    """The folder of `*.toml` presets. Raises FileNotFoundError when the installation lacks it."""
    return _folder("presets")


def assets_dir() -> Path:
    """The folder of demo checkpoints and examples. Raises FileNotFoundError when the installation lacks it."""
    return _folder("assets")


def _folder(name: str) -> Path:
    packaged, checkout = _PACKAGE / "_data" / name, _PACKAGE.parent / name
    for folder in (packaged, checkout):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(
        f"svdlab's {name} are neither in {packaged} nor in {checkout}; install svdlab again"
    )
