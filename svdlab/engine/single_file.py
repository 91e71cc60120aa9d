"""A single file of weights → diffusers' and transformers' own classes, converted while it is read.

Knows the parameters of those classes and reading; what a file holds is told by `svdlab.weights.layouts`. Each component
is built without memory, then filled tensor by tensor from the file, so that loading takes the component's own size and
one tensor more.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BufferedReader
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderKLTemporalDecoder,
    EulerDiscreteScheduler,
    UNetSpatioTemporalConditionModel,
)
from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

from svdlab.engine.original_names import SOURCES, THIRDS, How
from svdlab.errors import BadCheckpoint
from svdlab.recipes.checkpoint import Decoder
from svdlab.weights.layouts import float8, single_files
from svdlab.weights.layouts.configs import PICTURE
from svdlab.weights.layouts.single_files import ENCODER, PART_NAMES, UNET, UNUSED, Part, SingleFile
from svdlab.weights.safetensors import Header, TensorInfo
from svdlab.words import counted

DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
EIGHTHS = {"F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2}
SHOWN = 3  # tensors named in a refusal


@dataclass(frozen=True)
class Target:
    """A parameter of a component, and how it is made from the tensor in the file."""

    name: str
    shape: tuple[int, ...]
    how: How


@dataclass(frozen=True)
class Piece:
    """A tensor in the file and what it becomes: one parameter, or three if it packs query, key and value."""

    source: str
    info: TensorInfo
    targets: tuple[Target, ...]
    scale: TensorInfo | None = None  # what it is multiplied by, where it is float8 with a scale beside it


@dataclass(frozen=True)
class Original:
    """A recognised file: its components' configurations, and which tensor of the file goes where.

    `dtype` is what most of its numbers are stored as. `num_frames` is not in the file and comes from who knows it.
    """

    name: str
    file: SingleFile
    dtype: torch.dtype
    num_frames: int
    pieces: Mapping[str, tuple[Piece, ...]]  # component → its tensors, in the order they lie in the file
    file_bytes: int

    @property
    def decoder(self) -> Decoder | None:
        """Which decoder its autoencoder has, if that is in it."""
        return self.file.decoder

    @property
    def configs(self) -> Mapping[str, Mapping[str, Any]]:
        """Component → what its class is built from."""
        return {part: own.config for part, own in self.file.parts.items()}

    def with_heads(self, heads: int | tuple[int, ...]) -> Original:
        """The same with so many attention heads in the UNet, which no file says."""
        unet = self.file.parts["unet"]
        config = MappingProxyType({**unet.config, "num_attention_heads": heads})
        parts = MappingProxyType({**self.file.parts, "unet": replace(unet, config=config)})
        return replace(self, file=replace(self.file, parts=parts))

    def values(self, part: str) -> int:
        """How many numbers a component has."""
        return sum(math.prod(target.shape) for piece in self.pieces[part] for target in piece.targets)

    def stored_dtype(self, part: str) -> torch.dtype:
        """What most of a component's numbers are stored as."""
        return _most_common(self.pieces[part])


def _most_common(pieces: tuple[Piece, ...]) -> torch.dtype:
    count: Counter[str] = Counter()
    for piece in pieces:
        count[piece.info.dtype] += math.prod(piece.info.shape)
    return DTYPES.get(count.most_common(1)[0][0], torch.float16)  # what float8 becomes without loss


def recognise(header: Header, name: str, num_frames: int = 25) -> Original:
    """What a file of that header is, and where each parameter comes from.

    Raises `BadCheckpoint` with `name` and the defect if it is not of Stable Video Diffusion, or is not whole.
    """
    file = single_files.recognise(header, name, num_frames)
    pieces = {part: _pieces(part, own, file.decoder, header, name) for part, own in file.parts.items()}
    _check_rest({piece.source for own in pieces.values() for piece in own}, header, name)
    return Original(
        name=name,
        file=file,
        dtype=_most_common(tuple(piece for own in pieces.values() for piece in own)),
        num_frames=num_frames,
        pieces=MappingProxyType(pieces),
        file_bytes=header.file_bytes,
    )


