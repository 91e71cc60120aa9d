"""The measurement on a graphics card, run whole at small size: every section gives its figures, and they agree."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from svdlab.engine import bench_gpu
from svdlab.recipes.shortcuts import SHORTCUTS


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], Path]:
    raw = tmp_path_factory.mktemp("bench") / "raw.jsonl"
    where, rows = bench_gpu.measure("cpu", small=True, raw=raw, compiled=False)
    assert where.startswith("cpu (")
    return {row.what: row.figures for row in rows}, raw


def test_every_section_gives_its_figures(measured: tuple[dict[str, str], Path]) -> None:
    rows, _ = measured
    assert not [figures for figures in rows.values() if figures.startswith(("failed", "left out"))]
    assert [what.partition(":")[0].partition(",")[0] for what in rows] == [
        "the largest product of matrices",
        *("a call",) * 2,
        *("a clip",) * 3,
        *(what.partition(",")[0] for what in rows if what.startswith("a card")),
        "all of the memory again",
        *("lossy",) * len(SHORTCUTS),
        "a pair",
        *(f"a call for {cells} cells" for cells in bench_gpu.BATCHES),
    ]


def test_what_is_exact_comes_out_as_it_should(measured: tuple[dict[str, str], Path]) -> None:
    rows, _ = measured
    assert rows["a call: diffusers"].endswith("the same bits")
    assert int(rows["a call: constants of a run known"].split()[-2]) > 100  # dB
    assert rows["a clip: ours, off"].endswith("the same frames")
    assert rows["all of the memory again"] == "the same frames"
    assert rows["a pair, 2 steps"].endswith("the same frames")


def test_the_ladder_goes_down_to_streaming(measured: tuple[dict[str, str], Path]) -> None:
    cards = [figures for what, figures in measured[0].items() if what.startswith("a card")]
    assert [("until their turn" in plan, "streamed" in plan) for plan in cards] == [
        (False, False),
        (True, False),
        (False, True),
    ]
    assert not any("ran out" in figures for figures in cards)


def test_raw_figures_are_written_line_by_line(measured: tuple[dict[str, str], Path]) -> None:
    rows, raw = measured
    first, *lines = [json.loads(line) for line in raw.read_text(encoding="utf-8").splitlines()]
    assert "random weights" in first["where"]
    assert [line["what"] for line in lines] == list(rows)
    assert all(line["seconds"] > 0 for line in lines if "seconds" in line)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on a CPU")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")  # of torch about itself
@pytest.mark.timeout(1800)
def test_compiled_blocks_compute_what_blocks_compute() -> None:
    unet = bench_gpu.network(bench_gpu.SMALL.unet, torch.device("cpu"), torch.float32)
    asked = {
        "sample": torch.randn(2, 2, 8, 16, 16),
        "timestep": torch.tensor(1.5),
        "encoder_hidden_states": torch.randn(2, 1, 32),
        "added_time_ids": torch.tensor([[6.0, 127.0, 0.02]] * 2),
    }
    with torch.inference_mode():
        plain = unet(**asked).sample
        with bench_gpu.compiled_blocks(unet):
            compiled = unet(**asked).sample
    assert torch.allclose(compiled, plain, rtol=1e-4, atol=1e-5)
