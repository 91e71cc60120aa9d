"""`svdlab loss`: what each shortcut saves and costs, from ordinary runs."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from svdlab.cli import main
from svdlab.clips.frames import read_frames_zip
from svdlab.lab.lab import Lab
from svdlab.metrics.definitions import METRICS
from svdlab.recipes.settings import GenerationSettings
from svdlab.recipes.shortcuts import SHORTCUTS, exact_of, unet_calls
from tests.made import picture_of

SMALL = ["--num-inference-steps", "4", "--num-frames", "2", "--width", "96", "--height", "64", "--seed", "7"]


def test_each_shortcut_is_held_against_the_exact_clip(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def shell(*arguments: object, code: int = 0) -> tuple[str, str]:
        capsys.readouterr()
        assert main(["--data-dir", str(tmp_path), *map(str, arguments)]) == code, capsys.readouterr().err
        said = capsys.readouterr()
        return said.out, said.err

    picture = tmp_path / "hills.png"
    picture_of(0).save(picture)
    two = ("--only", "half", "--only", "reuse-3")
    command = ("loss", picture, "-c", "demo-1-0", *SMALL, "--feature-reuse", "2", *two)
    out, said = shell(*command, "--json", "--csv", tmp_path / "loss.csv")
    exact, half, reused = json.loads(out)
    assert [row["shortcut"] for row in (exact, half, reused)] == ["exact", "half", "reuse-3"]
    assert (exact["settings"]["feature_reuse"], half["settings"]["num_inference_steps"]) == (1, 2)
    assert reused["settings"] == {**exact["settings"], "feature_reuse": 3}
    with Lab(tmp_path) as lab:
        runs = {row["shortcut"]: lab.history.get(row["run"]) for row in (exact, half, reused)}
    frames = {name: read_frames_zip(run.frames_zip) for name, run in runs.items()}
    metrics = {name: run.outcome.metrics for name, run in runs.items()}
    assert len({run.outcome.noise_sha256 for run in runs.values()}) == 1
    for row in (half, reused):
        error = np.mean((frames["exact"].astype(float) - frames[row["shortcut"]]) ** 2)
        assert row["psnr"] == pytest.approx(10 * np.log10(255**2 / error))
        assert 0 < row["ssim"] < 1
        assert row["faster"] == pytest.approx(exact["seconds"] / row["seconds"])
        own = metrics[row["shortcut"]]
        assert row["changes"].keys() == own.keys() & metrics["exact"].keys() & METRICS.keys()
        assert row["changes"]
        for name, change in row["changes"].items():
            assert change == pytest.approx(own[name] - metrics["exact"][name])
    with (tmp_path / "loss.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["shortcut"] for row in rows] == ["exact", "half", "reuse-3"]
    assert float(rows[2]["psnr"]) == pytest.approx(reused["psnr"])

    again, said = shell("loss", exact["run"], *two)  # from the history: nothing is rendered
    assert "3 of 3 were rendered before" in said
    assert f"{half['psnr']:.1f} dB" in again
    assert "Change of each metric:" in again
    assert (
        "Left out, since they save nothing here: ays."
        in shell("loss", exact["run"], *two, "--only", "ays")[1]
    )
    assert (
        "there is no shortcut 'all'; there are half, ays" in shell("loss", "last", "--only", "all", code=2)[1]
    )
    assert "is measured as it is" in shell("loss", "last", "--fps", "9", code=2)[1]
    with Lab(tmp_path) as lab:
        assert len(lab.history.runs()) == 3


def test_shortcuts_save_what_they_say_and_are_left_out_where_they_do_not() -> None:
    official = GenerationSettings(num_inference_steps=25, max_guidance_scale=3.0)
    assert unet_calls(official) == 50
    work = {one.id: unet_calls(taken) for one in SHORTCUTS if (taken := one.of(official))}
    assert work == {
        "half": 24,
        "ays": 20,
        "reuse-2": 2 * (13 + 12 / 4),
        "reuse-3": 2 * (9 + 16 / 4),
        "ays-reuse-2": 2 * (5 + 5 / 4),
        "quarter": 12,
    }
    few = official.but(num_inference_steps=1)
    assert not any(one.of(few) for one in SHORTCUTS)
    assert exact_of(official.but(feature_reuse=3)) == official
