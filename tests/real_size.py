"""Full-size files in Stability's original layout, with random numbers, for runs at the real size without its weights.

    python -m tests.real_size [FOLDER]     default: a new temporary folder, removed at the end

`svd_xt` and `svd_xt_1_1` differ in the UNet alone, as the released ones do. Each is 4.8 GB; memory holds one tensor
while they are written. Then both are loaded beside each other, what they share is counted, one short clip is rendered
at a low resolution, and one is written as a diffusers folder to compare loading times with. Wants 24 GB of memory and
15 GB of disk.
"""

from __future__ import annotations

import math
import resource
import sys
import tempfile
import time
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


def measure(folder: Path, device: str = "auto") -> None:
    """Loads the pair, counts, times, renders; prints each figure as it is known."""
    import numpy as np
    from PIL import Image

    from svdlab.engine import examine
    from svdlab.engine.renderer import Renderer
    from svdlab.recipes.limits import defaults_for
    from svdlab.recipes.work import Failed, Job, Rendered
    from svdlab.weights.register import read_checkpoint

    files = build(folder)
    one, two = (read_checkpoint(path) for path in files.values())
    renderer = Renderer(device)
    residency = renderer.residency
    print(f"on {renderer.device_name}, {residency.dtype}".replace("torch.", ""), flush=True)

    started = time.perf_counter()
    first = residency.get(one)
    print(
        f"loading the first: {time.perf_counter() - started:.1f} s, {residency.loads} components", flush=True
    )
    started = time.perf_counter()
    second = residency.get(two, keep=(one.id,))
    print(
        f"loading the second beside it: {time.perf_counter() - started:.1f} s, {residency.loads - 3} component"
    )
    assert first.vae is second.vae
    assert first.image_encoder is second.image_encoder
    alone = 2 * sum(r.bytes for r in residency.resident() if one.id in r.used_by)
    print(
        f"weights in memory: {residency.bytes / 1e9:.2f} GB; as two pipelines {alone / 1e9:.2f} GB; "
        f"ratio {residency.bytes / alone:.3f}"
    )
    where = {name: p.data_ptr() for name, p in first.unet.named_parameters()}
    started = time.perf_counter()
    for checkpoint in (two, one, two, one):
        residency.get(checkpoint)
    moved = sum(p.data_ptr() != where[name] for name, p in residency.get(one).unet.named_parameters())
    print(
        f"switching four times: {1000 * (time.perf_counter() - started):.2f} ms, {moved} tensors moved",
        flush=True,
    )

    settings = defaults_for(one).but(width=128, height=64, num_frames=2, num_inference_steps=2, seed=1)
    picture = Image.effect_mandelbrot((128, 64), (-2, -1, 1, 1), 60).convert("RGB")
    started = time.perf_counter()
    for update in renderer.render([Job("real", one, settings, np.asarray(picture), "mandelbrot")]):
        if isinstance(update, Rendered | Failed):
            said = update.frames.shape if isinstance(update, Rendered) else update.error
            print(f"128×64, 2 frames, 2 steps: {said}, {time.perf_counter() - started:.1f} s", flush=True)
    print(
        f"peak memory of the process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.1f} GB",
        flush=True,
    )

    del first, second, renderer, residency
    examine.convert(one, folder / "diffusers")
    written = read_checkpoint(folder / "diffusers")
    seconds: dict[str, list[float]] = {"single file": [], "diffusers folder": []}
    for _ in range(2):
        for name, checkpoint in (("single file", one), ("diffusers folder", written)):
            started = time.perf_counter()
            Renderer(device).residency.get(checkpoint)
            seconds[name].append(time.perf_counter() - started)
    best = {name: min(times) for name, times in seconds.items()}
    print(
        f"loading {', '.join(f'{name} {value:.1f} s' for name, value in best.items())}: "
        f"ratio {best['single file'] / best['diffusers folder']:.2f} (the better of two, hashes known)"
    )


def main() -> None:
    if len(sys.argv) > 1:
        measure(Path(sys.argv[1]))
        return
    with tempfile.TemporaryDirectory(prefix="svdlab-real-size-") as folder:
        measure(Path(folder))


if __name__ == "__main__":
    main()
