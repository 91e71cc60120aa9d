"""A checkpoint → its components, as diffusers' and transformers' own classes.

Knows folders in diffusers layout and the hub's cache; nothing of sampling, runs or screens. Weights are
read from safetensors only, classes only from the five that Stable Video Diffusion has; no code of a
checkpoint is ever run.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
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

from svdlab.checkpoints import Checkpoint, cached_snapshot, read_layout, weight_name
from svdlab.errors import BadCheckpoint, CheckpointUnavailable

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

    @property
    def device(self) -> torch.device:
        """Where the UNet computes."""
        return self.unet.device

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


def resolve_folder(checkpoint: Checkpoint) -> Path:
    """The checkpoint's folder on this disk, downloading it if need be.

    Raises `CheckpointUnavailable` with what to do.
    """
    if checkpoint.source.kind != "hub":
        folder = Path(checkpoint.source.location)
        if not (folder / "model_index.json").is_file():
            raise CheckpointUnavailable(
                f"the weights of {checkpoint.id} are not there: {folder} has no model_index.json"
            )
        return folder
    return cached_snapshot(checkpoint.source) or _download(checkpoint)


def _download(checkpoint: Checkpoint) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
    )

    source = checkpoint.source
    patterns = [
        "model_index.json",
        "*/*.json",
        f"unet/{weight_name('diffusion_pytorch_model', source.variant)}",
        f"image_encoder/{weight_name('model', source.variant)}",
        source.image_decoder_file or f"vae/{weight_name('diffusion_pytorch_model', source.variant)}",
    ]
    try:
        return Path(snapshot_download(source.location, revision=source.revision, allow_patterns=patterns))
    except GatedRepoError:
        raise CheckpointUnavailable(
            f"{checkpoint.id} needs its terms accepted: log in at {source.url}, accept them, and set HF_TOKEN"
        ) from None
    except RepositoryNotFoundError:
        raise CheckpointUnavailable(
            f"the hub does not know {source.location}, or the token may not read it"
        ) from None
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, HfHubHTTPError, OSError) as error:
        raise CheckpointUnavailable(
            f"{checkpoint.id} is not on disk and the hub cannot be reached ({type(error).__name__}); "
            f"connect once to download it, or use demo-1-0 or demo-1-1"
        ) from None


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


def weights_file(folder: Path, part: str, checkpoint: Checkpoint) -> Path:
    """The safetensors file of one component. Raises `BadCheckpoint`."""
    stem = "model" if part == "image_encoder" else "diffusion_pytorch_model"
    for variant in dict.fromkeys((checkpoint.source.variant, None, "fp16")):
        path = folder / part / weight_name(stem, variant)
        if path.is_file():
            return path
    raise BadCheckpoint(
        f"{folder.name} has no {part}/{weight_name(stem, None)}; only safetensors weights are read"
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


def component_keys(checkpoint: Checkpoint, folder: Path) -> dict[str, str]:
    """Component → hash of its weights: equal hashes need to be in memory once."""
    keys = {part: content_key(weights_file(folder, part, checkpoint)) for part in ("unet", "image_encoder")}
    image_file = checkpoint.source.image_decoder_file
    vae_file = folder / image_file if image_file else weights_file(folder, "vae", checkpoint)
    return {**keys, "vae": content_key(vae_file)}


Part = Callable[[], Any]


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


def part_loaders(checkpoint: Checkpoint, folder: Path, dtype: torch.dtype) -> dict[str, Part]:
    """For each component with weights, a function that loads it (on the CPU, in evaluation mode)."""

    def pretrained(cls: Any, part: str) -> Part:
        def load() -> Any:
            path = weights_file(folder, part, checkpoint)
            variant = "fp16" if ".fp16." in path.name else None
            try:
                with _quiet_bars():
                    model = cls.from_pretrained(
                        folder / part,
                        variant=variant,
                        dtype=dtype,
                        use_safetensors=True,
                        local_files_only=True,
                    )
            except (OSError, ValueError, RuntimeError, safetensors.SafetensorError) as error:
                reason = str(error).splitlines()[0][:200]
                raise BadCheckpoint(f"the {part} of {checkpoint.id} does not load: {reason}") from error
            return model.eval().requires_grad_(False)

        return load

    return {
        "image_encoder": pretrained(CLIPVisionModelWithProjection, "image_encoder"),
        "unet": pretrained(UNetSpatioTemporalConditionModel, "unet"),
        "vae": (lambda: _image_decoder_vae(checkpoint, folder, dtype))
        if checkpoint.source.image_decoder_file
        else pretrained(_vae_class(folder), "vae"),
    }


def _vae_class(folder: Path) -> Any:
    index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    return AutoencoderKL if index["vae"][1] == "AutoencoderKL" else AutoencoderKLTemporalDecoder


def _image_decoder_vae(checkpoint: Checkpoint, folder: Path, dtype: torch.dtype) -> AutoencoderKL:
    """The frame-wise autoencoder out of an original-layout file: SD's KL autoencoder under its old names.

    The encoder stands under the conditioner, the decoder under `first_stage_model`; only they are read.
    """
    from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

    path = folder / str(checkpoint.source.image_decoder_file)
    places = {
        "conditioner.embedders.3.encoder.": "first_stage_model.encoder.",
        "conditioner.embedders.3.quant_conv.": "first_stage_model.quant_conv.",
        "first_stage_model.decoder.": "first_stage_model.decoder.",
        "first_stage_model.post_quant_conv.": "first_stage_model.post_quant_conv.",
    }
    config = json.loads((folder / "vae" / "config.json").read_text(encoding="utf-8"))
    shared = (
        "in_channels",
        "out_channels",
        "latent_channels",
        "layers_per_block",
        "block_out_channels",
        "scaling_factor",
        "force_upcast",
        "sample_size",
    )
    depth = len(config["block_out_channels"])
    vae = AutoencoderKL(
        **{key: config[key] for key in shared if key in config},
        down_block_types=("DownEncoderBlock2D",) * depth,
        up_block_types=("UpDecoderBlock2D",) * depth,
    )
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            tensors = {
                new + key.removeprefix(old): file.get_tensor(key)
                for key in file.keys()  # noqa: SIM118 - safe_open is not a mapping
                for old, new in places.items()
                if key.startswith(old)
            }
        vae.load_state_dict(convert_ldm_vae_checkpoint(tensors, vae.config))
    except (OSError, RuntimeError, KeyError, safetensors.SafetensorError) as error:
        reason = str(error).splitlines()[0][:200]
        raise BadCheckpoint(f"the image decoder in {path.name} does not load: {reason}") from error
    return vae.to(dtype).eval().requires_grad_(False)


def light_parts(folder: Path) -> tuple[EulerDiscreteScheduler, CLIPImageProcessor]:
    """The scheduler and feature extractor: configuration only."""
    scheduler = EulerDiscreteScheduler.from_pretrained(folder / "scheduler", local_files_only=True)
    extractor = CLIPImageProcessor.from_pretrained(folder / "feature_extractor", local_files_only=True)
    return scheduler, extractor


def latent_rgb(folder: Path, channels: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The matrix (channels, 3) and bias (3,) that make scaled latents into RGB in 0..1, for previews."""
    path = folder / "latent_rgb.json"
    if path.is_file():
        content = json.loads(path.read_text(encoding="utf-8"))
        weight, bias = torch.tensor(content["weight"]), torch.tensor(content["bias"])
    elif channels == len(SD_LATENT_RGB):
        weight, bias = torch.tensor(SD_LATENT_RGB) / 2, torch.full((3,), 0.5)  # their scale is -1..1
    else:  # a preview in grey is better than none
        weight, bias = torch.full((channels, 3), 0.5 / channels), torch.full((3,), 0.5)
    if weight.shape != (channels, 3) or bias.shape != (3,):
        raise BadCheckpoint(f"latent_rgb.json of {folder.name} must hold {channels} rows of 3 numbers")
    return weight, bias


def check_layout(checkpoint: Checkpoint, folder: Path) -> None:
    """Refuses weights whose size step is not the catalogue's: limits shown would be wrong."""
    layout = read_layout(folder)
    if layout.size_step != checkpoint.size_step:
        raise BadCheckpoint(
            f"{folder.name} has size step {layout.size_step}, "
            f"but {checkpoint.id} is catalogued with {checkpoint.size_step}"
        )
