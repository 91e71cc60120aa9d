"""Encode → denoise → decode: diffusers' StableVideoDiffusionPipeline taken apart into stages.

Bit-equal to `StableVideoDiffusionPipeline.__call__` on the same components and CPU generator; taken apart
it can preview every frame at every step, stop within one step, reuse the conditioning, run two models in
lockstep and decode the same latents again. Knows tensors; nothing of runs, files or screens.
"""

from __future__ import annotations

import hashlib
import inspect
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from diffusers import EulerDiscreteScheduler
from diffusers.pipelines.stable_video_diffusion.pipeline_stable_video_diffusion import (
    _resize_with_antialiasing,
)
from diffusers.schedulers import AysSchedules
from diffusers.video_processor import VideoProcessor
from PIL import Image

from svdlab.engine.components import Components
from svdlab.engine.constants import constants_of
from svdlab.engine.reuse import DeepFeatures
from svdlab.engine.rows import in_rows
from svdlab.engine.standing import StandIns
from svdlab.engine.ways import WAYS, Way
from svdlab.errors import RenderFailed
from svdlab.recipes.limits import LCM_LEVELS
from svdlab.recipes.settings import GenerationSettings

AYS_SMALLEST = 0.002  # the published table's last noise level, put to 0 once the table has been resampled
CLIP_SIDE = 224  # pixels; CLIP ViT-H/14's input, the whole picture squashed into it
RHO = 7  # of Karras' noise levels, as AnimateLCM-SVD was distilled
SVD_SIGMAS = (0.002, 700.0)  # the noise levels between which SVD was trained, where a checkpoint does not say


@dataclass(frozen=True)
class Noise:
    """All draws of one seed, float32 on the CPU: the same on every device and dtype."""

    image: torch.Tensor  # (1, 3, height, width): times noise_aug_strength onto the picture
    latents: torch.Tensor  # (1, frames, channels, height/8, width/8): where denoising starts
    fresh: tuple[torch.Tensor, ...] = ()  # as latents: what a consistency sampler adds between two steps

    @property
    def frame_hashes(self) -> tuple[str, ...]:
        """Short hashes of the image noise and of each frame's: a shorter clip's are a prefix of a longer's."""
        frames = zip(*(draw[0] for draw in (self.latents, *self.fresh)), strict=True)
        return tuple(_sha(*tensors)[:16] for tensors in ((self.image[0],), *frames))

    @property
    def sha256(self) -> str:
        """Hash of all float32 bytes."""
        return _sha(self.image, self.latents, *self.fresh)


def _sha(*tensors: torch.Tensor) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class Conditioning:
    """What the picture becomes for the UNet."""

    image_embeds: torch.Tensor  # (1, 1, projection): CLIP's view
    image_latents: torch.Tensor  # (1, channels, height/8, width/8): the noised picture, not scaled


@dataclass(frozen=True)
class Step:
    """After one denoising step. `latents` and `predicted` are (1, frames, channels, height/8, width/8)."""

    index: int  # 1 after the first step
    total: int
    latents: torch.Tensor
    predicted: torch.Tensor  # the x0 the model believes in, for previews
    seconds_left: float  # of denoising


@dataclass(frozen=True)
class Chunk:
    """Some decoded frames: (n, height, width, 3) uint8, starting at `start`."""

    start: int
    total: int
    frames: np.ndarray
    seconds_left: float


