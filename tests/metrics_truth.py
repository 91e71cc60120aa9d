"""What the measures say of clips whose truth is known: python -m tests.metrics_truth [--size large] [--pictures …]

Prints a table: for each kind of measure the wanted bound, the worst and the mean error over the grid, and where the
worst was. Takes minutes; a part of the same grid is in the suite (tests/metrics/test_truth.py).
"""

from __future__ import annotations

import argparse
import math
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace

from svdlab.metrics.measure import Measurement, measure
from svdlab.metrics.residual import BORDER
from svdlab.metrics.words import readout
from tests.metrics.truth import (
    EXAMPLES,
    LARGE,
    MOVES,
    PHOTOGRAPHS,
    SMALL,
    Scene,
    Step,
    Thing,
    film,
    object_motion,
    shuffled,
)

FRAMES = 10
GREY = math.sqrt(
    0.299**2 + 0.587**2 + 0.114**2
)  # what is left in grey of grain that is apart in red, green and blue


@dataclass(frozen=True)
class Error:
    """How far off one number is, as a share of what is allowed to be off: more than 1 is too far."""

    kind: str
    scene: str
    truth: float
    found: float
    allowed: float

    @property
    def share(self) -> float:
        return abs(self.found - self.truth) / self.allowed


def move_errors(name: str, step: Step, scene: Scene, found: Measurement) -> Iterator[Error]:
    """Pan, tilt, zoom and rotation within 2 % (5 % below half a pixel), and object motion below 5 % of the camera's."""
    width, height = scene.size
    radius = math.hypot(width, height) / 2
    speed = scene.speed
    near = 0.05 if speed < 0.5 else 0.02
    parts = {
        "pan_x": (step.pan, 1.0),
        "pan_y": (step.tilt, 1.0),
        "zoom": (step.zoom, radius / 100),
        "rotation": (step.turn, math.radians(radius)),
    }
    for part, (truth, corner) in parts.items():
        allowed = (
            near * abs(truth) if truth else near * speed / corner
        )  # a part that is none: as much at a corner
        yield Error(part, name, truth, found.values[part], allowed)
    yield Error("camera_motion", name, speed, found.values["camera_motion"], near * speed)
    yield Error("object_motion without one", name, 0.0, found.values["object_motion"], 0.05 * speed)


def things(picture: str, size: tuple[int, int]) -> dict[str, Scene]:
    """Something that moves on a still and on a moving background."""
    s = size[0] / SMALL[0]
    made = {}
    for speed in (0.5, 2.0, 4.0):
        for pan in (0.0, -1.3):
            thing = Thing(80 * s, 72 * s, 34 * s, 26 * s, speed * s, 0.3 * speed * s)
            scene = Scene(picture, (Step(pan=pan * s),) * (FRAMES - 1), size, thing)
            made[f"thing {speed:g} px, camera {pan:g} px"] = scene
    made["thing, grain"] = replace(scene, grain=6)
    made["thing, flicker"] = replace(scene, flicker=10)
    return made


CAUSES = {
    "grain": ("graininess", {"grain": 6.0}),
    "flicker": ("flicker", {"flicker": 8.0}),
    "blur": ("sharpness_kept", {"blur": 1.2}),
    "drift": ("colour_drift", {"drift": (12.0, 5.0, -8.0)}),
}


def causes(picture: str, size: tuple[int, int]) -> Iterator[tuple[str, str, Scene, Scene]]:
    """Each cause alone, and with one of the others or a move: name, what measures it, alone, not alone."""
    still = Scene(picture, (Step(),) * 11, size)
    moving = Scene(picture, (Step(pan=-1.3, tilt=0.4),) * 11, size)
    for cause, (metric, how) in CAUSES.items():
        alone = replace(still, **how)
        yield f"{cause}, moving", metric, alone, replace(moving, **how)
        for other, (_, also) in CAUSES.items():
            if other != cause:
                yield f"{cause}, {other}", metric, alone, replace(still, **how, **also)


