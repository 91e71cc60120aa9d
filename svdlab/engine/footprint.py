"""How many bytes a call of the UNet takes beside its weights, counted without computing anything.

The call is made on PyTorch's meta device, where tensors have shapes and no numbers, and the bytes of all that are alive
are counted operation by operation. That takes a second and gives, for any network, size and number of frames, what a
GPU's allocator reports: within a few per cent of the 8.3 GB measured for SVD-XT's official clip on an H200. What
kernels take for themselves is not in it.

Knows torch and diffusers' UNet; nothing of devices, checkpoints or runs.
"""

from __future__ import annotations

import json
import weakref
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from diffusers import UNetSpatioTemporalConditionModel
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from svdlab.engine.constants import constants_of
from svdlab.engine.rows import feed_forward_in_rows
from svdlab.engine.standing import StandIns


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

    `piece` rows of feed-forward at a time (0: all), `exact` with a run's constants known.
    """

    branches: int
    frames: int
    rows: int
    columns: int
    dtype: torch.dtype
    piece: int = 0
    exact: bool = False


def unet_bytes(unet: UNetSpatioTemporalConditionModel, call: Call) -> int:
    """Bytes that a call takes at its most, beside weights and input."""
    return _counted(json.dumps(dict(unet.config), sort_keys=True, default=str), call)


@lru_cache(maxsize=64)
def _counted(config: str, call: Call) -> int:
    """The count itself. A second or more: remembered for the process."""
    branches, frames, dtype = call.branches, call.frames, call.dtype
    with torch.device("meta"), torch.inference_mode():
        unet = UNetSpatioTemporalConditionModel.from_config(json.loads(config)).eval()
        torch.nn.Module.to(unet, "meta", dtype)  # some parameters are made on the CPU whatever is asked
        channels, width = unet.config.in_channels, unet.config.cross_attention_dim
        embeds, ids = (torch.empty(branches, *size, dtype=dtype) for size in ((1, width), (3,)))
        sample = torch.empty(branches, frames, channels, call.rows, call.columns, dtype=dtype)
        layers = feed_forward_in_rows(unet, call.piece)
        layers += constants_of(unet, embeds, ids, frames) if call.exact else StandIns()
        with layers.in_place(), _FusedAttention(), Alive() as alive:
            unet(sample, torch.empty(()), encoder_hidden_states=embeds, added_time_ids=ids)
        return alive.peak
