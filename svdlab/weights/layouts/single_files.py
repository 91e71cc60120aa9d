"""What a single file of weights holds: the one recogniser, told by the names and shapes of its tensors.

Knows Stability's layout and diffusers'; a file may mix them, have its prefixes or not, and hold all components of
Stable Video Diffusion or its UNet with some of the others. What a file is not is said by what it looks like. No number
is read; that every parameter has its tensor is checked by the engine, which knows the model libraries' classes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from svdlab.errors import BadCheckpoint
from svdlab.recipes.checkpoint import Decoder
from svdlab.weights.layouts import configs
from svdlab.weights.layouts.configs import Names
from svdlab.weights.layouts.float8 import FLOAT8, beside, check_scales, stored_in_float8
from svdlab.weights.safetensors import Header, read_header
from svdlab.words import counted

PARTS = ("image_encoder", "unet", "vae")
PART_NAMES = {"image_encoder": "image encoder", "unet": "UNet", "vae": "autoencoder"}
NUMBERS = ("F32", "F16", "BF16", *FLOAT8)  # how tensors may be stored
MOST_TENSORS = 10_000  # a real file has about 2,450

UNET = "model.diffusion_model."
CLIP = "conditioner.embedders.0.open_clip.model.visual."
ENCODER = "conditioner.embedders.3.encoder."  # a whole autoencoder of its own, used for its encoder
DECODER = "first_stage_model."
PREFIXES = (UNET, CLIP, ENCODER, DECODER)

# What released files hold beside the components: known, and not used.
UNUSED = re.compile(
    r"conditioner\.embedders\.0\.open_clip\.(mean|std)"
    r"|conditioner\.embedders\.0\.open_clip\.model\."  # the text tower's leftovers
    r"(ln_final\.|logit_scale|positional_embedding|text_projection|token_embedding\.|transformer\.|attn_mask).*"
    r"|conditioner\.embedders\.3\.encoder\.(decoder|post_quant_conv|loss)\..*"
    r"|first_stage_model\.(encoder|quant_conv|post_quant_conv|loss)\..*"
    r"|(model_ema|loss_fn|denoiser|sampler)\..*"
    r"|(first_stage_model|conditioner\.embedders\.3\.encoder)\.model_ema\..*"
    r"|(.*\.)?vision_model\.embeddings\.position_ids"  # a buffer that older versions saved
)

BUFFER = "vision_model.embeddings.position_ids"
UNET_BLOCKS = ("input_blocks.", "middle_block.", "output_blocks.", "time_embed.", "label_emb.", "out.")

Style = Literal["original", "diffusers"]
# Component → how it may be laid out, where, and a tensor by which that is seen. The first that fits counts.
PLACES: Mapping[str, tuple[tuple[Style, str, str], ...]] = {
    "unet": (
        ("original", UNET, "input_blocks.0.0.weight"),
        ("original", "", "input_blocks.0.0.weight"),
        ("diffusers", "unet.", "down_blocks.0.resnets."),
        ("diffusers", UNET, "down_blocks.0.resnets."),
        ("diffusers", "", "down_blocks.0.resnets."),
    ),
    "image_encoder": (
        ("diffusers", CLIP, "vision_model."),  # as ComfyUI saves it
        ("original", CLIP, ""),
        ("diffusers", "image_encoder.", "vision_model."),
        ("diffusers", "", "vision_model."),
    ),
    "vae": (
        ("diffusers", "vae.", "decoder.mid_block."),
        ("diffusers", DECODER, "decoder.mid_block."),
        ("original", DECODER, "decoder."),
        ("original", ENCODER, "encoder."),
    ),
}
TEMPORAL = re.compile(r"\.time_stack\.|\.temporal_res_block\.|\.temporal_transformer_blocks\.")

# Part of a tensor's name → what such files are; the first that fits counts. No Stable Video Diffusion has one of these.
OTHERS: tuple[tuple[str, str], ...] = (
    (r"motion_modules\.", "an AnimateDiff motion module"),
    (
        r"lora_(up|down|A|B|unet|te)|\.lora[._]|hada_w1",
        "a LoRA, which changes a model and is none: svdlab loras add registers it",
    ),
    (r"^control_model\.|controlnet_|input_hint_block|zero_convs\.", "a ControlNet"),
    (r"^conditioner\.embedders\.(0\.transformer\.text_model|1\.model)\.", "SDXL"),
    (r"^cond_stage_model\.transformer\.", "Stable Diffusion 1"),
    (r"^cond_stage_model\.model\.", "Stable Diffusion 2"),
    (r"double_blocks\.|joint_blocks\.", "another kind of model, a diffusion transformer"),
)
# The same for what has no temporal layers.
IMAGE_MODELS: tuple[tuple[str, str], ...] = (
    (
        r"^(model\.diffusion_model|unet|diffusion_model)\.|^input_blocks\.",
        "an image model: its UNet has no temporal layers",
    ),
    (r"^(down_blocks|up_blocks|mid_block)\.", "an image model's UNet: it has no temporal layers"),
    (r"^(image_encoder\.)?(vision_model|text_model)\.", "a CLIP model alone"),
    (r"^((first_stage_model|vae)\.)?(encoder|decoder)\.", "an autoencoder alone"),
)


@dataclass(frozen=True)
class Part:
    """A component in a file: how it is laid out, what its tensors' names begin with, and what it is built from.

    `encoder_prefix` is where an autoencoder's encoder is, which Stability keeps apart.
    """

    style: Style
    prefix: str
    config: Mapping[str, Any]
    encoder_prefix: str = ""


@dataclass(frozen=True)
class SingleFile:
    """A recognised file. Components that are not in `parts` come from another checkpoint, its base."""

    name: str
    parts: Mapping[str, Part]
    decoder: Decoder | None  # None where the autoencoder is not in it
    float8: bool = False  # whether weights are stored in 8 bits

    @property
    def lacks(self) -> tuple[str, ...]:
        """The components that are not in it."""
        return tuple(part for part in PARTS if part not in self.parts)

    @property
    def levels(self) -> int:
        """Of the UNet."""
        return len(self.parts["unet"].config["block_out_channels"])

    @property
    def vae_scale(self) -> int | None:
        """Pixels per latent, where its autoencoder is in it."""
        vae = self.parts.get("vae")
        return 2 ** (len(vae.config["block_out_channels"]) - 1) if vae else None


def recognise(header: Header, name: str, num_frames: int = 25) -> SingleFile:
    """What a file of that header is. Raises `BadCheckpoint` with `name` and the defect if it is not of SVD."""
    if len(header.tensors) > MOST_TENSORS:
        raise BadCheckpoint(
            f"{name} is not a Stable Video Diffusion checkpoint: it has {counted(len(header.tensors), 'tensor')}"
        )
    found = {part: place for part in PARTS if (place := _place_of(part, header))}
    other = _first(OTHERS, header)
    if other or "unet" not in found or not _temporal(found["unet"], header):
        raise BadCheckpoint(f"{name} is not a Stable Video Diffusion checkpoint: {_looks_like(header)}")
    parts = {
        part: _part(part, style, prefix, header, name, num_frames) for part, (style, prefix) in found.items()
    }
    configs.check_fit({part: own.config for part, own in parts.items()}, name)
    check_scales(header, name)
    decoder = _decoder_of(parts["vae"], header) if "vae" in parts else None
    file = SingleFile(name, MappingProxyType(parts), decoder, stored_in_float8(header))
    for part in parts:
        for key in tensors_of(header, file, part):
            if header.tensors[key].dtype not in NUMBERS and not beside(key):
                raise BadCheckpoint(
                    f"{key} in {name} is stored as {header.tensors[key].dtype}; {', '.join(NUMBERS)} are read"
                )
    return file


def recognise_file(path: Path) -> tuple[SingleFile, int]:
    """What a file holds, and how many numbers; looked at once while it stays as it is. Raises `BadCheckpoint`."""
    try:
        stat = path.stat()
    except OSError as error:
        raise BadCheckpoint(f"{path.name} cannot be read: {error.strerror or error}") from error
    found = _look(path, stat.st_size, stat.st_mtime_ns, stat.st_ino)
    if isinstance(found, str):
        raise BadCheckpoint(found)
    return found


@lru_cache(maxsize=256)
def _look(path: Path, *identity: int) -> tuple[SingleFile, int] | str:
    try:
        header = read_header(path)
        return recognise(header, path.name), sum(math.prod(t.shape) for t in header.tensors.values())
    except BadCheckpoint as error:
        return str(error)


def tensors_of(header: Header, file: SingleFile, part: str) -> list[str]:
    """The names of the tensors that a component is made from, sorted by their names without its place in the file."""
    own = file.parts[part]
    if own.style == "diffusers":
        apart = tuple(p.prefix for p in file.parts.values() if len(p.prefix) > len(own.prefix)) or ("\n",)
        names = [key for key in header.tensors if key.startswith(own.prefix) and not key.startswith(apart)]
        return sorted(key for key in names if not key.endswith(BUFFER))
    begins: tuple[str, ...] = (own.prefix,)
    if part == "unet" and not own.prefix:
        begins = UNET_BLOCKS
    elif part == "vae":
        begins = (
            f"{own.prefix}decoder.",
            f"{own.encoder_prefix}encoder.",
            f"{own.encoder_prefix}quant_conv.",
        )
        if file.decoder == "image":  # the temporal decoder has no convolution before it
            begins += (f"{own.prefix}post_quant_conv.",)
    return sorted((key for key in header.tensors if key.startswith(begins)), key=bare)


def bare(source: str) -> str:
    """A tensor's name without the place its component has in a file."""
    for prefix in PREFIXES:
        if source.startswith(prefix):
            return source.removeprefix(prefix)
    return source


