"""Trains the demo pair, stage by stage. Each stage goes on from where it stopped.

scripts/train_demo vae  --minutes 30        the autoencoder
scripts/train_demo unet --minutes 240       demo-1-0: every rate and bucket, a restless camera
scripts/train_demo tune --minutes 60        demo-1-1: from demo-1-0, at 6 fps and bucket 127, a steady camera
scripts/train_demo blend --with COPY        the mean of demo-1-0's state and an earlier copy of it, --lean if need be
scripts/train_demo export                   both into assets/
scripts/train_demo adopt                    the reverse: go on from what assets/ holds, with fresh momentum
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from training import unet, vae
from training.clips import MOVES, PANS, STEADY
from training.export import adopt, export

ROOT = Path(__file__).resolve().parent.parent
TUNED = (6, 127)  # fps and bucket of demo-1-1


def main() -> None:
    """The shell's way in."""
    parser = argparse.ArgumentParser(
        prog="scripts/train_demo", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stage", choices=("vae", "unet", "tune", "blend", "export", "adopt"))
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--work", type=Path, default=ROOT / "data" / "training", help="where state is kept")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda")
    parser.add_argument("--threads", type=int, help="CPU threads (default: torch's)")
    parser.add_argument(
        "--frames", type=int, nargs="+", default=[14], help="frames a clip; end with 14 14 14 25"
    )
    parser.add_argument("--moves", nargs="+", choices=MOVES, default=PANS, help="camera moves")
    parser.add_argument("--things", type=float, default=0.0, help="share of clips with a thing that moves")
    parser.add_argument("--whole", action="store_true", help="mostly whole frames: to end with")
    parser.add_argument(
        "--mirrored", action="store_true", help="each clip with its mirror images: no direction is preferred"
    )
    parser.add_argument("--high", type=float, default=0.35, help="share of high noise levels")
    parser.add_argument("--with", dest="other", type=Path, help="blend: an earlier copy of the unet's folder")
    parser.add_argument("--share", type=float, default=0.5, help="blend: how much of the earlier copy")
    parser.add_argument("--lean", type=float, nargs=2, default=(0.0, 0.0), help="blend: against a preference")
    parser.add_argument("--rate", type=float, default=1.0, help="times the learning rate")
    parser.add_argument("--out", type=Path, default=ROOT / "assets", help="where export writes")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    shape = {key: getattr(options, key) for key in ("rate", "things")}
    shape |= {"moves": tuple(options.moves), "frames": tuple(options.frames), "high_share": options.high}
    if options.whole:
        shape["shapes"] = unet.WHOLE
    if options.mirrored:
        shape |= {"mirrored": True, "shapes": unet.MIRRORED}
    match options.stage:
        case "vae":
            vae.train(options.work, options.minutes, options.device)
        case "unet":
            unet.train(options.work, options.minutes, options.device, **shape)
        case "tune":
            steady = {"name": "tuned", "start": "unet", "restless": STEADY, "fixed": TUNED}
            unet.train(options.work, options.minutes, options.device, **steady, **shape)
        case "blend":
            if options.other is None:
                parser.error("blend needs --with, an earlier copy of the unet's folder")
            unet.blend(options.work, "unet", options.other, options.share, tuple(options.lean))
        case "export":
            for stage, name in (("unet", "demo-1-0"), ("tuned", "demo-1-1")):
                card = (ROOT / "training" / "cards" / f"{name}.md").read_text(encoding="utf-8")
                export(options.work, stage, options.out / name, card)
        case "adopt":
            for stage, name in (("unet", "demo-1-0"), ("tuned", "demo-1-1")):
                adopt(options.out / name, options.work, stage)


if __name__ == "__main__":
    main()
