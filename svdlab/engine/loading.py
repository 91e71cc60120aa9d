"""A checkpoint → its components, as diffusers' and transformers' own classes.

Knows folders in diffusers layout and the hub's cache; nothing of sampling, runs or screens. Weights are
read from safetensors only, classes only from the five that Stable Video Diffusion has; no code of a
checkpoint is ever run.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import shutil
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import huggingface_hub.utils
import safetensors
import safetensors.torch
import torch
import transformers
from diffusers import (
    AutoencoderKL,
    AutoencoderKLTemporalDecoder,
    EulerDiscreteScheduler,
    UNetSpatioTemporalConditionModel,
)
from transformers import CLIPImageProcessor, CLIPVisionModelWithProjection

from svdlab.engine import single_file
from svdlab.errors import BadCheckpoint
from svdlab.recipes.checkpoint import Checkpoint
from svdlab.weights.availability import place
from svdlab.weights.layouts import folders
from svdlab.weights.safetensors import Header, read_header

# SD-family 4-channel latents → RGB, rows are channels (values as ComfyUI and others publish them);
# checkpoints with other latents bring their own in latent_rgb.json.
SD_LATENT_RGB = (
    (0.3512, 0.2297, 0.3227),
    (0.3250, 0.4974, 0.2350),
    (-0.2829, 0.1762, 0.2721),
    (-0.2120, -0.2616, -0.7177),
)

ALLOWED_CLASSES = {
    "feature_extractor": {
        ("transformers", name)
        for name in (
            "CLIPImageProcessor",
            "CLIPImageProcessorPil",
            "CLIPImageProcessorFast",
            "CLIPFeatureExtractor",
        )
    },
    "image_encoder": {("transformers", "CLIPVisionModelWithProjection")},
    "scheduler": {("diffusers", "EulerDiscreteScheduler")},
    "unet": {("diffusers", "UNetSpatioTemporalConditionModel")},
    "vae": {("diffusers", "AutoencoderKLTemporalDecoder"), ("diffusers", "AutoencoderKL")},
}


@dataclass(frozen=True)
class Components:
    """What a generation needs, on one device. `latent_rgb` is (channels, 3) and (3,): scaled latents → 0..1."""

    image_encoder: CLIPVisionModelWithProjection
    vae: AutoencoderKLTemporalDecoder | AutoencoderKL
    unet: UNetSpatioTemporalConditionModel
    scheduler: EulerDiscreteScheduler
    feature_extractor: CLIPImageProcessor
    latent_rgb: tuple[torch.Tensor, torch.Tensor]
    keys: dict[str, str] = field(default_factory=dict)  # component → hash of its weights
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))  # where they compute

    @property
    def dtype(self) -> torch.dtype:
        """What the CLIP encoder and UNet compute in."""
        return self.unet.dtype

    @property
    def vae_scale(self) -> int:
        """Pixels per latent along each side."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    @property
    def latent_channels(self) -> int:
        """Channels of one frame's latents."""
        return int(self.unet.config.in_channels) // 2

    @property
    def size_step(self) -> int:
        """What width and height must be multiples of, in pixels."""
        return int(self.vae_scale * 2 ** (len(self.unet.config.block_out_channels) - 1))


