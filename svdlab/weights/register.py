"""The checkpoints a person has: registered ones, and what lies in the folders of other programs.

Knows files' names and headers; nothing of tensors, models or screens. Single files in Stability's original layout are
recognised by the names of their tensors; whether those are whole and finite is checked by the engine.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from svdlab.errors import BadCheckpoint, BadInput
from svdlab.recipes.checkpoint import (
    Catalogue,
    Checkpoint,
    Decoder,
    Layout,
    Source,
    local_checkpoint,
    official_xt,
    possible_size,
)
from svdlab.weights.safetensors import Header, read_header

REGISTER = "checkpoints.json"
DEPTH = 4  # folders below a given one that are looked into
LOOKED_AT = 2000  # files and folders, so that a mistyped "/" does not hang the start
# Names of the released files → the checkpoint they are, and the frames it was made for.
RELEASED = {
    "svd": ("svd", 14),
    "svd_image_decoder": ("svd-image-decoder", 14),
    "svd_xt": ("svd-xt", 25),
    "svd_xt_image_decoder": ("svd-xt-image-decoder", 25),
    "svd_xt_1_1": ("svd-xt-1-1", 25),
}
UNET = "model.diffusion_model."


def read_checkpoint(
    path: Path, id: str | None = None, num_frames: int | None = None, name: str | None = None
) -> Checkpoint:
    """A checkpoint from a diffusers folder or a single file, by its configuration or header alone.

    Raises `BadCheckpoint` with the defect, `BadInput` on an id that cannot be one.
    """
    path = path.expanduser().resolve()
    if id is not None and not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,62}", id):
        raise BadInput(
            f"an id is up to 63 lower-case letters, digits, dots, hyphens and underscores, got {id[:70]!r}"
        )
    if path.is_dir():
        if not (path / "model_index.json").is_file():
            raise BadCheckpoint(f"{path} has no model_index.json, so it is not a folder in diffusers layout")
        found = local_checkpoint(path, id or _as_id(path.name))
        return replace(found, name=name or found.name, native_frames=num_frames or found.native_frames)
    if not path.is_file():
        raise BadCheckpoint(f"there is no file or folder {path}")
    return _from_file(path, id, num_frames, name)


def _from_file(path: Path, id: str | None, num_frames: int | None, name: str | None) -> Checkpoint:
    header = read_header(path)
    layout = original_layout(header)
    if layout is None:
        raise BadCheckpoint(f"{path.name} is not a Stable Video Diffusion checkpoint: {_looks_like(header)}")
    released = RELEASED.get(_stem(path))
    frames = num_frames or (released[1] if released else layout.native_frames)
    decoder = decoder_of(header)
    full = layout.size_step == 64
    step = layout.size_step
    width, height = (1024, 576) if full else (possible_size(16 * step, step), possible_size(9 * step, step))
    if not num_frames and not released:
        made_for = f"the file does not say for how many frames; {frames} assumed"
    else:
        made_for = f"made for {frames} frames"
    return Checkpoint(
        id=id or _as_id(path.stem),
        name=name or path.stem,
        version="1.1" if released and released[0] == "svd-xt-1-1" else "",
        summary=f"Weights in {path.name}, Stability's original layout.",
        source=Source("file", str(path)),
        native_frames=frames,
        width=width,
        height=height,
        size_step=layout.size_step,
        official=MappingProxyType(
            {**official_xt(), "width": width, "height": height, "num_frames": frames, "decoder": decoder}
        ),
        trained_for=made_for,
        decoders=(decoder,),
        parameters=sum(math.prod(t.shape) for t in header.tensors.values()),
    )


def original_layout(header: Header) -> Layout | None:
    """What the tensors' names and shapes of an original-layout file say; None if it is not Stable Video Diffusion."""
    tensors = header.tensors
    first = tensors.get(UNET + "input_blocks.0.0.weight")
    latents = tensors.get("first_stage_model.decoder.conv_in.weight")
    temporal = any(".time_stack." in name for name in tensors)
    if first is None or latents is None or not temporal or len(first.shape) != 4:
        return None
    if first.shape[1] != 2 * latents.shape[1]:
        return None
    vae_levels = len(
        {name.split(".")[3] for name in tensors if name.startswith("first_stage_model.decoder.up.")}
    )
    halvings = sum(
        1
        for name in tensors
        if re.fullmatch(r"model\.diffusion_model\.input_blocks\.\d+\.0\.op\.weight", name)
    )
    scale = 2 ** (vae_levels - 1)
    return Layout(
        size_step=scale * 2**halvings,
        native_frames=25,
        latent_channels=int(latents.shape[1]),
        vae_scale=scale,
    )


def decoder_of(header: Header) -> Decoder:
    """Which decoder an original-layout file carries."""
    return "temporal" if "first_stage_model.decoder.mid.block_1.mix_factor" in header.tensors else "image"


def _looks_like(header: Header) -> str:
    names = header.tensors
    if any("motion_modules" in name for name in names):
        return "it looks like an AnimateDiff motion module"
    if any("lora" in name for name in names):
        return "it looks like a LoRA"
    if any(name.startswith("conditioner.embedders.1.") for name in names):
        return "it looks like SDXL"
    if any(name.startswith("cond_stage_model.") for name in names):
        return "it looks like Stable Diffusion 1 or 2"
    return f"it has {len(names)} tensors, but none of the temporal layers"