def empty(part: str, config: Mapping[str, Any], decoder: Decoder | None) -> Any:
    """A component without memory, on the meta device."""
    with torch.device("meta"):
        if part == "unet":
            return UNetSpatioTemporalConditionModel(**config)
        if part == "image_encoder":
            return CLIPVisionModelWithProjection(CLIPVisionConfig(**config))
        levels = len(config["block_out_channels"])
        down = ("DownEncoderBlock2D",) * levels
        if decoder == "temporal":
            return AutoencoderKLTemporalDecoder(**config, down_block_types=down)
        return AutoencoderKL(**config, down_block_types=down, up_block_types=("UpDecoderBlock2D",) * levels)


def _stored_shape(target: Target) -> tuple[int, ...]:
    """The shape a parameter's tensor has in the file."""
    if target.how == "matrix":
        return (*target.shape, 1, 1)
    if target.how == "transposed":
        return target.shape[::-1]
    if target.how in THIRDS:
        return (3 * target.shape[0], *target.shape[1:])
    return target.shape


def _source(part: str, own: Part, parameter: str) -> tuple[str, How]:
    """The name of a parameter's tensor in the file, and how it is made from it."""
    if own.style == "diffusers":
        return own.prefix + parameter, "as it is"
    source, how = SOURCES[part](parameter, own.config)
    if part == "unet":
        return own.prefix + source.removeprefix(UNET), how
    if part == "vae" and source.startswith(ENCODER):  # or where the file has its encoder
        return own.encoder_prefix + source.removeprefix(ENCODER), how
    return source, how


def _pieces(part: str, own: Part, decoder: Decoder | None, header: Header, name: str) -> tuple[Piece, ...]:
    """Which tensor of the file each parameter of a component comes from. Raises `BadCheckpoint`."""
    try:
        parameters = empty(part, own.config, decoder).state_dict()
    except (ValueError, TypeError, RuntimeError, ArithmeticError, IndexError) as error:
        reason = str(error).splitlines()[0][:200]
        raise BadCheckpoint(
            f"the {PART_NAMES[part]} in {name} is none of Stable Video Diffusion: {reason}"
        ) from error
    targets: dict[str, list[Target]] = {}
    for parameter, blank in parameters.items():
        source, how = _source(part, own, parameter)
        targets.setdefault(source, []).append(Target(parameter, tuple(blank.shape), how))
    missing = [source for source in targets if source not in header.tensors]
    if missing:
        raise BadCheckpoint(f"{name} is not whole: its {PART_NAMES[part]} lacks {_some(missing, 'tensor')}")
    for source, made in targets.items():
        info, expected = header.tensors[source], _stored_shape(made[0])
        if info.shape != expected:
            raise BadCheckpoint(
                f"{source} in {name} has the shape {list(info.shape)}, expected {list(expected)}"
            )
    pieces = (
        Piece(source, header.tensors[source], tuple(made), _scale(header, source))
        for source, made in targets.items()
    )
    return tuple(sorted(pieces, key=lambda piece: piece.info.start))


def _scale(header: Header, source: str) -> TensorInfo | None:
    scale = float8.scale_of(header, source)
    return header.tensors[scale] if scale else None


def _check_rest(used: set[str], header: Header, name: str) -> None:
    """Refuses tensors that a whole SVD does not have: whoever put them there meant another network."""
    rest = [key for key in header.tensors if not (key in used or UNUSED.fullmatch(key) or float8.beside(key))]
    if rest:
        raise BadCheckpoint(f"{name} has {_some(rest, 'tensor')} that Stable Video Diffusion does not have")


def _some(keys: list[str], what: str) -> str:
    """'3 tensors (a, b, c)', the first few of more."""
    shown = ", ".join(key[:120] for key in keys[:SHOWN]) + (", …" if len(keys) > SHOWN else "")
    return f"{counted(len(keys), what)} ({shown})"


# --- reading ---------------------------------------------------------------------------------------------------------


@contextmanager
def _opened(path: Path, original: Original) -> Iterator[BufferedReader]:
    """The file, if it is still the one that was recognised. Raises `BadCheckpoint`."""
    try:
        with path.open("rb") as file:
            if file.seek(0, os.SEEK_END) != original.file_bytes:
                raise BadCheckpoint(f"{original.name} has changed since it was looked at")
            yield file
    except OSError as error:
        raise BadCheckpoint(f"{original.name} cannot be read: {error.strerror or error}") from error