def draw_noise(settings: GenerationSettings, latent_channels: int, vae_scale: int) -> Noise:
    """Draws in diffusers' order from one CPU generator: the picture's noise, always, then the latents'.

    What a consistency sampler adds after a step comes from a generator of that step's own, so that it depends on
    neither the number of steps nor that of frames.
    """
    generator = torch.Generator("cpu").manual_seed(settings.seed)
    height, width = settings.height, settings.width
    image = torch.randn((1, 3, height, width), generator=generator)
    shape = (1, settings.num_frames, latent_channels, height // vae_scale, width // vae_scale)
    latents = torch.randn(shape, generator=generator)
    between = settings.num_inference_steps - 1 if settings.schedule == "lcm" else 0
    own = [torch.Generator("cpu").manual_seed(_seed_of(settings, step)) for step in range(1, between + 1)]
    return Noise(image, latents, tuple(torch.randn(shape, generator=one) for one in own))


def _seed_of(settings: GenerationSettings, step: int) -> int:
    """A seed of 32 bits for the noise after a step; unlike seed + step, none that another seed has."""
    digest = hashlib.sha256(f"{settings.drawn_seed} after step {step}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


@torch.inference_mode()
def encode_clip(parts: Components, picture: Image.Image) -> torch.Tensor:
    """CLIP's embedding (1, 1, projection) of the whole picture, squashed to 224×224 without a crop."""
    processor = VideoProcessor(do_resize=True, vae_scale_factor=parts.vae_scale)
    pixels = processor.numpy_to_pt(processor.pil_to_numpy(picture))
    # Resized in -1..1 as the reference implementation does, then normalised as CLIP wants it.
    pixels = (_resize_with_antialiasing(pixels * 2.0 - 1.0, (CLIP_SIDE, CLIP_SIDE)) + 1.0) / 2.0
    pixels = parts.feature_extractor(
        images=pixels,
        do_normalize=True,
        do_center_crop=False,
        do_resize=False,
        do_rescale=False,
        return_tensors="pt",
    ).pixel_values
    encoder = parts.image_encoder
    embeds: torch.Tensor = encoder(pixels.to(parts.device, encoder.dtype)).image_embeds
    return embeds.unsqueeze(1)


@torch.inference_mode()
def encode_vae(
    parts: Components, picture: Image.Image, noise: Noise, settings: GenerationSettings
) -> torch.Tensor:
    """The autoencoder's latents (1, channels, height/8, width/8) of the picture with noise on it."""
    processor = VideoProcessor(do_resize=True, vae_scale_factor=parts.vae_scale)
    pixels = processor.preprocess(picture, height=settings.height, width=settings.width).to(parts.device)
    pixels = pixels + settings.noise_aug_strength * noise.image.to(parts.device)
    upcast = parts.vae.dtype == torch.float16 and parts.vae.config.force_upcast
    if upcast:
        parts.vae.to(dtype=torch.float32)
    try:
        latents: torch.Tensor = parts.vae.encode(pixels.to(parts.vae.dtype)).latent_dist.mode()
    finally:
        if upcast:
            parts.vae.to(dtype=torch.float16)
    # The mean is a strided view; as such it would lead the UNet's convolutions down another path, off by a rounding.
    return latents.contiguous().to(parts.dtype)


def encode(
    parts: Components, picture: Image.Image, noise: Noise, settings: GenerationSettings
) -> Conditioning:
    """Both views of a picture that is exactly `settings.width` × `settings.height`."""
    return Conditioning(encode_clip(parts, picture), encode_vae(parts, picture, noise, settings))


def make_schedule(
    config: EulerDiscreteScheduler, settings: GenerationSettings, device: torch.device
) -> EulerDiscreteScheduler:
    """A fresh scheduler with its noise levels set, from the checkpoint's own configuration."""
    scheduler: EulerDiscreteScheduler = EulerDiscreteScheduler.from_config(config.config)
    steps, lowest, highest = settings.num_inference_steps, config.config.sigma_min, config.config.sigma_max
    if settings.schedule == "ays":
        scheduler.set_timesteps(sigmas=ays_sigmas(steps, highest), device=device)
    elif settings.schedule == "lcm":
        sigmas = lcm_sigmas(steps, lowest or SVD_SIGMAS[0], highest or SVD_SIGMAS[1])
        scheduler.set_timesteps(sigmas=sigmas, device=device)
    else:
        scheduler.set_timesteps(steps, device=device)
    return scheduler


def ays_sigmas(steps: int, sigma_max: float | None) -> list[float]:
    """Align Your Steps' noise levels for video, log-linearly resampled to `steps`; the last level becomes 0.

    All eleven levels of the table are interpolated, the smallest with them, as the authors do
    (research.nvidia.com/labs/toronto-ai/AlignYourSteps/howto.html). Source: Sabour et al. 2024 (arXiv 2404.14507);
    the table is in diffusers' `AysSchedules`, which has 0 where its smallest level was. Levels above what the
    checkpoint was trained to are lowered to it.
    """
    table = [s for s in AysSchedules["StableDiffusionVideoSigmas"] if s > 0]
    if steps != len(table):
        levels = [*table, AYS_SMALLEST]
        places = np.linspace(0, 1, steps + 1)
        table = np.exp(np.interp(places, np.linspace(0, 1, len(levels)), np.log(levels)))[:-1].tolist()
    return [min(s, sigma_max or s) for s in table] + [0.0]


def lcm_sigmas(steps: int, sigma_min: float, sigma_max: float) -> list[float]:
    """The noise levels of a consistency model's `steps` steps, at most 40; the last level is 0.

    The 40 levels AnimateLCM-SVD was distilled on, from the largest on in equal strides. Source: Wang et
    al. 2024 (arXiv 2402.00769), the scheduler beside the released weights; Karras et al. 2022 (arXiv 2206.00364).
    """
    ramp = np.arange(steps) * (LCM_LEVELS // steps) / (LCM_LEVELS - 1)
    ends = sigma_min ** (1 / RHO), sigma_max ** (1 / RHO)
    levels = (ends[1] + ramp * (ends[0] - ends[1])) ** RHO
    return [*levels.tolist(), 0.0]


@torch.inference_mode()
def denoise(
    parts: Components,
    conditioning: Conditioning,
    noise: Noise,
    settings: GenerationSettings,
    exact: bool = False,
    way: Way = WAYS[0],
) -> Iterator[Step]:
    """Yields after every step; stop by not asking for the next. Raises `RenderFailed` on non-finite latents.

    With `exact` acceleration what no step changes is computed once; without, in the first `way` of calling the UNet and
    with no features reused, bit-equal to diffusers' pipeline.
    """
    scheduler = make_schedule(parts.scheduler, settings, parts.device)
    device, dtype, frames = parts.device, parts.dtype, settings.num_frames
    embeds = conditioning.image_embeds
    picture = conditioning.image_latents
    ids = torch.tensor(
        [[settings.conditioning_fps, settings.motion_bucket_id, settings.noise_aug_strength]], dtype=dtype
    ).to(device)
    if settings.guided:  # unguided branch first, as diffusers orders them
        embeds = torch.cat([torch.zeros_like(embeds), embeds])
        picture = torch.cat([torch.zeros_like(picture), picture])
        ids = torch.cat([ids, ids])
    picture = picture.unsqueeze(1).repeat(1, frames, 1, 1, 1)
    guidance = torch.linspace(settings.min_guidance_scale, settings.max_guidance_scale, frames)
    guidance = guidance.to(device, dtype).view(1, frames, 1, 1, 1)
    latents = noise.latents.to(dtype).to(device) * scheduler.init_noise_sigma
    total = len(scheduler.timesteps)
    calls = [slice(None)] if way.together else [slice(b, b + 1) for b in range(len(embeds))]
    layers = [
        in_rows(parts.unet, way.piece)
        + (constants_of(parts.unet, embeds[call], ids[call], frames) if exact else StandIns())
        for call in calls
    ]
    deep = [DeepFeatures(parts.unet) for _ in calls] if settings.feature_reuse > 1 else []
    started = time.perf_counter()
    for index, t in enumerate(scheduler.timesteps, start=1):
        branches = torch.cat([latents] * 2) if settings.guided else latents
        branches = torch.cat([scheduler.scale_model_input(branches, t), picture], dim=2)
        predictions = []
        reused = [one.for_step(index, settings.feature_reuse) for one in deep] or [StandIns()] * len(calls)
        for call, stand_ins, shallow in zip(calls, layers, reused, strict=True):
            with (stand_ins + shallow).in_place():
                [made] = parts.unet(
                    branches[call],
                    t,
                    encoder_hidden_states=embeds[call],
                    added_time_ids=ids[call],
                    return_dict=False,
                )
                predictions.append(made.to(dtype))  # under `fast` it comes in another number format
        prediction = predictions[0] if len(predictions) == 1 else torch.cat(predictions)
        if settings.guided:
            without, with_picture = prediction.chunk(2)
            prediction = without + guidance * (with_picture - without)
        result = scheduler.step(prediction, t, latents)
        latents = result.prev_sample
        if settings.schedule == "lcm":
            latents = _noised(result.pred_original_sample, scheduler.sigmas[index], noise, index).to(dtype)
        each = (time.perf_counter() - started) / index
        yield Step(index, total, latents, result.pred_original_sample, each * (total - index))
    if not torch.isfinite(latents).all():
        raise RenderFailed(_ran_away(parts))


def _noised(predicted: torch.Tensor, sigma: torch.Tensor, noise: Noise, index: int) -> torch.Tensor:
    """A consistency model's clip with fresh noise of the next level on it, after step `index`; the last one as it is.

    Song et al. 2023 (arXiv 2303.01469), algorithm 1, with the boundary at level 0 as AnimateLCM-SVD has it.
    """
    if index > len(noise.fresh):
        return predicted
    return predicted + sigma * noise.fresh[index - 1].to(predicted)


def _ran_away(parts: Components) -> str:
    """Why latents are not finite, and what may help: never what was done already."""
    if not all(tensor.isfinite().all() for tensor in parts.unet.parameters() if not tensor.is_meta):
        return (
            "the UNet's weights hold numbers that are not finite, so nothing can be rendered with them; "
            "svdlab checkpoints verify names the first"
        )
    name = str(parts.dtype).removeprefix("torch.")
    wider = "float32 (--dtype) or " if parts.dtype != torch.float32 else ""
    return f"the model's numbers ran away in {name}; try {wider}other settings"


@torch.inference_mode()
def decode(parts: Components, latents: torch.Tensor, chunk_size: int | None = None) -> Iterator[Chunk]:
    """Latents (1, frames, channels, h, w) → frames, `chunk_size` at a time (None: all at once)."""
    vae = parts.vae
    flat = 1 / vae.config.scaling_factor * latents.flatten(0, 1)
    total = flat.shape[0]
    # Only the temporal decoder is told how many frames it is given; the image decoder sees each alone.
    temporal = "num_frames" in inspect.signature(vae.forward).parameters
    size = chunk_size or total
    started = time.perf_counter()
    for start in range(0, total, size):
        piece = flat[start : start + size].to(vae.dtype)
        pixels = vae.decode(piece, **({"num_frames": len(piece)} if temporal else {})).sample
        frames = to_uint8(pixels)
        done = start + len(frames)
        yield Chunk(start, total, frames, (time.perf_counter() - started) / done * (total - done))


def to_uint8(pixels: torch.Tensor) -> np.ndarray:
    """(n, 3, height, width) in -1..1 → (n, height, width, 3) uint8, rounded as diffusers does."""
    unit = (pixels.float() / 2 + 0.5).clamp(0, 1)
    return (unit.permute(0, 2, 3, 1).cpu().numpy() * 255).round().astype("uint8")


@torch.inference_mode()
def preview(parts: Components, predicted: torch.Tensor) -> np.ndarray:
    """A cheap look at predicted latents: (frames, h, w, 3) uint8 at latent size, without the decoder."""
    weight, bias = parts.latent_rgb
    latents = predicted[0].float().cpu().permute(0, 2, 3, 1)  # (frames, h, w, channels)
    return (((latents @ weight) + bias).clamp(0, 1) * 255).round().to(torch.uint8).numpy()
