"""Muon's step."""

from __future__ import annotations

import pytest
import torch

from training.optim import orthogonalize


@pytest.mark.parametrize("shape", [(16, 144), (144, 16), (32, 32)])
def test_an_update_becomes_orthogonal_and_keeps_its_directions(shape: tuple[int, int]) -> None:
    matrices = torch.randn(3, *shape, generator=torch.Generator().manual_seed(1))
    made = orthogonalize(matrices)
    assert made.shape == matrices.shape
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    inner = left.mT @ made @ right.mT  # diagonal where the singular directions are the same
    values = inner.diagonal(dim1=-2, dim2=-1)
    assert torch.allclose(inner, torch.diag_embed(values), atol=1e-4)
    strong = torch.linalg.svdvals(matrices) > 0.1 * torch.linalg.matrix_norm(matrices, 2)[:, None]
    assert ((values > 0.6) & (values < 1.25))[strong].all()


def test_nothing_stays_nothing() -> None:
    assert not orthogonalize(torch.zeros(2, 4, 8)).any()
