"""What differs between two checkpoints' weights, block by block. A frozen value; finding out is the engine's."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Change:
    """How much one kind of layer in one block differs between two checkpoints."""

    part: str  # unet | image_encoder | vae
    block: str  # "down_blocks.0", "mid_block", "conv_in" …; "" where a whole part is identical
    kind: str  # "spatial convolution", "temporal attention" … or "other"
    tensors: int
    changed: int  # of them, with at least one different number
    relative: float  # ‖b − a‖ / ‖a‖ over all their numbers; 0 is identical
