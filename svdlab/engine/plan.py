"""What a run will take of a device's memory, and the fastest way that fits: counted before anything is computed.

The ladder, from the fastest down: all weights on the device; each part there for its stage; the UNet streamed. On each
rung the ways of calling the UNet, and as many frames decoded at once as there is room for. Knows footprints, ways and
sizes; nothing of runs, files or screens.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from svdlab.engine import memory, streaming, ways
from svdlab.engine.components import Components
from svdlab.engine.footprint import decoder_bytes, encoder_bytes, largest_map
from svdlab.engine.loading import Weights
from svdlab.engine.reuse import kept_bytes
from svdlab.engine.shapes import (
    OFFICIAL_NUMBERS,
    OFFICIAL_UNET,
    OFFICIAL_VAE,
    config_of,
    without_numbers,
    written,
)
from svdlab.engine.ways import Way
from svdlab.environment import Offload
from svdlab.recipes.plan import Plan
from svdlab.recipes.settings import GenerationSettings

PARTS = ("unet", "vae", "image_encoder")
DECODE_CHUNKS = (8, 4, 2, 1)  # what is tried when decoding all frames at once does not fit
GOOD_CHUNK = (
    4  # frames decoded at once that nobody tells from all of them (51 dB); rather than fewer, weights wait
)
DRIVER = 400_000_000  # bytes that CUDA itself takes of a card before anything is put there


@dataclass(frozen=True)
class Networks:
    """What is planned with: the networks' configurations, and the bytes of their weights. Nothing need be loaded."""

    unet: str  # configurations as `shapes` writes them
    vae: str
    dtype: torch.dtype
    unet_bytes: int
    vae_bytes: int
    image_encoder_bytes: int

    @classmethod
    def of(cls, parts: Components) -> Networks:
        """Of what is loaded."""
        sizes = (memory.module_bytes(getattr(parts, part)) for part in PARTS)
        return cls(config_of(parts.unet), config_of(parts.vae), parts.dtype, *sizes)

    @classmethod
    def of_weights(cls, weights: Weights, dtype: torch.dtype) -> Networks:
        """Of what lies on the disk."""
        vae = "AutoencoderKL" if weights.checkpoint.decoders == ("image",) else "AutoencoderKLTemporalDecoder"
        sizes = (weights.values(part) * dtype.itemsize for part in PARTS)
        unet = written("UNetSpatioTemporalConditionModel", weights.config("unet"))
        return cls(unet, written(vae, weights.config("vae")), dtype, *sizes)

    @classmethod
    def official(cls, dtype: torch.dtype) -> Networks:
        """Of Stability's released models, which are all built alike."""
        sizes = (OFFICIAL_NUMBERS[part] * dtype.itemsize for part in PARTS)
        return cls(OFFICIAL_UNET, OFFICIAL_VAE, dtype, *sizes)

    @property
    def bytes(self) -> int:
        """All weights."""
        return self.unet_bytes + self.vae_bytes + self.image_encoder_bytes

    @property
    def vae_scale(self) -> int:
        """Pixels per latent along each side."""
        return int(2 ** (len(json.loads(self.vae)["block_out_channels"]) - 1))


@dataclass(frozen=True)
class Chosen:
    """A plan, and what the sampler goes by."""

    plan: Plan
    way: Way


def choose(
    networks: Networks,
    settings: GenerationSettings,
    room: int,
    exact: bool = False,
    offloads: Sequence[Offload] = memory.OFFLOADS,
    resident: int = 0,
    sampled: bool = True,
) -> Chosen:
    """The fastest way in which a run takes no more than `room` bytes, weights included; else the smallest there is.

    `resident` are the bytes of all weights that stay on the device where all do, if they are more than these networks'.
    Without `sampled` there are latents already, to be decoded. A clip that fits by a generous bound is not counted; the
    first count for a size takes seconds.
    """
    asked = _Asked(networks, settings, exact, sampled, max(resident, networks.bytes))
    quick = asked.bounded(room, offloads[0])
    if quick.plan.fits:
        return quick
    enough = min(GOOD_CHUNK, settings.decode_chunk_size or GOOD_CHUNK, settings.num_frames)
    chosen, with_less = quick, None
    for offload in offloads:
        for way in ways.ways_of(settings) if sampled else ways.WAYS[:1]:
            chosen = asked.counted(room, offload, way)
            if chosen.plan.fits and chosen.plan.decoded >= enough:
                return chosen
            if chosen.plan.fits and with_less is None:
                with_less = chosen
    return with_less or chosen


