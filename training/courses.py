"""Courses of training for the denoiser: what it is shown, how long, from where; keeps state, says dB, keeps the best.

Knows the denoiser's module, the clips and the held-out measure; nothing of a decoder, which the denoiser does not need.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from diffusers import UNetSpatioTemporalConditionModel

from training import codec, heldout, pool
from training.clips import RESTLESS, STEADY, ClipMaker
from training.codec import PATCH, Codec
from training.runs import Clock, as_laid_out, device_of, load_state, save_state, times
from training.unet import (
    COLUMNS,
    ROWS,
    WIDTHS,
    Batch,
    batch_of,
    build,
    draw_levels,
    drifted,
    loss,
    residuals,
    seen_levels,
    unet_trainer,
)

PICTURES = 1600  # drawn pictures to train on
WATCHED = (
    (1.5,),
    (5.0,),
    (30.0,),
    heldout.LADDER,
)  # carrying; what a move is; what is left of both in the end
UNCONDITIONED = 0.05  # share of clips without a picture: what guidance contrasts with
DEEPEST = 3  # steps of sampling that a drifting step goes through
WILD = 0.15  # share of clips whose conditioning picture is noisier than the pair is meant to be given


@dataclass(frozen=True)
class Shape:
    """What a step sees: clips (on a CPU), cells down and across, how often, of how many frames (drawn from these)."""

    clips: int
    rows: int
    columns: int
    share: float
    frames: tuple[int, ...]
    roaming: bool = False  # by a camera that keeps to no rule, where the noise leaves the motion to be seen


# Small views cost a quarter and teach the carrying as well, and the choice of a move, which is one per clip, better.
CROPS = (
    Shape(6, 10, 16, 0.4, (6,), roaming=True),
    Shape(4, 10, 16, 0.4, (8, 14)),
    Shape(1, ROWS, COLUMNS, 0.2, (14,)),
)
WHOLE = (  # to end with
    Shape(4, 10, 16, 0.2, (14,)),
    Shape(1, ROWS, COLUMNS, 0.1, (8,), roaming=True),
    Shape(1, ROWS, COLUMNS, 0.7, (14,) * 7 + (25,)),
)


@dataclass(frozen=True)
class Course:
    """One way of training: where its state is kept, where it starts, what it is shown."""

    name: str = "unet"
    start: str | None = None  # whose best weights each new run of it starts from
    restless: float = RESTLESS
    fixed: tuple[int, int] | None = None  # fps and bucket
    things: float = 0.12  # share of clips with a thing that moves on its own
    shapes: tuple[Shape, ...] = CROPS
    drifting: float = 0.0  # share of steps on what sampling brings, up to `DEEPEST` steps of it
    high: float = 0.15  # share of high noise levels, where a move is chosen; the others teach the carrying
    rate: float = 1.0  # times the learning rate
    watched: tuple[str, ...] = ("left", "down", "in", "clockwise")  # moves measured while it trains: 12 clips
    widths: tuple[int, ...] = WIDTHS  # of the network, where this course begins with one


FIRST = Course()
LAST = replace(FIRST, shapes=WHOLE, high=0.75, rate=0.7)
OWN = replace(LAST, high=0.4, rate=0.4, drifting=0.6)
TUNED = replace(OWN, name="tuned", start="unet", restless=STEADY, fixed=(6, 127), high=0.5)


def known_codec(work: Path, pictures: int = PICTURES) -> Codec:
    """The codec of the pictures in `work`, fitted once and kept."""
    path = work / "codec.pt"
    if not path.is_file():
        drawn = pool.pictures(work, pictures)
        made = codec.fit(drawn[:: max(1, len(drawn) // 300)])
        torch.save({"matrix": made.matrix, "scaling": made.scaling}, path)
    return Codec(**torch.load(path, weights_only=True))


def train(
    work: Path, minutes: float, device: str = "auto", *, course: Course = FIRST, pictures: int = PICTURES
) -> None:
    """Trains `work/<name>` for so many minutes, going on from its state; says dB and keeps the best.

    A stopped run of the same course goes on within its minutes. `work/<name>/best` holds the averaged weights that
    carried the watched clips best.
    """
    run = Run(work, minutes, course, device_of(device), pictures)
    while run.clock.running():
        run.step()
        if run.clock.report():
            run.keep()
    run.keep()


class Run:
    """A course under way: the denoiser, its trainer, its clips, its clock."""

    def __init__(self, work: Path, minutes: float, course: Course, device: torch.device, pictures: int):
        self.course, self.folder, self.device = course, work / course.name, device
        self.codec = known_codec(work, pictures).to(device)
        self.weights = self.codec.pixel_weights()
        self.watched = self._watched().to(device)
        self.rng = np.random.default_rng()
        self.maker = ClipMaker(
            pool.pictures(work, pictures),
            time.time_ns() % 2**31,
            device=device,
            restless=course.restless,
            fixed=course.fixed,
            things=course.things,
        )
        state = load_state(self.folder)
        same = state is not None and state["course"] == repr(course)
        stopped = state and same and state["spent"] < minutes * 60
        if course.start and not stopped:
            state = None  # fine-tuning begins anew, from what the first network has become
        self.unet = self._first(work, state is not None).to(device).train()
        as_laid_out(self.unet)
        self.trainer, self.best = unet_trainer(self.unet, course.rate), -1.0
        if state:
            self.trainer.load_state_dict(state["trainer"])
            self.best = state["best"] if same else -1.0  # a course is held against itself
        self.clock = Clock(minutes, state["spent"] if state and stopped else 0.0)

    def _first(self, work: Path, known: bool) -> UNetSpatioTemporalConditionModel:
        if known or not self.course.start:
            return build(self.course.widths)
        best = work / self.course.start / "best"
        if not best.is_dir():
            raise SystemExit(f"there is nothing to start from in {best}; train {self.course.start} first")
        return UNetSpatioTemporalConditionModel.from_pretrained(best)

    def _watched(self) -> Batch:
        """Held-out clips of the kind that this course teaches."""
        course, codec = self.course, self.codec.to("cpu")
        if not course.fixed:
            return heldout.batch(heldout.clips(PATCH, course.watched), codec)
        return heldout.batch(heldout.clips(PATCH, course.watched, {course.restless: 3}, course.fixed), codec)

    def step(self) -> None:
        """One update on fresh clips of one of the course's shapes."""
        course = self.course
        shape = course.shapes[self.rng.choice(len(course.shapes), p=[s.share for s in course.shapes])]
        frames = shape.frames[self.rng.integers(len(shape.frames))]
        count = shape.clips * times(self.device)
        make = self.maker.roaming if shape.roaming else self.maker
        clips = make(count, frames, (PATCH * shape.columns, PATCH * shape.rows))
        batch = batch_of(clips, self.codec, wild=WILD)
        shown = (torch.rand(count) >= UNCONDITIONED).float().to(self.device).view(-1, 1, 1, 1)
        batch = Batch(batch.latents, batch.given * shown, batch.ids)
        levels = (seen_levels(count) if shape.roaming else draw_levels(count, course.high)).to(self.device)
        noise = torch.randn_like(batch.latents)
        if self.rng.random() < course.drifting:
            noise = drifted(self.unet, batch, levels, noise, int(self.rng.integers(1, DEEPEST + 1)))
        off = residuals(self.unet, batch, levels, noise)
        self.trainer.update(loss(off, levels, self.weights), self.clock.factor())

    def keep(self) -> None:
        """Says how well the watched clips are carried, saves the state, and the averaged weights if they are best."""
        figures = [heldout.carried(self.trainer.average, self.codec, self.watched, one) for one in WATCHED]
        mean = float(np.mean([one.all for one in figures]))
        said = "; ".join(str(one) for one in figures)
        print(f"{self.course.name} {self.trainer.steps} {self.clock.text()} {said}", flush=True)
        if mean > self.best:
            self.best = mean
            self.trainer.average.save_pretrained(self.folder / "best")
        save_state(
            self.folder,
            trainer=self.trainer.state_dict(),
            best=self.best,
            course=repr(self.course),
            spent=self.clock.spent,
        )
