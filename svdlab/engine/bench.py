"""Speed as ratios measured in one run: our stages against diffusers' own pipeline on the same component objects,
how fast things start, how often a picture is encoded, what measuring a clip takes.

Knows the renderer, diffusers and the commands a user starts; nothing of the lab or its pages. Measures and says;
asserts nothing.
"""

from __future__ import annotations

import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import diffusers
import numpy as np
import psutil
import torch
from diffusers import StableVideoDiffusionPipeline
from PIL import Image

from svdlab.engine import renderer as r
from svdlab.engine.components import Components
from svdlab.engine.residency import Residency
from svdlab.engine.sampler import ays_sigmas
from svdlab.environment import Offload
from svdlab.metrics.flow import flow
from svdlab.metrics.measure import measure as measure_clip
from svdlab.recipes import work
from svdlab.recipes.checkpoint import Checkpoint
from svdlab.recipes.limits import check, defaults_for
from svdlab.recipes.settings import GenerationSettings
from svdlab.weights.catalogue import Catalogue

CELLS = 10  # of the sweep that varies the motion bucket alone
START_SECONDS = 60.0  # after which a page that is not served counts as not served
HELP_REPEATS = 5
START_REPEATS = 3
PREVIEW_QUALITY = 60  # as the lab's worker encodes previews

