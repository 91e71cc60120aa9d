"""The lab from the shell. `main` runs one command and turns every error into one sentence and an exit code.

Exit codes: 0 done, 1 an unforeseen fault, 2 something the person can change, 3 no such weights here, 4 rendering
failed, 5 the data folder, 130 cancelled.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import typer

from svdlab.cli.interrupt import INTERRUPTED, second_leaves_at_once
from svdlab.environment import VARIABLES, misspelt
from svdlab.errors import SvdlabError

# typer shows this class only as a parent of one it exports; it moved when typer took click in.
UsageError: type[Exception] = next(cls for cls in typer.BadParameter.__mro__ if cls.__name__ == "UsageError")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns the exit code. SVDLAB_DEBUG=1 shows where an error came from."""
    from svdlab.cli.commands import command

    debug = bool(VARIABLES["debug"].of(os.environ))
    _make_temporary_folder()
    for _, said in misspelt(os.environ):
        print(f"svdlab: {said}", file=sys.stderr)
    if not debug:
        _hush()
    try:
        with second_leaves_at_once():
            code = command().main(arguments, prog_name="svdlab", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except BrokenPipeError:  # `svdlab runs | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except Exception as error:
        if debug:
            raise
        sentence, code = _explained(error)
        print(f"svdlab: {sentence}", file=sys.stderr)
        return code


def _explained(error: Exception) -> tuple[str, int]:
    """One sentence and an exit code for any error."""
    if isinstance(error, SvdlabError):
        return _one_line(str(error)), error.exit_code
    if isinstance(error, UsageError):
        context = getattr(error, "ctx", None)
        path = context.command_path if context is not None else "svdlab"
        said = _one_line(error.format_message() if hasattr(error, "format_message") else str(error)).rstrip(
            "."
        )
        return f"{said[:1].lower()}{said[1:]}; see {path} --help", 2
    said = _one_line(str(error))
    return f"{type(error).__name__}: {said} (SVDLAB_DEBUG=1 shows where)", 1


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _make_temporary_folder() -> None:
    """Of a container that may write in its data volume alone, the folder of passing files is in there."""
    folder = os.environ.get("TMPDIR")
    if folder:
        with suppress(OSError):  # what needs it says so
            Path(folder).mkdir(parents=True, exist_ok=True)


def _hush() -> None:
    """Keeps libraries' remarks and tracebacks off the terminal: what matters is said in our own sentences."""
    warnings.simplefilter("ignore")
    log = logging.getLogger("svdlab")
    if not log.handlers:
        log.addHandler(logging.NullHandler())
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
