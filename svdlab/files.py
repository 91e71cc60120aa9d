"""A file that appears whole or not at all. Knows paths; what is written comes from outside."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from svdlab.errors import BadInput

T = TypeVar("T")


def write_whole(path: Path, write: Callable[[Path], T]) -> T:
    """Has `write` fill a temporary file beside `path`, puts it in place and returns what `write` returned.

    The temporary file has the same ending, and is gone afterwards whatever happened. Raises `BadInput` with one
    sentence if the disk refuses.
    """
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}{path.suffix}")
    try:
        made = write(temporary)
        temporary.replace(path)
    except OSError as error:
        raise BadInput(f"{path} could not be written: {(error.strerror or str(error)).lower()}") from error
    finally:
        temporary.unlink(missing_ok=True)
    return made