@dataclass(frozen=True)
class _Asked:
    """What is planned: each stage's bytes, bounded or counted."""

    networks: Networks
    settings: GenerationSettings
    exact: bool
    sampled: bool
    resident: int

    def bounded(self, room: int, offload: Offload) -> Chosen:
        """In the fastest way with all frames decoded at once, by bounds that take no time."""
        networks, settings = self.networks, self.settings
        decoding = largest_map(networks.vae, settings.width, settings.height)
        call = ways.bound_of(networks.unet, networks.dtype, settings, networks.vae_scale)
        return self._chosen(
            room,
            offload,
            ways.WAYS[0],
            (decoding * torch.float32.itemsize, call, decoding * networks.dtype.itemsize),
            counted=False,
        )

    def counted(self, room: int, offload: Offload, way: Way) -> Chosen:
        """In that way, with as many frames decoded at once as there is room for."""
        networks, settings, scale = self.networks, self.settings, self.networks.vae_scale
        high, wide = settings.height // scale, settings.width // scale
        upcast = torch.float32 if self._upcast else networks.dtype
        return self._chosen(
            room,
            offload,
            way,
            (
                encoder_bytes(networks.vae, settings.height, settings.width, upcast) if self.sampled else 0,
                self._call(way) if self.sampled else 0,
                decoder_bytes(networks.vae, 1, high, wide, networks.dtype),  # every frame takes the same
            ),
            counted=True,
        )

    def _chosen(
        self, room: int, offload: Offload, way: Way, takes: tuple[int, int, int], counted: bool
    ) -> Chosen:
        """From the bytes that encoding, one call of the UNet and decoding one frame take beside the weights."""
        encoding, call, frame = (math.ceil(taken / memory.SPARE) for taken in takes)
        networks, frames = self.networks, self.settings.num_frames
        unet = networks.unet_bytes if offload != "streamed" else self._streamed
        vae, beside = networks.vae_bytes, offload == "none"
        decoded = min(self.settings.decode_chunk_size or frames, frames)
        if counted:
            left = room - (self.resident if beside else vae)
            decoded = next((n for n in chunks(decoded) if n * frame <= left), 1)
        stages = {"decode": (self.resident if beside else vae) + decoded * frame}
        if self.sampled:
            own = vae if self._upcast else 0  # its weights grow while it encodes
            stages["encode"] = max(
                networks.image_encoder_bytes, (self.resident if beside else vae) + own + encoding
            )
            stages["sample"] = (self.resident if beside else unet) + call
        plan = Plan(room, stages, offload, str(way), decoded, frames, counted)
        return Chosen(plan, way)

    def _call(self, way: Way) -> int:
        """What a call of the UNet takes, and what is kept from one step to the next."""
        networks, settings, scale = self.networks, self.settings, self.networks.vae_scale
        taken = ways.bytes_of(way, networks.unet, networks.dtype, settings, scale, self.exact)
        if settings.feature_reuse > 1:
            unet = without_numbers(networks.unet, networks.dtype)
            positions = settings.width * settings.height // scale**2
            taken += kept_bytes(unet, 2 if settings.guided else 1, settings.num_frames, positions)
        return taken

    @property
    def _streamed(self) -> int:
        return streaming.bytes_of(without_numbers(self.networks.unet, self.networks.dtype))

    @property
    def _upcast(self) -> bool:
        upcast = json.loads(self.networks.vae).get("force_upcast", True)
        return bool(self.networks.dtype == torch.float16 and upcast)


def chunks(most: int) -> tuple[int, ...]:
    """How many frames may be decoded at once, the most first."""
    return (most, *(count for count in DECODE_CHUNKS if count < most))


def on_a_card(networks: Networks, settings: GenerationSettings, card: int) -> Chosen:
    """The plan for a graphics card of so many bytes that nothing else uses, with exact acceleration."""
    return choose(networks, settings, card - DRIVER, exact=True)
