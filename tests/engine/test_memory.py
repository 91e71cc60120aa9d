"""Memory: what is chosen from how much is free, what happens when it runs out, and that the next job works."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from svdlab.engine import memory, sampler
from svdlab.engine.components import Components
from svdlab.engine.renderer import Renderer
from svdlab.environment import Offload
from svdlab.errors import BadInput, OutOfMemory
from svdlab.recipes.limits import defaults_for
from svdlab.recipes.work import Failed, Job, Rendered, Update
from svdlab.weights.catalogue import Catalogue

CUDA = torch.device("cuda")
GB = 1_000_000_000


def job(id: str = "one", **changes: object) -> Job:
    checkpoint = Catalogue().get("demo-1-0")
    small = {
        "width": 96,
        "height": 64,
        "num_frames": 6,
        "num_inference_steps": 2,
        "seed": 3,
        "decode_chunk_size": 6,
    }
    picture = np.asarray(Image.effect_mandelbrot((96, 64), (-2, -1, 1, 1), 40).convert("RGB"))
    return Job(id, checkpoint, defaults_for(checkpoint).but(**{**small, **changes}), picture, "picture")


def last(updates: list[Update]) -> Update:
    return updates[-1]


def rendered(renderer: Renderer, one: Job) -> Rendered:
    made = last(list(renderer.render([one])))
    assert isinstance(made, Rendered), made
    return made


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    """One that keeps all weights where they compute; tests leave it as they found it."""
    return Renderer("cpu")


@pytest.fixture(scope="module")
def plain(renderer: Renderer) -> Rendered:
    """What everything below must come to."""
    return rendered(renderer, job())


# Choosing


@pytest.mark.parametrize(
    ("free", "way"), [(20 * GB, "none"), (6 * GB, "model"), (2 * GB, "streamed"), (0, "streamed")]
)
def test_weights_wait_where_there_is_room(free: int, way: str) -> None:
    assert memory.choose_offload(CUDA, [3 * GB, GB, 3 * GB], free) == way
    assert memory.choose_offload(torch.device("cpu"), [3 * GB, GB, 3 * GB], free) == "none"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_a_cuda_device_that_is_not_there_is_one_sentence(device: str) -> None:
    with pytest.raises(BadInput, match=r"^there is no CUDA device .*; choose auto or cpu$"):
        Renderer(device)


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="there is an MPS device here")
def test_an_mps_device_that_is_not_there_is_one_sentence() -> None:
    with pytest.raises(
        BadInput, match="there is no MPS device here, which only Macs have; choose auto or cpu"
    ):
        Renderer("mps")


@pytest.mark.parametrize(
    ("error", "counts"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB"), True),
        (MemoryError(), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)"), True),
        (RuntimeError("shape mismatch"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_running_out_of_memory_is_recognised_on_every_device(error: Exception, counts: bool) -> None:
    assert memory.is_exhausted(error) == counts


def test_a_real_allocation_that_fails_is_recognised() -> None:
    with pytest.raises(RuntimeError) as failed:
        torch.empty(2**55, dtype=torch.uint8)
    assert memory.is_exhausted(failed.value)


# Offloading changes where weights wait, not what comes out


@pytest.mark.parametrize("way", ["model", "streamed"])
def test_offloaded_weights_give_the_same_frames(way: Offload, plain: Rendered) -> None:
    offloading = Renderer("cpu", offload=way)
    made = rendered(offloading, job())
    assert made.outcome.offload == way
    assert np.array_equal(made.frames, plain.frames)
    offloading.residency.set_offload("none")  # and back again by the next job
    again = rendered(offloading, job())
    assert again.outcome.offload == way
    assert np.array_equal(again.frames, plain.frames)


# Running out: the fault is injected where a device would raise it; the model and everything after it are real


def decode_only(parts: Components, most: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Lets the autoencoder decode at most so many frames at once; returns the counts that were asked for."""
    real, asked = parts.vae.decode, []

    def decode(latents: torch.Tensor, **options: object) -> object:
        asked.append(len(latents))
        if len(latents) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(latents, **options)

    monkeypatch.setattr(parts.vae, "decode", decode)
    return asked


def test_decoding_falls_back_to_smaller_chunks_and_says_so(
    renderer: Renderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = decode_only(renderer.residency.get(job().checkpoint), 2, monkeypatch)
    made = rendered(renderer, job())
    assert asked == [6, 4, 2, 2, 2]
    assert made.outcome.decode_chunk_size == 2
    assert made.outcome.fallbacks == (
        "Memory ran out while decoding 6 frames at once: 4 were decoded at once.",
        "Memory ran out while decoding 4 frames at once: 2 were decoded at once.",
    )
    monkeypatch.undo()
    wanted = rendered(renderer, job(decode_chunk_size=2))
    assert np.array_equal(made.frames, wanted.frames)
    assert rendered(renderer, job()).outcome.decode_chunk_size == 6


def test_when_nothing_helps_it_is_one_sentence_and_the_next_job_works(
    renderer: Renderer, plain: Rendered, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode_only(renderer.residency.get(job().checkpoint), 0, monkeypatch)
    failed = last(list(renderer.render([job()])))
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, OutOfMemory)
    assert "the device ran out of memory at 96×64, 6 frames" in str(failed.error)
    assert np.array_equal(rendered(renderer, job()).frames, plain.frames)


def test_running_out_while_sampling_fails_this_job_alone(
    renderer: Renderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = sampler.denoise

    def denoise(parts: Components, *rest: object) -> object:
        yield next(real(parts, *rest))  # type: ignore[arg-type]
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(sampler, "denoise", denoise)
    failed = last(list(renderer.render([job()])))
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, OutOfMemory)
    monkeypatch.undo()
    assert rendered(renderer, job()).frames.shape == (6, 64, 96, 3)


def test_two_sides_in_lockstep_share_an_offloaded_decoder(renderer: Renderer) -> None:
    other = Job(
        "two", Catalogue().get("demo-1-1"), job().settings.but(decode_chunk_size=1), job().picture, "picture"
    )
    both = [job(decode_chunk_size=1), other]
    made = {u.job: u for u in Renderer("cpu", offload="model").render(both) if isinstance(u, Rendered)}
    plain = {u.job: u for u in renderer.render(both) if isinstance(u, Rendered)}
    assert set(made) == {"one", "two"}
    assert all(np.array_equal(made[id].frames, plain[id].frames) for id in made)
