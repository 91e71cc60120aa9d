"""Weights written as a folder in diffusers layout, whole or not at all, one component in memory at a time.

Knows loading; nothing of sampling, runs or screens.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import diffusers
import torch

from svdlab.engine.loading import Weights
from svdlab.errors import BadInput
from svdlab.weights.layouts.folders import INDEX
from svdlab.weights.layouts.single_files import PARTS


def write_folder(weights: Weights, folder: Path, dtype: torch.dtype | None = None) -> None:
    """Each component as it is stored unless `dtype` is given.

    Raises `BadInput` if the folder holds something already or cannot be written, `BadCheckpoint`.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadInput(f"{folder} is there already and not empty; choose another folder")
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.new")
    try:
        temporary.mkdir(parents=True)
        _fill(weights, temporary, dtype)
        if folder.exists():
            folder.rmdir()
        temporary.rename(folder)
    except OSError as error:
        raise BadInput(f"{folder} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _fill(weights: Weights, folder: Path, dtype: torch.dtype | None) -> None:
    index: dict[str, Any] = {
        "_class_name": "StableVideoDiffusionPipeline",
        "_diffusers_version": diffusers.__version__,
        "feature_extractor": ["transformers", "CLIPImageProcessor"],
        "image_encoder": ["transformers", "CLIPVisionModelWithProjection"],
        "scheduler": ["diffusers", "EulerDiscreteScheduler"],
    }
    for part in PARTS:
        module = weights.load(part, dtype or weights.stored_dtype(part))
        index.setdefault(part, ["diffusers", type(module).__name__])
        module.save_pretrained(folder / part, max_shard_size="100GB")  # one file, as the lab reads it
        del module
    scheduler, extractor = weights.light_parts()
    scheduler.save_pretrained(folder / "scheduler")
    extractor.save_pretrained(folder / "feature_extractor")
    for extra in weights.extras():
        shutil.copy(extra, folder)
    (folder / INDEX).write_text(json.dumps(index, indent=2, sort_keys=True) + "\n", encoding="utf-8")
