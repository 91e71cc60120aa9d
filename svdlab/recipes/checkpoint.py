"""The catalogue: which checkpoints there are, where each comes from and what it was made for.

Knows ids, sources and plain configuration files; nothing of settings, tensors or screens.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from svdlab.errors import BadCheckpoint, NotFound
from svdlab.resources import assets_dir

Decoder = Literal["temporal", "image"]

HUB = "https://huggingface.co/"
CARD_LIMITS = (
    "Clips are short: 4 seconds or less.",
    "Not perfectly photoreal; shapes may morph.",
    "May come out with no motion, or only a slow camera pan.",
    "No control by text.",
    "No legible text.",
    "Faces and people may fail.",
)


@dataclass(frozen=True)
class Source:
    """Where a checkpoint's weights are: in the package, in a folder, or on the hub."""

    kind: Literal["embedded", "folder", "file", "hub"]
    location: str  # folder, single file in Stability's layout, or hub repository id
    variant: str | None = None  # "fp16" where the hub repository carries half-size files
    revision: str | None = None
    gated: bool = False
    image_decoder_file: str | None = (
        None  # original-layout file in the repository that holds a frame-wise decoder
    )

    @property
    def url(self) -> str | None:
        """The page a person reads before downloading, or None for local weights."""
        return HUB + self.location if self.kind == "hub" else None


@dataclass(frozen=True)
class Availability:
    """Whether a checkpoint can be rendered with right now, and in words why or why not."""

    state: Literal["embedded", "on disk", "can be downloaded", "terms first", "offline", "missing"]
    sentence: str
    path: Path | None = None
    bytes_on_disk: int = 0

    @property
    def ready(self) -> bool:
        """Whether the weights are here, so that no network is needed."""
        return self.state in ("embedded", "on disk")

    @property
    def obtainable(self) -> bool:
        """Whether it can be rendered with, after a download if need be."""
        return self.ready or self.state == "can be downloaded"