def _place_of(part: str, header: Header) -> tuple[Style, str] | None:
    for style, prefix, sign in PLACES[part]:
        if any(key.startswith(prefix + sign) for key in header.tensors):
            return style, prefix
    return None


def _temporal(unet: tuple[Style, str], header: Header) -> bool:
    return any(key.startswith(unet[1]) and TEMPORAL.search(key) for key in header.tensors)


def _part(part: str, style: Style, prefix: str, header: Header, name: str, num_frames: int) -> Part:
    names = Names(header, name, prefix)
    if part == "unet":
        read = configs.original_unet if style == "original" else configs.diffusers_unet
        return Part(style, prefix, MappingProxyType(read(names, num_frames)))
    if part == "image_encoder":
        clip = configs.original_clip(names) if style == "original" else configs.diffusers_clip(names)
        return Part(style, prefix, MappingProxyType(clip))
    if style == "diffusers":
        return Part(style, prefix, MappingProxyType(configs.diffusers_vae(names)), prefix)
    # Stability's files have a second autoencoder for its encoder; others may hold one whole.
    signs = {ENCODER: ("encoder.",), DECODER: ("encoder.", "quant_conv.")}
    homes = [
        place
        for place, needed in signs.items()
        if all(any(key.startswith(place + sign) for key in header.tensors) for sign in needed)
    ]
    for there, what, begin in (
        (bool(homes), "encoder of the conditioning picture", f"{ENCODER}encoder."),
        (prefix == DECODER, "decoder", f"{DECODER}decoder."),
    ):
        if not there:
            raise BadCheckpoint(
                f"{name} is not a whole checkpoint: it has no {what} (no tensor's name begins with {begin})"
            )
    config = configs.original_vae(Names(header, name, homes[0]), names)
    return Part(style, prefix, MappingProxyType(config), homes[0])


def _decoder_of(vae: Part, header: Header) -> Decoder:
    place = f"{vae.prefix}decoder."
    temporal = (
        key.startswith(place) and ("mix_factor" in key or TEMPORAL.search(key)) for key in header.tensors
    )
    return "temporal" if any(temporal) else "image"


def _first(looks: tuple[tuple[str, str], ...], header: Header) -> str:
    return next((what for pattern, what in looks if any(re.search(pattern, k) for k in header.tensors)), "")


def _looks_like(header: Header) -> str:
    if not header.tensors:
        return "it holds no tensors"
    what = _first(OTHERS, header) or _first(IMAGE_MODELS, header)
    if what:
        return f"it looks like {what}"
    if len(header.tensors) == 1:
        return "its one tensor is none of a UNet for videos"
    return f"none of its {len(header.tensors)} tensors is one of a UNet for videos"
