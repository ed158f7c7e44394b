"""Muon in float32, for processors that do not compute in bfloat16: PyTorch's own takes ten times as long there."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch


class Muon(torch.optim.Muon):  # type: ignore[misc]  # the library is optional
    """torch.optim.Muon whose Newton-Schulz iterations are computed in float32 instead of bfloat16.

    Same arguments, state and updates, up to rounding; Nesterov's momentum and the learning rate of "match_rms_adamw".
    """

    def __init__(self, weights: Iterable[torch.Tensor], lr: float, weight_decay: float) -> None:
        super().__init__(weights, lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def step(self, closure: Any = None) -> None:
        """One step. closure: not supported."""
        assert closure is None
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                momentum, state = group["momentum"], self.state[weight]
                if "momentum_buffer" not in state:
                    state["momentum_buffer"] = torch.zeros_like(weight.grad)
                state["momentum_buffer"].lerp_(weight.grad, 1 - momentum)
                mixed = weight.grad.lerp(state["momentum_buffer"], momentum)
                update = _orthogonal(mixed, group["ns_coefficients"], group["ns_steps"], group["eps"])
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.add_(update, alpha=-group["lr"] * 0.2 * math.sqrt(max(weight.shape)))


def _orthogonal(
    matrix: torch.Tensor, coefficients: tuple[float, float, float], steps: int, epsilon: float
) -> torch.Tensor:
    """A matrix with the singular vectors of float32[m, n] and singular values near 1 (Jordan et al. 2024)."""
    a, b, c = coefficients
    x = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    x = x / x.norm().clamp(min=epsilon)
    for _ in range(steps):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if matrix.shape[0] > matrix.shape[1] else x
