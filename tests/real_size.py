"""Full-size files in Stability's original layout, with random numbers, for runs at the real size without its weights.

    python -m tests.real_size [FOLDER]     default: a new temporary folder, removed at the end

`svd_xt` and `svd_xt_1_1` differ in the UNet alone, as the released ones do. Each is 4.8 GB; memory holds one tensor.
"""

from __future__ import annotations

import math
import sys
import tempfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from tests.original_layout import UNET, full_size, stream

NAMES = ("svd_xt", "svd_xt_1_1")


def build(folder: Path, shapes: Mapping[str, Iterable[int]] | None = None) -> dict[str, Path]:
    """Writes both files as float16 into a folder, by default in the released shapes; returns name → path."""
    folder.mkdir(parents=True, exist_ok=True)
    shapes = shapes or full_size("temporal")
    files = {}
    for model in NAMES:
        files[model] = folder / f"{model}.safetensors"
        size = stream(files[model], shapes, lambda name, shape, model=model: numbers(model, name, shape))
        print(f"{files[model]}: {size / 1e9:.2f} GB, {len(shapes)} tensors")
    return files


def numbers(model: str, name: str, shape: tuple[int, ...]) -> Tensor:
    """A tensor that keeps activations about as large as they come in; the same for both models but in the UNet."""
    owner = model if name.startswith(UNET) else "both"
    generator = torch.Generator().manual_seed(zlib.crc32(f"{owner} {name}".encode()))
    values = torch.randn(shape, generator=generator)
    if len(shape) < 2:
        is_scale = name.endswith(".weight")  # of a norm
        return values * 0.02 + (1 if is_scale else 0)
    return values * math.sqrt(1 / math.prod(shape[1:]))


def main() -> None:
    if len(sys.argv) > 1:
        build(Path(sys.argv[1]))
        return
    with tempfile.TemporaryDirectory(prefix="svdlab-real-size-") as folder:
        build(Path(folder))


if __name__ == "__main__":
    main()
