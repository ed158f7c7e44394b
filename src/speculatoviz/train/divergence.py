"""The divergence of a head's distributions from the target's, without the logits of a whole batch in memory.

    P_i  = softmax(truth_i @ output.T)          float[K], of the target at place i
    Q_si = softmax(states_si @ own.T)           float[K], of the head's prediction s; own = output, or rows of the head
    KL_s = sum_i share_si KL(P_i, Q_si)         in nats
    loss = sum_s factor_s KL_s
    d loss / d states_si = factor_s share_si (Q_si - P_i) @ own
    d loss / d own       = sum_s factor_s sum_i share_si (Q_si - P_i) states_si.T

The gradient is as cheap as the loss once the logits are there, so the forward pass computes both for a chunk of places
at once. What PyTorch would keep of a batch for its backward pass is many times the size of the head.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import linear

_CHUNK = 256  # places whose logits fit into the processor's cache


def divergences(
    truth: torch.Tensor,
    shares: torch.Tensor,
    factors: torch.Tensor,
    output: torch.Tensor,
    states: Sequence[torch.Tensor],
    own: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss, and the divergences float[S] of S predictions, in nats, weighted means over N places.

    truth float[N, D]: the target's states. shares float[S, N]: weights of the places, not all zero for any prediction.
    factors float[S]: of the predictions in the loss. output [K, D]: the target's rows of the vocabulary. states: S
    tensors float[N, D], the head's. own float32[K, D]: rows of the head, which are trained; None if it uses the
    target's.
    """
    loss, apart = _Divergences.apply(truth, shares, factors, output, own, *states)
    return loss, apart


class _Divergences(torch.autograd.Function):  # type: ignore[misc]  # the library is optional
    @staticmethod
    def forward(
        context: Any,
        truth: torch.Tensor,
        shares: torch.Tensor,
        factors: torch.Tensor,
        output: torch.Tensor,
        own: torch.Tensor | None,
        *states: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        shares = shares / shares.sum(1, keepdim=True)
        rows = output if own is None else own.to(output.dtype)
        apart = torch.zeros(len(states), device=truth.device)
        slopes = [torch.empty_like(state, dtype=torch.float32) for state in states]
        row_slopes = None if own is None else torch.zeros_like(own)
        for start in range(0, len(truth), _CHUNK):
            chunk = slice(start, start + _CHUNK)
            wanted = _logits(truth[chunk], output)
            wanted_total = wanted.logsumexp(-1, keepdim=True)
            probs = (wanted - wanted_total).exp_()
            for place, state in enumerate(states):
                share = shares[place, chunk]
                logits = _logits(state[chunk], rows)
                total = logits.logsumexp(-1, keepdim=True)
                each = torch.linalg.vecdot(probs, wanted - logits) - (wanted_total - total)[:, 0]
                apart[place] += each @ share
                slope = logits.sub_(total).exp_().sub_(probs).mul_((factors[place] * share)[:, None]).to(rows.dtype)
                slopes[place][chunk] = linear(slope, rows.T).float()
                if row_slopes is not None:
                    row_slopes += linear(slope.T, state[chunk].to(rows.dtype).T).float()
        context.save_for_backward(*slopes, *([] if row_slopes is None else [row_slopes]))
        context.trains_rows = own is not None
        context.mark_non_differentiable(apart)
        return factors @ apart, apart

    @staticmethod
    def backward(context: Any, grad: torch.Tensor, _apart: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        scaled = [grad * slope for slope in context.saved_tensors]
        own = scaled.pop() if context.trains_rows else None
        return None, None, None, None, own, *scaled


def _logits(states: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
    return linear(states.to(output.dtype), output).float()
