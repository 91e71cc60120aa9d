"""Pictures → clips under a known camera, in batches on one device, with the conditioning SVD is told. Knows torch.

The planted rule: after t frames the camera has moved `BOUND · tanh(v·t / BOUND)` pixels, where
`v = PIXELS_AT_127 · bucket/127 · 7/fps`. Motion so rises with the bucket, falls with the rate, and never leaves the
picture. A restless camera sways besides, by an amplitude in proportion to v.

What is drawn comes from one CPU generator, so a seed gives the same clips on every device.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

WIDTH, HEIGHT = 256, 144
Size = tuple[int, int]  # width and height in pixels
FULL: Size = (WIDTH, HEIGHT)
PIXELS_AT_127 = 0.75  # px per frame at bucket 127 and 7 fps
BOUND = 18.0  # px: no clip moves further
RADIUS = 0.3  # of the width, from the middle: where a zoom or a rotation moves as a pan would, about its mean
# How the content moves, as (shift across, shift down, zoom, turn), the latter two per radius.
MOVES = {
    "left": (-1.0, 0.0, 0.0, 0.0),
    "right": (1.0, 0.0, 0.0, 0.0),
    "up": (0.0, -1.0, 0.0, 0.0),
    "down": (0.0, 1.0, 0.0, 0.0),
    "in": (0.0, 0.0, 1.0, 0.0),
    "out": (0.0, 0.0, -1.0, 0.0),
    "clockwise": (0.0, 0.0, 0.0, 1.0),
    "anticlockwise": (0.0, 0.0, 0.0, -1.0),
}
PANS = ("left", "right", "up", "down")
RESTLESS, STEADY = 0.8, 0.0  # amplitude of the sway, as a share of the motion per frame
SWAY_PERIOD = 4.0  # frames, as of a camera carried by somebody who walks
SWAYED = 1.5  # px per frame: a faster camera sways no more
FPS = (5, 30)  # lowest and highest rate
BUCKETS = (1, 255)


@dataclass(frozen=True)
class Clips:
    """Frames (clips, frames, 3, height, width) in -1…1 and what is known about them.

    `sources` (clips, frames, 2, height/step, width/step) says for the middle of each cell where its content lies in
    the first frame, across and down in pixels from where it is now. `fps` and `bucket` (clips,) are as people say them.
    """

    frames: torch.Tensor
    sources: torch.Tensor
    fps: torch.Tensor
    bucket: torch.Tensor


def pixels_per_frame(bucket: torch.Tensor, fps: torch.Tensor) -> torch.Tensor:
    """The planted rule's v: how fast a camera starts."""
    return PIXELS_AT_127 * bucket / 127 * 7 / fps


def travelled(speed: torch.Tensor, frames: int) -> torch.Tensor:
    """How far a camera of each speed (clips,) has come, (clips, frames) in px."""
    times = torch.arange(frames, device=speed.device)
    return BOUND * torch.tanh(speed[:, None] * times / BOUND)


def camera(moves: torch.Tensor, speed: torch.Tensor, frames: int, width: int = WIDTH) -> torch.Tensor:
    """Each frame's camera: (clips, frames, 4) of shift across, shift down in px, log zoom and angle in radians.

    `moves` (clips, 4) are rows of `MOVES`; `width` of the frames, which zooms and rotations are measured by.
    """
    units = torch.tensor([1.0, 1.0, 1 / (RADIUS * width), 1 / (RADIUS * width)], device=speed.device)
    return travelled(speed, frames)[..., None] * (moves * units)[:, None]


def sway(phases: torch.Tensor, speed: torch.Tensor, frames: int, share: float) -> torch.Tensor:
    """What a restless camera adds to its shifts, (clips, frames, 2) in px: waves across and down, from 0 at frame 0.

    `phases` (clips, 2) in radians.
    """
    times = torch.arange(frames, device=speed.device)
    wave = torch.cos(2 * math.pi * times[None, :, None] / SWAY_PERIOD + phases[:, None])
    return share * speed.clamp(max=SWAYED)[:, None, None] * (wave - wave[:, :1])


