"""Files made for whoever asks: at an address nobody can guess, for an hour.

Knows the folder that Gradio serves to those who have an address; nothing of what is in the files.
"""

from __future__ import annotations

import hashlib
import secrets
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from gradio.utils import get_upload_folder

KEPT_SECONDS = 3600.0
_UNGUESSABLE = secrets.token_bytes(16)


def hand_over(name: str, write: Callable[[Path], object], key: str = "") -> Path:
    """Has `write` make a file of that name, whole, and returns its path.

    With a `key` it is made once and kept for as long as it is asked for. Raises what `write` raises.
    """
    folder = Path(get_upload_folder()) / "exports"
    remove_older(folder, KEPT_SECONDS)
    address = hashlib.sha256(_UNGUESSABLE + key.encode()).hexdigest() if key else secrets.token_hex(16)
    path = folder / address / name
    if path.is_file():
        path.parent.touch()
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path)
    return path


def remove_older(folder: Path, seconds: float) -> None:
    """Removes what was put into a folder longer ago than that; what somebody else has removed meanwhile is gone."""
    for old in folder.iterdir() if folder.is_dir() else ():
        try:
            if old.stat().st_mtime >= time.time() - seconds:
                continue
            if old.is_dir():
                shutil.rmtree(old, ignore_errors=True)
            else:
                old.unlink()
        except OSError:
            continue
