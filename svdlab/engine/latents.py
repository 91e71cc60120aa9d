"""Final latents ↔ a safetensors file, so that a clip can be decoded again without sampling it again.

Knows tensors; nothing of runs or screens.
"""

from __future__ import annotations

from pathlib import Path

import safetensors
import safetensors.torch
import torch

from svdlab.errors import BadInput

NAME = "latents"


def pack(latents: torch.Tensor) -> bytes:
    """Latents (1, frames, channels, h, w) as a safetensors file's bytes."""
    return safetensors.torch.save({NAME: latents.detach().cpu().contiguous()})


def unpack(path: Path, shape: tuple[int, ...] | None = None) -> torch.Tensor:
    """What `pack` wrote. Raises `BadInput` on anything else, also on another shape than the one given."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            latents: torch.Tensor = file.get_tensor(NAME)
    except (OSError, safetensors.SafetensorError) as error:
        reason = str(error).splitlines()[0][:120]
        raise BadInput(f"the kept latents cannot be read ({reason}); render the run again") from error
    if latents.dim() != 5 or (shape is not None and tuple(latents.shape) != shape):
        raise BadInput(
            f"the kept latents have the shape {tuple(latents.shape)}, not {shape}; render the run again"
        )
    if not latents.is_floating_point() or not torch.isfinite(latents).all():
        raise BadInput("the kept latents are not finite numbers; render the run again")
    return latents
