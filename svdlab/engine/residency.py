"""Which weights are in memory: loaded once, shared by content, evicted when the budget is full.

Knows loading and memory sizes; nothing of sampling, runs or screens.
"""

from __future__ import annotations

import gc
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import psutil
import torch

from svdlab.checkpoints import Checkpoint
from svdlab.engine import loading
from svdlab.engine.loading import Components


def choose_device(wanted: str = "auto") -> torch.device:
    """'auto' is the best there is: CUDA, Apple's MPS, then the CPU."""
    if wanted != "auto":
        return torch.device(wanted)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def choose_dtype(device: torch.device, wanted: str = "auto") -> torch.dtype:
    """'auto' is float16 on CUDA, float32 elsewhere (MPS gives black frames in half precision)."""
    if wanted != "auto":
        return {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}[wanted]
    return torch.float16 if device.type == "cuda" else torch.float32


def module_bytes(module: torch.nn.Module) -> int:
    """Bytes of a module's parameters and buffers."""
    tensors = (*module.parameters(), *module.buffers())
    return sum(t.numel() * t.element_size() for t in tensors)


def default_budget(device: torch.device) -> int:
    """Bytes of weights to keep: most of a GPU, a bit more than half of the machine's memory."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory * 0.75)
    return int(psutil.virtual_memory().total * 0.55)


@dataclass(frozen=True)
class Resident:
    """One loaded component: its bytes, and the checkpoints that use it."""

    part: str
    key: str
    bytes: int
    used_by: tuple[str, ...]


class Residency:
    """Components of checkpoints on one device. Not thread-safe: one worker owns it.

    `loads` counts how many components were ever read from disk.
    """

    def __init__(self, device: str = "auto", dtype: str = "auto", budget_bytes: int | None = None) -> None:
        self.device = choose_device(device)
        self.dtype = choose_dtype(self.device, dtype)
        self.budget_bytes = budget_bytes or default_budget(self.device)
        self.loads = 0
        self._parts: dict[tuple[str, str], Any] = {}
        self._held: OrderedDict[str, Components] = OrderedDict()

    def holds(self, checkpoint_id: str) -> bool:
        """Whether a checkpoint would be served without loading anything."""
        return checkpoint_id in self._held

    def resident(self) -> list[Resident]:
        """What is in memory now, shared components once."""
        return [
            Resident(
                part,
                key,
                module_bytes(module),
                tuple(id for id, c in self._held.items() if c.keys[part] == key),
            )
            for (part, key), module in self._parts.items()
        ]

    @property
    def bytes(self) -> int:
        """Bytes of all weights in memory."""
        return sum(module_bytes(module) for module in self._parts.values())

    def get(self, checkpoint: Checkpoint, keep: tuple[str, ...] = ()) -> Components:
        """The components of a checkpoint, loading what is not in memory.

        Checkpoints in `keep` are not evicted. Raises `CheckpointUnavailable`, `BadCheckpoint`.
        """
        held = self._held.get(checkpoint.id)
        if held is not None:
            self._held.move_to_end(checkpoint.id)
            return held
        folder = loading.resolve_folder(checkpoint)
        loading.check_index(folder)
        loading.check_layout(checkpoint, folder)
        keys = loading.component_keys(checkpoint, folder)
        loaders = loading.part_loaders(checkpoint, folder, self.dtype)
        parts = {}
        for part, key in keys.items():
            if (part, key) not in self._parts:
                module = loaders[part]()
                self._make_room(module_bytes(module), {checkpoint.id, *keep}, keys)
                self._parts[part, key] = module.to(self.device)
                self.loads += 1
            parts[part] = self._parts[part, key]
        scheduler, extractor = loading.light_parts(folder)
        channels = int(parts["unet"].config.in_channels) // 2
        components = Components(
            **parts,
            scheduler=scheduler,
            feature_extractor=extractor,
            latent_rgb=loading.latent_rgb(folder, channels),
            keys=keys,
        )
        self._held[checkpoint.id] = components
        return components

    def fits_beside(self, checkpoint: Checkpoint, other: Checkpoint) -> bool:
        """Whether both checkpoints' weights, shared ones counted once, fit in the budget (by file size)."""
        sizes: dict[str, int] = {}
        for one in (checkpoint, other):
            folder = loading.resolve_folder(one)
            keys = loading.component_keys(one, folder)
            for part, key in keys.items():
                path = (
                    folder / one.source.image_decoder_file
                    if part == "vae" and one.source.image_decoder_file
                    else loading.weights_file(folder, part, one)
                )
                sizes[part + key] = path.stat().st_size
        on_disk_half = 2 if self.dtype == torch.float32 else 1  # variants are fp16 on disk
        return sum(sizes.values()) * on_disk_half <= self.budget_bytes

    def _make_room(self, needed: int, keep: set[str], keys: dict[str, str]) -> None:
        """Forgets the least recently used checkpoints until `needed` bytes fit beside the rest."""
        for id in list(self._held):
            if self.bytes + needed <= self.budget_bytes:
                return
            if id not in keep:
                self.evict(id, still_needed=set(keys.items()))

    def evict(self, checkpoint_id: str, still_needed: set[tuple[str, str]] | None = None) -> None:
        """Forgets a checkpoint; components no other one uses leave memory."""
        self._held.pop(checkpoint_id, None)
        used = {pair for c in self._held.values() for pair in c.keys.items()} | (still_needed or set())
        for pair in [pair for pair in self._parts if pair not in used]:
            del self._parts[pair]
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
