"""What the demo pair can do, in figures and one contact sheet, over pictures it was not trained on.

    python -m training.evaluate --seeds 20 --sheet sheet.png

Knows diffusers' pipeline and svdlab's measurements (`svdlab.metrics.measure`, plain numpy); nothing else of the lab.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import Counter
from pathlib import Path

os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # as in svdlab.engine: before torch is imported

import cv2
import numpy as np
import torch
from diffusers import StableVideoDiffusionPipeline
from PIL import Image
from scipy.stats import spearmanr

from svdlab.metrics.measure import measure
from svdlab.metrics.similarity import psnr, ssim
from svdlab.metrics.words import in_words
from training.clips import HEIGHT, WIDTH

ASSETS = Path(__file__).resolve().parent.parent / "assets"
BUCKETS = (20, 60, 100, 127, 160, 200, 255)
RATES = (5, 10, 20, 30)
RATE_SEEDS = 5
SPEEDS = {"very", "slow", "medium", "fast"}
STEPS = 8
CHUNK = 4  # frames decoded at once, as the catalogue has it
PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket")  # that come with scikit-image


def fitted(picture: np.ndarray) -> Image.Image:
    """The middle of a picture at the pair's size."""
    scale = max(WIDTH / picture.shape[1], HEIGHT / picture.shape[0])
    size = (max(WIDTH, round(picture.shape[1] * scale)), max(HEIGHT, round(picture.shape[0] * scale)))
    picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    y, x = (picture.shape[0] - HEIGHT) // 2, (picture.shape[1] - WIDTH) // 2
    return Image.fromarray(picture[y : y + HEIGHT, x : x + WIDTH])


def pictures() -> dict[str, Image.Image]:
    """Photographs at hand and the example pictures, by name."""
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


