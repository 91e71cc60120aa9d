"""Clips: the camera moves as it is told, what is known about a clip is true, and a seed gives the same ones."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch

from svdlab.metrics.measure import measure
from training import clips
from training.clips import ClipMaker


def rows(*moves: str) -> torch.Tensor:
    return torch.tensor([clips.MOVES[move] for move in moves])


def uint8(frames: torch.Tensor) -> np.ndarray:
    return ((frames.permute(0, 2, 3, 1).numpy() + 1) * 127.5).round().astype(np.uint8)


@pytest.mark.parametrize("move", clips.MOVES)
def test_the_camera_moves_as_it_is_told(move: str, tensors: torch.Tensor) -> None:
    path = clips.camera(rows(move), torch.tensor([1.5]), 6)
    frames = clips.film(tensors[:1], path, torch.tensor([[160.0, 104.0]]), torch.ones(1))
    measured = measure(uint8(frames[0])).values
    found = (
        *(measured[name] for name in ("pan_x", "pan_y")),
        np.log(1 + measured["zoom"] / 100),
        np.radians(measured["rotation"]),
    )
    travelled = clips.BOUND * np.tanh(1.5 * 5 / clips.BOUND) / 5
    radius = clips.RADIUS * clips.WIDTH
    wanted = np.array(clips.MOVES[move]) / (1, 1, radius, radius)
    for value, share, near in zip(found, wanted, (0.2, 0.2, 0.004, 0.004), strict=True):
        assert value == pytest.approx(travelled * share, abs=near)


def test_a_film_is_what_opencv_warps(tensors: torch.Tensor) -> None:
    path = torch.tensor([[0.0, 0.0, 0.0, 0.0], [3.3, -2.1, 0.1, 0.05]])
    frames = clips.film(
        tensors[:1], path[None], torch.tensor([[150.0, 100.0]]), torch.tensor([1.05]), (96, 64)
    )
    for frame, (across, down, zoom, angle) in zip(frames[0], path.tolist(), strict=True):
        c, s = 1.05 * math.cos(angle) / math.exp(zoom), 1.05 * math.sin(angle) / math.exp(zoom)
        turn = np.array([[c, s], [-s, c]])
        corner = np.array([150.0, 100.0]) - turn @ np.array([across + 48, down + 32])
        wanted = cv2.warpAffine(
            tensors[0].permute(1, 2, 0).numpy(),
            np.column_stack([turn, corner]).astype(np.float32),
            (96, 64),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REFLECT,
        )
        # OpenCV places pixels on a grid of 1/32.
        assert np.abs(frame.permute(1, 2, 0).numpy() - wanted).mean() < 0.01


def test_motion_rises_with_the_bucket_falls_with_the_rate_and_is_bounded() -> None:
    def speed(bucket: float, fps: float) -> float:
        return float(clips.pixels_per_frame(torch.tensor(bucket), torch.tensor(fps)))

    assert speed(127, 7) == pytest.approx(clips.PIXELS_AT_127)
    assert speed(254, 7) == pytest.approx(2 * speed(127, 7))
    assert speed(127, 14) == pytest.approx(speed(127, 7) / 2)
    assert clips.camera(rows("left"), torch.tensor([30.0]), 25).abs().max() <= clips.BOUND


@pytest.mark.parametrize("move", ["left", "up", "in", "out", "clockwise", "anticlockwise"])
def test_every_move_is_as_fast_whatever_the_frames_size(move: str) -> None:
    means = [
        float(
            clips.sources(clips.camera(rows(move), torch.tensor([0.2]), 4, w), 4, (w, h))[0, -1]
            .norm(dim=0)
            .mean()
        )
        for w, h in (clips.FULL, (128, 72), (64, 48))
    ]
    travelled = clips.BOUND * np.tanh(0.2 * 3 / clips.BOUND)
    assert means == pytest.approx([travelled] * 3, rel=0.15)


@pytest.mark.parametrize("size", [clips.FULL, (128, 72)])
@pytest.mark.parametrize("move", clips.MOVES)
def test_the_known_sources_say_where_content_came_from(
    move: str, size: clips.Size, pictures: np.ndarray
) -> None:
    maker = ClipMaker(pictures, 3, moves=(move,), fixed=(6, 200), step=1)
    made = maker(1, 8, size)
    frames = made.frames[0].permute(0, 2, 3, 1).numpy()
    assert frames.shape == (8, size[1], size[0], 3)
    y, x = np.mgrid[0 : size[1], 0 : size[0]].astype(np.float32)
    across, down = made.sources[0, -1].numpy()
    carried = cv2.remap(frames[0], x + across, y + down, cv2.INTER_LINEAR)
    middle = np.s_[size[1] // 5 : -size[1] // 5, size[0] // 6 : -size[0] // 6]
    unmoved = np.abs(frames[0] - frames[-1])[middle].mean()
    assert np.abs(carried - frames[-1])[middle].mean() < 0.25 * unmoved


def test_a_thing_moves_on_its_own_and_is_known_to(pictures: np.ndarray) -> None:
    maker = ClipMaker(pictures, 3, moves=("left",), restless=0.0, fixed=(6, 200), things=1.0)
    made = maker(2, 8)
    assert float(made.sources[:, 0].abs().max()) == 0
    for clip in made.sources:
        different = np.unique(np.round(clip[-1].flatten(1).T.numpy(), 2), axis=0)
        assert len(different) == 2  # the scene's displacement and the thing's
    still = ClipMaker(pictures, 3, moves=("left",), restless=0.0, fixed=(6, 200))(2, 8)
    assert len(np.unique(np.round(still.sources[0, -1].flatten(1).T.numpy(), 2), axis=0)) == 1


def test_a_restless_camera_sways_in_proportion_to_its_speed() -> None:
    phases = torch.rand(1, 2, generator=torch.Generator().manual_seed(4)) * 6

    def sway(speed: float, share: float = 0.5) -> torch.Tensor:
        return clips.sway(phases, torch.tensor([speed]), 14, share)[0]

    assert torch.allclose(sway(0.8), 2 * sway(0.4))
    assert not sway(0.8)[0].any()
    assert torch.allclose(sway(0.8)[:10], sway(0.8)[4:], atol=1e-5)  # it comes back every four frames
    assert np.ptp(sway(0.8).numpy(), axis=0).max() == pytest.approx(
        0.8, rel=0.3
    )  # up to twice half of its speed
    assert torch.equal(sway(9.0), sway(1.5))
    assert not sway(0.8, clips.STEADY).any()


def test_the_first_frame_is_the_picture_and_the_tuned_pair_is_fixed(pictures: np.ndarray) -> None:
    steady = ClipMaker(pictures, 1, moves=("left",), restless=clips.STEADY, fixed=(6, 127))(2, 5)
    assert steady.fps.tolist() == [6, 6]
    assert steady.bucket.tolist() == [127, 127]
    steps = steady.sources[0, :, 0, 0, 0].diff()
    assert float(steps.max() - steps.min()) < 0.1 * float(steps.mean())
    drawn = ClipMaker(pictures, 1)(20, 2, (32, 32))
    assert drawn.fps.min() >= 5
    assert drawn.fps.max() <= 30
    assert drawn.bucket.min() >= 1
    assert drawn.bucket.max() <= 255
    assert not drawn.sources[:, 0].any()


def test_a_seed_gives_the_same_clips_whatever_the_cells(pictures: np.ndarray) -> None:
    fine, coarse, other = (
        ClipMaker(pictures, seed, step=step)(2, 3) for seed, step in ((5, 4), (5, 8), (6, 8))
    )
    assert torch.equal(fine.frames, coarse.frames)
    assert not torch.equal(other.frames, coarse.frames)
    assert coarse.sources.shape == (2, 3, 2, 18, 32)
    assert torch.allclose(
        fine.sources[..., ::2, ::2] + fine.sources[..., 1::2, 1::2], 2 * coarse.sources, atol=1e-4
    )


def test_a_roaming_camera_goes_everywhere_and_says_where(pictures: np.ndarray) -> None:
    made = ClipMaker(pictures, 3, step=1).roaming(24, 5, (128, 80))
    assert made.frames.shape == (24, 5, 3, 80, 128)
    assert not made.sources[:, 0].any()
    ends = made.sources[:, -1].mean((-2, -1))  # of the middle of the frame: zooms and turns cancel
    assert (ends.norm(dim=-1) < clips.BOUND * 1.2).all()
    assert all((way < -3).any() and (way > 3).any() for way in ends.unbind(1))
    for clip, where in zip(made.frames, made.sources, strict=True):
        first, last = (clip[place].permute(1, 2, 0).numpy() for place in (0, -1))
        y, x = np.mgrid[0:80, 0:128].astype(np.float32)
        across, down = (x + where[-1, 0].numpy()), (y + where[-1, 1].numpy())
        inside = (across > 1) & (across < 126) & (down > 1) & (down < 78)
        carried = cv2.remap(first, across, down, cv2.INTER_LINEAR)
        assert np.abs(carried - last)[inside].mean() < 0.05
