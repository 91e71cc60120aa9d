"""The stages give what diffusers' own pipeline gives, tensor for tensor."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import CMStochasticIterativeScheduler, StableVideoDiffusionPipeline
from diffusers.schedulers import AysSchedules
from PIL import Image

from svdlab.engine import loading, sampler
from svdlab.engine.components import Components
from svdlab.engine.residency import Residency
from svdlab.recipes.limits import defaults_for
from svdlab.recipes.settings import GenerationSettings
from svdlab.weights.catalogue import Catalogue
from tests import tiny


@pytest.fixture(scope="module")
def demo() -> Components:
    return Residency("cpu", "float32").get(Catalogue().get("demo-1-0"))


@pytest.fixture(scope="module")
def demo_pipeline(demo: Components) -> StableVideoDiffusionPipeline:
    """On the very same modules: the same weights read twice may lie at other addresses, and that alone can
    change the last bit of a CPU's matrix product."""
    pipe = StableVideoDiffusionPipeline(
        vae=demo.vae,
        image_encoder=demo.image_encoder,
        unet=demo.unet,
        scheduler=demo.scheduler,
        feature_extractor=demo.feature_extractor,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def picture(width: int, height: int) -> Image.Image:
    rng = np.random.default_rng(3)
    coarse = Image.fromarray(rng.integers(0, 255, (6, 9, 3), dtype=np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


def settings(**changes: object) -> GenerationSettings:
    small = {"width": 96, "height": 64, "num_frames": 4, "num_inference_steps": 3, "seed": 11}
    return defaults_for(Catalogue().get("demo-1-0")).but(**{**small, **changes})


def by_pipeline(
    pipe: StableVideoDiffusionPipeline, image: Image.Image, s: GenerationSettings, output_type: str = "pil"
) -> tuple[torch.Tensor, np.ndarray | None]:
    """The pipeline's last latents, and its frames unless `output_type` is "latent"."""
    after_each_step: list[torch.Tensor] = []

    def note(_: object, __: int, ___: object, seen: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        after_each_step.append(seen["latents"])
        return seen

    sigmas = (
        sampler.ays_sigmas(s.num_inference_steps, pipe.scheduler.config.sigma_max)
        if s.schedule == "ays"
        else None
    )
    made = pipe(
        image,
        height=s.height,
        width=s.width,
        num_frames=s.num_frames,
        num_inference_steps=s.num_inference_steps,
        sigmas=sigmas,
        min_guidance_scale=s.min_guidance_scale,
        max_guidance_scale=s.max_guidance_scale,
        fps=s.fps,
        motion_bucket_id=s.motion_bucket_id,
        noise_aug_strength=s.noise_aug_strength,
        decode_chunk_size=s.decode_chunk_size,
        generator=torch.Generator("cpu").manual_seed(s.seed),
        output_type=output_type,
        callback_on_step_end=note,
    ).frames
    assert len(after_each_step) == s.num_inference_steps
    if output_type == "latent":
        assert made is after_each_step[-1]  # so the last step's latents are what the pipeline gives
        return made, None
    return after_each_step[-1], np.stack([np.asarray(frame) for frame in made[0]])


def latents_by_stages(parts: Components, image: Image.Image, s: GenerationSettings) -> torch.Tensor:
    noise = sampler.draw_noise(s, parts.latent_channels, parts.vae_scale)
    conditioning = sampler.encode(parts, image, noise, s)
    *_, last = sampler.denoise(parts, conditioning, noise, s)
    return last.latents


def by_stages(
    parts: Components, image: Image.Image, s: GenerationSettings
) -> tuple[torch.Tensor, np.ndarray]:
    latents = latents_by_stages(parts, image, s)
    frames = [chunk.frames for chunk in sampler.decode(parts, latents, s.decode_chunk_size)]
    return latents, np.concatenate(frames)


def components_of(pipe: StableVideoDiffusionPipeline) -> Components:
    return Components(
        image_encoder=pipe.image_encoder,
        vae=pipe.vae,
        unet=pipe.unet,
        scheduler=pipe.scheduler,
        feature_extractor=pipe.feature_extractor,
        latent_rgb=loading.latent_rgb(Path(__file__).parent, 4),  # a folder without a matrix of its own
    )


CASES = {
    "as the demo is sampled": {},
    "no noise on the picture": {"noise_aug_strength": 0.0},
    "without guidance": {"min_guidance_scale": 1.0, "max_guidance_scale": 1.0},
    "falling guidance": {"min_guidance_scale": 3.0, "max_guidance_scale": 1.5},
    "an odd number of frames": {"num_frames": 5},
    "decoded in uneven chunks": {"num_frames": 5, "decode_chunk_size": 2},
    "decoded one by one": {"decode_chunk_size": 1},
    "other motion and rate": {"motion_bucket_id": 200, "fps": 24, "seed": 2**32 - 7},
    "one step": {"num_inference_steps": 1},
    "AYS schedule": {"schedule": "ays", "num_inference_steps": 10},
    "AYS resampled": {"schedule": "ays", "num_inference_steps": 4},
}


@pytest.mark.parametrize("changes", CASES.values(), ids=CASES.keys())
def test_stages_are_bit_equal_to_diffusers_pipeline(
    changes: dict, demo: Components, demo_pipeline: StableVideoDiffusionPipeline
) -> None:
    s = settings(**changes)
    image = picture(s.width, s.height)
    latents, frames = by_stages(demo, image, s)
    expected, expected_frames = by_pipeline(demo_pipeline, image, s)
    assert torch.equal(latents, expected)
    assert frames.shape == (s.num_frames, s.height, s.width, 3)
    assert np.array_equal(frames, expected_frames)


@pytest.fixture(scope="module")
def tiny_pipelines() -> dict[bool, StableVideoDiffusionPipeline]:
    """By whether it has the image decoder."""
    return {image_decoder: tiny.pipeline(image_decoder) for image_decoder in (False, True)}


@pytest.mark.parametrize("image_decoder", [False, True], ids=["temporal", "image decoder"])
@pytest.mark.parametrize("chunk", [None, 1, 4])
def test_bit_equal_with_either_decoder_and_stabilitys_schedule(
    tiny_pipelines: dict[bool, StableVideoDiffusionPipeline], image_decoder: bool, chunk: int | None
) -> None:
    pipe = tiny_pipelines[image_decoder]
    s = settings(width=64, height=64, num_frames=6, decode_chunk_size=chunk, max_guidance_scale=3.0)
    image = picture(s.width, s.height)
    latents, frames = by_stages(components_of(pipe), image, s)
    expected, expected_frames = by_pipeline(pipe, image, s)
    assert torch.equal(latents, expected)
    assert np.array_equal(frames, expected_frames)


def test_native_size_is_bit_equal_too(demo: Components, demo_pipeline: StableVideoDiffusionPipeline) -> None:
    s = defaults_for(Catalogue().get("demo-1-0")).but(num_inference_steps=1, seed=5)
    image = picture(s.width, s.height)
    expected, _ = by_pipeline(demo_pipeline, image, s, "latent")
    assert torch.equal(latents_by_stages(demo, image, s), expected)


def test_image_decoder_frames_do_not_depend_on_chunks() -> None:
    parts = components_of(tiny.pipeline(image_decoder=True))
    latents = torch.randn((1, 5, 4, 12, 16), generator=torch.Generator().manual_seed(0))
    whole = np.concatenate([c.frames for c in sampler.decode(parts, latents, None)]).astype(int)
    single = np.concatenate([c.frames for c in sampler.decode(parts, latents, 1)]).astype(int)
    assert abs(whole - single).max() <= 1  # batched convolutions may round the last bit differently


def test_noise_follows_the_seed_and_nothing_else() -> None:
    base = sampler.draw_noise(settings(), 4, 8)
    other_knobs = settings(motion_bucket_id=9, fps=20, noise_aug_strength=0.5, max_guidance_scale=5)
    assert sampler.draw_noise(other_knobs, 4, 8).sha256 == base.sha256
    assert sampler.draw_noise(settings(seed=12), 4, 8).sha256 != base.sha256
    old = settings().model_copy(update={"seed": 2**32 + 11})  # drawn by an older version
    assert sampler.draw_noise(old, 4, 8).sha256 == base.sha256


def test_a_shorter_clips_noise_is_a_prefix_of_a_longer_ones() -> None:
    short = sampler.draw_noise(settings(num_frames=14), 4, 8)
    long = sampler.draw_noise(settings(num_frames=25), 4, 8)
    assert torch.equal(short.latents, long.latents[:, :14])
    assert short.frame_hashes == long.frame_hashes[:15]


def test_denoising_yields_every_step_with_a_preview_of_every_frame(demo: Components) -> None:
    s = settings(num_inference_steps=4)
    noise = sampler.draw_noise(s, demo.latent_channels, demo.vae_scale)
    conditioning = sampler.encode(demo, picture(s.width, s.height), noise, s)
    steps = list(sampler.denoise(demo, conditioning, noise, s))
    assert [step.index for step in steps] == [1, 2, 3, 4]
    assert steps[0].seconds_left > steps[-1].seconds_left == 0
    shown = sampler.preview(demo, steps[0].predicted)
    assert shown.shape == (s.num_frames, s.height // demo.vae_scale, s.width // demo.vae_scale, 3)


def test_the_last_preview_looks_like_the_clip(demo: Components) -> None:
    s = settings(num_inference_steps=4)
    noise = sampler.draw_noise(s, demo.latent_channels, demo.vae_scale)
    conditioning = sampler.encode(demo, picture(s.width, s.height), noise, s)
    *_, last = sampler.denoise(demo, conditioning, noise, s)
    cheap = sampler.preview(demo, last.predicted)[0].astype(float)
    frame = next(iter(sampler.decode(demo, last.latents))).frames[0]
    small = np.asarray(Image.fromarray(frame).resize(cheap.shape[1::-1], Image.Resampling.BOX), dtype=float)
    assert np.corrcoef(cheap.ravel(), small.ravel())[0, 1] > 0.8


def test_ays_at_ten_steps_is_diffusers_own_table() -> None:
    table = AysSchedules["StableDiffusionVideoSigmas"]
    assert sampler.ays_sigmas(10, None) == pytest.approx([s for s in table if s > 0] + [0.0])
    assert max(sampler.ays_sigmas(10, 80.0)) == 80.0


PUBLISHED = [700.0, 54.5, 15.886, 7.977, 4.248, 1.789, 0.981, 0.403, 0.173, 0.034, 0.002]


@pytest.mark.parametrize(
    ("steps", "sigmas"),
    [
        (1, [700.0]),
        (2, [700.0, 1.789]),
        (5, [700.0, 15.886, 4.248, 0.981, 0.173]),
        (20, [level for a, b in pairwise(PUBLISHED) for level in (a, math.sqrt(a * b))]),
    ],
)
def test_ays_at_other_counts_is_all_eleven_published_levels_log_linearly(
    steps: int, sigmas: list[float]
) -> None:
    assert sampler.ays_sigmas(steps, None) == pytest.approx([*sigmas, 0.0])


@pytest.mark.parametrize("steps", range(1, 60))
def test_ays_falls_from_the_largest_level_to_none_in_as_many_steps_as_asked(steps: int) -> None:
    sigmas = sampler.ays_sigmas(steps, None)
    assert len(sigmas) == steps + 1
    assert sigmas[0] == pytest.approx(700)
    assert all(later < earlier for earlier, later in pairwise(sigmas))
    assert sigmas[-1] == 0 < sigmas[-2]


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 6, 8, 25, 40])
def test_lcm_has_the_noise_levels_of_a_consistency_model(steps: int) -> None:
    reference = CMStochasticIterativeScheduler(
        num_train_timesteps=40, sigma_min=0.002, sigma_max=700.0, rho=7.0
    )
    reference.set_timesteps(steps)
    assert sampler.lcm_sigmas(steps, 0.002, 700.0) == pytest.approx([*reference.sigmas[:steps].tolist(), 0.0])


def by_consistency(parts: Components, image: Image.Image, s: GenerationSettings) -> torch.Tensor:
    """AnimateLCM-SVD's sampler as its authors published it, written out: jump to a clip, put noise on it, again."""
    noise = sampler.draw_noise(s, parts.latent_channels, parts.vae_scale)
    seen = sampler.encode(parts, image, noise, s)
    low, high = parts.scheduler.config.sigma_min, parts.scheduler.config.sigma_max
    levels = [
        (high ** (1 / 7) + k * (40 // s.num_inference_steps) / 39 * (low ** (1 / 7) - high ** (1 / 7))) ** 7
        for k in range(s.num_inference_steps)
    ]
    picture = seen.image_latents.unsqueeze(1).repeat(1, s.num_frames, 1, 1, 1)
    ids = torch.tensor([[s.fps - 1, s.motion_bucket_id, s.noise_aug_strength]])
    x = noise.latents * math.sqrt(high**2 + 1)
    for sigma, later, fresh in zip(levels, [*levels[1:], 0], [*noise.fresh, torch.zeros(1)], strict=True):
        with torch.no_grad():
            answer = parts.unet(
                torch.cat([x / math.sqrt(sigma**2 + 1), picture], dim=2),
                torch.tensor(0.25 * math.log(sigma)),
                seen.image_embeds,
                added_time_ids=ids,
            ).sample
        clip = x / (sigma**2 + 1) - sigma / math.sqrt(sigma**2 + 1) * answer
        x = clip + later * fresh
    return x


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_lcm_is_the_authors_sampler(steps: int, demo: Components) -> None:
    s = settings(schedule="lcm", num_inference_steps=steps)
    image = picture(s.width, s.height)
    made, expected = latents_by_stages(demo, image, s), by_consistency(demo, image, s)
    assert torch.allclose(made, expected, rtol=1e-4, atol=1e-4)
    others = latents_by_stages(demo, image, s.but(schedule="karras"))
    assert steps == 1 or not torch.allclose(made, others, atol=1e-2)


def test_lcm_puts_fresh_noise_on_the_clip_after_each_step_but_the_last() -> None:
    noise = sampler.draw_noise(settings(schedule="lcm", num_inference_steps=4), 4, 8)
    draws = [noise.latents, *noise.fresh]
    assert len(noise.fresh) == 3
    for a, b in pairwise(draws):
        assert abs(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1]) < 0.1
    assert abs(torch.stack(list(noise.fresh)).std() - 1) < 0.05
    other = sampler.draw_noise(settings(schedule="lcm", num_inference_steps=4, seed=12), 4, 8)
    assert not any(torch.equal(a, b) for a in noise.fresh for b in other.fresh)


def test_lcms_noise_is_in_the_proof_of_same_noise_and_depends_on_no_count() -> None:
    four = sampler.draw_noise(settings(schedule="lcm", num_inference_steps=4, num_frames=6), 4, 8)
    longer = sampler.draw_noise(settings(schedule="lcm", num_inference_steps=4, num_frames=9), 4, 8)
    more = sampler.draw_noise(settings(schedule="lcm", num_inference_steps=8, num_frames=6), 4, 8)
    euler = sampler.draw_noise(settings(num_frames=6), 4, 8)
    assert four.frame_hashes == longer.frame_hashes[:7]
    assert all(torch.equal(a, b) for a, b in zip(four.fresh, more.fresh, strict=False))
    assert torch.equal(four.latents, euler.latents)
    assert four.frame_hashes[0] == euler.frame_hashes[0]
    assert four.sha256 != euler.sha256
    assert not {*four.frame_hashes[1:]} & {*euler.frame_hashes}


def test_gradients_are_not_left_switched_off_between_steps(demo: Components) -> None:
    s = settings()
    noise = sampler.draw_noise(s, demo.latent_channels, demo.vae_scale)
    conditioning = sampler.encode(demo, picture(s.width, s.height), noise, s)
    next(iter(sampler.denoise(demo, conditioning, noise, s)))
    assert torch.is_grad_enabled()
