"""Ways of calling the UNet: what each takes, which is chosen, and that all give the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers import UNetSpatioTemporalConditionModel
from diffusers.models.attention import FeedForward
from PIL import Image

from svdlab.engine import footprint, memory, sampler, ways
from svdlab.engine.renderer import Renderer
from svdlab.engine.rows import InRows, feed_forward_in_rows
from svdlab.recipes.limits import defaults_for
from svdlab.recipes.settings import GenerationSettings
from svdlab.recipes.work import Failed, Job, Rendered, Update
from svdlab.weights.catalogue import Catalogue
from tests import tiny

GUIDED = GenerationSettings(width=64, height=64, num_frames=6, num_inference_steps=2, max_guidance_scale=2.5)
OFFICIAL = GenerationSettings(width=1024, height=576, num_frames=25)


@pytest.fixture(scope="module")
def xt() -> UNetSpatioTemporalConditionModel:
    """The real one's shape without numbers."""
    with torch.device("meta"):
        unet = UNetSpatioTemporalConditionModel()
    torch.nn.Module.to(unet, "meta", torch.float16)
    assert round(sum(p.numel() for p in unet.parameters()) / 1e5) == 15246
    return unet


# What each takes


@pytest.mark.parametrize(
    ("way", "gigabytes"),
    [(ways.WAYS[0], 8.30), (ways.WAYS[2], 3.98)],  # as an H200's allocator reported for these calls
)
def test_an_official_clip_takes_what_was_measured(
    way: ways.Way, gigabytes: float, xt: UNetSpatioTemporalConditionModel
) -> None:
    assert ways.bytes_of(way, xt, OFFICIAL, 8, exact=False) / 1e9 == pytest.approx(gigabytes, rel=0.03)


def test_the_smallest_way_leaves_room_on_a_card_of_6_gb(xt: UNetSpatioTemporalConditionModel) -> None:
    taken = ways.bytes_of(ways.WAYS[-1], xt, OFFICIAL, 8, exact=True)
    assert taken <= 2.3e9
    assert memory.module_bytes(xt) + taken <= 5.4e9


def test_what_is_counted_is_what_is_alive() -> None:
    with torch.device("meta"), footprint.Alive() as alive:
        first = torch.empty(1000, dtype=torch.float16)
        second = first + 1
        view = second[:10]
        del first, second
        third = view * 2
        del view
    assert alive.peak == 2 * 2000
    assert alive.bytes == third.numel() * 2


# Which is chosen


def test_the_fastest_way_that_fits_is_chosen() -> None:
    unet = tiny.pipeline().unet
    large = GUIDED.but(width=256, height=256)
    taken = [ways.bytes_of(way, unet, large, 2, exact=False) for way in ways.WAYS]
    assert taken == sorted(taken, reverse=True)
    for way, size in zip(ways.WAYS, taken, strict=True):
        assert ways.fitting(unet, large, 2, size) == way
    assert ways.fitting(unet, large, 2, taken[-1] - 1) is None
    alone = large.but(max_guidance_scale=1.0, min_guidance_scale=1.0)
    assert [way.together for way in ways.ways_of(alone)] == [True, True]


def test_a_small_clip_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ways, "unet_bytes", lambda *_: pytest.fail("counted"))
    assert ways.fitting(tiny.pipeline().unet, GUIDED, 2, 1e9) == ways.WAYS[0]


def test_ways_are_said_in_words() -> None:
    assert [str(way) for way in ways.WAYS] == [
        "",
        "feed-forward by 16,384 rows",
        "the branches of guidance one after the other",
        "the branches of guidance one after the other, feed-forward by 16,384 rows",
    ]


# That all give the same


@torch.inference_mode()
def test_feed_forward_by_rows_is_feed_forward() -> None:
    torch.manual_seed(1)
    layer = FeedForward(32, activation_fn="geglu").double().eval()
    for shape in ((7, 3, 32), (2, 32), (1, 50, 32)):
        hidden = torch.randn(*shape, dtype=torch.float64)
        for rows in (1, 4, 1000):
            assert torch.allclose(InRows(layer, rows)(hidden), layer(hidden), rtol=0, atol=1e-12)
    unet = tiny.pipeline().unet
    feed_forwards = sum(isinstance(module, FeedForward) for module in unet.modules())
    assert len(feed_forward_in_rows(unet, 4).places) == feed_forwards > 0


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("way", [ways.Way(piece=50), ways.Way(together=False), ways.Way(False, 50)])
def test_every_way_comes_to_the_same_latents(way: ways.Way, exact: bool) -> None:
    parts = Renderer("cpu", "float32").residency.get(Catalogue().get("demo-1-0"))
    noise = sampler.draw_noise(GUIDED, parts.latent_channels, parts.vae_scale)
    conditioning = sampler.encode(parts, picture(), noise, GUIDED)
    plain, other = (
        list(sampler.denoise(parts, conditioning, noise, GUIDED, *asked))[-1].latents
        for asked in ((), (exact, way))
    )
    assert float((plain - other).norm() / plain.norm()) < 1e-5


def picture() -> Image.Image:
    return Image.effect_mandelbrot((64, 64), (-2, -1, 1, 1), 40).convert("RGB")


def job(**changes: object) -> Job:
    checkpoint = Catalogue().get("demo-1-0")
    knobs = {"width": 64, "height": 64, "num_frames": 4, "num_inference_steps": 2, "max_guidance_scale": 2.0}
    settings = defaults_for(checkpoint).but(**{**knobs, **changes})
    return Job("one", checkpoint, settings, np.asarray(picture()), "picture")


def made(renderer: Renderer, **changes: object) -> Rendered:
    updates: list[Update] = list(renderer.render([job(**changes)]))
    assert isinstance(updates[-1], Rendered), updates[-1]
    return updates[-1]


def test_short_of_memory_a_run_takes_a_smaller_way_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    renderer = Renderer("cpu")
    plain = made(renderer)
    assert plain.outcome.sampling == ""
    unet = renderer.residency.get(Catalogue().get("demo-1-0")).unet
    needed = ways.bytes_of(ways.WAYS[-1], unet, job().settings, 4, exact=False)
    monkeypatch.setattr(memory, "free_bytes", lambda _: int(needed / memory.SPARE) + 1)
    small = made(renderer, decode_chunk_size=4)
    assert small.outcome.sampling == str(ways.WAYS[2])  # so few rows are one piece anyway
    assert small.outcome.fallbacks == ()  # nothing ran out: it was planned so
    assert np.abs(small.frames.astype(int) - plain.frames).max() <= 1


def test_a_way_that_runs_out_is_followed_by_a_smaller_one(monkeypatch: pytest.MonkeyPatch) -> None:
    renderer, real = Renderer("cpu"), sampler.denoise

    def short(*asked: object) -> object:
        if asked[-1] != ways.WAYS[-1]:
            raise MemoryError
        return real(*asked)  # type: ignore[arg-type]

    monkeypatch.setattr(sampler, "denoise", short)
    done = made(renderer)
    assert done.outcome.sampling == str(ways.WAYS[-1])
    assert done.outcome.fallbacks[0] == "Memory ran out while sampling: now feed-forward by 16,384 rows."
    assert len(done.outcome.fallbacks) == 3


def test_when_every_way_runs_out_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> object:
        raise MemoryError

    monkeypatch.setattr(sampler, "denoise", none)
    assert isinstance(list(Renderer("cpu").render([job()]))[-1], Failed)