Webp = Callable[[np.ndarray, float, int], bytes]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What to measure, on what. `show` encodes a preview as the lab does; it is part of what previews cost."""

    checkpoint: Checkpoint
    device: str = "auto"
    dtype: str = "auto"
    repeats: int = 5
    quick: bool = False
    startup: bool = True
    show: Webp | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)  # knobs that are not the official ones
    budget_bytes: int | None = None  # of weights to keep; None: most of what there is
    offload: Offload | None = None

    @property
    def settings(self) -> GenerationSettings:
        """The official ones with the changes; with `quick`, two steps. Raises `BadSettings`."""
        steps = {"num_inference_steps": 2} if self.quick else {}
        settings = defaults_for(self.checkpoint).but(**{**steps, **self.changes})
        check(self.checkpoint, settings)
        return settings

    @property
    def times(self) -> int:
        """Timed runs of each kind."""
        return min(self.repeats, 2) if self.quick else self.repeats


@dataclass(frozen=True)
class Figure:
    """One line of the result: what was measured beside what was wanted."""

    what: str
    measured: str
    target: str
    remark: str
    value: float | None = None


@dataclass(frozen=True)
class Figures:
    """All lines, and on what they were measured."""

    where: str
    rows: tuple[Figure, ...]


def measure(plan: Plan, say: Say | None = None) -> Figures:
    """Measures everything the plan asks for; `say` hears what is being done."""
    tell = say or (lambda _: None)
    renderer = r.Renderer(plan.device, plan.dtype, plan.budget_bytes, offload=plan.offload)
    rows = [*generation(plan, renderer, tell), sweep_cells(plan, renderer), *sharing(plan)]
    parts = renderer.residency.get(plan.checkpoint)
    if not plan.quick:
        rows += [measuring(*case) for case in MEASURED]
    if plan.startup:
        rows += startup(1 if plan.quick else START_REPEATS, 2 if plan.quick else HELP_REPEATS, tell)
    return Figures(_where(renderer, parts, plan.settings), tuple(rows))


def _where(renderer: r.Renderer, parts: Components, s: GenerationSettings) -> str:
    return (
        f"{renderer.device_name}, {str(parts.dtype).removeprefix('torch.')}, {torch.get_num_threads()} threads, "
        f"torch {torch.__version__}, diffusers {diffusers.__version__}, Python {platform.python_version()}; "
        f"{s.width}×{s.height}, {s.num_frames} frames, {s.num_inference_steps} steps"
    )


# Memory: a pair beside each other against two pipelines

PAIR_TARGET = 0.84  # of full-size components: two UNets, one autoencoder, one image encoder


def sharing(plan: Plan) -> list[Figure]:
    """Bytes of the pair that Compare starts with ÷ those of two separate pipelines, and what switching moves."""
    residency = Residency(plan.device, plan.dtype, plan.budget_bytes, plan.offload)
    one, two = Catalogue().pair()
    first, _ = residency.get(one), residency.get(two, keep=(one.id,))
    alone = sum(r.bytes * max(1, len(r.used_by)) for r in residency.resident())
    places = {name: p.data_ptr() for name, p in first.unet.named_parameters()}
    for checkpoint in (two, one, two):
        residency.get(checkpoint)
    again = residency.get(one)
    moved = sum(p.data_ptr() != places[name] for name, p in again.unet.named_parameters())
    ratio = residency.bytes / alone
    pair = f"{one.id} beside {two.id}"
    return [
        Figure(
            "weights of a pair, ours ÷ two pipelines",
            f"{ratio:.3f}",
            f"≤ {PAIR_TARGET} at full size",
            f"{pair}: {residency.bytes / 1e6:.1f} MB ÷ {alone / 1e6:.1f} MB",
            ratio,
        ),
        Figure("tensors moved by switching in a pair", str(moved), "0", f"{pair}, four times", float(moved)),
    ]


# Generation: ours against the pipeline


@dataclass(frozen=True)
class Timed:
    """One finished generation: seconds and (frames, height, width, 3) uint8."""

    seconds: float
    frames: np.ndarray


@dataclass(frozen=True)
class Round:
    """The three kinds, timed one after another: the pipeline, ours without previews, ours with."""

    raw: Timed
    plain: Timed
    shown: Timed


def generation(plan: Plan, renderer: r.Renderer, tell: Say = lambda _: None) -> list[Figure]:
    """Warm seconds of ours ÷ the raw pipeline's, taking turns so that the machine's moods hit all alike."""
    settings, picture = plan.settings, a_picture(plan.settings)
    pipeline = raw_pipeline(renderer.residency.get(plan.checkpoint))

    def ours(seed: int, previews: bool) -> Timed:
        return render_ours(plan, renderer, picture, settings.but(seed=seed), previews)

    def raw(seed: int) -> Timed:
        return render_raw(pipeline, picture, settings.but(seed=seed))

    def turns(turn: int, seed: int, other: int) -> Round:
        makers = (lambda: raw(seed), lambda: ours(seed, False), lambda: ours(other, True))
        done = {
            i: makers[i]() for i in ((turn + shift) % 3 for shift in range(3))
        }  # another one first each time
        return Round(done[0], done[1], done[2])

    tell(f"Warming up {plan.checkpoint.id}.")
    turns(0, 0, 0)
    known, fresh = [], []
    for turn in range(plan.times):
        tell(f"Generating, round {turn + 1} of {plan.times}.")
        known.append(turns(turn, 0, 0))  # the conditioning is in the cache
        fresh.append(turns(turn, 1000 + turn, 2000 + turn))  # a seed not seen yet: it is not
    rows = []
    for name, rounds in (("same picture again", known), ("fresh conditioning", fresh)):
        theirs = [one.raw for one in rounds]
        rows.append(_ratio(f"previews off, {name}", theirs, [one.plain for one in rounds], "≤ 1.00"))
        rows.append(_ratio(f"previews on, {name}", theirs, [one.shown for one in rounds], "≤ 1.05"))
    return [*rows, _equality([(one.raw.frames, one.plain.frames) for one in (*known, *fresh)])]


def _ratio(what: str, raw: list[Timed], ours: list[Timed], target: str) -> Figure:
    raw_seconds, our_seconds = (median(one.seconds for one in kind) for kind in (raw, ours))
    pairs = sorted(mine.seconds / theirs.seconds for mine, theirs in zip(ours, raw, strict=True))
    fastest = min(one.seconds for one in ours) / min(one.seconds for one in raw)
    remark = (
        f"{our_seconds:.3f} s ÷ {raw_seconds:.3f} s, medians of {len(raw)}; fastest ÷ fastest {fastest:.3f}; "
        f"single pairs {pairs[0]:.2f} to {pairs[-1]:.2f}"  # far apart: the machine was busy with something else
    )
    ratio = our_seconds / raw_seconds
    return Figure(f"{what}, ours ÷ diffusers", f"{ratio:.3f}", target, remark, ratio)


def _equality(pairs: list[tuple[np.ndarray, np.ndarray]]) -> Figure:
    """The largest difference of any pixel between the two outputs, in 8-bit levels."""
    worst = max(int(np.abs(a.astype(int) - b.astype(int)).max()) for a, b in pairs)
    said = "equal" if worst == 0 else f"off by up to {worst} of 255"
    return Figure("frames of ours and of diffusers", said, "equal", f"{len(pairs)} pairs", float(worst))


def raw_pipeline(parts: Components) -> StableVideoDiffusionPipeline:
    """diffusers' own pipeline over the very objects ours uses."""
    pipeline = StableVideoDiffusionPipeline(
        vae=parts.vae,
        image_encoder=parts.image_encoder,
        unet=parts.unet,
        scheduler=parts.scheduler,
        feature_extractor=parts.feature_extractor,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def render_raw(pipeline: StableVideoDiffusionPipeline, picture: Image.Image, s: GenerationSettings) -> Timed:
    """One `pipeline.__call__`, its frames as 8-bit arrays: the least a user of it would do."""
    started = time.perf_counter()
    frames = pipeline(
        picture,
        height=s.height,
        width=s.width,
        num_frames=s.num_frames,
        num_inference_steps=s.num_inference_steps,
        min_guidance_scale=s.min_guidance_scale,
        max_guidance_scale=s.max_guidance_scale,
        fps=s.fps,
        motion_bucket_id=s.motion_bucket_id,
        noise_aug_strength=s.noise_aug_strength,
        decode_chunk_size=s.decode_chunk_size,
        sigmas=ays_sigmas(s.num_inference_steps, pipeline.scheduler.config.sigma_max)
        if s.schedule == "ays"
        else None,
        generator=torch.Generator("cpu").manual_seed(s.seed),
        output_type="np",
    ).frames[0]
    done = (frames * 255).round().astype("uint8")
    return Timed(time.perf_counter() - started, done)


def render_ours(
    plan: Plan, renderer: r.Renderer, picture: Image.Image, settings: GenerationSettings, previews: bool
) -> Timed:
    """One run through the renderer, with previews made and encoded as the lab's worker does, or without."""
    renderer.previews = previews
    job = work.Job("bench", plan.checkpoint, settings, np.asarray(picture), "bench")
    frames: np.ndarray | None = None
    started = time.perf_counter()
    for update in renderer.render([job]):
        match update:
            case work.Stepped(preview=preview) if preview is not None and plan.show is not None:
                plan.show(preview, settings.effective_playback_fps, PREVIEW_QUALITY)
            case work.Rendered():
                frames = update.frames
            case work.Failed():
                raise update.error
    seconds = time.perf_counter() - started
    assert frames is not None
    return Timed(seconds, frames)


def a_picture(settings: GenerationSettings) -> Image.Image:
    """A picture of exactly the clip's size, with soft and sharp parts."""
    y, x = np.mgrid[0 : settings.height, 0 : settings.width]
    channels = (
        255 * x / settings.width,
        255 * y / settings.height,
        127 + 127 * np.sin(x / 7) * np.cos(y / 5),
    )
    return Image.fromarray(np.stack(channels, axis=-1).astype("uint8"))


def sweep_cells(plan: Plan, renderer: r.Renderer) -> Figure:
    """Ten cells that differ in the motion bucket alone: how often the picture was encoded."""
    settings = plan.settings.but(num_inference_steps=1, seed=77)  # a seed no other measurement used
    picture, before = a_picture(settings), renderer.encodes
    for cell in range(CELLS):
        render_ours(plan, renderer, picture, settings.but(motion_bucket_id=20 * cell + 20), previews=False)
    times = renderer.encodes - before
    return Figure(
        f"conditioning computed for {CELLS} buckets", f"{times}×", "1×", "1 step each", float(times)
    )


# Measuring

MEASURED = ((1024, 576, 4.0), (256, 144, 0.4))  # width, height, seconds that 25 frames may take on two cores


def measuring(width: int, height: int, wanted: float) -> Figure:
    """Seconds to measure 25 frames of a panned texture with something that moves before it, and ÷ bare optical flow."""
    rng = np.random.default_rng(0)
    grains = (rng.random((height // k, (width + 64) // k, 3), np.float32) for k in (2, 4, 16))
    texture = sum(cv2.resize(one, (width + 64, height), interpolation=cv2.INTER_CUBIC) for one in grains)
    texture = (texture.clip(0, 3) * 85).astype(np.uint8)
    frames = np.stack([texture[:, 2 * t : 2 * t + width] for t in range(25)])
    half, side = height // 2, height // 3
    for t, frame in enumerate(frames):
        frame[half : half + side, 3 * t : 3 * t + side] = texture[:side, :side]
    started = time.perf_counter()
    measure_clip(frames, frames[0], 6.0)
    seconds = time.perf_counter() - started
    greys = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    started = time.perf_counter()
    for a, b in pairwise(greys):
        flow(a, b)
    bare = time.perf_counter() - started
    what = f"measuring 25 frames of {width}×{height}"
    said = f"{seconds / bare:.1f} of bare optical flow at that size"
    return Figure(what, f"{seconds:.2f} s", f"≤ {wanted:g} s", said, seconds)


# Starting


def startup(start_repeats: int, help_repeats: int, tell: Say = lambda _: None) -> list[Figure]:
    """Seconds until the page is served and until --help is there, each in a process of its own."""
    tell("Timing the start.")
    rows = [_start_figure(start_repeats)]
    command = help_command()
    seconds = sorted(help_seconds(command) for _ in range(help_repeats))
    remark = f"median of {help_repeats}, {seconds[0]:.2f} to {seconds[-1]:.2f} s"
    return [*rows, Figure("svdlab --help", f"{median(seconds):.2f} s", "≤ 0.7 s", remark, median(seconds))]


def _start_figure(repeats: int) -> Figure:
    what, target = "scripts/run to page served", "≤ 5 s"
    script = Path(__file__).resolve().parents[2] / "scripts" / ("run.cmd" if os.name == "nt" else "run")
    if not script.is_file() or shutil.which("bash") is None:
        return Figure(what, "not measured", target, "there is no scripts/run here: not a checkout")
    tries = [page_seconds(script) for _ in range(repeats)]
    served = sorted(seconds for seconds in tries if seconds is not None)
    if len(served) < repeats:
        return Figure(
            what, "not served", target, f"{len(served)} of {repeats} tries served in {START_SECONDS:g} s"
        )
    remark = f"median of {repeats}, {served[0]:.2f} to {served[-1]:.2f} s"
    return Figure(what, f"{median(served):.2f} s", target, remark, median(served))


def help_command() -> list[str]:
    """The installed command beside this Python, else the module."""
    command = Path(sys.executable).with_name("svdlab")
    return [str(command), "--help"] if command.is_file() else [sys.executable, "-m", "svdlab", "--help"]


def help_seconds(command: list[str]) -> float:
    """Seconds one process takes."""
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


def page_seconds(script: Path) -> float | None:
    """Seconds from starting the script to the first whole answer; None if it is not served in time."""
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix="svdlab-bench-") as folder:
        environment = {
            **os.environ,
            "SVDLAB_PORT": str(port),
            "SVDLAB_HOST": "127.0.0.1",
            "SVDLAB_DATA_DIR": folder,
        }
        started = time.perf_counter()
        with _running([str(script)], environment) as process:
            while time.perf_counter() - started < START_SECONDS and process.poll() is None:
                if _answers(f"http://127.0.0.1:{port}/"):
                    return time.perf_counter() - started
                time.sleep(0.05)
    return None


class _running:
    """A process, ended with everything it started."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def __enter__(self) -> subprocess.Popen[bytes]:
        return self.process

    def __exit__(self, *_: object) -> None:
        try:
            root = psutil.Process(self.process.pid)
            family = [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return
        for end in (psutil.Process.terminate, psutil.Process.kill):
            for one in family:
                with suppress(psutil.NoSuchProcess):
                    end(one)
            family = psutil.wait_procs(family, timeout=10)[1]
        self.process.wait()


def _answers(address: str) -> bool:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(address, timeout=5) as answer:
            return bool(answer.status == 200 and answer.read())
    except (urllib.error.URLError, OSError):
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
