"""`svdlab measure`: any clip's numbers, for people and for programs."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from svdlab.cli import main
from svdlab.clips.frames import write_frames_dir
from svdlab.clips.video import write_mp4
from svdlab.metrics.definitions import METRICS, edition
from tests.metrics.truth import Scene, Step, film


def pan(frames: int, speed: float, **more: float) -> np.ndarray:
    return film(Scene("astronaut", (Step(pan=-speed),) * (frames - 1), (160, 96), **more))


def shell(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of `svdlab measure …`."""
    status = main(["measure", *arguments])
    out, error = capsys.readouterr()
    return status, out, error


def test_a_video_is_measured_in_words_and_numbers(tmp_path: Path, capsys) -> None:
    write_mp4(tmp_path / "pan.mp4", pan(6, 1.5), 8)
    status, out, _ = shell(capsys, str(tmp_path / "pan.mp4"))
    assert status == 0
    assert out.startswith(
        "pan.mp4: 6 frames of 160×96 at 8 fps\nmedium pan right · steady · nothing else moves"
    )
    assert "Pan across" in out


def test_json_holds_everything_and_is_right(tmp_path: Path, capsys) -> None:
    write_frames_dir(tmp_path / "frames", pan(6, 1.5))
    Image.fromarray(pan(6, 1.5)[0]).save(tmp_path / "start.png")
    picture = ["--picture", str(tmp_path / "start.png")]
    status, out, _ = shell(capsys, str(tmp_path / "frames"), "--json", "--fps", "10", *picture)
    [found] = json.loads(out)
    assert status == 0
    assert set(found["values"]) == set(METRICS)
    assert found["values"]["pan_x"] == pytest.approx(-1.5, abs=0.02)
    assert found["values"]["motion_per_second"] == pytest.approx(15, abs=0.2)
    assert found["values"]["fidelity"] == 1
    assert (found["edition"], found["frames"], found["flaws"]) == (edition(), 6, {})
    assert len(found["series"]["camera_motion"]) == len(found["path"]) == 6


def test_one_clip_is_held_against_another(tmp_path: Path, capsys) -> None:
    write_frames_dir(tmp_path / "slow", pan(6, 0.5))
    write_frames_dir(tmp_path / "fast", pan(8, 2.0))
    both = [str(tmp_path / "slow"), "--against", str(tmp_path / "fast")]
    _, out, _ = shell(capsys, *both)
    assert "One has 6 frames, the other 8: each is measured over all its own." in out
    assert "−1.50" in next(line for line in out.splitlines() if line.startswith("Camera motion"))
    status, _, _ = shell(capsys, *both, "--csv", str(tmp_path / "all.csv"))
    rows = list(csv.DictReader((tmp_path / "all.csv").open(encoding="utf-8")))
    assert status == 0
    by_name = {row["metric"]: row for row in rows}
    assert float(by_name["camera_motion"]["other"]) == pytest.approx(2, abs=0.02)
    assert by_name["zoom"]["unit"] == "%/frame"


def test_what_cannot_be_measured_is_a_sentence_and_the_others_are(tmp_path: Path, capsys) -> None:
    write_frames_dir(tmp_path / "good", pan(5, 1.0))
    write_frames_dir(tmp_path / "one", pan(2, 1.0)[:1])
    (tmp_path / "bad.mp4").write_text("nothing")
    tiny = np.zeros((3, 8, 8, 3), np.uint8)
    write_frames_dir(tmp_path / "tiny", tiny)
    given = [str(tmp_path / name) for name in ("bad.mp4", "tiny", "one", "good")]
    status, out, error = shell(capsys, *given)
    assert status == 2
    assert "bad.mp4 is neither a video nor an animated picture that can be read." in error
    assert "tiny is 8×8; at least 16 pixels a side can be measured." in error
    assert "It is one frame, so nothing can be said of motion." in out
    assert "good: 5 frames of 160×96" in out
