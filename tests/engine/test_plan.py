"""The plan: what a run takes and how it fits, counted without computing; and that the goals for small cards hold."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from svdlab.engine import memory, streaming
from svdlab.engine.plan import DRIVER, Networks, choose, chunks, on_a_card
from svdlab.engine.renderer import Renderer
from svdlab.engine.shapes import OFFICIAL_NUMBERS, OFFICIAL_UNET, OFFICIAL_VAE, config_of, without_numbers
from svdlab.engine.ways import WAYS
from svdlab.recipes.limits import defaults_for
from svdlab.recipes.plan import Plan
from svdlab.recipes.settings import GenerationSettings
from svdlab.recipes.work import Job, Rendered
from svdlab.weights.catalogue import Catalogue
from tests import original_layout, tiny

XT = GenerationSettings(width=1024, height=576, num_frames=25, decode_chunk_size=14)  # as its makers sample
SMALL = GenerationSettings(width=128, height=128, num_frames=12, max_guidance_scale=2.5)


def test_the_official_networks_are_the_released_ones() -> None:
    for part, config in (("unet", OFFICIAL_UNET), ("vae", OFFICIAL_VAE)):
        network = without_numbers(config, torch.float16)
        assert sum(one.numel() for one in network.parameters()) == OFFICIAL_NUMBERS[part]
    tower = original_layout.CLIP + ".visual."
    shapes = original_layout.full_size("temporal").items()
    own = sum(torch.Size(shape).numel() for name, shape in shapes if name.startswith(tower))
    assert own == OFFICIAL_NUMBERS["image_encoder"]
    assert round(Networks.official(torch.float16).bytes / 1e7) == 451  # 4.51 GB


@pytest.mark.parametrize(
    ("card", "most", "offload", "decoded"),
    [
        (8, 7.6, "model", 4),
        (6, 5.6, "model", 4),
        (4, 2.9, "streamed", 2),
        (3, 2.4, "streamed", 1),
    ],
)
def test_an_official_clip_fits_on_a_card_of(card: int, most: float, offload: str, decoded: int) -> None:
    plan = on_a_card(Networks.official(torch.float16), XT, card * 10**9).plan
    assert plan.fits
    assert plan.bytes <= most * 1e9 <= card * 1e9 - DRIVER
    assert (plan.offload, plan.decoded) == (offload, decoded)


def test_a_card_of_2_gb_is_too_small_and_that_is_said() -> None:
    plan = on_a_card(Networks.official(torch.float16), XT, 2 * 10**9).plan
    assert plan.sentence == (
        "May not fit: takes 2.3 GB at the least, and there are 1.6 GB; make the clip smaller or shorter."
    )


def networks() -> Networks:
    """Of the small pipeline, with weights as large beside its activations as the real ones'."""
    pipe = tiny.pipeline()
    sizes = [200_000_000, 15_000_000, 80_000_000]
    return Networks(config_of(pipe.unet), config_of(pipe.vae), torch.float32, *sizes)


def test_with_less_room_a_run_goes_another_way_until_there_is_none() -> None:
    own, room, seen = networks(), 2_000_000_000, []
    while (chosen := choose(own, SMALL, room)).plan.fits:
        if not seen or seen[-1] != chosen.plan.how:
            seen.append(chosen.plan.how)
            assert chosen.plan.bytes <= room
        room = chosen.plan.bytes - 1 if chosen.plan.counted else room - 50_000_000
    offloads = [how.partition(",")[0].partition(" ")[2] for how in seen]
    assert seen[0] == ""
    assert any("in main memory until" in how for how in offloads)
    assert seen[-1].startswith("weights streamed, the branches of guidance one after the other, layers by")
    assert len(seen) > 6
    assert chosen.way == WAYS[-1]


def test_a_clip_that_fits_by_any_bound_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("svdlab.engine.footprint.call_without_numbers", lambda *_: pytest.fail("counted"))
    chosen = choose(networks(), SMALL, 10**10)
    assert (chosen.way, chosen.plan.decoded, chosen.plan.counted) == (WAYS[0], 12, False)
    assert chosen.plan.sentence.startswith("Takes at most ")


def test_what_is_asked_for_is_kept() -> None:
    own = networks()
    asked = SMALL.but(decode_chunk_size=3)
    for room, decoded in ((10**10, 3), (10**9, 3), (0, 1)):  # no more at once than was asked for
        chosen = choose(own, asked, room, offloads=("model",)).plan
        assert (chosen.decoded, chosen.offload) == (decoded, "model")
    kept = choose(own, SMALL, 250_000_000, sampled=False, offloads=("model",)).plan
    assert set(kept.stages) == {"decode"}
    beside = choose(own, SMALL, 10**10, resident=10**9).plan
    assert beside.stages["sample"] > 10**9


def test_half_precision_counts_the_autoencoder_as_it_encodes() -> None:
    config = json.loads(OFFICIAL_VAE)
    plain = replace(Networks.official(torch.float16), vae=json.dumps({**config, "force_upcast": False}))
    upcast, own = (
        choose(one, XT, 0, offloads=("streamed",)).plan.stages["encode"]
        for one in (Networks.official(torch.float16), plain)
    )
    assert upcast / 1e9 == pytest.approx(2 * 0.195 + 1.517 / memory.SPARE, rel=0.02)
    assert own < upcast


def test_as_many_frames_are_decoded_at_once_as_fit() -> None:
    assert chunks(25) == (25, 8, 4, 2, 1)
    assert chunks(6) == (6, 4, 2, 1)
    assert chunks(1) == (1,)


def test_streaming_the_official_unet_takes_little() -> None:
    unet = without_numbers(OFFICIAL_UNET, torch.float16)
    assert streaming.bytes_of(unet) <= 0.14e9


def test_a_plan_is_one_sentence() -> None:
    stages = {"encode": 10**9, "sample": 5_240_000_000, "decode": 3 * 10**9}
    plan = Plan(7_600_000_000, stages, "streamed", "", 4, 25)
    assert plan.sentence == "Takes 5.2 GB of 7.6 GB: weights streamed, decoded 4 frames at once."
    assert replace(plan, offload="none", decoded=25).sentence == "Takes 5.2 GB of 7.6 GB."


def test_what_is_said_before_a_run_is_what_the_run_does() -> None:
    renderer, checkpoint = Renderer("cpu"), Catalogue().get("demo-1-0")
    settings = defaults_for(checkpoint).but(width=64, height=64, num_frames=2, num_inference_steps=1)
    before = renderer.plan((checkpoint,), settings)
    assert renderer.residency.loads == 0
    job = Job("one", checkpoint, settings, np.zeros((64, 64, 3), np.uint8), "picture")
    [done] = [one for one in renderer.render([job]) if isinstance(one, Rendered)]
    assert (before.offload, before.sampling, before.decoded) == ("none", "", 2)
    assert (done.outcome.offload, done.outcome.sampling, done.outcome.decode_chunk_size) == ("none", "", 2)
    assert done.outcome.plan.startswith("Takes at most ")
