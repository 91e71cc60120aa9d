"""A checkpoint → its components, as diffusers' and transformers' own classes.

Knows folders in diffusers layout and single files; nothing of where they came from, of sampling, runs or screens.
Weights are read from safetensors only, classes only from the five that Stable Video Diffusion has; no code of a
checkpoint is ever run.
"""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
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
from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

from svdlab.engine import single_file
from svdlab.errors import BadCheckpoint
from svdlab.recipes.checkpoint import Checkpoint
from svdlab.weights.availability import place
from svdlab.weights.content import Hashes
from svdlab.weights.layouts import float8, folders
from svdlab.weights.layouts.configs import check_fit
from svdlab.weights.layouts.single_files import PARTS
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


class Weights(ABC):
    """A checkpoint's weights on this disk: what they are, and how each part is loaded."""

    checkpoint: Checkpoint
    hashes: Hashes

    def keys(self, dtype: torch.dtype) -> dict[str, str]:
        """Component → hash of its weights as they are in that dtype: equal hashes need to be in memory once."""
        return self.hashes.keys(self.checkpoint, str(dtype).removeprefix("torch."))

    @abstractmethod
    def config(self, part: str) -> Mapping[str, Any]:
        """What a component's class is built from."""

    @abstractmethod
    def file(self, part: str) -> Path:
        """The file a component's tensors are in. Raises `BadCheckpoint`."""

    @abstractmethod
    def values(self, part: str) -> int:
        """How many numbers a component holds, read without loading it."""

    @abstractmethod
    def stored_dtype(self, part: str) -> torch.dtype:
        """What a component's numbers are on disk."""

    @abstractmethod
    def tensors(self, part: str) -> Iterator[tuple[str, torch.Tensor]]:
        """A component's tensors as they are stored, one after another, with their names. Raises `BadCheckpoint`."""

    @abstractmethod
    def load(self, part: str, dtype: torch.dtype) -> Any:
        """A component on the CPU in evaluation mode. Raises `BadCheckpoint`."""

    @abstractmethod
    def class_of(self, part: str) -> str:
        """The name of a component's class, having seen that all of it is there. Raises `BadCheckpoint`."""

    @abstractmethod
    def light_parts(self) -> tuple[EulerDiscreteScheduler, CLIPImageProcessor]:
        """The scheduler and feature extractor: configuration only."""

    def extras(self) -> tuple[Path, ...]:
        """Files of ours beside the components."""
        return ()

    def latent_rgb(self, channels: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The matrix (channels, 3) and bias (3,) that make scaled latents into RGB in 0..1, for previews."""
        return latent_rgb(next(iter(self.extras()), None), channels)


def open_weights(checkpoint: Checkpoint, hashes: Hashes | None = None) -> Weights:
    """The checkpoint's weights on this disk; nothing is loaded yet. Without `hashes` none are remembered.

    Raises `CheckpointUnavailable` with what to do, `BadCheckpoint`.
    """
    path, hashes = place(checkpoint), hashes or Hashes()
    if path.is_dir():
        return FolderWeights(checkpoint, path, hashes)
    return FileWeights(checkpoint, path, hashes)


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


class FolderWeights(Weights):
    """A folder in diffusers layout; its `vae` may be replaced by a frame-wise one out of an original file."""

    def __init__(self, checkpoint: Checkpoint, folder: Path, hashes: Hashes) -> None:
        check_index(folder)
        check_layout(checkpoint, folder)
        self.checkpoint, self.folder, self.hashes = checkpoint, folder, hashes

    @cached_property
    def image_decoder(self) -> single_file.Original:
        """What the file with the frame-wise decoder holds. Raises `BadCheckpoint`."""
        path = self.file("vae")
        original = single_file.recognise(read_header(path), path.name)
        if original.decoder is None:
            raise BadCheckpoint(f"{path.name} holds no autoencoder, so it lends no decoder")
        return original

    def _borrowed(self, part: str) -> bool:
        """Whether a component comes out of the file with the frame-wise decoder."""
        return part == "vae" and self.checkpoint.source.image_decoder_file is not None

    def config(self, part: str) -> Mapping[str, Any]:
        if self._borrowed(part):
            return self.image_decoder.configs["vae"]
        path = self.folder / part / "config.json"
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise BadCheckpoint(
                f"{part}/config.json of {self.checkpoint.id} cannot be read: {error}"
            ) from error
        return content if isinstance(content, dict) else {}

    def file(self, part: str) -> Path:
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
        if self._borrowed(part):
            return self.image_decoder.stored_dtype("vae")
        return _most_common_dtype(self._header(part))

    def _header(self, part: str) -> Header:
        try:
            return read_header(self.file(part))
        except BadCheckpoint as error:
            raise BadCheckpoint(f"the {part} of {self.checkpoint.id} does not load: {error}") from error

    def tensors(self, part: str) -> Iterator[tuple[str, torch.Tensor]]:
        path = self.file(part)
        if self._borrowed(part):
            yield from single_file.tensors(path, self.image_decoder, part)
            return
        header = read_header(path)
        float8.check_scales(header, path.name)
        try:
            with safetensors.safe_open(path, framework="pt") as file:
                for name in file.keys():  # noqa: SIM118 - safe_open is not a mapping
                    if float8.beside(name):
                        continue
                    tensor = file.get_tensor(name)
                    if tensor.dtype in single_file.EIGHTHS.values():
                        scale = float8.scale_of(header, name)
                        tensor = single_file.widened(tensor, file.get_tensor(scale) if scale else None)
                    yield name, tensor
        except (OSError, safetensors.SafetensorError) as error:
            reason = str(error).splitlines()[0][:200]
            raise BadCheckpoint(f"{part}/{path.name} cannot be read: {reason}") from error

    def load(self, part: str, dtype: torch.dtype) -> Any:
        if self._borrowed(part):
            return single_file.load_part(self.file("vae"), self.image_decoder, "vae", dtype)
        name = part
        if part == "vae":
            index = json.loads((self.folder / folders.INDEX).read_text(encoding="utf-8"))
            name = index["vae"][1]
        if float8.stored_in_float8(self._header(part)):
            return self._load_float8(part, _CLASSES[name], dtype)
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
        if dtype == torch.float16 and self.stored_dtype(part) != dtype:
            for tensor_name, tensor in model.named_parameters():
                if not tensor.isfinite().all():
                    raise BadCheckpoint(single_file.too_large(tensor_name, self.file(part).name))
        return model.eval().requires_grad_(False)

    def _load_float8(self, part: str, kind: Any, dtype: torch.dtype) -> Any:
        """As `load`; diffusers and transformers know nothing of scales beside weights."""
        config = dict(self.config(part))
        with torch.device("meta"):
            model = kind(CLIPVisionConfig(**config)) if part == "image_encoder" else kind.from_config(config)
        state = {name: tensor.to(dtype) for name, tensor in self.tensors(part)}
        try:
            model.load_state_dict(state, strict=True, assign=True)
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:200]
            raise BadCheckpoint(f"the {part} of {self.checkpoint.id} does not load: {reason}") from error
        return single_file.finished(model, part)

    def class_of(self, part: str) -> str:
        # As wide as float32 in half of its room: the numbers are looked at as they are stored.
        return type(self.load(part, torch.bfloat16)).__name__

    def light_parts(self) -> tuple[EulerDiscreteScheduler, CLIPImageProcessor]:
        scheduler = EulerDiscreteScheduler.from_pretrained(self.folder / "scheduler", local_files_only=True)
        extractor = CLIPImageProcessor.from_pretrained(
            self.folder / "feature_extractor", local_files_only=True
        )
        return scheduler, extractor

    def extras(self) -> tuple[Path, ...]:
        matrix = self.folder / "latent_rgb.json"
        return (matrix,) if matrix.is_file() else ()


class FileWeights(Weights):
    """A single file, converted in memory; what it does not hold is its base's."""

    def __init__(self, checkpoint: Checkpoint, path: Path, hashes: Hashes) -> None:
        self.checkpoint, self.path, self.hashes = checkpoint, path, hashes
        self.original = single_file.recognise(read_header(path), path.name, checkpoint.native_frames)
        self.base: Weights | None = None
        if self.original.file.lacks:
            if checkpoint.base is None:  # the file was whole when it was looked at
                raise BadCheckpoint(f"{path.name} has changed since it was looked at")
            self.base = open_weights(checkpoint.base, hashes)
            self.original = self._fitted(self.base)

    def _fitted(self, base: Weights) -> single_file.Original:
        """As recognised, with what a file cannot say taken from the base. Raises `BadCheckpoint` if they do not fit."""
        own = self.original.configs
        check_fit({part: own.get(part) or base.config(part) for part in PARTS}, self.path.name)
        unet, theirs = own["unet"], base.config("unet")
        if list(unet["block_out_channels"]) != list(theirs.get("block_out_channels", ())):
            return self.original
        heads = theirs.get("num_attention_heads", unet["num_attention_heads"])
        return self.original.with_heads(tuple(heads) if isinstance(heads, list) else heads)

    def _from(self, part: str) -> Weights | None:
        """The base, for a component that the file does not hold."""
        return self.base if part in self.original.file.lacks else None

    def config(self, part: str) -> Mapping[str, Any]:
        lent = self._from(part)
        return lent.config(part) if lent else self.original.configs[part]

    def file(self, part: str) -> Path:
        lent = self._from(part)
        return lent.file(part) if lent else self.path

    def values(self, part: str) -> int:
        lent = self._from(part)
        return lent.values(part) if lent else self.original.values(part)

    def stored_dtype(self, part: str) -> torch.dtype:
        lent = self._from(part)
        return lent.stored_dtype(part) if lent else self.original.stored_dtype(part)

    def tensors(self, part: str) -> Iterator[tuple[str, torch.Tensor]]:
        lent = self._from(part)
        return lent.tensors(part) if lent else single_file.tensors(self.path, self.original, part)

    def load(self, part: str, dtype: torch.dtype) -> Any:
        lent = self._from(part)
        return (
            lent.load(part, dtype) if lent else single_file.load_part(self.path, self.original, part, dtype)
        )

    def class_of(self, part: str) -> str:
        lent = self._from(part)
        if lent:
            return lent.class_of(part)
        return type(single_file.empty(part, self.original.configs[part], self.original.decoder)).__name__

    def light_parts(self) -> tuple[EulerDiscreteScheduler, CLIPImageProcessor]:
        if self.base:
            return self.base.light_parts()
        return single_file.scheduler(), single_file.feature_extractor()

    def extras(self) -> tuple[Path, ...]:
        return self.base.extras() if self.base else ()


def _most_common_dtype(header: Header) -> torch.dtype:
    counts = Counter(tensor.dtype for tensor in header.tensors.values())
    most = counts.most_common(1)
    if most and most[0][0] in single_file.EIGHTHS:
        return torch.float16  # what float8 becomes without loss
    return single_file.DTYPES.get(most[0][0] if most else "", torch.float32)


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