class Pair:
    """Both checkpoints through diffusers' own pipeline, untouched."""

    def __init__(self) -> None:
        self.load_seconds: dict[str, float] = {}
        self._clips: dict[tuple[object, ...], np.ndarray] = {}
        self.pipes = {name: self._load(name) for name in ("demo-1-0", "demo-1-1")}

    def _load(self, name: str) -> StableVideoDiffusionPipeline:
        started = time.perf_counter()
        pipe = StableVideoDiffusionPipeline.from_pretrained(ASSETS / name, dtype=torch.float32)
        pipe.to("cuda" if torch.cuda.is_available() else "cpu")
        pipe.set_progress_bar_config(disable=True)
        self.load_seconds[name] = time.perf_counter() - started
        return pipe

    def render(
        self, name: str, picture: Image.Image, seed: int, bucket: int = 127, fps: int = 6, frames: int = 14
    ) -> np.ndarray:
        """A clip (frames, HEIGHT, WIDTH, 3) uint8 without guidance, as the pair is meant to be sampled; made once."""
        asked = (name, picture.tobytes(), seed, bucket, fps, frames)
        if asked not in self._clips:
            self._clips[asked] = self._render(name, picture, seed, bucket, fps, frames)
        return self._clips[asked]

    def _render(
        self, name: str, picture: Image.Image, seed: int, bucket: int, fps: int, frames: int
    ) -> np.ndarray:
        made = self.pipes[name](
            picture,
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
        return np.stack([np.asarray(frame) for frame in made])

    @torch.no_grad()
    def decoded(self, picture: Image.Image) -> np.ndarray:
        """The picture through the autoencoder and back."""
        vae = self.pipes["demo-1-0"].vae
        pixels = (
            torch.from_numpy(np.asarray(picture)).permute(2, 0, 1)[None].float().to(vae.device) / 127.5 - 1
        )
        made = vae.decode(vae.encode(pixels).latent_dist.mode(), num_frames=1).sample[0]
        return ((made.clamp(-1, 1) + 1) * 127.5).round().permute(1, 2, 0).to(torch.uint8).cpu().numpy()


def evaluate(seeds: int, sheet: Path | None) -> dict[str, object]:
    """All figures; prints each as it is known."""
    pair, shown = Pair(), pictures()
    names = list(shown)
    said: dict[str, object] = {"load_seconds": {k: round(v, 2) for k, v in pair.load_seconds.items()}}

    def say(name: str, value: object) -> None:
        said[name] = value
        print(f"{name}: {value}", flush=True)

    likeness = {name: psnr(np.asarray(p), pair.decoded(p)) for name, p in shown.items()}
    say("vae_psnr_db", {name: round(value, 2) for name, value in likeness.items()})
    say("vae_psnr_db_mean", round(float(np.mean(list(likeness.values()))), 2))

    started = time.perf_counter()
    pair.render("demo-1-0", shown[names[0]], 0)
    say("seconds_14_frames_8_steps", round(time.perf_counter() - started, 2))

    first, last, directions, jerks, rows = [], [], Counter(), [], []
    for seed in range(seeds):
        picture = shown[names[seed % len(names)]]
        clips = {name: pair.render(name, picture, seed) for name in pair.pipes}
        measured = {name: measure(clip) for name, clip in clips.items()}
        jerks.append(measured["demo-1-1"]["camera_jerk"] < measured["demo-1-0"]["camera_jerk"])
        move = in_words(measured["demo-1-0"], WIDTH).split(" · ")[0].split()
        directions[" ".join(word for word in move if word not in SPEEDS)] += 1
        reference = pair.decoded(picture)
        first.append(ssim(reference, clips["demo-1-0"][0]))
        last.append(ssim(reference, clips["demo-1-0"][-1]))
        if seed < 6:
            clip = clips["demo-1-0"]
            rows.append(np.concatenate([np.asarray(picture), *clip[:: (len(clip) - 1) // 3]], axis=1))
    say("first_frame_ssim_to_decoded", round(float(np.mean(first)), 3))
    say("last_frame_ssim_to_decoded", round(float(np.mean(last)), 3))
    say("moves_among_seeds", dict(directions))
    say("steadier_1_1_share", round(float(np.mean(jerks)), 2))

    long = pair.render("demo-1-0", shown[names[0]], 0, frames=25)
    say("last_of_25_frames_ssim", round(ssim(pair.decoded(shown[names[0]]), long[-1]), 3))

    flows = {b: [] for b in BUCKETS}
    for seed in range(seeds):
        for bucket in BUCKETS:
            flows[bucket].append(
                _motion(pair.render("demo-1-0", shown[names[seed % len(names)]], seed, bucket))
            )
    say("motion_by_bucket_px", {b: round(float(np.mean(v)), 3) for b, v in flows.items()})
    everything = [(b, v) for b, values in flows.items() for v in values]
    say("spearman_bucket_motion", round(float(spearmanr(*zip(*everything, strict=True)).statistic), 3))
    say(
        "spearman_bucket_mean_motion",
        round(float(spearmanr(BUCKETS, [np.mean(flows[b]) for b in BUCKETS]).statistic), 3),
    )
    by_rate = {
        fps: np.mean(
            [
                _motion(pair.render("demo-1-0", shown[names[s % len(names)]], s, 200, fps))
                for s in range(min(seeds, RATE_SEEDS))
            ]
        )
        for fps in RATES
    }
    say("motion_by_fps_px", {fps: round(float(v), 3) for fps, v in by_rate.items()})
    if sheet:
        cv2.imwrite(str(sheet), np.concatenate(rows)[..., ::-1])
    return said


def _motion(clip: np.ndarray) -> float:
    return measure(clip)["camera_motion"]


def main() -> None:
    """The shell's way in."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument(
        "--sheet", type=Path, help="write a contact sheet (PNG): picture, first, middle and last frames"
    )
    parser.add_argument("--json", type=Path, help="write the figures there too")
    options = parser.parse_args()
    said = evaluate(options.seeds, options.sheet)
    if options.json:
        options.json.write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
