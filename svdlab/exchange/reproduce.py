"""A clip of ours rendered again from the recipe inside it, and whether the same came out.

Knows the lab, videos and their frames; nothing of models or screens. Rendering is the lab's worker's, or whoever calls
`prepare` and `judge` around a rendering of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from svdlab.clips import video
from svdlab.clips.carried import shown
from svdlab.clips.frames import read_frames_zip
from svdlab.errors import BadInput, NotFound
from svdlab.files import sha256_of
from svdlab.history.doctor import recipe_inside
from svdlab.history.search import RunQuery
from svdlab.lab.lab import Lab
from svdlab.metrics.similarity import psnr
from svdlab.recipes.records import Recipe, Run
from svdlab.weights.layouts.single_files import PART_NAMES

Verdict = Literal["identical bytes", "identical frames", "different"]


@dataclass(frozen=True)
class Asked:
    """A clip that is to be rendered again."""

    path: Path
    recipe: Recipe  # as it stands in the clip, with the versions it was rendered with
    sha256: str  # of the clip's bytes
    original: Run | None  # the run that wrote these bytes, if it is in the history

    @property
    def to_render(self) -> Recipe:
        """The same recipe, not rendered yet."""
        return self.recipe.model_copy(update={"versions": {}})


@dataclass(frozen=True)
class Reproduction:
    """What came out the second time, against the clip."""

    verdict: Verdict
    run: Run  # the new one
    original: str | None  # the id of the run that wrote the clip, if it is in the history
    compared: Literal["files", "lossless frames", "decoded frames"]
    psnr: float | None  # dB over all frames; None where they are equal or cannot be compared
    max_difference: int  # of 255, over all frames and colours
    differences: tuple[str, ...]  # what else was another then, each a sentence

    @property
    def identical(self) -> bool:
        """Whether every frame is the same, and perhaps every byte."""
        return self.verdict != "different"

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        if self.verdict == "identical bytes":
            return "The same clip, byte for byte."
        if self.verdict == "identical frames":
            return f"Every frame is the same ({self.compared} compared); the files differ in what they say beside them."
        if self.psnr is None:
            return "Another clip came out: its frames are of another size or number."
        figures = f"PSNR {self.psnr:.1f} dB, at most {self.max_difference} of 255"
        return f"The frames differ: {figures} ({self.compared} compared)."


def prepare(lab: Lab, path: str | Path, picture: str | Path | None = None) -> Asked:
    """Reads the recipe in an MP4 of ours and sees to it that its picture is here.

    `picture` is a file with it, where the lab does not have it. Raises `BadVideo` for a clip without a recipe,
    `BadPicture` or `BadInput` for a picture that cannot be read or is another one, `NotFound` for a picture or
    checkpoint that is not here.
    """
    path = Path(path)
    recipe = recipe_inside(path)
    lab.catalogue.get(recipe.checkpoint)
    if picture is not None:
        given = lab.add_picture(picture).sha256
        if given != recipe.picture_sha256:
            raise BadInput(
                f"{shown(Path(picture).name)} is not the picture this clip was made from: its pixels have the hash "
                f"{given[:8]}, the clip's {recipe.picture_sha256[:8]}"
            )
    try:
        lab.picture(recipe.picture_sha256)
    except NotFound:
        raise NotFound(
            f"the picture this clip was made from ({recipe.picture_sha256[:8]}…) is not in this lab; "
            "give its file with --picture"
        ) from None
    sha256 = sha256_of(path)
    same = RunQuery(states=("done",), checkpoint=recipe.checkpoint, picture=recipe.picture_sha256)
    written = (run for run in lab.history.every(same) if run.outcome.video_sha256 == sha256)
    return Asked(path, recipe, sha256, next(written, None))


def reproduce(lab: Lab, path: str | Path, picture: str | Path | None = None) -> Reproduction:
    """Renders a clip of ours again, as a new run, and compares the two; needs a worker.

    Raises what `prepare` raises, and `RenderFailed`, `Cancelled` as `Lab.wait` does.
    """
    asked = prepare(lab, path, picture)
    run = lab.submit(asked.to_render, asked.original.preset if asked.original else None)
    return judge(asked, lab.wait(run.id)[0])


def judge(asked: Asked, run: Run) -> Reproduction:
    """Compares a clip with a finished run of its recipe: bytes, else lossless frames, else decoded ones."""
    original = asked.original
    id = original.id if original is not None else None
    differences = _differences(asked, run)
    if sha256_of(run.video) == asked.sha256:
        return Reproduction("identical bytes", run, id, "files", None, 0, differences)
    compared: Literal["lossless frames", "decoded frames"]
    if original is not None and original.frames_zip.is_file() and run.frames_zip.is_file():
        compared = "lossless frames"
        before, now = (read_frames_zip(one.frames_zip) for one in (original, run))
    else:
        compared = "decoded frames"
        before, now = (video.read_mp4_frames(one)[0] for one in (asked.path, run.video))
    if np.array_equal(before, now):
        return Reproduction("identical frames", run, id, compared, None, 0, differences)
    if before.shape != now.shape:
        return Reproduction("different", run, id, compared, None, 255, differences)
    apart = int(np.abs(before.astype(np.int16) - now).max())
    return Reproduction("different", run, id, compared, psnr(before, now), apart, differences)


def _differences(asked: Asked, run: Run) -> tuple[str, ...]:
    """What the recipe and, where it is known, the original's outcome say that is another now."""
    then, now = asked.recipe.versions, run.recipe.versions
    parts = {f"{part}_sha256": name for part, name in PART_NAMES.items()}
    found = [
        f"{run.recipe.checkpoint} has other weights now: its {name} was {_short(then[key])} then and is "
        f"{_short(now[key])} now."
        for key, name in parts.items()
        if then.get(key, now.get(key)) != now.get(key)
    ]
    found += [
        f"{shown(name)} was {_short(value)} then and is {_short(now[name]) if name in now else 'not used'} now."
        for name, value in sorted(then.items())
        if now.get(name) != value and name not in parts
    ]
    if not then:
        found.append("The clip does not say with which versions it was rendered.")
    if asked.original is not None:
        a, b = asked.original.outcome, run.outcome
        if a.noise_sha256 != b.noise_sha256:
            found.append("The two got different noise.")
        for words, before, after in (
            ("The weights waited in", a.offload, b.offload),
            ("Frames decoded at once:", a.decode_chunk_size, b.decode_chunk_size),
        ):
            if before != after:
                found.append(f"{words} {before} then, {after} now.")
        for when, fallbacks in (("Then", a.fallbacks), ("Now", b.fallbacks)):
            found += [f"{when}: {fallback}" for fallback in fallbacks]
    return tuple(found)


def _short(value: str) -> str:
    """A version as it is, a hash by its first digits; the clip's own words are untrusted."""
    return shown(value[:8] if len(value) == 64 else value, 40)
