"""The web app: `python app.py` is `svdlab app`, with its options. Also the entry of a Hugging Face Space."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from svdlab.cli import main as svdlab


def main(given: Sequence[str] | None = None) -> int:
    """Serves until interrupted; returns the exit code."""
    return svdlab(["app", *(sys.argv[1:] if given is None else given)])


if __name__ == "__main__":
    sys.exit(main())
