"""Renders recipes: one, or several in lockstep, as a stream of updates. Owns what is in memory.

Knows residency and the sampler; nothing of histories, folders of runs or screens.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import diffusers
import numpy as np
import psutil
import torch
import transformers
from PIL import Image

from svdlab import __version__
from svdlab.engine import fast, loading, memory, plan, sampler
from svdlab.engine import latents as kept
from svdlab.engine.components import Components
from svdlab.engine.plan import Networks
from svdlab.engine.residency import Asked, Residency, held_as
from svdlab.engine.sampler import Conditioning, Noise
from svdlab.engine.ways import WAYS, Way, ways_of
from svdlab.environment import Acceleration, Offload
from svdlab.errors import OutOfMemory, RenderFailed, SvdlabError
from svdlab.recipes.checkpoint import Checkpoint
from svdlab.recipes.plan import Plan
from svdlab.recipes.records import AYS_LEVELS, Outcome, Resident
from svdlab.recipes.settings import GenerationSettings
from svdlab.recipes.work import (
    Decoding,
    Encoding,
    Failed,
    Job,
    Loading,
    Rendered,
    Stepped,
    Stop,
    Stopped,
    Update,
)
from svdlab.weights.content import Hashes

CACHED_CONDITIONINGS = 16  # each a few hundred KB at full size


class _Stop(Exception):
    """Raised between two pieces of work when a job was asked to stop."""


@dataclass
class _Progress:
    """What is known of one job while it is rendered."""

    job: Job
    parts: Components
    noise: Noise
    seconds: dict[str, float] = field(default_factory=dict)
    fallbacks: list[str] = field(default_factory=list)
    latents: torch.Tensor | None = None
    chunk: int = 0
    way: Way = WAYS[0]
    plan: Plan | None = None


class Renderer:
    """Renders jobs on one device with cached components and conditionings. Not thread-safe.

    `encodes` counts how often a picture was really encoded. `acceleration` None is exact on a GPU and off on a CPU.
    """

    def __init__(
        self,
        device: str = "auto",
        dtype: str = "auto",
        budget_bytes: int | None = None,
        previews: bool = True,
        offload: Offload | None = None,
        hashes: Hashes | None = None,
        acceleration: Acceleration | None = None,
    ) -> None:
        self.residency = Residency(device, dtype, budget_bytes, offload, hashes, acceleration)
        self.previews = previews
        self.encodes = 0
        self._conditionings: OrderedDict[tuple[Any, ...], Conditioning] = OrderedDict()
        self._decode_cost: dict[str, float] = {}  # checkpoint → seconds per frame and pixel, once seen

    @property
    def device_name(self) -> str:
        """The device in words: 'cpu', 'cuda (NVIDIA H200)'."""
        device = self.residency.device
        return f"cuda ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else device.type

    def resident(self) -> list[Resident]:
        """What is in memory now, shared components once, and how it is computed with."""
        return self.residency.resident()

    @property
    def acceleration(self) -> Acceleration:
        """How it is computed: off, exact or fast."""
        return self.residency.acceleration

    def _arithmetic(self) -> AbstractContextManager[object]:
        on, dtype = self.residency.device, self.residency.dtype
        return fast.arithmetic(on, dtype) if self.acceleration == "fast" else nullcontext()

    def render(self, jobs: Sequence[Job], stop: Stop = lambda _: False) -> Generator[Update, None, None]:
        """Renders all jobs; ends each with exactly one of Rendered, Failed, Stopped.

        Several jobs advance step by step together if their weights fit in memory at once, else one after
        another. `stop` is asked between any two pieces of work.
        """
        together = len(jobs) > 1 and self._fit_together(jobs)
        for group in [jobs] if together else [[job] for job in jobs]:
            yield from self._render_group(group, stop)

    def _fit_together(self, jobs: Sequence[Job]) -> bool:
        first, *others = jobs
        try:
            return all(
                self.residency.fits_beside(first.checkpoint, other.checkpoint, first.loras, other.loras)
                for other in others
            )
        except SvdlabError:  # said per job when it is loaded
            return False

    def _render_group(self, jobs: Sequence[Job], stop: Stop) -> Iterator[Update]:
        together = tuple((job.checkpoint, job.loras) for job in jobs)
        stages = {job.id: self._stages(job, stop, together) for job in jobs}
        while stages:
            for id in list(stages):
                try:
                    yield next(stages[id])
                except StopIteration:
                    del stages[id]
                except _Stop:
                    del stages[id]
                    yield Stopped(id)
                except OutOfMemory as error:
                    del stages[id]
                    self._forget_all()
                    yield Failed(id, error)
                except SvdlabError as error:
                    del stages[id]
                    yield Failed(id, error)
                except Exception as error:  # a defect of ours or of a library must not take the worker down
                    del stages[id]
                    reason = str(error).splitlines()[0][:200] if str(error) else ""
                    yield Failed(id, RenderFailed(f"rendering failed: {type(error).__name__}: {reason}"))

    def _stages(self, job: Job, stop: Stop, together: Sequence[Asked]) -> Iterator[Update]:
        def check() -> None:
            if stop(job.id):
                raise _Stop

        check()
        clock = time.perf_counter()
        if not self.residency.holds(job.checkpoint, job.loras):
            yield Loading(job.id)
        fallbacks: list[str] = []
        parts = self._load(job, tuple(held_as(*one) for one in together), fallbacks)
        noise = sampler.draw_noise(job.settings, parts.latent_channels, parts.vae_scale)
        progress = _Progress(job, parts, noise, fallbacks=fallbacks, latents=_given(job))
        self._spent(progress, "load", clock)
        check()
        self._plan(progress, together)
        if progress.latents is None:
            yield Encoding(job.id)
            yield from self._sample(progress, check)
        check()
        clock = time.perf_counter()
        pieces: list[np.ndarray] = []
        yield from self._decode(progress, pieces, check)
        self._spent(progress, "decode", clock)
        yield self._rendered(progress, np.concatenate(pieces))

    def _load(self, job: Job, keep: tuple[str, ...], fallbacks: list[str]) -> Components:
        """The job's components, with less on the device each time it runs out of memory."""
        while True:
            try:
                parts = self.residency.get(job.checkpoint, keep, job.loras)
                if job.decoder_from is None:
                    return parts
                vae, stamp = self.residency.get_part(job.decoder_from, "vae")
                return replace(parts, vae=vae, stamps={**parts.stamps, "vae": stamp})
            except Exception as error:
                if not memory.is_exhausted(error):
                    raise
            if self.residency.evict_all_but({held_as(job.checkpoint, job.loras), *keep}):
                fallbacks.append("Other checkpoints left memory while this one was loaded.")
            elif not self._offload_more(fallbacks, "loading"):
                raise _out_of_memory(job)

    def _offload_more(self, fallbacks: list[str], stage: str) -> bool:
        """Keeps less of the weights on the device; returns whether there was a way to."""
        offload = self.residency.next_offload()
        if offload is None or self.residency.device.type == "cpu":
            return False
        self.residency.set_offload(offload)
        fallbacks.append(f"Memory ran out while {stage}: the weights were offloaded ({offload}).")
        return True

    def _sample(self, progress: _Progress, check: Callable[[], None]) -> Iterator[Stepped]:
        """Encodes and denoises, again from the start with less on the device if memory runs out."""
        while True:
            try:
                clock = time.perf_counter()
                conditioning = self._conditioning(progress.job, progress.parts, progress.noise)
                self._spent(progress, "encode", clock)
                progress.seconds["denoise"] = 0.0
                check()
                yield from self._denoise(progress, conditioning, check)
                return
            except (_Stop, SvdlabError):
                raise
            except Exception as error:
                if not memory.is_exhausted(error):
                    raise
            memory.give_back(self.residency.device)
            if not self._smaller_way(progress) and not self._offload_more(progress.fallbacks, "sampling"):
                raise _out_of_memory(progress.job)

    def _plan(self, progress: _Progress, together: Sequence[Asked]) -> None:
        """Chooses the fastest way that fits in the memory there is, beside the weights of all that render together."""
        residency, parts, settings = self.residency, progress.parts, progress.job.settings
        chosen = plan.choose(
            Networks.of(parts),
            settings,
            residency.room,
            exact=self.acceleration != "off",
            offloads=residency.offloads,
            resident=max(residency.bytes, residency.bytes_of(*together) if len(together) > 1 else 0),
            sampled=progress.latents is None,
        )
        residency.set_offload(chosen.plan.offload)
        progress.plan, progress.way, progress.chunk = chosen.plan, chosen.way, chosen.plan.decoded

    def plan(self, checkpoints: Sequence[Checkpoint], settings: GenerationSettings) -> Plan:
        """How a clip of the first of these would be rendered now, beside the weights of all of them.

        For whoever asks before the run, from any thread. May take seconds. Raises `CheckpointUnavailable`,
        `BadCheckpoint`.
        """
        residency = self.residency
        weights = {one.id: loading.open_weights(one, residency.hashes) for one in checkpoints}
        first, *others = (Networks.of_weights(own, residency.dtype) for own in weights.values())
        # Without reading files for their content: two checkpoints mostly share all but the UNet.
        together = first.bytes + sum(other.unet_bytes for other in others)
        return plan.choose(
            first,
            settings,
            residency.room,
            exact=self.acceleration != "off",
            offloads=residency.offloads,
            resident=max(residency.bytes, together),
        ).plan

    @staticmethod
    def _smaller_way(progress: _Progress) -> bool:
        """Takes the next way that needs less memory; returns whether there was one."""
        ways = ways_of(progress.job.settings)
        place = ways.index(progress.way) + 1
        if place == len(ways):
            return False
        progress.way = ways[place]
        progress.fallbacks.append(f"Memory ran out while sampling: now {progress.way}.")
        return True

    def _denoise(
        self, progress: _Progress, conditioning: Conditioning, check: Callable[[], None]
    ) -> Iterator[Stepped]:
        job, parts = progress.job, progress.parts
        exact = self.acceleration != "off"
        steps = sampler.denoise(parts, conditioning, progress.noise, job.settings, exact, progress.way)
        decode_seconds = self._decode_cost.get(job.checkpoint.id, 0.0) * _pixels(job.settings)
        while True:
            clock = time.perf_counter()
            with self.residency.computing(parts.unet), self._arithmetic():
                step = next(steps, None)
            progress.seconds["denoise"] += (
                time.perf_counter() - clock
            )  # lockstep: the other job's time is not ours
            if step is None:
                return
            progress.latents = step.latents
            own = progress.seconds["denoise"] / step.index * (step.total - step.index)
            shown = sampler.preview(parts, step.predicted) if self.previews else None
            yield Stepped(job.id, step.index, step.total, own + decode_seconds, shown)
            check()

    def _decode(
        self, progress: _Progress, pieces: list[np.ndarray], check: Callable[[], None]
    ) -> Iterator[Decoding]:
        """Decodes into `pieces`, in smaller chunks each time memory runs out, then with less on the device."""
        job, parts = progress.job, progress.parts
        assert progress.latents is not None
        latents = progress.latents.to(parts.device, parts.dtype)
        while True:
            try:
                with self.residency.computing(parts.vae), self._arithmetic():
                    for chunk in sampler.decode(parts, latents, progress.chunk):
                        pieces.append(chunk.frames)
                        done = chunk.start + len(chunk.frames)
                        yield Decoding(job.id, done, chunk.total, chunk.seconds_left)
                        check()
                return
            except (_Stop, SvdlabError):
                raise
            except Exception as error:
                if not memory.is_exhausted(error):
                    raise
            pieces.clear()
            memory.give_back(self.residency.device)
            smaller = [n for n in plan.chunks(progress.chunk) if n < progress.chunk]
            if smaller:
                progress.fallbacks.append(
                    f"Memory ran out while decoding {progress.chunk} frames at once: {smaller[0]} were decoded at once."
                )
                progress.chunk = smaller[0]
            elif not self._offload_more(progress.fallbacks, "decoding"):
                raise _out_of_memory(job)

    def _conditioning(self, job: Job, parts: Components, noise: Noise) -> Conditioning:
        """From the cache, or computed: the same picture, size, seed and strength give the same tensors."""
        s = job.settings
        clip_key = ("clip", parts.stamps["image_encoder"], job.picture_key)
        vae_key = (
            "vae",
            parts.stamps["vae"],
            job.picture_key,
            s.width,
            s.height,
            s.seed,
            s.noise_aug_strength,
        )
        key = (*clip_key, *vae_key)
        held = self._conditionings.get(key)
        if held is None:
            picture = Image.fromarray(job.picture)
            with self.residency.computing(parts.image_encoder):
                embeds = sampler.encode_clip(parts, picture)
            with self.residency.computing(parts.vae):
                held = Conditioning(embeds, sampler.encode_vae(parts, picture, noise, s))
            self.encodes += 1
            self._conditionings[key] = held
            if len(self._conditionings) > CACHED_CONDITIONINGS:
                self._conditionings.popitem(last=False)
        self._conditionings.move_to_end(key)
        return held

    def _rendered(self, progress: _Progress, frames: np.ndarray) -> Rendered:
        job, parts = progress.job, progress.parts
        self._decode_cost[job.checkpoint.id] = progress.seconds["decode"] / _pixels(job.settings)
        outcome = Outcome(
            noise_sha256=progress.noise.sha256,
            noise_frames=progress.noise.frame_hashes,
            seconds=progress.seconds,
            device=self.device_name,
            dtype=str(parts.dtype).removeprefix("torch."),
            peak_memory_bytes=self._peak_memory(),
            decode_chunk_size=min(progress.chunk, job.settings.num_frames),
            offload=self.residency.offload,
            sampling=str(progress.way),
            plan=progress.plan.sentence if progress.plan else "",
            fallbacks=tuple(progress.fallbacks),
            latents_of=job.latents_of,
        )
        assert progress.latents is not None
        latents = kept.pack(progress.latents) if job.latents is None else b""
        return Rendered(job.id, frames, latents, self._versions(parts, job.settings), outcome)

    def _versions(self, parts: Components, settings: GenerationSettings) -> dict[str, str]:
        """What decides the bits beside the recipe. No times or ids: a rerun must give the same file."""
        return {
            "svdlab": __version__,
            "torch": torch.__version__,
            "diffusers": diffusers.__version__,
            "transformers": transformers.__version__,
            "device": self.device_name,
            "dtype": str(parts.dtype).removeprefix("torch."),
            **{f"{part}_sha256": key for part, key in parts.keys.items()},
            **self._accelerated(parts.dtype),
            **(dict([AYS_LEVELS]) if settings.schedule == "ays" else {}),
        }

    def _accelerated(self, dtype: torch.dtype) -> dict[str, str]:
        said: dict[str, str] = {"acceleration": self.acceleration} if self.acceleration != "off" else {}
        quick = fast.computes_in(self.residency.device, dtype)
        if self.acceleration == "fast" and quick != dtype:
            said["computed_in"] = str(quick).removeprefix("torch.")
        return said

    def _peak_memory(self) -> int:
        if self.residency.device.type == "cuda":
            return int(torch.cuda.max_memory_allocated(self.residency.device))
        return int(psutil.Process().memory_info().rss)

    def _forget_all(self) -> None:
        self._conditionings.clear()
        for entry in {id for r in self.resident() for id in r.used_by}:
            self.residency.evict(entry)

    @staticmethod
    def _spent(progress: _Progress, what: str, since: float) -> float:
        now = time.perf_counter()
        progress.seconds[what] = now - since
        return now


def _given(job: Job) -> torch.Tensor | None:
    """The latents that a job brings along. Raises `BadInput` if they are not ones."""
    return None if job.latents is None else kept.unpack(job.latents)


def _pixels(settings: GenerationSettings) -> int:
    return settings.num_frames * settings.width * settings.height


def _out_of_memory(job: Job) -> OutOfMemory:
    s = job.settings
    return OutOfMemory(
        f"the device ran out of memory at {s.width}×{s.height}, {s.num_frames} frames, even with smaller decode chunks "
        f"and offloaded weights; make the clip smaller or shorter"
    )
