"""Final latents ↔ a safetensors file's bytes, so that a clip can be decoded again without sampling it again.

Knows tensors; nothing of files, runs or screens.
"""

from __future__ import annotations

import safetensors
import safetensors.torch
import torch

from svdlab.errors import BadInput

NAME = "latents"


def pack(latents: torch.Tensor) -> bytes:
    """Latents (1, frames, channels, h, w) as a safetensors file's bytes."""
    return safetensors.torch.save({NAME: latents.detach().cpu().contiguous()})


def unpack(data: bytes) -> torch.Tensor:
    """What `pack` wrote. Raises `BadInput` on anything else."""
    try:
        latents: torch.Tensor = safetensors.torch.load(data)[NAME]
    except (KeyError, ValueError, safetensors.SafetensorError) as error:
        reason = str(error).splitlines()[0][:120]
        raise BadInput(f"the kept latents cannot be read ({reason}); render the run again") from error
    if latents.dim() != 5:
        raise BadInput(f"the kept latents have the shape {tuple(latents.shape)}; render the run again")
    if not latents.is_floating_point() or not torch.isfinite(latents).all():
        raise BadInput("the kept latents are not finite numbers; render the run again")
    return latents
