"""Ways of calling the UNet: what each takes, which is chosen, and that all give the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers.models.attention import FeedForward
from diffusers.models.attention_processor import Attention
from diffusers.models.resnet import ResnetBlock2D
from PIL import Image

from svdlab.engine import footprint, memory, sampler, ways
from svdlab.engine.footprint import decoder_bytes, largest_map
from svdlab.engine.plan import Networks, choose
from svdlab.engine.renderer import Renderer
from svdlab.engine.rows import AttentionInRows, FeedForwardInRows, ResidualInRows, in_rows
from svdlab.engine.shapes import OFFICIAL_UNET, OFFICIAL_VAE, config_of
from svdlab.recipes.limits import defaults_for
from svdlab.recipes.settings import GenerationSettings
from svdlab.recipes.work import Failed, Job, Rendered, Update
from svdlab.weights.catalogue import Catalogue
from tests import tiny

GUIDED = GenerationSettings(width=64, height=64, num_frames=6, num_inference_steps=2, max_guidance_scale=2.5)
OFFICIAL = GenerationSettings(width=1024, height=576, num_frames=25)


# What each takes


@pytest.mark.parametrize(
    ("way", "gigabytes"),
    [(ways.WAYS[0], 8.30), (ways.WAYS[2], 3.98)],  # as an H200's allocator reported for these calls
)
def test_an_official_clip_takes_what_was_measured(way: ways.Way, gigabytes: float) -> None:
    taken = ways.bytes_of(way, OFFICIAL_UNET, torch.float16, OFFICIAL, 8, exact=False)
    assert taken / 1e9 == pytest.approx(gigabytes, rel=0.03)


def test_decoding_an_official_clip_takes_what_was_measured() -> None:
    frame = decoder_bytes(OFFICIAL_VAE, 1, 72, 128, torch.float16)
    for frames, gigabytes in ((25, 30.2), (8, 9.7), (4, 4.8)):  # as an H200's allocator reported
        assert frames * frame / 1e9 == pytest.approx(gigabytes, rel=0.03)
    assert decoder_bytes(OFFICIAL_VAE, 4, 72, 128, torch.float16) == pytest.approx(4 * frame, rel=0.001)
    assert largest_map(OFFICIAL_VAE, 1024, 576) * 2 > frame


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


def test_every_next_way_takes_less_and_a_bound_more() -> None:
    unet, large = config_of(tiny.pipeline().unet), GUIDED.but(width=256, height=256)
    taken = [ways.bytes_of(way, unet, torch.float32, large, 2, exact=False) for way in ways.WAYS]
    assert taken == sorted(taken, reverse=True)
    assert ways.bound_of(unet, torch.float32, large, 2) > taken[0]
    alone = large.but(max_guidance_scale=1.0, min_guidance_scale=1.0)
    assert [way.together for way in ways.ways_of(alone)] == [True, True]


def test_ways_are_said_in_words() -> None:
    assert [str(way) for way in ways.WAYS] == [
        "",
        "layers by 16,384 rows",
        "the branches of guidance one after the other",
        "the branches of guidance one after the other, layers by 16,384 rows",
    ]


# That all give the same


@torch.inference_mode()
def test_feed_forward_by_rows_is_feed_forward() -> None:
    torch.manual_seed(1)
    layer = FeedForward(32, activation_fn="geglu").double().eval()
    for shape in ((7, 3, 32), (2, 32), (1, 50, 32)):
        hidden = torch.randn(*shape, dtype=torch.float64)
        for rows in (1, 4, 1000):
            assert torch.allclose(FeedForwardInRows(layer, rows)(hidden), layer(hidden), rtol=0, atol=1e-12)
    unet = tiny.pipeline().unet
    layers = sum(isinstance(module, FeedForward | Attention | ResnetBlock2D) for module in unet.modules())
    assert len(in_rows(unet, 4).places) == layers > 0


@torch.inference_mode()
def test_attention_by_rows_is_attention() -> None:
    torch.manual_seed(1)
    own, other = (
        Attention(32, width, heads=2, dim_head=16, residual_connection=False).double().eval()
        for width in (None, 24)
    )
    hidden, asked = torch.randn(7, 5, 32).double(), torch.randn(7, 1, 24).double()
    for rows in (1, 10, 1000):
        assert torch.allclose(AttentionInRows(own, rows)(hidden), own(hidden), rtol=0, atol=1e-12)
        wanted = other(hidden, encoder_hidden_states=asked)
        made = AttentionInRows(other, rows)(hidden, encoder_hidden_states=asked, attention_mask=None)
        assert torch.allclose(made, wanted, rtol=0, atol=1e-12)


@torch.inference_mode()
def test_a_residual_block_by_rows_is_a_residual_block() -> None:
    torch.manual_seed(1)
    layer = ResnetBlock2D(in_channels=64, out_channels=32, temb_channels=16).double().eval()
    hidden, emb = torch.randn(5, 64, 6, 4).double(), torch.randn(5, 16).double()
    for rows in (1, 50, 1000):
        made = ResidualInRows(layer, rows)(hidden, emb)
        assert torch.allclose(made, layer(hidden, emb), rtol=0, atol=1e-12)


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
    plain = made(renderer, num_frames=14)
    assert plain.outcome.sampling == ""
    own, settings = renderer.residency, job(num_frames=14).settings
    least = choose(Networks.of(own.get(Catalogue().get("demo-1-0"))), settings, 0, offloads=("none",)).plan
    monkeypatch.setattr(memory, "free_bytes", lambda _: least.bytes - own.bytes)
    small = made(renderer, num_frames=14)
    assert small.outcome.sampling.startswith(str(ways.WAYS[2]))
    assert small.outcome.plan.startswith("Takes ")
    assert small.outcome.sampling in small.outcome.plan
    assert small.outcome.fallbacks == ()  # nothing ran out: it was planned so
    monkeypatch.undo()
    wanted = made(renderer, num_frames=14, decode_chunk_size=small.outcome.decode_chunk_size)
    assert np.abs(small.frames.astype(int) - wanted.frames).max() <= 1


def test_a_way_that_runs_out_is_followed_by_a_smaller_one(monkeypatch: pytest.MonkeyPatch) -> None:
    renderer, real = Renderer("cpu"), sampler.denoise

    def short(*asked: object) -> object:
        if asked[-1] != ways.WAYS[-1]:
            raise MemoryError
        return real(*asked)  # type: ignore[arg-type]

    monkeypatch.setattr(sampler, "denoise", short)
    done = made(renderer)
    assert done.outcome.sampling == str(ways.WAYS[-1])
    assert done.outcome.fallbacks[0] == "Memory ran out while sampling: now layers by 16,384 rows."
    assert len(done.outcome.fallbacks) == 3


def test_when_every_way_runs_out_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> object:
        raise MemoryError

    monkeypatch.setattr(sampler, "denoise", none)
    assert isinstance(list(Renderer("cpu").render([job()]))[-1], Failed)
