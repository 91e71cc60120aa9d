"""Weights that come piece by piece: the same numbers as with all of them there, whatever happens on the way."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from diffusers import UNetSpatioTemporalConditionModel
from PIL import Image
from torch import nn

from svdlab.engine import streaming
from svdlab.engine.constants import constants_of
from svdlab.engine.memory import module_bytes
from svdlab.engine.renderer import Renderer
from svdlab.engine.reuse import DeepFeatures
from svdlab.engine.rows import IN_ROWS, in_rows
from svdlab.engine.streaming import Streamed, order_of
from svdlab.recipes.limits import defaults_for
from svdlab.recipes.work import Failed, Job, Rendered, Stopped
from svdlab.weights.catalogue import Catalogue
from tests import original_layout, tiny

CPU = torch.device("cpu")
PIECE = 100_000  # bytes: a handful of layers of these networks


NETWORKS: dict[str, Callable[[], UNetSpatioTemporalConditionModel]] = {
    "tiny": lambda: tiny.pipeline().unet,
    "single file": lambda: original_layout.components("temporal")["unet"],
    "deeper": lambda: original_layout.components("image", depth=2)["unet"],
    "embedded": lambda: Renderer("cpu").residency.get(Catalogue().get("demo-1-0")).unet,
}


def network(name: str = "single file") -> UNetSpatioTemporalConditionModel:
    return NETWORKS[name]().eval()


@torch.inference_mode()
def call(unet: UNetSpatioTemporalConditionModel, exact: bool = False, rows: int = 0) -> torch.Tensor:
    draw = torch.Generator().manual_seed(3)
    embeds = torch.randn(2, 1, unet.config.cross_attention_dim, generator=draw)
    ids = torch.tensor([[6.0, 127.0, 0.02]] * 2)
    sample = torch.randn(2, 3, unet.config.in_channels, 8, 8, generator=draw)
    layers = in_rows(unet, rows)
    if exact:
        layers += constants_of(unet, embeds, ids, 3)
    with layers.in_place():
        answer: torch.Tensor = unet(sample, torch.tensor(1.5), embeds, ids, return_dict=False)[0]
    return answer


def state(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def same(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_streamed_call_is_the_plain_call_bit_for_bit(name: str) -> None:
    unet = network(name)
    asked: list[tuple[bool, int]] = [(False, 0), (True, 40)]
    plain = [call(unet, *one) for one in asked]
    before = state(unet)
    streamed = Streamed(unet, order_of(unet), CPU, PIECE)
    assert streamed.pieces > 5
    for one, wanted in zip(asked, plain, strict=True):
        with streamed.flowing():
            assert torch.equal(call(unet, *one), wanted)
            assert torch.equal(call(unet, *one), wanted)  # the first piece came under the last
    assert same(state(unet), before)


def places(network: nn.Module) -> dict[str, int]:
    """Where in memory each of its tensors lies."""
    return {name: tensor.data_ptr() for name, tensor in network.named_parameters()}


@pytest.mark.parametrize("rows", [0, 7])
def test_each_piece_travels_once_in_a_call_and_two_are_there_at_most(rows: int) -> None:
    unet = network()
    by_rows = max(module_bytes(layer) for layer in unet.modules() if isinstance(layer, IN_ROWS))
    streamed = Streamed(unet, order_of(unet), CPU, by_rows)  # larger ones come for every piece of their rows
    assert streamed.pieces > 5
    homes, own, away = places(unet), dict(unet.named_parameters()), []

    def look(*_: object) -> None:
        away.append(sum(one.nbytes for name, one in own.items() if one.data_ptr() != homes[name]))

    for block in (*unet.down_blocks, unet.mid_block, *unet.up_blocks):
        block.register_forward_pre_hook(look)
    with streamed.flowing():
        call(unet, rows=rows)
        assert streamed.fetched == streamed.pieces + 1  # the first of the next call comes under the last
        call(unet, rows=rows)
        assert streamed.fetched == 2 * streamed.pieces + 1
    assert 0 < max(away) <= streamed.bytes
    assert places(unet) == homes


def test_layers_are_named_in_the_order_in_which_they_are_called() -> None:
    unet = network()
    heard: dict[str, None] = {}
    handles = [
        layer.register_forward_pre_hook(lambda *_, name=name: heard.setdefault(name))
        for name, layer in unet.named_modules()
    ]
    call(unet)
    for handle in handles:
        handle.remove()
    assert list(order_of(unet)) == list(heard)
    assert set(heard) >= set(streaming.layers_of(unet, PIECE)) > {"conv_in", "conv_out"}


def test_what_it_takes_is_two_pieces() -> None:
    unet = network()
    for size in (1000, PIECE, 10**9):
        largest = max(module_bytes(layer) for layer in streaming.layers_of(unet, size).values())
        streamed = Streamed(unet, order_of(unet), CPU, size)
        whole = sum(tensor.nbytes for tensor in unet.parameters())
        assert streamed.bytes <= streaming.bytes_of(unet, size) * 1.02 + 2 * 256 * 400
        assert streaming.bytes_of(unet, size) == 2 * min(whole, max(size, largest))
        streamed.stop()


def test_a_call_that_fails_midway_leaves_the_weights_as_they_were() -> None:
    unet = network()
    plain, before = call(unet), state(unet)
    streamed = Streamed(unet, order_of(unet), CPU, PIECE)
    homes = places(unet)

    def fail(*_: object) -> None:
        raise MemoryError

    handle = unet.up_blocks[0].resnets[0].register_forward_pre_hook(fail)
    with pytest.raises(MemoryError), streamed.flowing():
        call(unet)
    handle.remove()
    assert places(unet) == homes
    assert same(state(unet), before)
    with streamed.flowing():
        assert torch.equal(call(unet), plain)
    fetched = streamed.fetched
    streamed.stop()
    with streamed.flowing():
        assert torch.equal(call(unet), plain)
    assert streamed.fetched == fetched > 0


def test_weights_of_two_kinds_of_numbers_are_refused_and_left_alone() -> None:
    unet = network("tiny")
    unet.conv_in.half()
    before = state(unet)
    with pytest.raises(ValueError, match="weights of 2 kinds of numbers cannot be streamed together"):
        Streamed(unet, (), CPU)
    assert same(state(unet), before)


# Through the renderer


def job(id: str = "one", checkpoint: str = "demo-1-0", **changes: object) -> Job:
    chosen = Catalogue().get(checkpoint)
    knobs = {"width": 64, "height": 64, "num_frames": 3, "num_inference_steps": 2, "max_guidance_scale": 2.0}
    settings = defaults_for(chosen).but(**{**knobs, **changes})
    picture = np.asarray(Image.effect_mandelbrot((64, 64), (-2, -1, 1, 1), 40).convert("RGB"))
    return Job(id, chosen, settings, picture, "picture")


def test_a_pair_in_lockstep_comes_out_as_without_streaming() -> None:
    pair = [job(), job("two", "demo-1-1")]
    made = {}
    for offload in ("none", "streamed"):
        renderer = Renderer("cpu", offload=offload, acceleration="exact")  # type: ignore[arg-type]
        made[offload] = {one.job: one for one in renderer.render(pair) if isinstance(one, Rendered)}
    assert set(made["none"]) == set(made["streamed"]) == {"one", "two"}
    for id, one in made["streamed"].items():
        assert one.outcome.offload == "streamed"
        assert one.latents == made["none"][id].latents
        assert np.array_equal(one.frames, made["none"][id].frames)


def test_a_run_that_is_stopped_leaves_the_weights_to_the_next() -> None:
    renderer = Renderer("cpu", offload="streamed")
    unet = renderer.residency.get(job().checkpoint).unet
    before, steps = state(unet), []

    def stop(_: str) -> bool:
        steps.append(1)
        return len(steps) > 5

    assert isinstance(list(renderer.render([job()], stop))[-1], Stopped)
    assert same(state(unet), before)
    failing = unet.mid_block.register_forward_pre_hook(lambda *_: 1 / 0)
    assert isinstance(list(renderer.render([job()]))[-1], Failed)
    failing.remove()
    assert same(state(unet), before)
    [done] = [one for one in renderer.render([job()]) if isinstance(one, Rendered)]
    [plain] = [one for one in Renderer("cpu").render([job()]) if isinstance(one, Rendered)]
    assert np.array_equal(done.frames, plain.frames)


@pytest.mark.parametrize("name", NETWORKS)
def test_features_used_again_are_the_same_where_weights_come_piece_by_piece(name: str) -> None:
    unet = network(name)

    def steps() -> list[torch.Tensor]:
        deep = DeepFeatures(unet)
        made = []
        for index in (1, 2, 3):
            with deep.for_step(index, 2).in_place():
                made.append(call(unet))
        return made

    whole = steps()
    stream = Streamed(unet, order_of(unet), CPU, PIECE)
    before = state(unet)
    with stream.flowing():
        pieces = steps()
    assert all(torch.equal(one, other) for one, other in zip(whole, pieces, strict=True))
    assert same(state(unet), before)
