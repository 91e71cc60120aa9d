"""Which sampler makes the clip, and what it and the nodes around it say."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from tests.exchange.comfyui.told import (
    CLIP,
    CONDITIONING,
    DECODER,
    GUIDANCE,
    LOADER,
    SAMPLER,
    SAVER,
    Flow,
    api,
    node,
    read,
    said,
    tells_the_clip,
)

SEED, STEPS, CFG = CLIP["seed"], CLIP["num_inference_steps"], CLIP["max_guidance_scale"]
SOCKETS = {
    "model": [GUIDANCE, 0],
    "positive": [CONDITIONING, 0],
    "negative": [CONDITIONING, 1],
    "latent_image": [CONDITIONING, 2],
}
KINDS = {"sampler_name": "euler", "scheduler": "karras"}


def with_sampler(sampler: Flow, **others: Flow) -> Flow:
    return api() | {SAMPLER: sampler} | others


SAMPLERS: dict[str, Flow] = {
    "KSamplerAdvanced": with_sampler(
        node(
            "KSamplerAdvanced", **SOCKETS, **KINDS, noise_seed=SEED, steps=STEPS, cfg=CFG, add_noise="enable"
        )
    ),
    "Inspire": with_sampler(
        node(
            "KSampler //Inspire",
            **SOCKETS,
            **KINDS,
            seed=SEED,
            steps=STEPS,
            cfg=CFG,
            noise_mode="GPU(=A1111)",
        )
    ),
    "SwarmUI": with_sampler(
        node(
            "SwarmKSampler",
            **SOCKETS,
            **KINDS,
            **{"noise_seed": SEED, "steps": STEPS, "cfg": CFG, "start_at_step": 0, "end_at_step": 10000},
            **{"sigma_min": -1, "sigma_max": -1, "rho": 7, "var_seed": 0},
        )
    ),
    "WAS": with_sampler(
        node("KSampler (WAS)", **SOCKETS, **KINDS, seed=["40", 0], steps=STEPS, cfg=CFG, denoise=1),
        **{"40": node("Seed", seed=SEED)},
    ),
    "custom": with_sampler(
        node(
            "SamplerCustom",
            **SOCKETS,
            sampler=["40", 0],
            sigmas=["41", 0],
            noise_seed=SEED,
            cfg=CFG,
            add_noise=True,
        ),
        **{
            "40": node("KSamplerSelect", sampler_name="euler"),
            "41": node("KarrasScheduler", steps=STEPS, sigma_max=700, sigma_min=0.002, rho=7),
        },
    ),
    "custom, advanced": with_sampler(
        node(
            "SamplerCustomAdvanced",
            **{"noise": ["40", 0], "guider": ["41", 0], "sampler": ["42", 0], "sigmas": ["43", 0]},
            latent_image=[CONDITIONING, 2],
        ),
        **{
            "40": node("RandomNoise", noise_seed=SEED),
            "41": node(
                "CFGGuider",
                model=[GUIDANCE, 0],
                positive=[CONDITIONING, 0],
                negative=[CONDITIONING, 1],
                cfg=CFG,
            ),
            "42": node("KSamplerSelect", sampler_name="euler"),
            "43": node("BasicScheduler", model=[GUIDANCE, 0], scheduler="karras", steps=STEPS, denoise=1),
        },
    ),
    "a pack that nobody knows": with_sampler(
        node("Glow Sampler", **SOCKETS, **KINDS, seed=SEED, steps=STEPS, cfg=CFG, glow=3)
    ),
}


@pytest.mark.parametrize("flow", SAMPLERS.values(), ids=SAMPLERS)
def test_a_sampler_is_known_by_its_inputs(flow: Flow) -> None:
    notes = tells_the_clip(flow).notes
    assert len(notes) == 3, notes  # on the augmentation, the picture and the noise, and on nothing else


LOADERS: dict[str, tuple[Flow, ...]] = {
    "core, by device": (
        node("ImageOnlyCheckpointLoaderDevice", ckpt_name="svd_xt.safetensors", model_device="default"),
    ),
    "simple": (node("CheckpointLoaderSimple", ckpt_name="video/svd_xt.safetensors"),),
    "with its configuration": (
        node("CheckpointLoader", config_name="v1.yaml", ckpt_name="svd_xt.safetensors"),
    ),
    "unCLIP": (node("unCLIPCheckpointLoader", ckpt_name="svd_xt.safetensors"),),
    "a list with pictures": (
        node(
            "CheckpointLoader|pysssss", ckpt_name={"content": "svd_xt.safetensors", "image": None}, prompt=""
        ),
    ),
    "Efficient": (
        node("Efficient Loader", ckpt_name="svd_xt.safetensors", vae_name="Baked VAE", clip_skip=-1),
    ),
    "named by another node": (
        node("ImageOnlyCheckpointLoader", ckpt_name=["40", 0]),
        node("Checkpoint Selector", ckpt_name="svd_xt.safetensors"),
    ),
    "named by a text": (
        node("ImageOnlyCheckpointLoader", ckpt_name=["40", 0]),
        node("PrimitiveString", value="svd_xt.safetensors"),
    ),
    "under another name": (node("Glow Loader", checkpoint_name="svd_xt.safetensors"),),
}


@pytest.mark.parametrize("loader", LOADERS.values(), ids=LOADERS)
def test_a_loader_is_known_by_the_file_it_names(loader: tuple[Flow, ...]) -> None:
    flow = api() | dict(zip((LOADER, "40"), loader, strict=False))
    assert not any("checkpoint" in note for note in tells_the_clip(flow).notes)


@pytest.mark.parametrize(
    ("loader", "sentence"),
    [
        (
            node("Glow Models", which=3),
            "Which checkpoint is loaded there could not be read; choose one here.",
        ),
        (None, "The workflow loads no checkpoint; choose one here."),
        (
            node("UNETLoader", unet_name="svd_lcm.sft"),
            "There is no checkpoint svd_lcm.sft here; choose another, or add",
        ),
        (node("ImageOnlyCheckpointLoader", ckpt_name=5), "There is no checkpoint of that name here"),
    ],
)
def test_a_checkpoint_is_said_to_be_absent_only_where_there_is_none(
    loader: Flow | None, sentence: str
) -> None:
    flow = api()
    del flow[LOADER]
    flow |= {LOADER: loader} if loader else {}
    found = read(flow)
    assert found.checkpoint is None
    assert sentence in " ".join(found.notes)


def second_pass(flow: Flow, **changes: Any) -> Flow:
    """A refiner over the finished clip."""
    flow["20"] = node("VAEEncode", pixels=[DECODER, 0], vae=[LOADER, 2])
    again = {
        "seed": 5,
        "steps": 12,
        "cfg": 7.5,
        "sampler_name": "lms",
        "scheduler": "normal",
        "denoise": 0.25,
    }
    flow["25"] = node("KSampler", **{**SOCKETS, "latent_image": ["20", 0], **again, **changes})
    flow["26"] = node("VAEDecode", samples=["25", 0], vae=[LOADER, 2])
    flow[SAVER]["inputs"]["images"] = ["26", 0]
    return flow


def test_the_order_of_a_file_means_nothing() -> None:
    flow = second_pass(api())
    for order in itertools.islice(itertools.permutations(flow), 0, None, 60_000):
        tells_the_clip({id: flow[id] for id in order})


def test_a_latent_upscale_and_a_second_sampler_are_a_second_pass() -> None:
    flow = api()
    flow["20"] = node("LatentUpscaleBy", samples=[SAMPLER, 0], upscale_method="bislerp", scale_by=1.5)
    flow["25"] = node(
        "KSampler", **{**SOCKETS, "latent_image": ["20", 0]}, seed=5, steps=9, cfg=7, denoise=0.5, **KINDS
    )
    flow[DECODER]["inputs"]["samples"] = ["25", 0]
    assert (
        "The clip goes through another sampler there; here it is sampled once." in tells_the_clip(flow).notes
    )


def second_clip(flow: Flow) -> Flow:
    """A clip that starts where the first one ends, with settings of its own."""
    flow["30"] = node("ImageFromBatch", image=[DECODER, 0], batch_index=20, length=1)
    flow["31"] = {
        **flow[CONDITIONING],
        "inputs": {**flow[CONDITIONING]["inputs"], "init_image": ["30", 0], "fps": 24},
    }
    own = {"positive": ["31", 0], "negative": ["31", 1], "latent_image": ["31", 2], "model": [GUIDANCE, 0]}
    flow["32"] = node("KSampler", **own, seed=8, steps=40, cfg=2, denoise=1, **KINDS)
    flow["33"] = node("VAEDecode", samples=["32", 0], vae=[LOADER, 2])
    flow["34"] = node("VHS_VideoCombine", images=["33", 0], frame_rate=24)
    return flow


def test_of_clips_one_after_another_it_is_the_first() -> None:
    flow = second_clip(api())
    for turned in (flow, dict(reversed(flow.items()))):
        assert (
            "The workflow makes 2 clips; the first one's settings are used." in tells_the_clip(turned).notes
        )


def test_of_clips_side_by_side_it_is_the_one_that_is_saved() -> None:
    flow = second_clip(api())
    flow["31"]["inputs"]["init_image"] = ["2", 0]
    del flow["34"]
    tells_the_clip(flow)
    del flow[SAVER]
    flow["34"] = node("VHS_VideoCombine", images=["33", 0], frame_rate=24)
    found = read(flow).knobs
    assert (found["seed"], found["fps"], found["playback_fps"]) == (8, 24, 24)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("sampler_name", "dpmpp_2m", "The sampler there is dpmpp_2m; here it is always euler."),
        ("scheduler", "normal", "The schedule there is normal; karras is used here."),
        ("denoise", 0.4, "denoise is 0.4 there; here every clip starts from noise alone."),
        ("denoise", True, "denoise is true there"),
        ("denoise", ["40", 0], "denoise is worked out by a MathExpression node there"),
        ("sampler_name", ["40", 0], "The sampler is chosen by a MathExpression node there"),
        ("scheduler", ["40", 0], "The schedule there is a MathExpression node's; karras is used here."),
        ("start_at_step", 4, "does only some of the steps"),
        ("end_at_step", 9, "does only some of the steps"),
        ("add_noise", "disable", "adds no noise of its own"),
    ],
)
def test_what_has_no_counterpart_is_said_in_words(name: str, value: Any, sentence: str) -> None:
    flow = api() | {"40": node("MathExpression", expression="1/2", a=["2", 0])}
    flow[SAMPLER]["inputs"][name] = value
    found = read(flow)
    assert sentence in " ".join(found.notes) or (value is True and said(found) == CLIP)
    assert said(found) == CLIP


@pytest.mark.parametrize(
    ("sigmas", "schedule"),
    [
        (node("AlignYourStepsScheduler", model_type="SVD", steps=STEPS, denoise=1), "ays"),
        (node("BasicScheduler", model=[GUIDANCE, 0], scheduler="karras", steps=STEPS, denoise=1), "karras"),
    ],
)
def test_sigmas_are_the_schedule(sigmas: Flow, schedule: str) -> None:
    flow = SAMPLERS["custom"] | {"41": sigmas}
    assert said(read(flow)) == CLIP | {"schedule": schedule}


@pytest.mark.parametrize("scheduler", ["AYS SVD", "align_your_steps"])
def test_packs_call_ays_by_names_of_their_own(scheduler: str) -> None:
    flow = api()
    flow[SAMPLER]["inputs"]["scheduler"] = scheduler
    assert read(flow).knobs["schedule"] == "ays"


def test_other_ends_of_the_schedule_are_said() -> None:
    flow = SAMPLERS["SwarmUI"]
    flow[SAMPLER]["inputs"] |= {"sigma_max": 1000}
    assert any("The Karras schedule there has other ends" in note for note in read(flow).notes)


def test_guidance_that_is_lost_is_said_for_both_ends() -> None:
    flow = api() | {"40": node("MathExpression", expression="2*2", a=1)}
    flow[SAMPLER]["inputs"]["cfg"] = ["40", 0]
    flow[SAMPLER]["inputs"]["model"] = [LOADER, 0]
    knobs = [knob for lost in read(flow).lost for knob in lost.knobs]
    assert sorted(knobs) == ["max_guidance_scale", "min_guidance_scale"]
    flow[SAMPLER]["inputs"]["model"] = [GUIDANCE, 0]
    assert read(flow).knobs["min_guidance_scale"] == CLIP["min_guidance_scale"]


def test_easy_uses_pipeline_is_read() -> None:
    flow = {
        "2": node("LoadImage", image="pond.png"),
        "1": node(
            "easy svdLoader",
            **{
                "ckpt_name": "svd_xt.safetensors",
                "vae_name": "Baked VAE",
                "clip_name": "None",
                "init_image": ["2", 0],
            },
            **{"resolution": "832 x 448", "empty_latent_width": 256, "empty_latent_height": 256},
            **{"video_frames": 21, "motion_bucket_id": 201, "fps": 9, "augmentation_level": 0.07},
        ),
        "3": node(
            "easy preSampling",
            **{"pipe": ["1", 0], "steps": STEPS, "cfg": CFG, "denoise": 1.0, "seed": SEED},
            **KINDS,
        ),
        "4": node("easy kSampler", pipe=["3", 0], image_output="Preview", link_id=0, save_prefix="x"),
        "5": node("VHS_VideoCombine", images=["4", 1], frame_rate=12),
    }
    found = read(flow)
    assert said(found) == CLIP | {"min_guidance_scale": CFG}
    assert found.lost == ()


def test_the_consistency_sampler_is_a_schedule_here_and_its_other_levels_are_said() -> None:
    flow = with_sampler(
        node(
            "KSampler",
            **SOCKETS,
            **{"seed": SEED, "steps": 4, "cfg": 1.0, "sampler_name": "lcm", "scheduler": "sgm_uniform"},
        )
    )
    found = read(flow)
    assert {
        "schedule": "lcm",
        "num_inference_steps": 4,
        "max_guidance_scale": 1.0,
    }.items() <= found.knobs.items()
    assert any("other noise levels" in note for note in found.notes)
    assert not any("always euler" in note or "is used here" in note for note in found.notes)
