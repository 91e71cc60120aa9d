"""Full size on a graphics card in one command, without any download: what each acceleration, each way of saving memory,
a pair and a batch take, with networks of random numbers made on the device.

Sections go from the most telling on, and each figure is written down as soon as it is there, so that what a run of
eight minutes did not come to is only left out. `SMALL` is the same on networks of a few megabytes, on a CPU too. Knows
the renderer, diffusers and torch's measures; nothing of the lab or its pages. Measures and says; asserts nothing.
"""

from __future__ import annotations

import json
import math
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import diffusers
import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from svdlab.engine import bench, memory, single_file
from svdlab.engine.bench import Say, Timed
from svdlab.engine.components import Components, Stamp
from svdlab.engine.constants import constants_of
from svdlab.engine.loading import latent_rgb
from svdlab.engine.plan import DRIVER, Networks, choose
from svdlab.engine.renderer import Renderer
from svdlab.engine.residency import Asked, Residency
from svdlab.engine.shapes import CLASSES, OFFICIAL_UNET, OFFICIAL_VAE, written
from svdlab.engine.standing import StandIns
from svdlab.environment import Acceleration, Offload
from svdlab.recipes import work
from svdlab.recipes.checkpoint import Checkpoint
from svdlab.recipes.limits import defaults_for
from svdlab.recipes.loras import AddedLora
from svdlab.recipes.settings import GenerationSettings
from svdlab.recipes.shortcuts import SHORTCUTS
from svdlab.weights.catalogue import Catalogue

SECONDS = 450.0  # after which nothing new is begun
REPEATS = 3
CARDS = (12, 8, 6, 4, 3)  # gigabytes
LADDER_STEPS = 6
PAIR_STEPS = 4
BATCHES = (1, 2, 4)
LEFT_OUT = "left out: there was no time for it"
MATRIX = 8192  # side of the product that tells what the device can do at the most


class Size(NamedTuple):
    """What is measured: networks and a clip."""

    unet: str  # configurations as `shapes` writes them
    vae: str
    image_encoder: Mapping[str, Any]
    changes: Mapping[str, Any]  # knobs that are not the official ones