class Weights(ABC):
    """A checkpoint's weights on this disk: what they are, and how each part is loaded."""

    checkpoint: Checkpoint

    @abstractmethod
    def keys(self, dtype: torch.dtype) -> dict[str, str]:
        """Component → hash of its weights as they are in that dtype: equal hashes need to be in memory once."""

    @abstractmethod
    def values(self, part: str) -> int:
        """How many numbers a component holds, read without loading it."""

    @abstractmethod
    def stored_dtype(self, part: str) -> torch.dtype:
        """What a component's numbers are on disk."""

    @abstractmethod
    def load(self, part: str, dtype: torch.dtype) -> Any:
        """A component on the CPU in evaluation mode. Raises `BadCheckpoint`."""

    @abstractmethod
    def light_parts(self) -> tuple[EulerDiscreteScheduler, CLIPImageProcessor]:
        """The scheduler and feature extractor: configuration only."""

    @abstractmethod
    def latent_rgb(self, channels: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The matrix (channels, 3) and bias (3,) that make scaled latents into RGB in 0..1, for previews."""


def open_weights(checkpoint: Checkpoint) -> Weights:
    """The checkpoint's weights on this disk; nothing is loaded yet.

    Raises `CheckpointUnavailable` with what to do, `BadCheckpoint`.
    """
    path = place(checkpoint)
    return FolderWeights(checkpoint, path) if path.is_dir() else FileWeights(checkpoint, path)


def check_index(folder: Path) -> None:
    """Refuses a folder that names other classes than Stable Video Diffusion's. Raises `BadCheckpoint`."""
    try:
        index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadCheckpoint(f"{folder}/model_index.json cannot be read: {error}") from error
    for part, allowed in ALLOWED_CLASSES.items():
        named = index.get(part) if isinstance(index, dict) else None
        if not isinstance(named, list) or tuple(named) not in allowed:
            raise BadCheckpoint(
                f"{folder.name} is not a Stable Video Diffusion checkpoint: its {part} is {named}, "
                f"expected {' or '.join('.'.join(pair) for pair in sorted(allowed))}"
            )


@lru_cache(maxsize=256)
def _content_hash(path: str, size: int, modified: int) -> str:
    with open(path, "rb") as file:  # noqa: PTH123 - file_digest wants an open file
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_key(path: Path) -> str:
    """SHA-256 of a weights file, read from its name where the hub's cache stores it so."""
    real = path.resolve()
    if re.fullmatch(r"[0-9a-f]{64}", real.name):
        return real.name
    stat = real.stat()
    return _content_hash(str(real), stat.st_size, stat.st_mtime_ns)


@contextmanager
def _quiet_bars() -> Iterator[None]:
    """No bar per weights file: reading takes a moment, and the lab shows its own progress."""
    if huggingface_hub.utils.are_progress_bars_disabled():  # type: ignore[attr-defined, unused-ignore]
        yield
        return
    transformers.utils.logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers.utils.logging.enable_progress_bar()


_CLASSES: dict[str, Any] = {
    "image_encoder": CLIPVisionModelWithProjection,
    "unet": UNetSpatioTemporalConditionModel,
    "AutoencoderKL": AutoencoderKL,
    "AutoencoderKLTemporalDecoder": AutoencoderKLTemporalDecoder,
}
PARTS = ("unet", "image_encoder", "vae")


class FolderWeights(Weights):
    """A folder in diffusers layout; its `vae` may be replaced by a frame-wise one out of an original file."""

    def __init__(self, checkpoint: Checkpoint, folder: Path) -> None:
        check_index(folder)
        check_layout(checkpoint, folder)
        self.checkpoint, self.folder = checkpoint, folder

    @cached_property
    def image_decoder(self) -> single_file.Original:
        """What the file with the frame-wise decoder holds. Raises `BadCheckpoint`."""
        path = self.file("vae")
        return single_file.recognise(read_header(path), path.name)

    def keys(self, dtype: torch.dtype) -> dict[str, str]:
        keys = {part: content_key(self.file(part)) for part in PARTS if not self._borrowed(part)}
        if self._borrowed("vae"):
            keys["vae"] = single_file.part_keys(self.file("vae"), self.image_decoder, dtype)["vae"]
        return keys

    def _borrowed(self, part: str) -> bool:
        """Whether a component comes out of the file with the frame-wise decoder."""
        return part == "vae" and self.checkpoint.source.image_decoder_file is not None

    def file(self, part: str) -> Path:
        """The file one component's tensors are in. Raises `BadCheckpoint`."""
        path = folders.weights_file(self.folder, part, self.checkpoint.source)
        if path is None:
            raise BadCheckpoint(
                f"{self.folder.name} has no {part} weights; only safetensors weights are read"
            )
        return path

    def values(self, part: str) -> int:
        if self._borrowed(part):
            return self.image_decoder.values("vae")
        return sum(math.prod(tensor.shape) for tensor in self._header(part).tensors.values())

    def stored_dtype(self, part: str) -> torch.dtype:
        return _most_common_dtype(self._header(part))

    def _header(self, part: str) -> Header:
        try:
            return read_header(self.file(part))
        except BadCheckpoint as error:
            raise BadCheckpoint(f"the {part} of {self.checkpoint.id} does not load: {error}") from error

    def load(self, part: str, dtype: torch.dtype) -> Any:
        if self._borrowed(part):
            return single_file.part_loaders(self.file("vae"), self.image_decoder, dtype)["vae"]()
        name = part
        if part == "vae":
            index = json.loads((self.folder / "model_index.json").read_text(encoding="utf-8"))
            name = index["vae"][1]
        variant = "fp16" if ".fp16." in self.file(part).name else None
        try:
            with _quiet_bars():
                model = _CLASSES[name].from_pretrained(
                    self.folder / part,
                    variant=variant,
                    dtype=dtype,
                    use_safetensors=True,
                    local_files_only=True,
                )
        except (OSError, ValueError, RuntimeError, safetensors.SafetensorError) as error:
            reason = str(error).splitlines()[0][:200]
            raise BadCheckpoint(f"the {part} of {self.checkpoint.id} does not load: {reason}") from error
        return model.eval().requires_grad_(False)

    def light_parts(self) -> tuple[EulerDiscreteScheduler, CLIPImageProcessor]:
        scheduler = EulerDiscreteScheduler.from_pretrained(self.folder / "scheduler", local_files_only=True)
        extractor = CLIPImageProcessor.from_pretrained(
            self.folder / "feature_extractor", local_files_only=True
        )
        return scheduler, extractor

    def latent_rgb(self, channels: int) -> tuple[torch.Tensor, torch.Tensor]:
        return latent_rgb(self.folder / "latent_rgb.json", channels)


class FileWeights(Weights):
    """A single file in Stability's original layout, converted in memory."""

    def __init__(self, checkpoint: Checkpoint, path: Path) -> None:
        self.checkpoint, self.path = checkpoint, path
        self.original = single_file.recognise(
            read_header(self.path), self.path.name, checkpoint.native_frames
        )

    def keys(self, dtype: torch.dtype) -> dict[str, str]:
        return single_file.part_keys(self.path, self.original, dtype)

    def values(self, part: str) -> int:
        return self.original.values(part)

    def stored_dtype(self, part: str) -> torch.dtype:
        return self.original.stored_dtype(part)

    def load(self, part: str, dtype: torch.dtype) -> Any:
        return single_file.part_loaders(self.path, self.original, dtype)[part]()

    def light_parts(self) -> tuple[EulerDiscreteScheduler, CLIPImageProcessor]:
        return single_file.scheduler(), single_file.feature_extractor()

    def latent_rgb(self, channels: int) -> tuple[torch.Tensor, torch.Tensor]:
        return latent_rgb(None, channels)


def _most_common_dtype(header: Header) -> torch.dtype:
    counts = Counter(tensor.dtype for tensor in header.tensors.values())
    return {"F16": torch.float16, "BF16": torch.bfloat16}.get(counts.most_common(1)[0][0], torch.float32)


def save_folder(weights: FolderWeights, folder: Path, dtype: torch.dtype | None) -> None:
    """Writes a diffusers folder with other numbers or another decoder in it: part by part, so one is in memory."""
    shutil.copytree(
        weights.folder,
        folder,
        ignore=shutil.ignore_patterns("*.safetensors", "*.bin", "*.ckpt", "*.pt", ".*"),
    )
    for part in PARTS:
        module = weights.load(part, dtype or weights.stored_dtype(part))
        module.save_pretrained(folder / part)
        if part == "vae":
            index_path = folder / "model_index.json"
            index = json.loads(index_path.read_text(encoding="utf-8"))
            index["vae"] = ["diffusers", type(module).__name__]
            index_path.write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
        del module


def latent_rgb(path: Path | None, channels: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The matrix (channels, 3) and bias (3,) that make scaled latents into RGB in 0..1: a file's, or the usual one."""
    if path is not None and path.is_file():
        content = json.loads(path.read_text(encoding="utf-8"))
        weight, bias = torch.tensor(content["weight"]), torch.tensor(content["bias"])
    elif channels == len(SD_LATENT_RGB):
        weight, bias = torch.tensor(SD_LATENT_RGB) / 2, torch.full((3,), 0.5)  # their scale is -1..1
    else:  # a preview in grey is better than none
        weight, bias = torch.full((channels, 3), 0.5 / channels), torch.full((3,), 0.5)
    if weight.shape != (channels, 3) or bias.shape != (3,):
        raise BadCheckpoint(
            f"latent_rgb.json of {path.parent.name if path else channels} must hold {channels} rows of 3 numbers"
        )
    return weight, bias


def check_layout(checkpoint: Checkpoint, folder: Path) -> None:
    """Refuses weights whose size step is not the catalogue's: limits shown would be wrong."""
    layout = folders.read_layout(folder)
    if layout.size_step != checkpoint.size_step:
        raise BadCheckpoint(
            f"{folder.name} has size step {layout.size_step}, "
            f"but {checkpoint.id} is catalogued with {checkpoint.size_step}"
        )
