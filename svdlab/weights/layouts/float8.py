"""Weights stored in 8 bits, and the scales that some writers put beside them.

A number in float8 is the number; where a `scale_weight` (also `weight_scale`) stands beside a weight, the weight is the
product of both: one scale for all of it, or one a row. What else such files hold (scales of inputs, markers) says
nothing of the weights and is passed over; scales in any other form are refused: without them the weights mean nothing.

Knows names and shapes; no number is read.
"""

from __future__ import annotations

import re

from svdlab.errors import BadCheckpoint
from svdlab.weights.safetensors import Header

FLOAT8 = ("F8_E4M3", "F8_E5M2")
SCALES = (".scale_weight", ".weight_scale")
NUMBERS = ("F32", "F16", "BF16")  # how a scale may be stored
PASSED_OVER = re.compile(r"(^|\.)(scaled_fp8|scale_input|input_scale|comfy_quant)$")
SCALING = re.compile(r"(^|\.)(?!logit_scale$)[^.]*scale[^.]*$")  # CLIP has a logit_scale of its own


def beside(key: str) -> bool:
    """Whether a tensor is no weight but stands beside one stored in float8."""
    return key.endswith(SCALES) or PASSED_OVER.search(key) is not None


def scale_of(header: Header, weight: str) -> str | None:
    """The tensor by which a weight is multiplied; None for a weight that is what it says."""
    if header.tensors[weight].dtype not in FLOAT8 or not weight.endswith(".weight"):
        return None
    names = (weight.removesuffix(".weight") + suffix for suffix in SCALES)
    return next((name for name in names if name in header.tensors), None)


def stored_in_float8(header: Header) -> bool:
    """Whether any weight is."""
    return any(info.dtype in FLOAT8 and not beside(key) for key, info in header.tensors.items())


def check_scales(header: Header, name: str) -> None:
    """Refuses scales that are not understood. Raises `BadCheckpoint` with the first of them."""
    for key, info in header.tensors.items():
        if not SCALING.search(key) or PASSED_OVER.search(key):
            continue
        suffix = next((suffix for suffix in SCALES if key.endswith(suffix)), None)
        weight = header.tensors.get(key.removesuffix(suffix) + ".weight") if suffix else None
        sides = [side for side in info.shape if side != 1]
        rows = (
            weight is not None
            and sides in ([], [weight.shape[0]])
            and info.shape[:1] in ((), (1,), weight.shape[:1])
        )
        if weight is None or weight.dtype not in FLOAT8 or info.dtype not in NUMBERS or not rows:
            raise BadCheckpoint(
                f"{name} scales its weights in a way that is not known: {key[:120]} is {info.dtype} of "
                f"{list(info.shape)}, and read is one number, or one a row, as .scale_weight beside a float8 weight"
            )
