"""What a sweep costs beside its rendering: accepting, feeding, looking, and what memory it holds.

`python -m tests.sweep_speed` prints the figures and their targets. Nothing is asserted: a machine that is busy with
other things must not fail a test.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from svdlab.engine.renderer import Renderer
from svdlab.lab.desk import Desk
from svdlab.lab.lab import Lab
from svdlab.lab.results import write_files
from svdlab.lab.visit import Visit
from svdlab.recipes.records import Recipe
from svdlab.recipes.visitors import OPERATOR
from svdlab.recipes.work import Rendered
from svdlab.ui.parts import grid as page
from svdlab.workers import InProcess
from tests.made import draw, picture_of

LARGE = {"motion_bucket_id": "1..50", "seed": "1..100"}  # 5,000 cells
TINY = {"width": 64, "height": 64, "num_frames": 2, "num_inference_steps": 1}
CLIP = {"width": 128, "height": 64, "num_frames": 4, "num_inference_steps": 4}
ROUNDS, CELLS = 3, 6


def measure_sweeps(say: Callable[[str], None], many: int = 1000) -> None:
    """Says what was measured, in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder, Lab(Path(folder) / "data") as lab:
        _accepting(lab, say)
        _memory(lab, say, many)
    with tempfile.TemporaryDirectory() as folder, Lab(Path(folder) / "data") as lab:
        _against_a_loop(lab, say)


def _base(lab: Lab, **changes: int) -> Recipe:
    settings = lab.settings("demo-1-0", changes, seed=1)
    return lab.recipe("demo-1-0", lab.add_picture(picture_of(0)), settings)


def _accepting(lab: Lab, say: Callable[[str], None]) -> None:
    started = time.perf_counter()
    sweep = lab.sweeps.submit(lab.sweeps.plan(_base(lab, **TINY), lab.sweeps.grid(LARGE)))
    took = time.perf_counter() - started
    say(f"{sweep.cells} cells planned and accepted: {took:.2f} s; the target is 5 s")
    started = time.perf_counter()
    lab.sweeps.feed()
    say(f"a worker's turn with them: {1000 * (time.perf_counter() - started):.0f} ms")
    lab.sweeps.cancel(sweep.id)


def _memory(lab: Lab, say: Callable[[str], None], many: int) -> None:
    """Memory after a tenth of the cells and after all of them, with frames that are drawn."""
    axes = {"seed": f"1..{many}", "motion_bucket_id": "7"}
    sweep = lab.sweeps.submit(lab.sweeps.plan(_base(lab, **TINY), lab.sweeps.grid(axes)))
    desk, process, held = Desk(lab), psutil.Process(), dict[int, float]()
    started = time.perf_counter()
    for done in range(1, many + 1):
        desk.turn(draw)
        if done in (many // 10, many):
            held[done] = process.memory_info().rss / 1e6
    seconds = time.perf_counter() - started
    first, last = held.values()
    say(
        f"memory after {many // 10} and after {many} cells: {first:.0f} and {last:.0f} MB "
        f"({seconds / many * 1000:.0f} ms each)"
    )
    started = time.perf_counter()
    value = page.shown(Visit(lab, OPERATOR), lab.sweeps.standing(sweep.id))
    took = time.perf_counter() - started
    say(
        f"the page of {many} cells is put together in {1000 * took:.0f} ms, {len(json.dumps(value)) / 1000:.0f} kB"
    )


def _against_a_loop(lab: Lab, say: Callable[[str], None]) -> None:
    """A sweep against the same runs, rendered and written by a loop and nothing else; one after the other, in turn."""
    renderer, ratios = Renderer("cpu"), []
    base = _base(lab, **CLIP)
    for round in range(ROUNDS + 1):  # the first one warms up
        seeds = [1000 * (round + 1) + at for at in range(CELLS)]
        loop = _loop(lab, renderer, base, seeds)
        sweep = _sweep(lab, renderer, base, [seed + 500 for seed in seeds])
        if round:
            ratios.append(sweep / loop)
    shown = ", ".join(f"{ratio:.3f}" for ratio in ratios)
    say(
        f"a sweep ÷ the same runs in a bare loop: {statistics.median(ratios):.3f} ({shown}); the target is 1.03"
    )


def _loop(lab: Lab, renderer: Renderer, base: Recipe, seeds: list[int]) -> float:
    runs = [lab.submit(base.model_copy(update={"settings": base.settings.but(seed=seed)})) for seed in seeds]
    desk = Desk(lab)
    jobs = [(run, desk.job(run)) for run in runs]
    started = time.perf_counter()
    for run, job in jobs:
        for update in renderer.render([job], lambda _: False):
            if isinstance(update, Rendered):
                with tempfile.TemporaryDirectory(dir=lab.data_dir) as folder:
                    write_files(Path(folder), run, update, job.picture, 2**30)
    took = time.perf_counter() - started
    for run in runs:
        lab.cancel(run.id)
    return took


def _sweep(lab: Lab, renderer: Renderer, base: Recipe, seeds: list[int]) -> float:
    sweep = lab.sweeps.submit(lab.sweeps.plan(base, lab.sweeps.grid({"seed": seeds})))
    started = time.perf_counter()
    with InProcess(lab, renderer.render):
        pass
    took = time.perf_counter() - started
    assert lab.sweeps.standing(sweep.id).counts == {"done": len(seeds)}
    return took


if __name__ == "__main__":
    measure_sweeps(print)