def found_in(folders: Sequence[Path]) -> Iterator[Checkpoint]:
    """What lies in these folders and below: single files and diffusers folders. What is not SVD is passed over."""
    for path in _walk(folders):
        try:
            if path.is_dir():
                index = json.loads((path / "model_index.json").read_text(encoding="utf-8"))
                if index.get("_class_name") == "StableVideoDiffusionPipeline":
                    yield read_checkpoint(path)
            else:
                yield read_checkpoint(path)
        except (BadCheckpoint, OSError, ValueError, AttributeError):
            continue


def _walk(folders: Sequence[Path]) -> Iterator[Path]:
    """Safetensors files, and folders with a model_index.json, in the order of their names."""
    left = LOOKED_AT
    waiting = [(folder, 0) for folder in reversed(folders)]
    while waiting and left > 0:
        folder, depth = waiting.pop()
        try:
            entries = sorted(folder.iterdir())
        except OSError:
            continue
        if (folder / "model_index.json").is_file():
            yield folder
            continue
        left -= len(entries)
        yield from (p for p in entries if p.suffix == ".safetensors" and p.is_file())
        if depth < DEPTH:
            below = [p for p in entries if p.is_dir() and not p.name.startswith(".")]
            waiting += [(p, depth + 1) for p in reversed(below)]


class Registry:
    """The checkpoints registered in one data folder, and those in the folders of other programs, `dirs`."""

    def __init__(self, data_dir: Path, dirs: Sequence[Path] = ()) -> None:
        self.path = data_dir / REGISTER
        self.dirs = dirs

    def checkpoints(self, builtin: Catalogue) -> list[Checkpoint]:
        """All of them. A released file that was found stands in for the built-in checkpoint if that is not on disk."""
        known: dict[str, Checkpoint] = {}
        for found in found_in(self.dirs):
            stand_in = self._stand_in(found, builtin)
            if stand_in.id not in known:
                known[stand_in.id] = stand_in
        for entry in self._entries():
            try:
                one = read_checkpoint(Path(entry["path"]), entry["id"], entry.get("num_frames"))
            except (BadCheckpoint, BadInput):
                one = _missing(entry)
            known[one.id] = one
        return list(known.values())

    def _stand_in(self, found: Checkpoint, builtin: Catalogue) -> Checkpoint:
        released = RELEASED.get(_stem(Path(found.source.location))) if found.source.kind == "file" else None
        if released is None or found.size_step != 64:
            return found
        for official in builtin:
            if official.id == released[0]:
                if official.availability().ready or official.decoders != found.decoders:
                    return found
                return replace(official, source=found.source, parameters=found.parameters)
        return replace(found, id=released[0])

    def add(self, path: Path, id: str | None = None, num_frames: int | None = None) -> Checkpoint:
        """Registers a folder or file. Raises `BadCheckpoint`, `BadInput` (also if the id is taken by another path)."""
        one = read_checkpoint(path, id, num_frames)
        entries = self._entries()
        for entry in entries:
            if entry["id"] == one.id and entry["path"] != one.source.location:
                raise BadInput(f"there is a checkpoint {one.id} already, {entry['path']}; choose another id")
        if any(one.id == built_in.id for built_in in Catalogue()):
            raise BadInput(f"{one.id} is the id of a built-in checkpoint; choose another with --id")
        kept = [entry for entry in entries if entry["id"] != one.id]
        new = {"id": one.id, "path": one.source.location, "num_frames": num_frames}
        self._write([*kept, new])
        return one

    def remove(self, id: str) -> bool:
        """Forgets a registered checkpoint; its files stay. Returns whether it was there."""
        entries = self._entries()
        kept = [entry for entry in entries if entry["id"] != id]
        if len(kept) != len(entries):
            self._write(kept)
        return len(kept) != len(entries)

    def has(self, id: str) -> bool:
        """Whether a checkpoint is registered here."""
        return any(entry["id"] == id for entry in self._entries())

    def _entries(self) -> list[dict]:
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return []
        return [
            entry
            for entry in (content if isinstance(content, list) else [])
            if isinstance(entry, dict)
            and isinstance(entry.get("id"), str)
            and isinstance(entry.get("path"), str)
            and isinstance(entry.get("num_frames"), int | None)
        ]

    def _write(self, entries: list[dict]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_suffix(".tmp")
        temporary.write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")
        temporary.replace(self.path)


def _missing(entry: dict) -> Checkpoint:
    """Stands for a registered checkpoint whose files are gone or broken, so that it is said and not forgotten."""
    frames = entry.get("num_frames") or 25
    return Checkpoint(
        id=entry["id"],
        name=entry["id"],
        version="",
        summary=f"Registered from {entry['path']}, which cannot be read now.",
        source=Source("file", entry["path"]),
        native_frames=frames,
        width=1024,
        height=576,
        size_step=64,
        official=MappingProxyType({**official_xt(), "num_frames": frames}),
        trained_for="unknown",
    )


def released_as(name: str) -> str | None:
    """The id of the released checkpoint that a file of this name holds, whatever folder it is in; None if it is none.

    `svd-image-decoder` among them is no built-in checkpoint: the catalogue has it only where the file is.
    """
    released = RELEASED.get(_stem(Path(name.replace("\\", "/"))))
    return released[0] if released else None


def _stem(path: Path) -> str:
    """A released file's name as others spell it: svd_xt_1_1-fp16 is svd_xt_1_1."""
    return re.sub(r"[._](fp16|fp32|bf16)$", "", path.stem.lower().replace("-", "_"))


def _as_id(name: str) -> str:
    return re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-._")[:63] or "checkpoint"