def _turns(path: torch.Tensor) -> torch.Tensor:
    """The 2×2 matrices (…, 2, 2) from a place in the frame, seen from its middle, to the place in the still picture."""
    c, s = (wave(path[..., 3]) / path[..., 2].exp() for wave in (torch.cos, torch.sin))
    return torch.stack([torch.stack([c, s], -1), torch.stack([-s, c], -1)], -2)


def _places(size: Size, step: float, device: torch.device) -> torch.Tensor:
    """The middles of cells of `step` px, (rows, columns, 2) across and down, pixel centres being whole numbers."""
    width, height = size
    x, y = (torch.arange(step / 2, side, step, device=device) for side in (width, height))
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)


def film(
    pictures: torch.Tensor, path: torch.Tensor, centre: torch.Tensor, scale: torch.Tensor, size: Size = FULL
) -> torch.Tensor:
    """What cameras see of pictures (clips, 3, h, w): (clips, frames, 3, height, width). Edges mirror.

    `path` (clips, frames, 4), `centre` (clips, 2) in picture pixels, `scale` (clips,) picture pixels per frame pixel.
    """
    width, height = size
    frames = path.shape[1]
    turns = scale[:, None, None, None] * _turns(path)
    middle = torch.tensor([width / 2, height / 2], device=path.device)
    corner = centre[:, None] - (turns @ (path[..., :2] + middle)[..., None])[..., 0]
    pixels = _places(size, 1, path.device) - 0.5
    seen = torch.einsum("nfij,hwj->nfhwi", turns, pixels) + corner[:, :, None, None]
    sides = torch.tensor(pictures.shape[:1:-1], device=path.device)
    grid = ((2 * seen + 1) / sides - 1).flatten(1, 2)  # all frames of a clip below one another: one look-up
    made = F.grid_sample(pictures, grid, padding_mode="reflection", align_corners=False)
    return made.unflatten(2, (frames, height)).transpose(1, 2)


def sources(path: torch.Tensor, step: int, size: Size = FULL) -> torch.Tensor:
    """`Clips.sources` of still scenes under these cameras, for cells of `step` pixels."""
    width, height = size
    places = _places(size, step, path.device) - torch.tensor([width / 2, height / 2], device=path.device)
    moved = places - path[:, :, None, None, :2]
    return (torch.einsum("nfij,nfhwj->nfhwi", _turns(path), moved) - places).permute(0, 1, 4, 2, 3)


