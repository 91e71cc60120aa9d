"""`fast` acceleration: the same clip to the eye, said in the run, and never taken for one that is equal to the bit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from svdlab.clips.frames import read_frames_zip
from svdlab.engine import fast
from svdlab.engine.renderer import Renderer
from svdlab.lab.before import asked
from svdlab.lab.bits import Numbers
from svdlab.lab.lab import Lab
from svdlab.metrics.similarity import psnr
from svdlab.recipes.fairness import fairness
from svdlab.recipes.records import Run
from tests.engine.test_constants import rendered

CPU = torch.device("cpu")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with Lab(tmp_path / "data") as lab:
        yield lab


def test_what_is_chosen_where_nothing_is_wanted() -> None:
    assert fast.choose_acceleration(CPU) == "off"
    assert fast.choose_acceleration(torch.device("cuda")) == "exact"
    assert fast.choose_acceleration(CPU, "fast") == "fast"


def test_only_float32_on_a_processor_that_has_bfloat16_is_computed_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    assert fast.computes_in(CPU, torch.float32) == torch.bfloat16
    assert fast.computes_in(CPU, torch.float16) == torch.float16
    assert fast.computes_in(torch.device("cuda"), torch.float32) == torch.float32
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True})
    assert fast.computes_in(CPU, torch.float32) == torch.float32


def test_another_layout_is_the_same_network() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(8, 16, 3), nn.Unflatten(0, (1, 2)), nn.Flatten(0, 1), nn.Conv2d(16, 4, 3)
    )
    pictures = torch.randn(2, 8, 20, 24)
    before = network(pictures)
    fast.lay_out(network, CPU)
    assert network[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(network(pictures), before, atol=1e-6)


def runs(lab: Lab) -> tuple[Run, Run]:
    plain = rendered(lab, Renderer("cpu", "float32"), 2.5)
    return plain, rendered(lab, Renderer("cpu", "float32", acceleration="fast"), 2.5)


def test_a_fast_clip_looks_the_same_and_says_what_it_is(lab: Lab) -> None:
    plain, quick = runs(lab)
    assert quick.recipe.versions["acceleration"] == "fast"
    imitated = fast.computes_in(CPU, torch.float32) == torch.float32
    assert quick.recipe.versions.get("computed_in") == (None if imitated else "bfloat16")
    before, now = (read_frames_zip(run.frames_zip) for run in (plain, quick))
    assert psnr(before, now) > 34  # a level or two of 255 in most places
    assert np.abs(before.astype(int) - now).mean() < 2


def test_a_fast_clip_is_not_taken_for_an_exact_one(lab: Lab) -> None:
    plain, quick = runs(lab)
    hash = asked(plain.recipe)
    assert lab.before.runs([hash], Numbers("cpu", "float32"))[hash].id == plain.id
    assert lab.before.runs([hash], Numbers("cpu", "float32", fast=True))[hash].id == quick.id


def test_a_pair_of_both_is_not_fair(lab: Lab) -> None:
    found = fairness(*runs(lab))
    assert not found.fair
    assert "A was computed in float32 and B in float32, fast." in found.differences
