"""What the demo pair can do, in figures and one contact sheet, over pictures it was not trained on.

    scripts/evaluate_demo --seeds 20 --sheet sheet.png

Knows diffusers' pipeline and svdlab's measurements (`svdlab.metrics`, numpy and OpenCV); nothing else of the lab.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # as in svdlab.engine: before torch is imported

import cv2
import numpy as np
import torch
from diffusers import StableVideoDiffusionPipeline
from PIL import Image
from scipy.stats import spearmanr

from svdlab.metrics.flow import camera_move, flow
from svdlab.metrics.measure import measure
from svdlab.metrics.similarity import psnr, ssim
from svdlab.metrics.words import in_words
from training import clips
from training.clips import BOUND, HEIGHT, WIDTH

ASSETS = Path(__file__).resolve().parent.parent / "assets"
FIRST, TUNED = "demo-1-0", "demo-1-1"
BUCKETS = (20, 60, 100, 127, 160, 200, 255)
RULED = (60, 200)  # buckets between which the planted rule is held against what is measured
RATES = (5, 10, 20, 30)
RATE_SEEDS, LONG_SEEDS, SHEET_SEEDS = 5, 5, 8
PARTS = ("costs", "autoencoder", "carrying", "moves", "rule")  # the quick ones first
SPEEDS = {"very", "slow", "medium", "fast"}
STEPS = 8
CHUNK = 4  # frames decoded at once, as the catalogue has it
PHOTOGRAPHS = ("astronaut", "chelsea", "coffee")  # that come with scikit-image
HEAD = "| figure | wanted | measured | reached |\n|---|---|---|---|"
FIGURES = "<!-- figures -->"  # where a card wants the table
EDGE = round(BOUND)  # px beside the frame's edges that are not compared: what comes in there is guessed


@dataclass(frozen=True)
class Figure:
    """One line of the table: what was measured, what is wanted, what came out, and whether that is reached."""

    name: str
    wanted: str
    measured: str
    reached: bool | None  # None where nothing is asked

    def __str__(self) -> str:
        mark = {True: "yes", False: "no", None: ""}[self.reached]
        return f"| {self.name} | {self.wanted} | {self.measured} | {mark} |"


def fitted(picture: np.ndarray) -> np.ndarray:
    """The middle of a picture at the pair's size."""
    scale = max(WIDTH / picture.shape[1], HEIGHT / picture.shape[0])
    size = (max(WIDTH, round(picture.shape[1] * scale)), max(HEIGHT, round(picture.shape[0] * scale)))
    picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    y, x = (picture.shape[0] - HEIGHT) // 2, (picture.shape[1] - WIDTH) // 2
    return picture[y : y + HEIGHT, x : x + WIDTH]


def pictures() -> dict[str, np.ndarray]:
    """Photographs at hand and the example pictures, (HEIGHT, WIDTH, 3) uint8 by name."""
    found = {}
    try:
        import skimage.data

        for name in PHOTOGRAPHS:
            found[name] = fitted(getattr(skimage.data, name)()[..., :3])
    except (ImportError, OSError, ConnectionError):
        print("scikit-image's photographs are not at hand; only the example pictures are used")
    for path in sorted((ASSETS / "examples").glob("*.jpg")):
        with Image.open(path) as image:
            found[path.stem] = fitted(np.asarray(image.convert("RGB")))
    return found


