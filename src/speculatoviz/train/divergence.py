"""The divergence of a head's distributions from the target's, without the logits of a whole batch in memory.

    P_i = softmax(truth_i @ output.T)       float[K], of the target at place i
    Q_i = softmax(states_i @ output.T)      float[K], of the head
    loss = sum_i share_i KL(P_i, Q_i)       in nats;  its gradient: d loss / d states_i = share_i (Q_i - P_i) @ output

Both sides use the same output rows, so the forward pass computes divergence and gradient of a chunk of places at once.
What PyTorch would keep of a batch for its backward pass is many times the size of the head.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import linear

_CHUNK = 256  # places whose logits fit into the processor's cache


def divergences(
    truth: torch.Tensor, shares: torch.Tensor, output: torch.Tensor, states: Sequence[torch.Tensor]
) -> torch.Tensor:
    """float[S]: for each of S predictions the weighted mean of KL(target, head) over N places, in nats.

    truth float[N, D]: the target's states. states: S tensors float[N, D], the head's. output [K, D]: rows of the
    vocabulary. shares float[S, N]: weights of the places, not all zero for any prediction.
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