class ClipMaker:
    """Draws clips of given pictures (n, h, w, 3) uint8. `fixed` is (fps, bucket) for the fine-tuned checkpoint.

    `restless` is the sway's share of the speed, `things` the share of clips with a moving thing, `step` the pixels
    of a cell, `moves` the names of the moves to draw from.
    """

    def __init__(
        self,
        pictures: np.ndarray,
        seed: int,
        *,
        device: torch.device | str = "cpu",
        moves: tuple[str, ...] = tuple(MOVES),
        restless: float = RESTLESS,
        fixed: tuple[int, int] | None = None,
        things: float = 0.0,
        step: int = 8,
    ):
        self.pictures, self.device, self.restless, self.fixed = pictures, device, restless, fixed
        self.things, self.step = things, step
        self.table = torch.tensor([MOVES[name] for name in moves])
        self.rng = torch.Generator().manual_seed(seed)

    def __call__(self, count: int, frames: int, size: Size = FULL) -> Clips:
        """So many clips of that length, each of its own picture, or of as much of it as frames of that size show."""
        fps, bucket = self._asked(count)
        speed = pixels_per_frame(bucket, fps)
        moves = self.table[self._whole(0, len(self.table), count)]
        path = camera(moves, speed, frames, size[0])
        path[..., :2] += sway(self._uniform(count, 2) * 2 * math.pi, speed, frames, self.restless)
        return self._filmed(path, fps, bucket, size)

    def roaming(self, count: int, frames: int, size: Size = FULL) -> Clips:
        """Clips of a camera that keeps to no rule: any shift, zoom and turn at once, to anywhere within `BOUND`.

        They teach the carrying at every distance and in every frame, where the motion is told by the motion channels.
        """
        fps, bucket = self._asked(count)
        per_radius = 1 / (RADIUS * size[0])
        units = torch.tensor([1.0, 1.0, per_radius, per_radius])
        ways = torch.randn(count, 2, 4, generator=self.rng)
        ways = BOUND * ways / ways.norm(dim=-1, keepdim=True) * self._uniform(count, 2, 1)
        first, second = (way[:, None] for way in ways.unbind(1))
        share = torch.linspace(0, 1, frames)[:, None]
        path = units * (2 * share * (1 - share) * first + share**2 * second)  # curves to where it ends
        return self._filmed(path, fps, bucket, size)

    def _filmed(self, path: torch.Tensor, fps: torch.Tensor, bucket: torch.Tensor, size: Size) -> Clips:
        count, speed = len(path), pixels_per_frame(bucket, fps)
        pictures = self._pictures(count)
        sides = torch.tensor(pictures.shape[:1:-1], device=self.device)
        spare = ((sides.cpu() - torch.tensor(size)) / 2 - BOUND).clamp(min=20)
        centre = sides / 2 + ((2 * self._uniform(count, 2) - 1) * spare).to(self.device)
        scale = (0.95 + 0.15 * self._uniform(count)).to(self.device)
        path = path.to(self.device)
        seen, where = film(pictures, path, centre, scale, size), sources(path, self.step, size)
        chosen = self._uniform(count) < self.things
        if chosen.any():
            seen[chosen], where[chosen] = self._with_things(
                seen[chosen], where[chosen], path[chosen], speed[chosen]
            )
        return Clips(seen, where, fps.to(self.device), bucket.to(self.device))

    def _with_things(
        self, seen: torch.Tensor, where: torch.Tensor, path: torch.Tensor, speed: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Lets an oval cut from another picture cross each scene, on top of the camera's move."""
        count, frames, _, height, width = seen.shape
        away = self._uniform(count) * 2 * math.pi
        own = travelled(speed, frames)[..., None] * torch.stack([away.cos(), away.sin()], -1)[:, None]
        moved = own.to(path) + path[..., :2]
        sides = torch.tensor([width, height], device=self.device)
        middle = (0.25 + 0.5 * self._uniform(count, 2)).to(self.device) * sides
        radii = (0.08 + 0.17 * self._uniform(count, 2)).to(self.device) * height
        skins = film(
            self._pictures(count).flip(-2),
            F.pad(moved, (0, 2)),
            (sides / 2).expand(count, 2),
            torch.ones(count, device=self.device),
            (width, height),
        )
        places = _places((width, height), 1, torch.device(self.device))
        off = (places - (middle[:, None] + moved)[:, :, None, None]) / radii[:, None, None, None]
        cover = ((1 - off.norm(dim=-1)) * radii.amin(-1)[:, None, None, None] + 0.5).clamp(0, 1)
        half = self.step // 2
        inside = cover[:, :, None, half :: self.step, half :: self.step] > 0.5
        return torch.lerp(seen, skins, cover[:, :, None]), torch.where(inside, -moved[..., None, None], where)

    def _asked(self, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Rates from 5 to 30, the slow ones that people use more often, and any bucket; or the fixed ones."""
        if self.fixed:
            return torch.full((count,), float(self.fixed[0])), torch.full((count,), float(self.fixed[1]))
        slow = self._uniform(count) < 0.5
        fps = torch.where(slow, self._whole(5, 10, count), self._whole(FPS[0], FPS[1] + 1, count))
        return fps.float(), self._whole(BUCKETS[0], BUCKETS[1] + 1, count).float()

    def _pictures(self, count: int) -> torch.Tensor:
        """So many pictures (count, 3, h, w) in -1…1, every other one mirrored."""
        chosen = np.stack([self.pictures[i] for i in self._whole(0, len(self.pictures), count)])
        made = torch.from_numpy(chosen).to(self.device).permute(0, 3, 1, 2).float() / 127.5 - 1
        mirrored = (self._uniform(count) < 0.5).to(self.device)
        return torch.where(mirrored[:, None, None, None], made.flip(-1), made)

    def _uniform(self, *shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=self.rng)

    def _whole(self, low: int, high: int, count: int) -> torch.Tensor:
        return torch.randint(low, high, (count,), generator=self.rng)