def _read(file: BufferedReader, piece: Piece, name: str) -> torch.Tensor:
    """One tensor as it is stored, float8 as float32 with its scale; in memory of its own: a mapped file could change or
    vanish under a loaded model."""
    stored = _read_one(file, piece.info, piece.source, name)
    if piece.info.dtype not in EIGHTHS:
        return stored
    scale = None if piece.scale is None else _read_one(file, piece.scale, piece.source, name)
    return widened(stored, scale)


def _read_one(file: BufferedReader, info: TensorInfo, source: str, name: str) -> torch.Tensor:
    raw = torch.empty(info.end - info.start, dtype=torch.uint8)
    file.seek(info.start)
    if file.readinto(raw.numpy()) != len(raw):
        raise BadCheckpoint(f"{name} is cut off within {source}")
    return raw.view((DTYPES | EIGHTHS)[info.dtype]).view(info.shape)


def widened(stored: torch.Tensor, scale: torch.Tensor | None) -> torch.Tensor:
    """Numbers in float8 as float32, times their scale: one number, or one a row."""
    numbers = stored.float()
    if scale is None:
        return numbers
    each = scale.float().flatten()
    return numbers * each.view(-1, *(1 for _ in numbers.shape[1:]))


def _convert(tensor: torch.Tensor, how: How, dtype: torch.dtype) -> torch.Tensor:
    """A stored tensor, or its share of it, as the parameter it becomes. Never shares memory with another one."""
    if how == "matrix":
        return tensor[:, :, 0, 0].to(dtype)
    if how == "transposed":
        return tensor.t().to(dtype, copy=True, memory_format=torch.contiguous_format)
    if how in THIRDS:
        return tensor.chunk(3)[THIRDS[how]].to(dtype, copy=True)
    return tensor.to(dtype)


def load_part(path: Path, original: Original, part: str, dtype: torch.dtype) -> Any:
    """A component on the CPU in that dtype, in evaluation mode. Raises `BadCheckpoint`.

    At most the component and one tensor of the file are in memory at once.
    """
    module = empty(part, original.configs[part], original.decoder)
    state: dict[str, torch.Tensor] = {}
    with _opened(path, original) as file:
        for piece in original.pieces[part]:
            stored = _read(file, piece, original.name)
            narrowed = dtype == torch.float16 and stored.dtype != dtype
            for target in piece.targets:
                state[target.name] = _convert(stored, target.how, dtype)
                if narrowed and not state[target.name].isfinite().all():
                    raise BadCheckpoint(too_large(piece.source, original.name))
    module.load_state_dict(state, strict=True, assign=True)
    finished(module, part)
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        if tensor.is_meta:
            raise BadCheckpoint(f"the {PART_NAMES[part]} in {original.name} has no values for {name}")
    return module.eval().requires_grad_(False)


def finished(module: Any, part: str) -> Any:
    """A component that was built without memory and filled, ready to compute."""
    if part == "image_encoder":  # the only buffer of the five classes, and in no file
        embeddings = module.vision_model.embeddings
        embeddings.position_ids = torch.arange(embeddings.position_ids.shape[-1]).expand((1, -1))
    return module.eval().requires_grad_(False)


def too_large(tensor: str, file: str) -> str:
    """What is said of a tensor that float16 would make infinite."""
    return f"{tensor} in {file} holds numbers that float16 cannot; use bfloat16 or float32 (--dtype)"


def tensors(path: Path, original: Original, part: str) -> Iterator[tuple[str, torch.Tensor]]:
    """A component's tensors with their names in the file, one after another as they are stored."""
    with _opened(path, original) as file:
        for piece in original.pieces[part]:
            yield piece.source, _read(file, piece, original.name)


# --- what is the same for every file ---------------------------------------------------------------------------------


def scheduler() -> EulerDiscreteScheduler:
    """Stability's sampler: v-prediction, Karras' sigmas from 0.002 to 700."""
    return EulerDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        timestep_type="continuous",
        timestep_spacing="leading",
        steps_offset=1,
        use_karras_sigmas=True,
        sigma_min=0.002,
        sigma_max=700.0,
    )


def feature_extractor() -> CLIPImageProcessor:
    """The picture as CLIP was trained on it: 224×224, OpenAI's mean and standard deviation."""
    return CLIPImageProcessor(
        size={"shortest_edge": PICTURE},
        crop_size={"height": PICTURE, "width": PICTURE},
        image_mean=[0.48145466, 0.4578275, 0.40821073],
        image_std=[0.26862954, 0.26130258, 0.27577711],
    )