def own_camera(clip: np.ndarray) -> list[np.ndarray]:
    """Each frame's camera as the clip itself shows it: (2, 3) similarities from the first frame to that one.

    The moves from frame to frame one after the other, each then corrected by the flow from the first frame so moved.
    """
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in clip]
    whole, found = np.eye(3), [np.eye(2, 3)]
    for before, now in itertools.pairwise(grey):
        whole = _square(camera_move(flow(before, now))) @ whole
        guess = cv2.warpAffine(grey[0], whole[:2], (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT)
        whole = _square(camera_move(flow(guess, now))) @ whole
        found.append(whole[:2].copy())
    return found


def _square(move: np.ndarray) -> np.ndarray:
    return np.vstack([move, [0, 0, 1]])


def carried(picture: np.ndarray, clip: np.ndarray, camera: list[np.ndarray], frame: int) -> float:
    """SSIM of a frame to the picture moved along the clip's own camera, apart from the edges."""
    moved = cv2.warpAffine(picture, camera[frame], (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT)
    inside = np.s_[EDGE:-EDGE, EDGE:-EDGE]
    return ssim(moved[inside], clip[frame][inside])


def planted(bucket: int, fps: int, restless: float, frames: int = 14) -> float:
    """px per frame that the planted rule has a pan move on the mean of its frames, its sway with it."""
    speed = clips.pixels_per_frame(torch.tensor([float(bucket)]), torch.tensor([float(fps)])).expand(64)
    path = clips.camera(torch.tensor(clips.MOVES["left"]).expand(64, 4), speed, frames)[..., :2]
    phases = torch.rand(64, 2, generator=torch.Generator().manual_seed(0)) * 2 * np.pi
    return float((path + clips.sway(phases, speed, frames, restless)).diff(dim=1).norm(dim=-1).mean())


def fill(card: Path, figures: list[Figure]) -> None:
    """Writes the table where a card fresh from export has its mark."""
    said = card.read_text(encoding="utf-8")
    if FIGURES not in said:
        raise SystemExit(f"{card} has figures already; scripts/train_demo export makes it anew")
    card.write_text(said.replace(FIGURES, "\n".join([HEAD, *map(str, figures)])), encoding="utf-8")


class Pair:
    """Both checkpoints through diffusers' own pipeline, untouched."""

    def __init__(self, folder: Path = ASSETS) -> None:
        self.folder, self.load_seconds = folder, 0.0
        self._clips: dict[tuple[object, ...], np.ndarray] = {}
        self.pipes = {name: self._load(name) for name in (FIRST, TUNED)}

    def _load(self, name: str) -> StableVideoDiffusionPipeline:
        started = time.perf_counter()
        pipe = StableVideoDiffusionPipeline.from_pretrained(self.folder / name, dtype=torch.float32)
        pipe.to("cuda" if torch.cuda.is_available() else "cpu")
        pipe.set_progress_bar_config(disable=True)
        self.load_seconds = time.perf_counter() - started  # of the second: the first also imports
        return pipe

    def render(
        self, name: str, picture: np.ndarray, seed: int, bucket: int = 127, fps: int = 6, frames: int = 14
    ) -> np.ndarray:
        """A clip (frames, HEIGHT, WIDTH, 3) uint8 without guidance, as the pair is meant to be sampled; made once.

        `fps` is the rate the model sees plus one, as diffusers has it.
        """
        asked = (name, picture.tobytes(), seed, bucket, fps, frames)
        if asked not in self._clips:
            made = self.pipes[name](
                Image.fromarray(picture),
                height=HEIGHT,
                width=WIDTH,
                num_frames=frames,
                num_inference_steps=STEPS,
                min_guidance_scale=1.0,
                max_guidance_scale=1.0,
                fps=fps,
                motion_bucket_id=bucket,
                noise_aug_strength=0.02,
                decode_chunk_size=CHUNK,
                generator=torch.Generator("cpu").manual_seed(seed),
            ).frames[0]
            self._clips[asked] = np.stack([np.asarray(frame) for frame in made])
        return self._clips[asked]

    @torch.no_grad()
    def decoded(self, picture: np.ndarray) -> np.ndarray:
        """The picture through the autoencoder and back."""
        vae = self.pipes[FIRST].vae
        pixels = torch.from_numpy(picture).permute(2, 0, 1)[None].float().to(vae.device) / 127.5 - 1
        made = vae.decode(vae.encode(pixels).latent_dist.mode(), num_frames=1).sample[0]
        return ((made.clamp(-1, 1) + 1) * 127.5).round().permute(1, 2, 0).to(torch.uint8).cpu().numpy()


class Evaluation:
    """The figures of one pair, measured one after the other and printed as they are known."""

    def __init__(self, pair: Pair, seeds: int):
        self.pair, self.seeds = pair, seeds
        self.pictures = list(pictures().values())
        self.figures: list[Figure] = []

    def run(self, parts: Sequence[str]) -> list[Figure]:
        """Those of so many of `PARTS`."""
        for part in parts:
            getattr(self, part)()
        return self.figures

    def say(self, name: str, wanted: str, measured: str, reached: bool | None) -> None:
        """Notes a figure."""
        self.figures.append(Figure(name, wanted, measured, reached))
        print(self.figures[-1], flush=True)

    def picture(self, seed: int) -> np.ndarray:
        """The picture of a seed."""
        return self.pictures[seed % len(self.pictures)]

    def costs(self) -> None:
        """Seconds to load and to make a clip."""
        load = self.pair.load_seconds
        self.say("loading", "≤ 1 s", f"{load:.2f} s", load <= 1)
        self.pair.render(TUNED, self.picture(0), 0, frames=2)  # the first is slower
        started = time.perf_counter()
        self.pair.render(FIRST, self.picture(0), 0)
        seconds = time.perf_counter() - started
        said = f"{seconds:.1f} s, {torch.get_num_threads()} threads"
        self.say("14 frames, 8 steps, 2 cores, nothing else running", "≤ 6 s", said, seconds <= 6)

    def autoencoder(self) -> None:
        """Pictures there and back."""
        found = [psnr(picture, self.pair.decoded(picture)) for picture in self.pictures]
        mean = float(np.mean(found))
        name = f"VAE there and back, mean of {len(found)} pictures"
        self.say(name, "≥ 31 dB", f"{mean:.1f} dB ({min(found):.1f} to {max(found):.1f})", mean >= 31)

    def carrying(self) -> None:
        """SSIM to the picture moved along the clip's own camera."""
        middle: list[float] = []
        last: list[float] = []
        for seed in range(self.seeds):
            clip = self.pair.render(FIRST, self.picture(seed), seed)
            camera = own_camera(clip)
            for found, frame in ((middle, len(clip) // 2), (last, len(clip) - 1)):
                found.append(carried(self.picture(seed), clip, camera, frame))
        long = []
        for seed in range(min(self.seeds, LONG_SEEDS)):
            clip = self.pair.render(FIRST, self.picture(seed), seed, frames=25)
            long.append(carried(self.picture(seed), clip, own_camera(clip), 24))
        name = "SSIM to the picture moved along the clip's own camera: "
        for part, found, wanted in (
            ("middle", middle, 0.8),
            ("last of 14", last, 0.7),
            ("25 of 25", long, 0.6),
        ):
            mean = float(np.mean(found))
            self.say(name + part, f"≥ {wanted:.2f}", f"{mean:.2f}", mean >= wanted)

    def moves(self) -> None:
        """How steady both are, and how the moves are spread."""
        steadier, steady, moves = [], [], Counter[str]()
        for seed in range(self.seeds):
            first, tuned = (
                measure(self.pair.render(name, self.picture(seed), seed)).values for name in (FIRST, TUNED)
            )
            steadier.append(tuned["camera_jerk"] < first["camera_jerk"])
            steady.append(in_words(tuned, WIDTH).endswith("· steady"))
            words = in_words(first, WIDTH).split(" · ")[0].split()
            moves[" ".join(word for word in words if word not in SPEEDS)] += 1
        share, called = float(np.mean(steadier)), float(np.mean(steady))
        name = f"1.1 steadier than 1.0, share of {self.seeds} paired seeds"
        self.say(name, "≥ 95 %", f"{share:.0%}", share >= 0.95)
        self.say("1.1 called “steady” in words", "≥ 80 %", f"{called:.0%}", called >= 0.8)
        most = max(moves.values()) / self.seeds
        said = f"{len(moves)}, at most {most:.0%}: " + ", ".join(f"{k} {v}" for k, v in moves.most_common())
        name = f"distinct moves among {self.seeds} seeds"
        self.say(name, "≥ 6, none above 40 %", said, len(moves) >= 6 and most <= 0.4)

    def rule(self) -> None:
        """Motion by bucket and by rate, against the planted rule."""
        motion = {bucket: [self._motion(seed, bucket, 6) for seed in range(self.seeds)] for bucket in BUCKETS}
        pairs = [(bucket, value) for bucket, values in motion.items() for value in values]
        rank = float(spearmanr(*zip(*pairs, strict=True)).statistic)
        name = f"Spearman of bucket and measured motion, {self.seeds} seeds"
        self.say(name, "≥ 0.95", f"{rank:.2f}", rank >= 0.95)
        ruled = {b: np.mean(v) / planted(b, 6, clips.RESTLESS) for b, v in motion.items()}
        kept = all(abs(ruled[b] - 1) <= 0.25 for b in BUCKETS if RULED[0] <= b <= RULED[1])
        said = ", ".join(f"{bucket}: {share:.2f}" for bucket, share in ruled.items())
        self.say("speed as a share of the planted rule, by bucket", "within 25 % from 60 to 200", said, kept)
        rates = [
            float(np.mean([self._motion(seed, 200, fps) for seed in range(min(self.seeds, RATE_SEEDS))]))
            for fps in RATES
        ]
        falls = all(slow > fast for slow, fast in itertools.pairwise(rates))
        said = ", ".join(f"{fps} fps: {value:.2f}" for fps, value in zip(RATES, rates, strict=True))
        self.say("px per frame falls as fps rises", "yes", said, falls)

    def _motion(self, seed: int, bucket: int, fps: int) -> float:
        return measure(self.pair.render(FIRST, self.picture(seed), seed, bucket, fps)).values["camera_motion"]

    def sheet(self) -> np.ndarray:
        """A row a seed: the picture; first, middle and last frame; the picture moved as the last frame is."""
        rows = []
        for seed in range(min(self.seeds, SHEET_SEEDS)):
            picture, clip = self.picture(seed), self.pair.render(FIRST, self.picture(seed), seed)
            moved = cv2.warpAffine(
                picture, own_camera(clip)[-1], (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT
            )
            rows.append(np.concatenate([picture, clip[0], clip[len(clip) // 2], clip[-1], moved], axis=1))
        return np.concatenate(rows)


def main() -> None:
    """The shell's way in."""
    parser = argparse.ArgumentParser(prog="scripts/evaluate_demo", description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--pair", type=Path, default=ASSETS, help="the folder of demo-1-0 and demo-1-1")
    parser.add_argument(
        "--sheet",
        type=Path,
        help="write a contact sheet (PNG): picture; first, middle, last frame; as it should be",
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="what to measure: all")
    parser.add_argument("--cards", action="store_true", help="write the table into the cards of the pair")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    options = parser.parse_args()
    evaluation = Evaluation(Pair(options.pair), options.seeds)
    print(HEAD)
    figures = evaluation.run(options.parts)
    if options.sheet:
        cv2.imwrite(str(options.sheet), evaluation.sheet()[..., ::-1])
    if options.cards:
        for name in (FIRST, TUNED):
            fill(options.pair / name / "README.md", figures)
    if options.json:
        said = {figure.name: {"measured": figure.measured, "reached": figure.reached} for figure in figures}
        options.json.write_text(json.dumps(said, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
