"""How far a head's distributions are from the target's, without ever holding the logits of a whole batch.

Both sides are products with the same output rows, so a chunk of rows gives its divergence and its gradient at once:
what PyTorch would keep of a batch for its backward pass is many times what the head itself takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import linear

_CHUNK = 256  # rows whose logits stay in the processor's cache


def divergences(
    truth: torch.Tensor, shares: torch.Tensor, output: torch.Tensor, states: Sequence[torch.Tensor]
) -> torch.Tensor:
    """float[S]: of every one of S predictions the weighted mean of KL(target, head) in nats.

    truth float[N, D]: the target's states; states: S times float[N, D]; output [K, D]: the rows of the vocabulary over
    which both are distributions. shares float[S, N]: how much each counts, none of S all zero.
    """
    result: torch.Tensor = _Divergences.apply(truth, shares, output, *states)
    return result


class _Divergences(torch.autograd.Function):  # type: ignore[misc]  # the library is optional
    @staticmethod
    def forward(
        context: Any, truth: torch.Tensor, shares: torch.Tensor, output: torch.Tensor, *states: torch.Tensor
    ) -> torch.Tensor:
        shares = shares / shares.sum(1, keepdim=True)
        totals = torch.zeros(len(states))
        slopes = [torch.empty_like(own, dtype=torch.float32) for own in states]
        for start in range(0, len(truth), _CHUNK):
            rows = slice(start, start + _CHUNK)
            wanted = _logits(truth[rows], output)
            wanted_total = wanted.logsumexp(-1, keepdim=True)
            probs = (wanted - wanted_total).exp_()
            for place, own in enumerate(states):
                share = shares[place, rows]
                logits = _logits(own[rows], output)
                total = logits.logsumexp(-1, keepdim=True)
                each = torch.linalg.vecdot(probs, wanted - logits) - (wanted_total - total)[:, 0]
                totals[place] += each @ share
                slope = (logits.sub_(total).exp_().sub_(probs)).mul_(share[:, None])
                slopes[place][rows] = linear(slope.to(output.dtype), output.T).float()
        context.save_for_backward(*slopes)
        return totals

    @staticmethod
    def backward(context: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        slopes = context.saved_tensors
        return None, None, None, *(grad * slope for grad, slope in zip(grads[0], slopes, strict=True))


def _logits(states: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
    return linear(states.to(output.dtype), output).float()
