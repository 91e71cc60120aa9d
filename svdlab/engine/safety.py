"""A look at pictures and frames by a safety checker that the operator names, before anybody sees what came out.

The checker is the one that Stable Diffusion 1 came with: CLIP's image encoder, and seventeen directions in it that a
picture must not be close to. It errs in both ways. Knows its class; nothing of where its files are or of runs.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from PIL import Image
from transformers import CLIPImageProcessor

from svdlab.errors import BadPicture, CheckpointUnavailable, RenderFailed
from svdlab.recipes.work import Failed, Job, Render, Rendered, Stepped, Stop, Update

AT_ONCE = 8  # pictures
REFUSED = "the safety checker of this lab does not let this picture through; choose another one"
WITHHELD = "the safety checker of this lab withholds the clip that came out; try another seed or picture"


class SafetyCheck:
    """A checker on one device. Raises `CheckpointUnavailable` for files that are not one."""

    def __init__(self, folder: Path, device: torch.device) -> None:
        try:
            self._checker: Any = StableDiffusionSafetyChecker.from_pretrained(
                folder, use_safetensors=True, local_files_only=True
            )
            described = (folder / "preprocessor_config.json").is_file()
            self._processor = (
                CLIPImageProcessor.from_pretrained(folder, local_files_only=True)
                if described
                else CLIPImageProcessor()
            )
        except Exception as error:  # a folder that is something else can make the libraries raise anything
            raise CheckpointUnavailable(
                f"{folder.name} is no safety checker: {type(error).__name__}"
            ) from error
        self._checker.eval().to(device)
        self._device = device

    def flagged(self, pictures: np.ndarray) -> list[int]:
        """Which of (pictures, height, width, 3) uint8 are not let through, by their place."""
        found: list[int] = []
        for start in range(0, len(pictures), AT_ONCE):
            some = [Image.fromarray(one) for one in pictures[start : start + AT_ONCE]]
            pixels = self._processor(images=some, return_tensors="pt").pixel_values
            stand_ins = np.zeros((len(some), 1, 1, 3))  # what it would paint black
            with torch.inference_mode():
                _, flags = self._checker(clip_input=pixels.to(self._device), images=stand_ins)
            found += [start + index for index, flag in enumerate(flags) if flag]
        return found


def guarded(render: Render, check: SafetyCheck) -> Render:
    """Renders as `render` does what `check` lets through: no picture it refuses, no clip with a frame it refuses.

    Previews are left out, since nobody has looked at them.
    """

    def looked_at(jobs: Sequence[Job], stop: Stop) -> Generator[Update, None, None]:
        passed = []
        for job in jobs:
            if check.flagged(job.picture[None]):
                yield Failed(job.id, BadPicture(REFUSED))
            else:
                passed.append(job)
        if not passed:
            return
        updates = render(passed, stop)
        try:
            for update in updates:
                if isinstance(update, Stepped):
                    yield replace(update, preview=None)
                elif isinstance(update, Rendered) and check.flagged(update.frames):
                    yield Failed(update.job, RenderFailed(WITHHELD))
                else:
                    yield update
        finally:
            updates.close()

    return looked_at
