"""The catalogue: which checkpoints there are, in the order a person should see them, and what their makers say of them.

Knows ids, repositories and official knobs; nothing of settings, tensors or screens.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from types import MappingProxyType
from typing import Any

from svdlab.errors import NotFound
from svdlab.recipes.checkpoint import HUB, Checkpoint, Source
from svdlab.resources import assets_dir
from svdlab.weights.availability import availability
from svdlab.weights.layouts.folders import read_layout

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

USE = (
    "Made for research and, where its licence says so, more; not to show people or events as they truly were, "
    "and not for anything that Stability AI's acceptable-use policy forbids."
)
USE_POLICY = "https://stability.ai/use-policy"


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
        use=USE,
        use_url=USE_POLICY,
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
        first = map(self.get, ("svd-xt-image-decoder", "svd-xt"))
        svd_10 = next((c for c in first if availability(c).ready), None)
        svd_11 = self.get("svd-xt-1-1")
        if svd_10 is not None and availability(svd_11).ready:
            return svd_10, svd_11
        return self.get("demo-1-0"), self.get("demo-1-1")

    def default(self) -> Checkpoint:
        """The checkpoint a first visit starts with: the best that is here."""
        ready = [c for c in map(self.get, ("svd-xt-1-1", "svd-xt", "svd")) if availability(c).ready]
        return ready[0] if ready else self.get("demo-1-1")
