"""How much memory there is, how much a stage will take, and what counts as running out of it.

Knows torch's accounting; nothing of checkpoints, runs or screens.
"""

from __future__ import annotations

import gc

import psutil
import torch

from svdlab.environment import Offload
from svdlab.errors import BadInput

OFFLOADS: tuple[Offload, ...] = ("none", "model", "streamed")  # from the fastest to the smallest
SPARE = 0.9  # share of what is free that is planned with: kernels take some for themselves


def choose_device(wanted: str = "auto") -> torch.device:
    """'auto' is the best there is: CUDA, Apple's MPS, then the CPU. Raises `BadInput` for one that is not there."""
    if wanted == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    device = torch.device(wanted)
    if device.type == "cuda":
        _check_cuda(device)
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise BadInput("there is no MPS device here, which only Macs have; choose auto or cpu")
    return device


def _check_cuda(device: torch.device) -> None:
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not count and torch.version.cuda is None:
        raise BadInput(
            "there is no CUDA device for this PyTorch, which is built without CUDA; choose auto or cpu"
        )
    if not count:
        raise BadInput("there is no CUDA device here, or its driver is not running; choose auto or cpu")
    if device.index is not None and device.index >= count:
        there = "cuda:0" if count == 1 else f"cuda:0 to cuda:{count - 1}"
        raise BadInput(f"there is no {device} here, only {there}")


def answers(device: torch.device) -> bool:
    """Whether a device still computes: after some errors every further call of the process fails on a GPU."""
    if device.type != "cuda":
        return True
    try:
        torch.cuda.synchronize(device)
    except RuntimeError:
        return False
    return True


def choose_dtype(device: torch.device, wanted: str = "auto") -> torch.dtype:
    """'auto' is float16 on CUDA, float32 elsewhere (MPS gives black frames in half precision)."""
    if wanted != "auto":
        return {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}[wanted]
    return torch.float16 if device.type == "cuda" else torch.float32


def module_bytes(module: torch.nn.Module) -> int:
    """Bytes of a module's parameters and buffers."""
    tensors = (*module.parameters(), *module.buffers())
    return sum(t.numel() * t.element_size() for t in tensors)


def total_bytes(device: torch.device) -> int:
    """The device's memory."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory())
    return int(psutil.virtual_memory().total)


def free_bytes(device: torch.device) -> int:
    """What the device can still give this process, counting what torch holds without using it."""
    if device.type == "cuda":
        held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0] + held)
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory())
    return int(psutil.virtual_memory().available)


def default_budget(device: torch.device) -> int:
    """Bytes of weights to keep unless told otherwise: most of a GPU, a bit more than half of a machine's memory."""
    return int(total_bytes(device) * (0.55 if device.type == "cpu" else 0.75))


def choose_offload(device: torch.device, sizes: list[int], free: int) -> Offload:
    """The fastest way in which components of these bytes fit beside some room to compute in."""
    if device.type == "cpu" or not sizes:
        return "none"  # the weights are where they compute
    room = free * SPARE
    if sum(sizes) <= room:
        return "none"
    return "model" if max(sizes) <= room else "streamed"


def is_exhausted(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on whatever device."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and (
        "can't allocate memory" in text or "MPS backend out of memory" in text or "CUDA out of memory" in text
    )


def give_back(device: torch.device) -> None:
    """Returns what torch holds without using it."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def settle_after_fork() -> None:
    """Called first in a forked process: its parent's threads are not there, and would be waited for."""
    torch.set_num_threads(1)
