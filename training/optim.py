"""The optimiser of the demo models: Muon for matrices, AdamW for the rest, and a running average of the weights."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable, Iterable

import torch
from torch import nn

from training.runs import as_laid_out

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # quintic coefficients of Jordan et al. 2024, "Muon"


@torch.no_grad()
def orthogonalize(matrices: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """The nearest semi-orthogonal matrices, roughly: singular values end between 0.7 and 1.2. Zeros stay zeros.

    Takes (…, rows, columns) and computes in float32. The iteration runs on the Gram matrix of the short side, whose
    polynomials commute, so the long side is multiplied twice and not three times a step.
    """
    a, b, c = NEWTON_SCHULZ
    x = matrices.float() / (matrices.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    gram = x @ x.mT
    whole = identity = torch.eye(gram.shape[-1], device=x.device).expand_as(gram)
    for _ in range(steps):
        factor = a * identity + b * gram + c * gram @ gram
        whole, gram = factor @ whole, factor @ gram @ factor
    x = whole @ x
    return (x.mT if tall else x).to(matrices.dtype)


class Muon(torch.optim.Optimizer):
    """Momentum whose update is orthogonalised; a convolution counts as a matrix (out, in·kernel).

    The step has root mean square about `lr·0.2·√max(1, rows/columns)`-free: it is scaled so that every entry
    moves by about 0.2·lr, which lets one learning rate serve all shapes (Liu et al. 2025, "Muon is scalable").
    """

    def __init__(
        self, params: Iterable[nn.Parameter], lr: float, momentum: float = 0.95, weight_decay: float = 0.0
    ):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:
        for group in self.param_groups:
            alike = defaultdict(list)  # matrices of one shape are orthogonalised together: four times as fast
            for p in group["params"]:
                if p.grad is None:
                    continue
                buffer = self.state[p].setdefault("momentum", torch.zeros_like(p))
                buffer.lerp_(p.grad, 1 - group["momentum"])
                update = p.grad.lerp(buffer, group["momentum"]).flatten(1)
                if torch.isfinite(update).all() and update.any():
                    alike[update.shape].append((p, update))
            for shape, members in alike.items():
                steps = orthogonalize(torch.stack([update for _, update in members]))
                for (p, _), step in zip(members, steps, strict=True):
                    p.mul_(1 - group["lr"] * group["weight_decay"])
                    p.sub_(step.view_as(p), alpha=group["lr"] * 0.2 * max(shape) ** 0.5)


MUON_SIDE = 512  # longest short side that is orthogonalised: the work grows with its cube


def orthogonalized(parameter: torch.Tensor) -> bool:
    """Whether Muon steps it: a matrix, but not the two large square ones that embed a noise level and the time ids.

    Those had taken half of the optimiser's time for a few numbers a clip.
    """
    return parameter.dim() >= 2 and min(parameter.flatten(1).shape) <= MUON_SIDE


class Trainer:
    """Muon and AdamW over one module with one learning-rate factor; its whole state can be saved and restored."""

    def __init__(self, module: nn.Module, matrix_lr: float, vector_lr: float, average: float = 0.995):
        trained = [p for p in module.parameters() if p.requires_grad]
        self.module = module
        self.lrs = (matrix_lr, vector_lr)
        self.matrices = Muon([p for p in trained if orthogonalized(p)], matrix_lr)
        self.vectors = torch.optim.AdamW(
            [p for p in trained if not orthogonalized(p)],
            vector_lr,
            betas=(0.9, 0.99),
            weight_decay=0.0,
        )
        self.average = copy.deepcopy(module).eval().requires_grad_(False)
        as_laid_out(self.average, torch.contiguous_format, torch.contiguous_format)  # as files have it
        self.decay = average
        self.steps = 0

    def update(self, loss: torch.Tensor, factor: float, clip: float = 1.0) -> float:
        """One step at `factor` times the learning rates; returns the gradient norm. A non-finite loss is skipped."""
        for optimizer, lr in zip((self.matrices, self.vectors), self.lrs, strict=True):
            optimizer.zero_grad(set_to_none=True)
            for group in optimizer.param_groups:
                group["lr"] = lr * factor
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.module.parameters(), clip)
        if torch.isfinite(norm):
            self.matrices.step()
            self.vectors.step()
        self.steps += 1
        self._follow(min(self.decay, (1 + self.steps) / (10 + self.steps)))
        return float(norm)

    @torch.no_grad()
    def _follow(self, decay: float) -> None:
        for slow, fast in zip(self.average.parameters(), self.module.parameters(), strict=True):
            slow.lerp_(fast, 1 - decay)

    def state_dict(self) -> dict:
        return {
            "module": self.module.state_dict(),
            "average": self.average.state_dict(),
            "matrices": self.matrices.state_dict(),
            "vectors": self.vectors.state_dict(),
            "steps": self.steps,
        }

    def load_state_dict(self, state: dict) -> None:
        self.module.load_state_dict(state["module"])
        self.average.load_state_dict(state["average"])
        self.matrices.load_state_dict(state["matrices"])
        self.vectors.load_state_dict(state["vectors"])
        self.steps = state["steps"]