def adversaries(picture: str, size: tuple[int, int]) -> dict[str, tuple[Scene, str]]:
    """Clips that win a measure by cheating, and what has to stand in the line about them."""
    s = size[0] / SMALL[0]
    still, pan = (Step(),) * 9, (Step(pan=-1.5 * s),) * 9
    circle = tuple(
        Step(pan=1.5 * s * math.cos(math.pi * t / 14), tilt=1.5 * s * math.sin(math.pi * t / 14))
        for t in range(28)
    )
    return {
        "still": (Scene(picture, still, size), "no motion"),
        "still, grain": (Scene(picture, still, size, grain=6), "no motion"),
        "frozen, then moving": (Scene(picture, still[:4] + pan[4:], size), "frozen at first"),
        "orbiting": (Scene(picture, circle, size), "wandering camera · steady · nothing else moves"),
        "shuffled": (Scene(picture, pan, size, order=shuffled(10, 3)), "shuffled"),
        "blurred": (Scene(picture, pan, size, soft=2.5), "soft"),
        "growing soft": (Scene(picture, pan, size, blur=2), "grows soft"),
        "grainy": (Scene(picture, pan, size, grain=9), "grainy"),
        "flickering": (Scene(picture, pan, size, flicker=8), "flickers"),
        "steady pan": (Scene(picture, pan, size), "pan right · steady · nothing else moves"),
        "steady pan, grain": (Scene(picture, pan, size, grain=9), "pan right · steady · nothing else moves"),
    }


def measured(scene: Scene) -> Measurement:
    """What is said of a scene's clip."""
    return measure(film(scene), rate=6.0)


def said_of(scene: Scene) -> str:
    """The line about a scene's clip."""
    found = measured(scene)
    return readout(found.values, scene.size[0], found.spreads, found.flaws)


def object_error(name: str, scene: Scene, found: Measurement) -> Error:
    """Within 10 % where something moves by itself."""
    truth = object_motion(scene, round(BORDER / min(1.0, 512 / scene.size[0])))
    return Error("object_motion", name, truth, found.values["object_motion"], 0.1 * truth)


def grid(pictures: list[str], size: tuple[int, int]) -> Iterator[Error | str]:
    """All errors of the grid over some pictures; a text where words are wrong."""
    for picture in pictures:
        for name, step in MOVES.items():
            scene = Scene(picture, (step,) * (FRAMES - 1), size)
            yield from move_errors(f"{picture}, {name}", step, scene, measured(scene))
        for name, scene in things(picture, size).items():
            yield object_error(f"{picture}, {name}", scene, measured(scene))
        for name, metric, alone, together in causes(picture, size):
            truth = measured(alone).values[metric]
            found = measured(together).values[metric]
            yield Error(f"{metric} of itself", f"{picture}, {name}", truth, found, 0.05 * abs(truth))
        for name, (scene, wanted) in adversaries(picture, size).items():
            if wanted not in (said := said_of(scene)):
                yield f"{picture}, {name}: {said!r} has no {wanted!r}"


def main() -> None:
    """The shell's way in."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.metrics_truth", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--size", choices=("small", "large"), default="small")
    parser.add_argument(
        "--pictures", nargs="+", default=[*PHOTOGRAPHS, *sorted(p.stem for p in EXAMPLES.glob("*.jpg"))]
    )
    options = parser.parse_args()
    started = time.perf_counter()
    errors: dict[str, list[Error]] = defaultdict(list)
    wrong = []
    for one in grid(options.pictures, SMALL if options.size == "small" else LARGE):
        if isinstance(one, Error):
            errors[one.kind].append(one)
        else:
            wrong.append(one)
    print(f"{len(options.pictures)} pictures at {options.size} size, errors as shares of what is allowed")
    print(f"{'measure':34} {'clips':>5} {'within':>7} {'mean':>6} {'worst':>6}  where the worst was")
    for kind, found in errors.items():
        worst = max(found, key=lambda one: one.share)
        within = sum(one.share <= 1 for one in found) / len(found)
        mean = sum(one.share for one in found) / len(found)
        where = f"{worst.scene}: {worst.found:.4f}, is {worst.truth:.4f}"
        print(f"{kind:34} {len(found):5} {within:7.1%} {mean:6.2f} {worst.share:6.2f}  {where}")
    print(f"{len(wrong)} lines in words are wrong{':' if wrong else ''}", *wrong, sep="\n  ")
    print(f"{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
