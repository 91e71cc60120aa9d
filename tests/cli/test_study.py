"""`svdlab study` on the embedded pair: rendered once, found again, with a report."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from svdlab.cli import main
from svdlab.lab.lab import Lab

FAST = ("--width", "64", "--height", "64", "--num-frames", "3", "--num-inference-steps", "1")


def test_the_pair_is_studied_and_asked_again_renders_nothing(
    data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.linear_gradient("L").convert("RGB").save(tmp_path / "a.png")
    asked = ["study", str(tmp_path / "a.png"), "-a", "demo-1-0", "-b", "demo-1-1", "--seeds", "2", *FAST]
    assert (
        main(
            [
                *asked,
                "-o",
                str(tmp_path / "report.html"),
                "--csv",
                str(tmp_path / "report.csv"),
                "--parquet",
                str(tmp_path / "report.parquet"),
            ]
        )
        == 0
    )
    out, error = capsys.readouterr()
    assert "2 pairs, 4 runs; 0 of them were rendered before." in error
    assert "Camera motion: not enough to say" in out or "Camera motion: the same" in out
    assert "--seeds" in " ".join(asked)
    tables = [pd.read_csv(tmp_path / "report.csv"), pd.read_parquet(tmp_path / "report.parquet")]
    assert tables[0].equals(tables[1])
    assert set(tables[0]["seed"]) == {0, 1}
    assert (tmp_path / "report.html").stat().st_size > 5000
    with Lab(data_dir) as lab:
        assert lab.history.count() == 4
    assert main([*asked, "--json"]) == 0
    out, error = capsys.readouterr()
    assert "4 of them were rendered before." in error
    found = json.loads(out)
    assert (found["pairs"], found["question"]) == (2, "What differs between Demo 1.0 and Demo 1.1?")
    assert not any(one["decided"] for one in found["answers"])


def test_what_cannot_be_studied_is_one_sentence(tmp_path: Path, data_dir: Path, capsys) -> None:
    Image.linear_gradient("L").convert("RGB").save(tmp_path / "a.png")
    picture = str(tmp_path / "a.png")
    for wrong, said in (
        (["--article", "--preset", "diffusers"], "--article and --preset both say what to ask under"),
        (["-o", "report.pdf"], "the file's name must end in .html, got report.pdf"),
        (["--seed", "random"], "--seed is the first of a study's seeds"),
    ):
        assert main(["study", picture, *wrong]) == 2
        assert said in capsys.readouterr().err
    for wrong, said in (
        ([], "name a picture, or a sweep over checkpoints with --sweep"),
        ([picture, "--sweep", "last"], "a sweep has its pictures and settings"),
        (["--sweep", "last"], "there is no sweep yet"),
    ):
        assert main(["study", *wrong]) == 2
        assert said in capsys.readouterr().err


def test_a_sweep_is_read_as_a_study(
    data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.linear_gradient("L").convert("RGB").save(tmp_path / "a.png")
    axes = ("--axis", "checkpoint=demo-1-0,demo-1-1", "--axis", "seed=1..2")
    assert main(["sweep", str(tmp_path / "a.png"), *axes, *FAST]) == 0
    capsys.readouterr()
    report = tmp_path / "report.html"
    assert main(["study", "--sweep", "last", "-a", "demo-1-1", "-o", str(report)]) == 0
    out, _ = capsys.readouterr()
    assert out.startswith("What differs between Demo 1.1 and Demo 1.0?")
    assert "2 of 2 pairs rendered." in out
    assert "svdlab" in report.read_text("utf-8")
    assert main(["sweep", str(tmp_path / "a.png"), "--axis", "seed=1..2", *FAST]) == 0
    capsys.readouterr()
    assert main(["study", "--sweep", "last"]) == 2
    assert "has one checkpoint; a study needs one over two of them" in capsys.readouterr().err
