"""What `fast` acceleration adds to the exact one on a CPU: quicker numbers that are not equal to the last bit.

Convolutions with channels last in memory, whose sums are taken in another order; and, where the processor computes in
bfloat16, layers that do so on the same float32 weights. Knows torch; nothing of which network, or when.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn

from svdlab.environment import Acceleration

QUICK = torch.bfloat16


def choose_acceleration(device: torch.device, wanted: Acceleration | None = None) -> Acceleration:
    """What is wanted, else exact on a GPU and off on a CPU, where runs are bit-equal to diffusers."""
    return wanted or ("off" if device.type == "cpu" else "exact")


def computes_in(device: torch.device, dtype: torch.dtype) -> torch.dtype:
    """What `fast` computes in with weights of such a number format.

    That is bfloat16 for float32 on a CPU which has instructions for it: one that imitates them takes longer than
    in float32. Elsewhere it is the weights' own.
    """
    if device.type != "cpu" or dtype != torch.float32:
        return dtype
    able = torch.cpu.get_capabilities()
    return QUICK if able.get("avx512_bf16") or able.get("amx_bf16") else dtype


def arithmetic(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[object]:
    """Has layers compute as `computes_in` says; weights and what is between the networks stay as they are."""
    quick = computes_in(device, dtype)
    return nullcontext() if quick == dtype else torch.autocast(device.type, quick)


def lay_out(module: nn.Module, device: torch.device) -> None:
    """Lays the weights of a CPU's convolutions out with channels last; their values stay."""
    if device.type != "cpu":
        return
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            layer.to(memory_format=torch.channels_last)
        elif isinstance(layer, nn.Conv3d):
            layer.to(memory_format=torch.channels_last_3d)