FULL = Size(
    OFFICIAL_UNET,
    OFFICIAL_VAE,
    {
        "hidden_size": 1280,
        "intermediate_size": 5120,
        "projection_dim": 1024,
        "num_hidden_layers": 32,
        "num_attention_heads": 16,
        "patch_size": 14,
    },
    {},
)
SMALL = Size(
    written(
        "UNetSpatioTemporalConditionModel",
        {
            "block_out_channels": (32, 64),
            "down_block_types": ("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
            "up_block_types": ("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
            "addition_time_embed_dim": 32,
            "projection_class_embeddings_input_dim": 96,
            "layers_per_block": 1,
            "cross_attention_dim": 32,
            "num_attention_heads": (2, 4),
        },
    ),
    written(
        "AutoencoderKLTemporalDecoder",
        {
            "block_out_channels": (32, 64),
            "down_block_types": ("DownEncoderBlock2D",) * 2,
            "layers_per_block": 1,
            "force_upcast": True,
        },
    ),
    {
        "hidden_size": 32,
        "intermediate_size": 64,
        "projection_dim": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "patch_size": 32,
    },
    {"width": 64, "height": 64, "num_frames": 2, "num_inference_steps": 2, "decode_chunk_size": 1},
)


@dataclass(frozen=True)
class Row:
    """One line of the table. `raw` is what it was made of, for the file."""

    what: str
    figures: str
    raw: dict[str, Any] = field(default_factory=dict)


class Call(NamedTuple):
    """What every way of calling the UNet is held against: diffusers' answer, its work, and what the device can do."""

    wanted: torch.Tensor
    flops: int
    best: float  # operations a second
    seconds: float


class Given(Residency):
    """Holds components that were made here. `cap` is how much of the device may be used, in bytes."""

    def __init__(
        self,
        held: Mapping[str, Components],
        device: torch.device,
        cap: int | None = None,
        acceleration: Acceleration | None = None,
    ) -> None:
        some = next(iter(held.values()))
        super().__init__(str(device), str(some.dtype).removeprefix("torch."), acceleration=acceleration)
        self._own, self._cap = held, cap
        for parts in held.values():
            for part, stamp in parts.stamps.items():
                self._parts[stamp] = getattr(parts, part)
                self._sizes[stamp] = memory.module_bytes(self._parts[stamp])

    def holds(self, checkpoint: Checkpoint, loras: tuple[AddedLora, ...] = ()) -> bool:
        """Whether it was given."""
        return checkpoint.id in self._own

    def get(
        self, checkpoint: Checkpoint, keep: tuple[str, ...] = (), loras: tuple[AddedLora, ...] = ()
    ) -> Components:
        """As it was given."""
        return self._own[checkpoint.id]

    def bytes_of(self, *asked: Asked) -> int:
        """Of what was given, shared components once."""
        stamps = {stamp for one, _ in asked for stamp in self._own[one.id].stamps.values()}
        return sum(self._sizes[stamp] for stamp in stamps)

    @property
    def room(self) -> int:
        """What is free, or what the cap leaves beside CUDA itself."""
        return super().room if self._cap is None else self._cap - DRIVER

    @property
    def offloads(self) -> tuple[Offload, ...]:
        """All there are, on a CPU too: there the ladder is between two places in main memory."""
        return super().offloads if self._cap is None else memory.OFFLOADS


class Bench:
    """One run of all sections. `raw` is the file that figures are added to, a line of JSON each."""

    def __init__(self, size: Size, device: torch.device, raw: Path, compiled: bool, tell: Say) -> None:
        self.size, self.device, self.raw, self.compiling, self.tell = size, device, raw, compiled, tell
        self.dtype = memory.choose_dtype(device)
        self.began = time.perf_counter()
        self.one, self.two = Catalogue().get("svd-xt"), Catalogue().get("svd-xt-1-1")
        self.settings = defaults_for(self.one).but(**size.changes)
        self.picture = bench.a_picture(self.settings)
        self.exact: Timed | None = None
        self.call: Call | None = None
        torch.manual_seed(0)
        self.parts = made(size, device, self.dtype)

    @property
    def where(self) -> str:
        """On what it is measured."""
        s = self.settings
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else platform.machine()
        return (
            f"{self.device.type} ({name}), {str(self.dtype).removeprefix('torch.')}, torch {torch.__version__}, "
            f"diffusers {diffusers.__version__}, Python {platform.python_version()}; {s.width}×{s.height}, "
            f"{s.num_frames} frames, {s.num_inference_steps} steps, random weights"
        )

    def run(self) -> Iterator[Row]:
        """Every section's rows as they come; a section that fails or that there is no time for is a row too."""
        self._write({"where": self.where, "time": time.time()})
        sections = (
            *(self.calls, self.whole, self.ladder, self.shortcuts, self.pair, self.batches),
            self.compiled,
        )
        for section in sections:
            name = section.__name__
            if time.perf_counter() - self.began > SECONDS:
                yield Row(name, LEFT_OUT)
                continue
            self.tell(f"Measuring: {name}.")
            try:
                for row in section():
                    self._write({"section": name, "what": row.what, "figures": row.figures, **row.raw})
                    yield row
            except Exception as error:  # the next section may still go
                reason = str(error).splitlines()[0][:200] if str(error) else ""
                failed = Row(name, f"failed: {type(error).__name__}: {reason}")
                self._write({"section": name, "what": failed.what, "figures": failed.figures})
                yield failed
            memory.give_back(self.device)

    def _write(self, line: dict[str, Any]) -> None:
        with self.raw.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")

    # One call of the UNet

    @torch.inference_mode()
    def calls(self) -> Iterator[Row]:
        """A call with both branches of guidance, in every way: time, share of what the device can do, memory."""
        best = self._most_flops()
        yield Row("the largest product of matrices", f"{best / 1e12:.0f} TFLOP/s", {"flops": best})
        with FlopCounterMode(display=False) as counter:
            wanted = self.parts.unet(**self._inputs(1)).sample
        self.call = Call(wanted, counter.get_total_flops(), best, 0.0)
        first = self._called("diffusers", StandIns())
        self.call = self.call._replace(seconds=first.raw["seconds"])
        yield first
        yield self._called("constants of a run known", self._constants())
        if self.device.type == "cuda":
            with sdpa_kernel(SDPBackend.CUDNN_ATTENTION):
                yield self._called("cuDNN attention", StandIns())
                yield self._called("constants known, cuDNN attention", self._constants())

    @torch.inference_mode()
    def compiled(self) -> Iterator[Row]:
        """The same compiled: last, as nobody knows beforehand how long that takes."""
        if not self.compiling:
            return
        for name, layers in (
            ("constants known, compiled", self._constants()),
            ("compiled", StandIns()),
        ):
            if time.perf_counter() - self.began > SECONDS:
                yield Row(f"a call: {name}", LEFT_OUT)
                continue
            with compiled_blocks(self.parts.unet):
                yield self._called(name, layers, compiled=True)

    def _called(self, name: str, layers: StandIns, compiled: bool = False) -> Row:
        assert self.call is not None
        unet, asked = self.parts.unet, self._inputs(1)
        with layers.in_place():
            first = self._time(partial(unet, **asked))
            self._forget_peak()
            seconds = median(self._time(partial(unet, **asked)) for _ in range(REPEATS))
            taken = self._peak()
            answer = unet(**asked).sample
        wanted, flops, best, diffusers_seconds = self.call
        figures = (
            f"{seconds * 1e3:.0f} ms, {(diffusers_seconds or seconds) / seconds:.2f}× diffusers, "
            f"{flops / seconds / best:.0%} of the roofline, {taken / 1e9:.2f} GB at its most, {psnr(wanted, answer)}"
        )
        if compiled:
            figures += f", {first - seconds:.0f} s to compile"
        raw = {"seconds": seconds, "first": first, "flops": flops, "peak": taken}
        return Row(f"a call: {name}", figures, raw)

    def _constants(self) -> StandIns:
        asked = self._inputs(1)
        embeds, ids = asked["encoder_hidden_states"], asked["added_time_ids"]
        return constants_of(self.parts.unet, embeds, ids, self.settings.num_frames)

    def _inputs(self, cells: int) -> dict[str, Any]:
        """What the UNet is called with for so many clips, both branches of each."""
        unet, s, scale = self.parts.unet, self.settings, self.parts.vae_scale
        draw = torch.Generator("cpu").manual_seed(1)
        shape = (2 * cells, s.num_frames, unet.config.in_channels, s.height // scale, s.width // scale)
        embeds = torch.randn(2 * cells, 1, unet.config.cross_attention_dim, generator=draw)
        ids = torch.tensor([[6.0, 127.0, 0.02]] * (2 * cells))
        to = {"device": self.device, "dtype": self.dtype}
        return {
            "sample": torch.randn(shape, generator=draw).to(**to),
            "timestep": torch.tensor(1.5, device=self.device),
            "encoder_hidden_states": embeds.to(**to),
            "added_time_ids": ids.to(**to),
        }

    def _most_flops(self) -> float:
        side = MATRIX if self.device.type == "cuda" else 256
        left, right = (torch.randn(side, side, device=self.device).to(self.dtype) for _ in range(2))
        _ = left @ right
        return 2 * side**3 / min(self._time(lambda: left @ right) for _ in range(5))

    # Whole clips

    def whole(self) -> Iterator[Row]:
        """A clip as diffusers' pipeline makes it, and as ours with and without exact acceleration."""
        parts = self.parts
        pipeline = bench.raw_pipeline(parts)
        raw = bench.render_raw(pipeline, self.picture, self.settings)
        yield Row("a clip: diffusers", f"{raw.seconds:.2f} s", {"seconds": raw.seconds})
        for acceleration in ("off", "exact"):
            renderer = self._renderer(acceleration)
            self._render(renderer, self.settings.but(num_inference_steps=1))
            self._forget_peak()
            done = self._render(renderer, self.settings)
            if acceleration == "exact":
                self.exact = done
            figures = (
                f"{done.seconds:.2f} s, {raw.seconds / done.seconds:.2f}× diffusers, "
                f"{self._peak() / 1e9:.1f} GB at its most, {psnr_of_frames(raw.frames, done.frames)}"
            )
            yield Row(
                f"a clip: ours, {acceleration}", figures, {"seconds": done.seconds, "peak": self._peak()}
            )

    def shortcuts(self) -> Iterator[Row]:
        """What changes pixels, beside the exact run."""
        renderer = self._renderer("exact")
        exact = self.exact or self._render(renderer, self.settings)
        for shortcut in SHORTCUTS:
            settings = shortcut.of(self.settings)
            if settings is None:
                yield Row(f"lossy: {shortcut.name}", "saves nothing of so few steps")
                continue
            done = self._render(renderer, settings)
            figures = (
                f"{done.seconds:.2f} s, {exact.seconds / done.seconds:.2f}× exact, "
                f"{psnr_of_frames(exact.frames, done.frames)}"
            )
            yield Row(f"lossy: {shortcut.name}", figures, {"seconds": done.seconds})

    def ladder(self) -> Iterator[Row]:
        """The same clip with less and less of the device's memory, against all of it; then all of it once more."""
        settings = self.settings.but(num_inference_steps=min(LADDER_STEPS, self.settings.num_inference_steps))
        free = self._render(self._renderer("exact"), settings)
        for cap in self._caps(settings):
            renderer = self._renderer("exact", cap=cap)
            with self._capped(cap):
                self._forget_peak()
                update, done = self._rendered(renderer, settings)
                peak = self._peak()
                renderer.residency.set_offload("model")  # what streamed is left as it was
            figures = (
                f"{done.seconds:.2f} s, {peak / 1e9:.2f} GB at its most, {psnr_of_frames(free.frames, done.frames)}; "
                f"{update.outcome.plan} {' '.join(update.outcome.fallbacks)}"
            )
            raw = {"cap": cap, "seconds": done.seconds, "peak": peak, "plan": update.outcome.plan}
            yield Row(
                f"a card of {cap / 1e9:g} GB, {settings.num_inference_steps} steps", figures.strip(), raw
            )
        again = self._render(self._renderer("exact"), settings)
        yield Row("all of the memory again", psnr_of_frames(free.frames, again.frames))

    def _caps(self, settings: GenerationSettings) -> list[int]:
        """Of a card the sizes that people have; of a CPU those at which small networks go another way."""
        if self.device.type == "cuda":
            return [card * 10**9 for card in CARDS]
        networks = Networks.of(self.parts)
        rungs = [
            choose(networks, settings, 0, exact=True, offloads=(offload,)).plan.bytes
            for offload in memory.OFFLOADS
        ]
        return [rung + DRIVER for rung in rungs]

    def pair(self) -> Iterator[Row]:
        """Two checkpoints in lockstep against one after the other."""
        settings = self.settings.but(num_inference_steps=min(PAIR_STEPS, self.settings.num_inference_steps))
        other = replace(
            self.parts,
            unet=network(self.size.unet, self.device, self.dtype),
            stamps={**self.parts.stamps, "unet": Stamp("unet", "b", self.size.unet)},
        )
        renderer = self._renderer("exact", {self.one.id: self.parts, self.two.id: other})
        alone = [self._render(renderer, settings, one) for one in (self.one, self.two)]
        self._forget_peak()
        began = time.perf_counter()
        updates = list(renderer.render([self._job(settings, one) for one in (self.one, self.two)]))
        seconds = self._since(began)
        done = {one.job: one for one in updates if isinstance(one, work.Rendered)}
        equal = all(
            np.array_equal(done[id].frames, one.frames)
            for id, one in zip((self.one.id, self.two.id), alone, strict=True)
        )
        apart = sum(one.seconds for one in alone)
        figures = (
            f"{seconds:.2f} s in lockstep, {apart:.2f} s one after the other, {self._peak() / 1e9:.1f} GB at its "
            f"most, {'the same frames' if equal else 'other frames'}"
        )
        yield Row(
            f"a pair, {settings.num_inference_steps} steps", figures, {"seconds": seconds, "apart": apart}
        )

    @torch.inference_mode()
    def batches(self) -> Iterator[Row]:
        """Cells of a sweep in one call of the UNet."""
        unet = self.parts.unet
        for cells in BATCHES:
            asked = self._inputs(cells)
            unet(**asked)
            self._forget_peak()
            seconds = median(self._time(partial(unet, **asked)) for _ in range(REPEATS)) / cells
            figures = f"{seconds * 1e3:.0f} ms a cell, {self._peak() / 1e9:.1f} GB at its most"
            yield Row(f"a call for {cells} cells", figures, {"seconds": seconds})

    # Tools

    def _renderer(
        self, acceleration: Any, held: Mapping[str, Components] | None = None, cap: int | None = None
    ) -> Renderer:
        """With everything on the device, or in main memory where there is a cap."""
        renderer = Renderer(
            str(self.device), str(self.dtype).removeprefix("torch."), acceleration=acceleration
        )
        held = held or {self.one.id: self.parts}
        for parts in held.values():
            for module in (parts.unet, parts.vae, parts.image_encoder):
                module.to(self.device)
        renderer.residency = given = Given(held, self.device, cap, renderer.acceleration)
        if cap is not None:
            given.set_offload("model")
        return renderer

    def _job(self, settings: GenerationSettings, checkpoint: Checkpoint) -> work.Job:
        return work.Job(checkpoint.id, checkpoint, settings, np.asarray(self.picture), "bench")

    def _render(
        self, renderer: Renderer, settings: GenerationSettings, checkpoint: Checkpoint | None = None
    ) -> Timed:
        return self._rendered(renderer, settings, checkpoint)[1]

    def _rendered(
        self, renderer: Renderer, settings: GenerationSettings, checkpoint: Checkpoint | None = None
    ) -> tuple[work.Rendered, Timed]:
        renderer.previews = False
        began = time.perf_counter()
        for update in renderer.render([self._job(settings, checkpoint or self.one)]):
            if isinstance(update, work.Failed):
                raise update.error
            if isinstance(update, work.Rendered):
                return update, Timed(self._since(began), update.frames)
        raise AssertionError("rendering ended without an end")

    def _since(self, began: float) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter() - began

    def _time(self, act: Callable[[], Any]) -> float:
        self._since(0.0)
        began = time.perf_counter()
        act()
        return self._since(began)

    def _forget_peak(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)

    def _peak(self) -> int:
        """Bytes of the device that torch held at its most; 0 where it does not count."""
        return int(torch.cuda.max_memory_allocated(self.device)) if self.device.type == "cuda" else 0

    @contextmanager
    def _capped(self, cap: int) -> Iterator[None]:
        """Holds this process to what a card of that size has beside CUDA itself."""
        memory.give_back(self.device)
        if self.device.type != "cuda":
            yield
            return
        share = (cap - DRIVER) / memory.total_bytes(self.device)
        torch.cuda.set_per_process_memory_fraction(min(1.0, share), self.device)
        try:
            yield
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0, self.device)


def network(config: str, device: torch.device, dtype: torch.dtype) -> Any:
    """One with random numbers, made on the device in that dtype."""
    content = json.loads(config)
    with torch.device(device), _default(dtype):
        return CLASSES[content["_class_name"]].from_config(content).eval().requires_grad_(False).to(dtype)


def made(size: Size, device: torch.device, dtype: torch.dtype) -> Components:
    """Components with random numbers, made on the device."""
    with torch.device(device), _default(dtype):
        encoder = CLIPVisionModelWithProjection(CLIPVisionConfig(image_size=224, **size.image_encoder))
    unet, vae = network(size.unet, device, dtype), network(size.vae, device, dtype)
    configs = {"unet": size.unet, "vae": size.vae, "image_encoder": json.dumps(dict(size.image_encoder))}
    return Components(
        image_encoder=encoder.eval().requires_grad_(False).to(dtype),
        vae=vae,
        unet=unet,
        scheduler=single_file.scheduler(),
        feature_extractor=single_file.feature_extractor(),
        latent_rgb=latent_rgb(None, int(unet.config.in_channels) // 2),
        stamps={part: Stamp(part, "a", config) for part, config in configs.items()},
        device=device,
    )


@contextmanager
def _default(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def compiled_blocks(unet: Any) -> Iterator[None]:
    """Has a UNet's blocks compiled for a while, one by one: like ones are compiled once."""
    blocks = [*unet.down_blocks, unet.mid_block, *unet.up_blocks]
    for block in blocks:
        block.compile()
    try:
        yield
    finally:
        for block in blocks:
            block._compiled_call_impl = None


def psnr(wanted: torch.Tensor, made: torch.Tensor) -> str:
    """How near one is to the other, against the range of what is wanted, in words."""
    error = float((wanted.float() - made.float()).pow(2).mean())
    reach = float(wanted.float().max() - wanted.float().min())
    return "the same bits" if not error else f"{10 * math.log10(reach**2 / error):.0f} dB"


def psnr_of_frames(wanted: np.ndarray, made: np.ndarray) -> str:
    """The same of 8-bit frames."""
    error = float(np.mean((wanted.astype(np.float64) - made) ** 2))
    return "the same frames" if not error else f"{10 * math.log10(255**2 / error):.1f} dB"


def measure(
    device: str = "auto",
    small: bool = False,
    raw: Path | None = None,
    compiled: bool = True,
    say: Say | None = None,
) -> tuple[str, Sequence[Row]]:
    """All sections: on what, and the rows. `raw` is the file that figures are added to as they come."""
    tell = say or (lambda _: None)
    chosen = memory.choose_device(device)
    own = Bench(SMALL if small else FULL, chosen, raw or Path("svdlab-bench-gpu.jsonl"), compiled, tell)
    rows = []
    for row in own.run():
        tell(f"{row.what}: {row.figures}")
        rows.append(row)
    return own.where, rows
