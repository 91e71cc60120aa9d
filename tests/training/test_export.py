"""What an exported checkpoint says about itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from training.codec import Codec, with_motion
from training.export import best_of, preview_matrix


def test_the_preview_matrix_gives_the_pictures_colours(pictures: np.ndarray, fitted: Codec) -> None:
    matrix = preview_matrix(fitted, pictures)
    colours = torch.from_numpy(pictures[:1]).permute(0, 3, 1, 2).float() / 255
    latents = with_motion(fitted.encode(colours * 2 - 1) * fitted.scaling)[0]
    made = latents.permute(1, 2, 0) @ torch.tensor(matrix["weight"]) + torch.tensor(matrix["bias"])
    wanted = F.avg_pool2d(colours, fitted.patch)[0].permute(1, 2, 0)
    assert float((made - wanted).abs().mean()) < 0.03


def test_what_is_not_trained_yet_is_said(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="scripts/train_demo first"):
        best_of(tmp_path, "unet")
