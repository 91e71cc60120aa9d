"""The evaluation measures what it says, on clips whose camera is known."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from training import clips, evaluate

CARDS = Path(evaluate.__file__).parent / "cards"


def filmed(tensors: torch.Tensor, move: str, speed: float) -> np.ndarray:
    path = clips.camera(torch.tensor([clips.MOVES[move]]), torch.tensor([speed]), 8)
    frames = clips.film(tensors[1:2], path, torch.tensor([[160.0, 104.0]]), torch.ones(1))[0]
    return ((frames.permute(0, 2, 3, 1).numpy() + 1) * 127.5).round().astype(np.uint8)


@pytest.mark.parametrize("move", ["left", "in", "clockwise"])
def test_a_clip_that_only_moves_is_carried_all_but_whole(move: str, tensors: torch.Tensor) -> None:
    clip = filmed(tensors, move, 1.5)
    camera = evaluate.own_camera(clip)
    assert len(camera) == len(clip)
    assert evaluate.carried(clip[0], clip, camera, 7) > 0.85
    assert (
        evaluate.carried(clip[0], clip, [np.eye(2, 3)] * 8, 7)
        < evaluate.carried(clip[0], clip, camera, 7) - 0.1
    )


def test_grain_and_blur_cost(tensors: torch.Tensor) -> None:
    clip = filmed(tensors, "left", 1.5)
    camera = evaluate.own_camera(clip)
    clean = evaluate.carried(clip[0], clip, camera, 7)
    grain = np.random.default_rng(0).normal(0, 25, clip.shape)
    noisy = np.clip(clip + grain, 0, 255).astype(np.uint8)
    blurred = np.stack([cv2.GaussianBlur(frame, (0, 0), 3) for frame in clip])
    for spoilt in (noisy, blurred):
        assert evaluate.carried(clip[0], spoilt, camera, 7) < clean - 0.05


def test_the_planted_rule_is_known_in_pixels() -> None:
    steady = [evaluate.planted(bucket, 6, 0.0) for bucket in (60, 120)]
    assert steady[1] == pytest.approx(2 * steady[0], rel=0.15)
    assert steady[0] == pytest.approx(0.75 * 60 / 127 * 7 / 6, rel=0.05)
    assert evaluate.planted(120, 6, 0.8) > steady[1]


class Filmed:
    """A pair that does as it is told: it films the picture itself, by the planted rule."""

    load_seconds = 0.1

    def render(
        self, name: str, picture: np.ndarray, seed: int, bucket: int = 127, fps: int = 6, frames: int = 14
    ) -> np.ndarray:
        rng = torch.Generator().manual_seed(seed)
        move = torch.tensor([list(clips.MOVES.values())[seed % len(clips.MOVES)]])
        speed = clips.pixels_per_frame(torch.tensor([float(bucket)]), torch.tensor([float(fps)]))
        path = clips.camera(move, speed, frames)
        restless = clips.RESTLESS if name == evaluate.FIRST else clips.STEADY
        path[..., :2] += clips.sway(torch.rand(1, 2, generator=rng) * 6.28, speed, frames, restless)
        tensor = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
        made = clips.film(tensor, path, torch.tensor([[128.0, 72.0]]), torch.ones(1))[0]
        return ((made.permute(0, 2, 3, 1).numpy() + 1) * 127.5).round().astype(np.uint8)

    def decoded(self, picture: np.ndarray) -> np.ndarray:
        return np.clip(picture.astype(int) + 1, 0, 255).astype(np.uint8)


def test_a_pair_that_does_as_it_is_told_reaches_what_is_asked() -> None:
    evaluation = evaluate.Evaluation(Filmed(), 2)
    figures = evaluation.run(("costs", "autoencoder", "carrying", "moves", "rule"))
    missed = {figure.name: figure.measured for figure in figures if not figure.reached}
    assert list(missed) == ["distinct moves among 2 seeds"]  # two clips show two of them
    assert evaluation.sheet().shape == (2 * 144, 5 * 256, 3)


def test_a_figure_is_a_line_of_a_table() -> None:
    assert str(evaluate.Figure("loading", "≤ 1 s", "0.4 s", True)) == "| loading | ≤ 1 s | 0.4 s | yes |"
    assert str(evaluate.Figure("size", "", "3", None)).endswith("|  |")


def test_a_card_is_filled_once(tmp_path: Path) -> None:
    card = tmp_path / "README.md"
    card.write_text((CARDS / "demo-1-0.md").read_text(encoding="utf-8"), encoding="utf-8")
    evaluate.fill(card, [evaluate.Figure("loading", "≤ 1 s", "0.4 s", True)])
    assert "|---|---|---|---|\n| loading | ≤ 1 s | 0.4 s | yes |\n\n## Licence" in card.read_text(
        encoding="utf-8"
    )
    with pytest.raises(SystemExit, match="figures already"):
        evaluate.fill(card, [])


def test_pictures_never_trained_on_are_at_hand_and_of_the_pairs_size() -> None:
    found = evaluate.pictures()
    assert len(found) >= 7
    assert {picture.shape for picture in found.values()} == {(144, 256, 3)}