@dataclass(frozen=True)
class Checkpoint:
    """One set of weights by id. Sizes in pixels; `official` holds the maker's own knob values."""

    id: str
    name: str
    version: str  # "1.0" | "1.1": which side of the usual comparison it is
    summary: str
    source: Source
    native_frames: int
    width: int
    height: int
    size_step: int  # pixels; 8·2^(levels−1) of the UNet's config
    official: Mapping[str, Any]  # knobs as the maker samples, under diffusers' names
    trained_for: str  # one sentence
    tuned_fps: int | None = None  # the only fps_id it was tuned at (what the model sees), if one
    tuned_bucket: int | None = None
    decoders: tuple[Decoder, ...] = ("temporal",)
    lenders: Mapping[Decoder, str] = field(
        default_factory=dict
    )  # decoder → checkpoint with it for these latents
    parameters: int = 0
    download_bytes: int = 0
    files: tuple[tuple[str, str, int], ...] = ()  # what its maker publishes: name, precision, bytes
    licence: str = ""
    licence_url: str = ""
    limits: tuple[str, ...] = field(default=CARD_LIMITS)
    demo: bool = False

    def availability(self) -> Availability:
        """Looks at folders and the hub's cache; never at the network."""
        if self.source.kind in ("embedded", "folder"):
            return self._local_availability()
        if self.source.kind == "file":
            return self._file_availability()
        folder = cached_snapshot(self.source)
        if folder is not None:
            return Availability(
                "on disk", f"On disk, {_gigabytes(folder_bytes(folder))}.", folder, folder_bytes(folder)
            )
        size = _gigabytes(self.download_bytes)
        if os.environ.get("HF_HUB_OFFLINE", "") in ("1", "ON", "YES", "TRUE", "true"):
            return Availability(
                "offline", f"Not on disk, and HF_HUB_OFFLINE is set; unset it to download {size}."
            )
        if self.source.gated and not _has_token():
            return Availability(
                "terms first",
                f"Log in at {self.source.url}, accept the terms there, then set HF_TOKEN; the download is {size}.",
            )
        return Availability("can be downloaded", f"Downloaded on first use, {size}.")

    def _file_availability(self) -> Availability:
        path = Path(self.source.location)
        if not path.is_file():
            return Availability("missing", f"The file {path} is gone.")
        size = path.stat().st_size
        return Availability("on disk", f"In {path.parent}, {_gigabytes(size)}.", path, size)

    def _local_availability(self) -> Availability:
        folder = Path(self.source.location)
        if not (folder / "model_index.json").is_file():
            return Availability("missing", f"There is no model_index.json in {folder}.")
        size = folder_bytes(folder)
        if self.source.kind == "embedded":
            return Availability("embedded", f"Part of svdlab, {_gigabytes(size)}.", folder, size)
        return Availability("on disk", f"In {folder}, {_gigabytes(size)}.", folder, size)


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below a folder (links followed, as the hub's cache uses them)."""
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def _has_token() -> bool:
    from huggingface_hub import get_token  # late: it costs a quarter of a second

    return get_token() is not None


def cached_snapshot(source: Source) -> Path | None:
    """The folder of a hub repository's files if every needed one is in the local cache, else None."""
    from huggingface_hub import try_to_load_from_cache

    index = try_to_load_from_cache(source.location, "model_index.json", revision=source.revision)
    if not isinstance(index, str):
        return None
    folder = Path(index).parent
    stems = {"unet": "diffusion_pytorch_model", "image_encoder": "model", "vae": "diffusion_pytorch_model"}
    if source.image_decoder_file:
        del stems["vae"]
        if not (folder / source.image_decoder_file).is_file():
            return None
    for part, stem in stems.items():  # a repository without the variant gives its plain files
        if not any((folder / part / weight_name(stem, v)).is_file() for v in {source.variant, None}):
            return None
    return folder


def weight_name(stem: str, variant: str | None) -> str:
    """The file name diffusers and transformers give weights of a variant."""
    return f"{stem}.{variant}.safetensors" if variant else f"{stem}.safetensors"


@dataclass(frozen=True)
class Layout:
    """What a diffusers folder's own configuration says, read without loading any weights."""

    size_step: int
    native_frames: int
    latent_channels: int
    vae_scale: int  # pixels per latent


def read_layout(folder: Path) -> Layout:
    """Reads `unet/config.json` and `vae/config.json`. Raises `BadCheckpoint`."""
    try:
        unet = json.loads((folder / "unet" / "config.json").read_text(encoding="utf-8"))
        vae = json.loads((folder / "vae" / "config.json").read_text(encoding="utf-8"))
        vae_scale = 2 ** (len(vae["block_out_channels"]) - 1)
        levels = len(unet["block_out_channels"])
        return Layout(
            size_step=vae_scale * 2 ** (levels - 1),
            native_frames=int(unet["num_frames"]),
            latent_channels=int(unet["out_channels"]),
            vae_scale=vae_scale,
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadCheckpoint(f"{folder} is not a Stable Video Diffusion folder: {error}") from error


_XT = {
    "width": 1024,
    "height": 576,
    "num_frames": 25,
    "num_inference_steps": 30,
    "min_guidance_scale": 1.5,
    "max_guidance_scale": 3.0,
    "fps": 7,  # Stability's scripts send fps_id 6; diffusers subtracts 1
    "motion_bucket_id": 127,
    "noise_aug_strength": 0.02,
    "decode_chunk_size": 14,
}


def official_xt() -> dict[str, Any]:
    """SVD-XT's official knobs, the starting point for weights that nobody has published any for."""
    return dict(_XT)


_RESEARCH = "Stability AI non-commercial research licence (2023-11); newer cards name the community licence"


def _stability(id: str, name: str, repo: str, **rest: Any) -> Checkpoint:
    return Checkpoint(
        id=id,
        name=name,
        source=Source(
            "hub",
            repo,
            variant="fp16",
            gated=rest.pop("gated", False),
            image_decoder_file=rest.get("image_decoder_file"),
        ),
        lenders=MappingProxyType(
            {"temporal": "svd-xt"}
            if rest.pop("image_decoder_file", None)
            else {"image": "svd-xt-image-decoder"}
        ),
        width=1024,
        height=576,
        size_step=64,
        parameters=2_254_400_000,  # UNet 1,524.6 M + VAE 97.7 M + CLIP 632.1 M
        licence=rest.pop("licence", _RESEARCH),
        licence_url=HUB + repo,
        **rest,
    )


def _demo(id: str, name: str, version: str, summary: str, trained_for: str, **rest: Any) -> Checkpoint:
    folder = assets_dir() / id
    layout = read_layout(folder)
    return Checkpoint(
        id=id,
        name=name,
        version=version,
        summary=summary,
        source=Source("embedded", str(folder)),
        native_frames=layout.native_frames,
        width=256,
        height=144,
        size_step=layout.size_step,
        official=MappingProxyType(
            {
                "width": 256,
                "height": 144,
                "num_frames": layout.native_frames,
                "num_inference_steps": 8,
                "min_guidance_scale": 1.0,
                "max_guidance_scale": 1.0,  # trained to be sampled without guidance: half the time
                "fps": 6,
                "motion_bucket_id": 127,
                "noise_aug_strength": 0.02,
                "decode_chunk_size": 4,  # on a CPU quicker than all at once; the frames differ by 51 dB
            }
        ),
        trained_for=trained_for,
        licence="Apache-2.0",
        limits=(
            "Small, made for trying the lab: it moves a camera over the picture, and nothing in the scene by itself.",
            "A few million parameters, 256×144 pixels; clips are soft and a little grainy.",
            "Trained on drawn pictures, pans and tilts alone; what comes in from beyond the edge is guessed.",
        ),
        demo=True,
        **rest,
    )


def _builtin() -> Iterator[Checkpoint]:
    yield _demo(
        "demo-1-0",
        "Demo 1.0",
        "1.0",
        "Small real SVD network for trying the lab: all rates and buckets, a slightly restless camera.",
        "trained at every rate from 5 to 30 fps and every bucket from 1 to 255",
    )
    yield _demo(
        "demo-1-1",
        "Demo 1.1",
        "1.1",
        "Demo 1.0 fine-tuned at 6 fps and bucket 127 with a steady camera, as 1.1 was from SVD-XT.",
        "tuned at 6 fps and motion bucket 127 only",
        tuned_fps=5,
        tuned_bucket=127,
    )
    xt_repo = "stabilityai/stable-video-diffusion-img2vid-xt"
    yield _stability(
        "svd",
        "SVD 1.0",
        "stabilityai/stable-video-diffusion-img2vid",
        version="1.0",
        summary="The first model: 14 frames.",
        native_frames=14,
        official=MappingProxyType(
            {
                **_XT,
                "num_frames": 14,
                "num_inference_steps": 25,
                "min_guidance_scale": 1.0,
                "max_guidance_scale": 2.5,
            }
        ),
        trained_for="trained at 14 frames, 1024×576",
        files=(
            ("diffusers folder", "fp16", 4_510_000_000),
            ("svd.safetensors", "fp32", 9_559_000_000),
            ("svd_image_decoder.safetensors", "fp32", 9_503_000_000),
        ),
        download_bytes=4_510_000_000,
    )
    yield _stability(
        "svd-xt",
        "SVD-XT 1.0",
        xt_repo,
        version="1.0",
        summary="SVD fine-tuned to 25 frames.",
        native_frames=25,
        official=MappingProxyType(_XT),
        trained_for="trained at 25 frames, 1024×576",
        files=(("diffusers folder", "fp16", 4_510_000_000), ("svd_xt.safetensors", "fp32", 9_559_000_000)),
        download_bytes=4_510_000_000,
    )
    yield _stability(
        "svd-xt-image-decoder",
        "SVD-XT 1.0, image decoder",
        xt_repo,
        version="1.0",
        summary="SVD-XT with the frame-wise decoder: sharper frames, more flicker. The article's 1.0 side.",
        native_frames=25,
        official=MappingProxyType({**_XT, "decoder": "image"}),
        trained_for="trained at 25 frames, 1024×576",
        files=(("svd_xt_image_decoder.safetensors", "fp32", 9_503_000_000),),
        decoders=("image",),
        image_decoder_file="svd_xt_image_decoder.safetensors",
        download_bytes=13_900_000_000,
    )
    yield _stability(
        "svd-xt-1-1",
        "SVD-XT 1.1",
        "stabilityai/stable-video-diffusion-img2vid-xt-1-1",
        version="1.1",
        summary="SVD-XT fine-tuned with fixed conditioning: steadier without turning knobs.",
        native_frames=25,
        official=MappingProxyType(_XT),
        trained_for="tuned at fps_id 6 and motion bucket 127 only",
        files=(
            ("diffusers folder", "fp16", 4_510_000_000),
            ("svd_xt_1_1.safetensors", "fp16", 4_780_000_000),
        ),
        tuned_fps=6,
        tuned_bucket=127,
        download_bytes=4_510_000_000,
        licence="Stability AI community licence; accept the terms on its page first",
        gated=True,
    )


class Catalogue:
    """All checkpoints by id, in the order a person should see them.

    `extra` are those beside the built-in ones; one with a built-in id stands in for that.
    """

    def __init__(self, extra: Iterable[Checkpoint] = ()) -> None:
        self._extra = tuple(extra)

    @cached_property
    def _by_id(self) -> dict[str, Checkpoint]:
        return {c.id: c for c in (*_builtin(), *self._extra)}

    def extend(self, extra: Iterable[Checkpoint]) -> None:
        """Replaces the checkpoints beside the built-in ones; one with a built-in id stands in for that."""
        self._extra = tuple(extra)
        self.__dict__.pop("_by_id", None)

    def __iter__(self) -> Iterator[Checkpoint]:
        return iter(self._by_id.values())

    def get(self, id: str) -> Checkpoint:
        """The checkpoint of that id. Raises `NotFound` with the ids there are."""
        try:
            return self._by_id[id]
        except (KeyError, TypeError):
            known = ", ".join(self._by_id)
            raise NotFound(f"there is no checkpoint {str(id)[:60]!r}; there are {known}") from None

    def pair(self) -> tuple[Checkpoint, Checkpoint]:
        """The 1.0 and 1.1 to put side by side: Stability's if both are here, else the demo pair."""
        svd_10 = next(
            (c for c in map(self.get, ("svd-xt-image-decoder", "svd-xt")) if c.availability().ready), None
        )
        svd_11 = self.get("svd-xt-1-1")
        if svd_10 is not None and svd_11.availability().ready:
            return svd_10, svd_11
        return self.get("demo-1-0"), self.get("demo-1-1")

    def default(self) -> Checkpoint:
        """The checkpoint a first visit starts with: the best that is here."""
        ready = [c for c in map(self.get, ("svd-xt-1-1", "svd-xt", "svd")) if c.availability().ready]
        return ready[0] if ready else self.get("demo-1-1")


def possible_size(pixels: int, step: int) -> int:
    """The nearest size from `pixels` upward that can be rendered at all: at least 64, in steps of `step`."""
    return -(-max(64, pixels) // step) * step


def local_checkpoint(folder: Path, id: str | None = None) -> Checkpoint:
    """A checkpoint from any diffusers-layout folder of Stable Video Diffusion. Raises `BadCheckpoint`.

    Its knobs are SVD-XT's official ones, at the size and frame count its own configuration names.
    """
    layout = read_layout(folder)
    unet = json.loads((folder / "unet" / "config.json").read_text(encoding="utf-8"))
    sample = unet.get("sample_size") or 96
    rows, columns = (sample, sample) if isinstance(sample, int) else sample
    full = layout.size_step == 64
    width, height = (
        (1024, 576)
        if full
        else (possible_size(n * layout.vae_scale, layout.size_step) for n in (columns, rows))
    )
    return Checkpoint(
        id=id or folder.name,
        name=folder.name,
        version="",
        summary=f"Weights in {folder}.",
        source=Source("folder", str(folder)),
        native_frames=layout.native_frames,
        width=width,
        height=height,
        size_step=layout.size_step,
        official=MappingProxyType(
            {**_XT, "width": width, "height": height, "num_frames": layout.native_frames}
        ),
        trained_for=f"its configuration names {layout.native_frames} frames",
    )
