"""`svdlab examples`: the example pictures' clips as a zip; and `svdlab app`'s own way to have them, aside and once."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from svdlab.cli.options import Device, Dtype
from svdlab.errors import SvdlabError

if TYPE_CHECKING:
    from svdlab.lab.lab import Lab

log = logging.getLogger(__name__)

NICENESS = 10  # of the process that renders them: a visitor's own clip goes first


def examples(
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The zip to write.")],
    device: Device = "",
    dtype: Dtype = "",
) -> None:
    """Render the example pictures' clips and write them as a zip.

    They are made by the embedded checkpoint with its official settings. `svdlab runs import` takes them into a lab,
    whose first visitor then sees a clip at once; `svdlab app` does both on a Space, or where SVDLAB_EXAMPLES is 1.
    """
    from svdlab.cli import words
    from svdlab.cli.progress import can_render, render_each
    from svdlab.exchange.zip_writing import write_zip
    from svdlab.lab.examples import TAG, example_pictures, recipe_of
    from svdlab.lab.lab import Lab

    with TemporaryDirectory(prefix="svdlab-examples-") as folder, Lab(folder) as lab:
        compute = can_render(lab, device, dtype)
        names = {lab.submit(recipe_of(lab, path)).id: path.stem for path in example_pictures()}
        done = [run for run in render_each(lab, names, compute).values() if run.done]
        for run in done:
            lab.history.tag(run.id, TAG)
        written = write_zip(lab, [lab.history.get(run.id) for run in done], output, frames=True)
        words.say(f"{written.path}: {written.runs} of {len(names)} example clips")


def have_examples(lab: Lab) -> threading.Thread | None:
    """Has the clips that are missing rendered by a process aside, on the CPU, and taken in; None if all are here.

    What goes wrong with it is logged: a lab without them is a whole one.
    """
    from svdlab.lab.examples import missing

    if lab.history.read_only or not missing(lab):
        return None
    thread = threading.Thread(target=_take_in, args=(lab,), name="svdlab-examples", daemon=True)
    thread.start()
    return thread


def _take_in(lab: Lab) -> None:
    from svdlab.exchange.zip_reading import read_zip

    with TemporaryDirectory(prefix="svdlab-examples-") as folder:
        path = Path(folder) / "examples.zip"
        command = [sys.executable, "-m", "svdlab", "examples", "--output", str(path), "--device", "cpu"]
        aside = {name: value for name, value in os.environ.items() if name != "SPACES_ZERO_GPU"}
        process = subprocess.Popen(
            command, env=aside, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
        )
        lab.on_close(process.terminate)
        if lab.live.closed:  # while it was started
            process.terminate()
        with suppress(AttributeError, OSError):  # there is none on Windows; it may have ended
            os.setpriority(os.PRIO_PROCESS, process.pid, NICENESS)
        _, said = process.communicate()
        if lab.live.closed:
            return
        if process.returncode != 0:
            log.warning("the examples were not rendered: %s", said.decode(errors="replace").strip()[-300:])
            return
        try:
            report = read_zip(lab, path)
        except SvdlabError as error:
            log.warning("the examples were not taken in: %s", error)
            return
        log.info("%d example clips were taken in", len(report.added))
