"""How many bytes the UNet and the autoencoder take beside their weights, counted without computing anything.

The call is made on PyTorch's meta device, where tensors have shapes and no numbers, and the bytes of all that are alive
are counted operation by operation. That takes a second and gives, for any network, size and number of frames, what a
GPU's allocator reports: within a few per cent of the 8.3 GB measured for SVD-XT's official clip on an H200. What
kernels take for themselves is not in it.

Knows torch and diffusers' networks; nothing of devices, checkpoints or runs.
"""

from __future__ import annotations

import json
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from diffusers import AutoencoderKLTemporalDecoder, UNetSpatioTemporalConditionModel
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from svdlab.engine.constants import constants_of
from svdlab.engine.rows import in_rows
from svdlab.engine.shapes import without_numbers
from svdlab.engine.standing import StandIns

ALIVE_MAPS = (
    5  # of the largest one: input, normalised, activated and output are alive at once, and a working copy
)
COUNTED = 3  # pieces of rows that are counted: all but the first two take what those took


class Alive(TorchDispatchMode):
    """Counts the bytes of the storages that operations make, while they are alive. `peak` is the most at one time."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = self.peak = 0
        self._seen: set[int] = set()

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        before = {_storage(one) for one in tree_leaves((args, kwargs)) if isinstance(one, torch.Tensor)}
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor) and (key := _storage(tensor)) not in self._seen | before:
                self._add(tensor.untyped_storage(), key)
        return made

    def _add(self, storage: torch.UntypedStorage, key: int) -> None:
        size = storage.nbytes()
        self._seen.add(key)
        self.bytes += size
        self.peak = max(self.peak, self.bytes)
        weakref.finalize(storage, self._drop, key, size)

    def _drop(self, key: int, size: int) -> None:
        self._seen.discard(key)
        self.bytes -= size


def _storage(tensor: torch.Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


class _FusedAttention(TorchFunctionMode):
    """Attention as fused kernels do it: nothing but the answer is kept."""

    def __torch_function__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is torch.nn.functional.scaled_dot_product_attention:
            query, _, value = (*args, *(kwargs or {}).values())[:3]
            return query.new_empty(*query.shape[:-1], value.shape[-1])
        return func(*args, **(kwargs or {}))


class Call(NamedTuple):
    """What the UNet is called with: `branches` of `frames` of rows × columns latents, in numbers of `dtype`.

    `piece` rows of a layer at a time (0: all), `exact` with a run's constants known.
    """

    branches: int
    frames: int
    rows: int
    columns: int
    dtype: torch.dtype
    piece: int = 0
    exact: bool = False


def unet_bytes(config: str, call: Call) -> int:
    """Bytes that a call of a UNet of that configuration takes at its most, beside the weights."""
    return _of_call(config, call)


@lru_cache(maxsize=64)
def _of_call(config: str, call: Call) -> int:
    """The count itself. A second or more: remembered for the process."""
    alive = Alive()
    call_without_numbers(without_numbers(config, call.dtype), call, alive)
    return alive.peak


_turn = threading.Lock()  # layers stand in for those of a network that all counts share


def call_without_numbers(
    unet: UNetSpatioTemporalConditionModel, call: Call, counting: Alive | None = None
) -> None:
    """Calls a UNet on the meta device, counting what it takes beside its input."""
    branches, frames, dtype = call.branches, call.frames, call.dtype
    with torch.device("meta"), torch.inference_mode():
        channels, width = unet.config.in_channels, unet.config.cross_attention_dim
        embeds, ids = (torch.empty(branches, *size, dtype=dtype) for size in ((1, width), (3,)))
        sample = torch.empty(branches, frames, channels, call.rows, call.columns, dtype=dtype)
        layers = in_rows(unet, call.piece, COUNTED)
        layers += constants_of(unet, embeds, ids, frames) if call.exact else StandIns()
        with _turn, layers.in_place(), _FusedAttention(), counting or nullcontext():
            unet(sample, torch.empty(()), encoder_hidden_states=embeds, added_time_ids=ids)


@lru_cache(maxsize=64)
def decoder_bytes(config: str, frames: int, rows: int, columns: int, dtype: torch.dtype) -> int:
    """Bytes that decoding `frames` of rows × columns latents at once takes at its most, beside weights and input."""
    vae = without_numbers(config, dtype)
    told = {"num_frames": frames} if isinstance(vae, AutoencoderKLTemporalDecoder) else {}
    with torch.device("meta"), torch.inference_mode():
        latents = torch.empty(frames, vae.config.latent_channels, rows, columns, dtype=dtype)
        with _counting() as alive:
            vae.decode(latents, **told)
        return alive.peak


def largest_map(vae: str, width: int, height: int) -> int:
    """More numbers than the autoencoder ever holds of one frame of so many pixels, known at once."""
    channels = json.loads(vae)["block_out_channels"]
    wide = [
        channels[min(level + 1, len(channels) - 1)] for level in range(len(channels))
    ]  # the deeper one's width
    maps = (wide[level] * (width >> level) * (height >> level) for level in range(len(channels)))
    return ALIVE_MAPS * max(maps)


@lru_cache(maxsize=64)
def encoder_bytes(config: str, height: int, width: int, dtype: torch.dtype) -> int:
    """Bytes that encoding a picture of height × width pixels takes at its most, beside weights and input."""
    vae = without_numbers(config, dtype)
    with torch.device("meta"), torch.inference_mode():
        picture = torch.empty(1, vae.config.in_channels, height, width, dtype=dtype)
        with _counting() as alive:
            vae.encode(picture)
        return alive.peak


@contextmanager
def _counting() -> Iterator[Alive]:
    with _FusedAttention(), Alive() as alive:
        yield alive
