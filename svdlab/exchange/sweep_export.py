"""A sweep as one file: all clips captioned in one MP4 or animated WebP, a contact sheet, a table, a zip of its runs.

Knows the lab and a path; nothing of pages. The file appears whole or not at all.
"""

from __future__ import annotations

import math
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from svdlab.clips import video
from svdlab.clips.grids import MOST_HEIGHT, MOST_WIDTH, Page, Sheet, Tile
from svdlab.clips.provenance import PACKET, PNG_KEYWORD
from svdlab.errors import BadInput, NotFound, SvdlabError
from svdlab.exchange import tables
from svdlab.exchange.formats import FORMATS
from svdlab.files import write_whole
from svdlab.lab.lab import Lab
from svdlab.recipes.axes import Axis
from svdlab.recipes.records import Run
from svdlab.recipes.settings import KNOBS
from svdlab.recipes.sweeps import CellStanding, Grid, Sweep, View

PICTURES = ("mp4", "webp", "png")
KINDS: tuple[str, ...] = (*PICTURES, *FORMATS, "zip")
WEBP_SIDE = (1920, 1080)  # pixels: a WebP is held in memory whole
MOST_IN_A_ROW = 6  # of a sweep with one axis


def file_name(sweep: Sweep, kind: str) -> str:
    """What the file is called. Raises `BadInput` for a kind there is not."""
    return f"svdlab-sweep-{sweep.id[-6:]}.{check_kind(kind)}"


def check_kind(kind: str) -> str:
    """The kind itself. Raises `BadInput` with those there are."""
    if kind not in KINDS:
        raise BadInput(f"a sweep can be written as {', '.join(KINDS)}, got {kind[:40]!r}")
    return kind


def write_sweep(lab: Lab, sweep: Sweep, path: Path, view: View | None = None) -> Path:
    """Writes a sweep, or what a view shows of it, by the file's ending. Raises `NotFound`, `BadInput`.

    MP4, WebP and PNG have every cell under what it is; cells without a clip say why. Tables and zips hold the runs.
    """
    kind = check_kind(path.suffix.lower().removeprefix("."))
    cells = {cell.number: cell for cell in lab.history.cells(sweep.id)}
    if view is None:
        view = View.usual(sweep.grid)
    view.check(sweep.grid)
    numbers = [sweep.grid.cell(place).number for row in view.places(sweep.grid) for place in row]
    runs = _runs(lab, [cells[number] for number in numbers if number in cells])
    if not runs:
        raise NotFound("no cell of this sweep is rendered yet")
    if kind == "zip":
        tables.write_zip(lab, runs.values(), path)
    elif kind in FORMATS:
        table = tables.to_table(runs.values())
        table.insert(0, "cell", [*runs])
        FORMATS[kind].write(table, path)
    else:
        write_whole(path, partial(_picture, lab, sweep, view, cells, runs))
    return path


def _runs(lab: Lab, cells: list[CellStanding]) -> dict[int, Run]:
    """The finished runs, by the cells' numbers."""
    return {cell.number: lab.history.get(cell.run) for cell in cells if cell.state == "done" and cell.run}


def _picture(
    lab: Lab,
    sweep: Sweep,
    view: View,
    cells: dict[int, CellStanding],
    runs: dict[int, Run],
    path: Path,
) -> None:
    ending = path.suffix.lower()
    page = _page(lab, sweep, view, cells, runs, ending == ".png")
    first = next(iter(runs.values())).settings
    most = WEBP_SIDE if ending == ".webp" else (MOST_WIDTH, MOST_HEIGHT)
    sheet = Sheet(page, (first.width, first.height), most)
    width, height = sheet.size
    count = 1 if ending == ".png" else max(run.settings.num_frames for run in runs.values())
    fps = sweep.base.settings.effective_playback_fps
    with tempfile.TemporaryFile() as aside:  # a grid of many clips does not fit into memory
        frames = sheet.frames(np.memmap(aside, np.uint8, "w+", shape=(count, height, width, 3)))
        if ending == ".mp4":
            video.write_mp4(path, frames, fps)
        elif ending == ".webp":
            video.write_webp(path, frames, fps)
        else:
            generated = PngInfo()
            generated.add_itxt(PNG_KEYWORD, PACKET)
            Image.fromarray(frames[0]).save(path, format="PNG", pnginfo=generated)


def _page(
    lab: Lab,
    sweep: Sweep,
    view: View,
    cells: dict[int, CellStanding],
    runs: dict[int, Run],
    still: bool,
) -> Page:
    grid = sweep.grid
    tiles = [
        [_tile(cells.get(number := grid.cell(place).number), runs.get(number), still) for place in row]
        for row in view.places(grid)
    ]
    above = [_together(lab, grid, view.columns, values) for values in view.above(grid)]
    beside = [_together(lab, grid, view.rows, values) for values in view.beside(grid)]
    title = caption(lab, sweep, view)
    if view.rows:
        return Page(title, tuple(map(tuple, tiles)), tuple(above), tuple(beside))
    across = min(MOST_IN_A_ROW, math.ceil(math.sqrt(len(above))))
    row, starts = tiles[0], range(0, len(above), across)
    return Page(
        title,
        tuple(tuple(row[start : start + across]) for start in starts),
        captions=tuple(tuple(above[start : start + across]) for start in starts),
    )


def _tile(cell: CellStanding | None, run: Run | None, still: bool) -> Tile:
    if run is not None:
        return Tile(partial(_clip, run, still))
    if cell is None:
        return Tile(words="left out")
    return Tile(words=f"{cell.state}: {cell.said}" if cell.said else cell.state)


def _clip(run: Run, still: bool, width: int) -> np.ndarray:
    """A run's frames, or the one in the middle."""
    clip = video.small_frames(run.video, width)
    return clip[len(clip) // 2 :][:1] if still else clip


def _together(lab: Lab, grid: Grid, dimensions: tuple[int, ...], values: tuple[int, ...]) -> str:
    return ", ".join(
        said(lab, axis, at) for d, at in zip(dimensions, values, strict=True) for axis in grid.dimensions[d]
    )


def said(lab: Lab, axis: Axis, at: int) -> str:
    """A value of an axis as it stands beside clips: 'Motion bucket 127', 'Demo 1.0'."""
    value = axis.values[at]
    try:
        if axis.name == "checkpoint":
            return lab.catalogue.get(str(value)).name
        if axis.name == "preset":
            return lab.presets.get(str(value)).name
    except SvdlabError:  # not known any more
        return str(value)
    return axis.shown(at) if axis.name == "picture" else f"{axis.label} {axis.shown(at)}"


def caption(lab: Lab, sweep: Sweep, view: View) -> str:
    """What a whole grid is of: the axes, the page that is looked at, and what is the same everywhere."""
    grid = sweep.grid
    turned = [d for d in range(len(grid.dimensions)) if d not in (*view.rows, *view.columns)]
    pages = [said(lab, axis, view.at.get(d, 0)) for d in turned for axis in grid.dimensions[d]]
    varied = {axis.name for axis in grid.axes}
    same = [] if varied & {"checkpoint", "preset"} else [lab.checkpoint_name(sweep.base.checkpoint)]
    if "preset" not in varied:
        for name in ("num_frames", "fps", "motion_bucket_id", "seed", "num_inference_steps"):
            if name not in varied:
                value = getattr(sweep.base.settings, name)
                same.append(f"{KNOBS[name].label.lower()} {value}")
    return " · ".join([sweep.title, *pages, ", ".join(same)])
