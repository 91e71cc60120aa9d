"""Which weights are in memory: loaded once, shared by content, moved or evicted when memory is short.

Knows loading and memory sizes; nothing of sampling, runs or screens.
"""

from __future__ import annotations

import json
from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from svdlab.engine import fast, loading, memory
from svdlab.engine.components import Components, Stamp
from svdlab.engine.loading import Weights
from svdlab.engine.loras import add_to
from svdlab.engine.memory import choose_device, choose_dtype, module_bytes
from svdlab.engine.streaming import Streamed, order_of
from svdlab.environment import Acceleration, Offload
from svdlab.errors import SvdlabError
from svdlab.recipes.checkpoint import Checkpoint
from svdlab.recipes.loras import AddedLora
from svdlab.recipes.records import Resident
from svdlab.weights.content import Hashes, State, signature, state_of
from svdlab.weights.layouts.single_files import PARTS

Asked = tuple[Checkpoint, tuple[AddedLora, ...]]  # a checkpoint, and what is added to its UNet


@dataclass(frozen=True)
class _Held:
    """A checkpoint in memory, and the state of its files when it was loaded."""

    components: Components
    stamps: frozenset[Stamp]
    signature: tuple[State, ...]


class Residency:
    """Components of checkpoints on one device. Not thread-safe: one worker owns it.

    `loads` counts how many components were ever read from disk. `offload` says where weights wait: 'none' on the
    device, 'model' in main memory, each component moved when its stage computes, 'streamed' the same, but the UNet
    comes piece by piece while it computes. None as `offload` chooses from the free memory whenever something is loaded;
    None as `acceleration` is exact on a GPU and off on a CPU.
    """

    def __init__(
        self,
        device: str = "auto",
        dtype: str = "auto",
        budget_bytes: int | None = None,
        offload: Offload | None = None,
        hashes: Hashes | None = None,
        acceleration: Acceleration | None = None,
    ) -> None:
        self.hashes = hashes or Hashes()
        self.device = choose_device(device)
        self.acceleration = fast.choose_acceleration(self.device, acceleration)
        self.dtype = choose_dtype(self.device, dtype)
        self.budget_bytes = budget_bytes or memory.default_budget(self.device)
        self.loads = 0
        self._wanted = offload
        self.offload: Offload = self._wanted or "none"
        self._parts: dict[Stamp, Any] = {}
        self._sizes: dict[Stamp, int] = {}
        self._held: OrderedDict[str, _Held] = OrderedDict()
        self._busy: Counter[int] = Counter()  # how many stages compute with a module now
        self._streams: dict[int, Streamed] = {}  # by the module's id

    def holds(self, checkpoint: Checkpoint, loras: tuple[AddedLora, ...] = ()) -> bool:
        """Whether a checkpoint would be served without loading anything: its files are those that were loaded."""
        held = self._held.get(held_as(checkpoint, loras))
        try:
            return held is not None and held.signature == _signature(checkpoint, loras)
        except SvdlabError:
            return False

    def resident(self) -> list[Resident]:
        """What is in memory now, shared components once."""
        return [
            Resident(
                stamp.part,
                stamp.key,
                size,
                tuple(id for id, held in list(self._held.items()) if stamp in held.stamps),
                self.offload,
                self.acceleration,
            )
            for stamp, size in list(self._sizes.items())
        ]

    @property
    def bytes(self) -> int:
        """Bytes of all weights in memory."""
        return sum(list(self._sizes.values()))  # whoever plans for a page asks from another thread

    def get(
        self, checkpoint: Checkpoint, keep: tuple[str, ...] = (), loras: tuple[AddedLora, ...] = ()
    ) -> Components:
        """The components of a checkpoint, with LoRAs added to its UNet, loading what is not in memory.

        What is in memory is used only while the files are the same: an id may be given to other weights, and a file may
        be written over. What is named in `keep`, as by `held_as`, is not evicted. A UNet with LoRAs is another than the
        one without, which it leaves as it is. Raises `CheckpointUnavailable`, `BadCheckpoint`.
        """
        now, name = _signature(checkpoint, loras), held_as(checkpoint, loras)
        held = self._held.get(name)
        if held is not None and held.signature == now:
            self._held.move_to_end(name)
            return held.components
        weights = loading.open_weights(checkpoint, self.hashes)
        stamps = self._stamps(weights, loras=loras)
        self._held.pop(name, None)
        missing = [stamp for stamp in stamps if stamp not in self._parts]
        needed = {stamp: self._bytes_of(weights, stamp.part) for stamp in missing}
        if held is not None:
            self._forget_unused(set(stamps))
        self._make_room(sum(needed.values()), {name, *keep}, set(stamps))
        self._choose_offload([*self._sizes.values(), *needed.values()])
        for stamp in missing:
            self._load(weights, stamp, loras)
        parts = {stamp.part: self._parts[stamp] for stamp in stamps}
        scheduler, extractor = weights.light_parts()
        channels = int(parts["unet"].config.in_channels) // 2
        components = Components(
            **parts,
            scheduler=scheduler,
            feature_extractor=extractor,
            latent_rgb=weights.latent_rgb(channels),
            stamps={stamp.part: stamp for stamp in stamps},
            device=self.device,
        )
        self._held[name] = _Held(components, frozenset(stamps), now)
        return components

    def get_part(self, checkpoint: Checkpoint, part: str) -> tuple[Any, Stamp]:
        """One component and what it is, without the rest of its checkpoint; it stays until something is evicted.

        Raises `CheckpointUnavailable`, `BadCheckpoint`.
        """
        weights = loading.open_weights(checkpoint, self.hashes)
        [stamp] = self._stamps(weights, (part,))
        if stamp not in self._parts:
            self._load(weights, stamp)
        return self._parts[stamp], stamp

    def _stamps(
        self, weights: Weights, parts: tuple[str, ...] = PARTS, loras: tuple[AddedLora, ...] = ()
    ) -> list[Stamp]:
        """What each component is: its numbers, and what its class is built from."""
        stamps = []
        for part in parts:
            key = self.hashes.key(weights.checkpoint, part, str(self.dtype).removeprefix("torch."))
            config = json.dumps(dict(weights.config(part)), sort_keys=True, default=str)
            added = tuple((lora.file.sha256, lora.strength) for lora in loras) if part == "unet" else ()
            stamps.append(Stamp(part, key, config, added))
        return stamps

    def _load(self, weights: Weights, stamp: Stamp, loras: tuple[AddedLora, ...] = ()) -> None:
        module = weights.load(stamp.part, self.dtype)
        if stamp.loras:
            add_to(module, loras, weights.checkpoint.id)
        if self.acceleration == "fast":
            fast.lay_out(module, self.device)
        self._sizes[stamp] = module_bytes(module)
        self._parts[stamp] = self._settle(stamp.part, module)
        self.loads += 1

    def fits_beside(
        self,
        checkpoint: Checkpoint,
        other: Checkpoint,
        loras: tuple[AddedLora, ...] = (),
        others: tuple[AddedLora, ...] = (),
    ) -> bool:
        """Whether both checkpoints' weights, each with its LoRAs, fit in the budget."""
        return self.bytes_of((checkpoint, loras), (other, others)) <= self.budget_bytes

    def bytes_of(self, *asked: Asked) -> int:
        """Bytes of these checkpoints' weights, shared ones counted once, whether they are in memory or not."""
        sizes: dict[Stamp, int] = {}
        for one, added in asked:
            weights = loading.open_weights(one, self.hashes)
            stamps = self._stamps(weights, loras=added)
            sizes |= {stamp: self._bytes_of(weights, stamp.part) for stamp in stamps}
        return sum(sizes.values())

    def _bytes_of(self, weights: Weights, part: str) -> int:
        return weights.values(part) * self.dtype.itemsize

    # Where weights wait

    @contextmanager
    def computing(self, *modules: torch.nn.Module) -> Iterator[None]:
        """Has these components on the device while they compute."""
        if self.offload == "none":
            yield
            return
        with ExitStack() as streams:
            for module in modules:
                if id(module) in self._streams:
                    streams.enter_context(self._streams[id(module)].flowing())
            with self._moved([module for module in modules if id(module) not in self._streams]):
                yield

    @contextmanager
    def _moved(self, modules: list[torch.nn.Module]) -> Iterator[None]:
        if not modules:
            yield
            return
        for module in modules:
            self._busy[id(module)] += 1
            module.to(self.device)
        try:
            yield
        finally:
            for module in modules:
                self._busy[id(module)] -= 1
                if not self._busy[id(module)]:  # in lockstep the other side may be in it still
                    module.to("cpu")
            memory.give_back(self.device)

    def set_offload(self, offload: Offload) -> None:
        """Moves everything that is in memory to where it now waits."""
        if offload == self.offload:
            return
        self.offload = offload
        for stamp, module in self._parts.items():
            self._settle(stamp.part, module)
        memory.give_back(self.device)

    @property
    def room(self) -> int:
        """Bytes of the device that a run may take, its weights included."""
        on_device = self.bytes if self.offload == "none" else 0
        return memory.free_bytes(self.device) + on_device

    @property
    def offloads(self) -> tuple[Offload, ...]:
        """Where weights may wait, from the fastest on: where it is wanted, else from where all of them fit."""
        if self._wanted:
            return (self._wanted,)
        if self.device.type == "cpu":
            return ("none",)
        least = memory.choose_offload(
            self.device, list(self._sizes.values()), min(self.room, self.budget_bytes)
        )
        return memory.OFFLOADS[memory.OFFLOADS.index(least) :]

    def next_offload(self) -> Offload | None:
        """The next way that takes less of the device's memory, or None after the last."""
        place = memory.OFFLOADS.index(self.offload) + 1
        return memory.OFFLOADS[place] if place < len(memory.OFFLOADS) else None

    def _choose_offload(self, sizes: list[int]) -> None:
        if self._wanted is None:
            self.set_offload(memory.choose_offload(self.device, sizes, min(self.room, self.budget_bytes)))

    def _settle(self, part: str, module: Any) -> Any:
        """Puts a component where it waits."""
        if id(module) in self._streams:
            self._streams.pop(id(module)).stop()
        if self.offload == "streamed" and part == "unet":
            self._streams[id(module)] = Streamed(module, order_of(module), self.device)
            return module
        return module.to(self.device if self.offload == "none" else "cpu")

    # What leaves

    def _make_room(self, needed: int, keep: set[str], stamps: set[Stamp]) -> None:
        """Forgets the least recently used checkpoints until `needed` bytes fit beside the rest."""
        for id in list(self._held):
            if self.bytes + needed <= self.budget_bytes:
                return
            if id not in keep:
                self.evict(id, still_needed=stamps)

    def evict(self, checkpoint_id: str, still_needed: set[Stamp] | None = None) -> None:
        """Forgets a checkpoint; components no other one uses leave memory."""
        self._held.pop(checkpoint_id, None)
        self._forget_unused(still_needed or set())
        memory.give_back(self.device)

    def _forget_unused(self, still_needed: set[Stamp]) -> None:
        used = still_needed.union(*(held.stamps for held in self._held.values()))
        for stamp in [stamp for stamp in self._parts if stamp not in used]:
            self._streams.pop(id(self._parts[stamp]), None)
            del self._parts[stamp], self._sizes[stamp]

    def evict_all_but(self, keep: set[str]) -> bool:
        """Forgets every other checkpoint; returns whether there was one."""
        others = [id for id in self._held if id not in keep]
        for id in others:
            self.evict(id)
        return bool(others)


def held_as(checkpoint: Checkpoint, loras: tuple[AddedLora, ...] = ()) -> str:
    """What a checkpoint with LoRAs is called among those in memory: 'svd-xt + tdd 0.8'; alone, its id."""
    return " + ".join((checkpoint.id, *map(str, loras)))


def _signature(checkpoint: Checkpoint, loras: tuple[AddedLora, ...]) -> tuple[State, ...]:
    """The states of all files it is loaded from."""
    return (*signature(checkpoint), *(state_of(Path(lora.file.path)) for lora in loras))
