"""Trains the demo pair, stage by stage. What was stopped goes on from its state when it is called again.

scripts/train_demo --minutes 240           everything, each stage with its share of the minutes
scripts/train_demo unet --minutes 120      demo-1-0: every rate and bucket, a restless camera; mostly small views
scripts/train_demo whole --minutes 60      the same network with mostly whole frames, and clips of 25 frames
scripts/train_demo own --minutes 60        the same on what sampling brings, so that its errors do not add up
scripts/train_demo vae --minutes 30        the decoder, on clean latents and on what the denoiser gives
scripts/train_demo tune --minutes 30       demo-1-1: from demo-1-0, at 6 fps and bucket 127, a steady camera
scripts/train_demo score                   dB of carried pixels on the held-out clips, of what is in training
scripts/train_demo score --of assets/demo-1-0      or of a checkpoint
scripts/train_demo export                  both checkpoints into assets/, or into --out
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import torch
from diffusers import AutoencoderKLTemporalDecoder, UNetSpatioTemporalConditionModel

from training import courses, decoder, heldout
from training.clips import MOVES, PANS
from training.export import best_of, export
from training.vae import codec_of

ROOT = Path(__file__).resolve().parent.parent
SHARES = {"unet": 0.35, "whole": 0.2, "own": 0.15, "vae": 0.15, "tune": 0.15}  # of the minutes, in this order
Stage = Callable[[Path, float, str], None]  # (folder, minutes, device)
STAGES: dict[str, Stage] = {
    "unet": partial(courses.train, course=courses.FIRST),
    "whole": partial(courses.train, course=courses.LAST),
    "own": partial(courses.train, course=courses.OWN),
    "vae": decoder.train,
    "tune": partial(courses.train, course=courses.TUNED),
}


def train_all(folder: Path, minutes: float, device: str, stages: Mapping[str, Stage] = STAGES) -> None:
    """Every stage with its share; a plan that was stopped is gone on with first, whatever `minutes` says now."""
    plan = folder / "plan.json"
    left = (
        json.loads(plan.read_text()) if plan.is_file() else {name: minutes * s for name, s in SHARES.items()}
    )
    while left:
        folder.mkdir(parents=True, exist_ok=True)
        plan.write_text(json.dumps(left))
        name = next(iter(left))
        stages[name](folder, left[name], device)
        del left[name]
    plan.unlink()


def score(folder: Path, checkpoint: Path | None) -> None:
    """Prints the table of a checkpoint, or of the denoiser in training."""
    if checkpoint:
        codec = codec_of(
            AutoencoderKLTemporalDecoder.from_pretrained(checkpoint / "vae", dtype=torch.float32)
        )
        unet = UNetSpatioTemporalConditionModel.from_pretrained(checkpoint / "unet", dtype=torch.float32)
    else:
        codec = courses.known_codec(folder)
        unet = UNetSpatioTemporalConditionModel.from_pretrained(best_of(folder, "unet"))
    for moves, named in ((PANS, "12 pans"), (tuple(MOVES), "all 24")):
        batch = heldout.batch(heldout.clips(codec.patch, moves), codec)
        for sigma in heldout.SIGMAS:
            print(f"{named}: {heldout.carried(unet.eval(), codec, batch, (sigma,))}", flush=True)


def main() -> None:
    """The shell's way in."""
    parser = argparse.ArgumentParser(
        prog="scripts/train_demo", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stage", nargs="?", default="all", choices=("all", *STAGES, "score", "export"))
    parser.add_argument("--minutes", type=float, default=60.0)
    home = Path(os.environ.get("SVDLAB_TRAINING", ROOT / "data" / "training"))
    parser.add_argument("--folder", type=Path, default=home, help="where state is kept (or $SVDLAB_TRAINING)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda")
    parser.add_argument("--threads", type=int, default=1, help="on the CPU; two only where nothing else runs")
    parser.add_argument("--of", type=Path, help="score: a checkpoint's folder")
    parser.add_argument("--out", type=Path, default=ROOT / "assets", help="export: where to")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    match options.stage:
        case "all":
            train_all(options.folder, options.minutes, options.device)
        case "score":
            score(options.folder, options.of)
        case "export":
            for name, checkpoint in (("unet", "demo-1-0"), ("tuned", "demo-1-1")):
                card = (ROOT / "training" / "cards" / f"{checkpoint}.md").read_text(encoding="utf-8")
                export(options.folder, name, options.out / checkpoint, card)
        case name:
            STAGES[name](options.folder, options.minutes, options.device)


if __name__ == "__main__":
    main()
