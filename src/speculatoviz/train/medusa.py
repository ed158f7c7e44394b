"""Medusa's heads in PyTorch, as they are trained; in use they are `heads.medusa`, which gives the same numbers."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import nn
from torch.nn.functional import linear, log_softmax, silu, softmax

from speculatoviz.heads.medusa import shapes
from speculatoviz.train.data import Batch
from speculatoviz.train.target import TargetMatrices


@dataclass(frozen=True, slots=True)
class MedusaShape:
    heads: int = 4
    blocks: int = 1


@dataclass(frozen=True, slots=True)
class MedusaLoss:
    """A further head counts `decay` less (Cai et al. 2024, equation 1). noise: as a share of the states' scale."""

    decay: float = 0.8
    noise: float = 0.05


class MedusaModule(nn.Module):  # type: ignore[misc]  # the library is optional
    """weights: by the names and shapes of `heads.medusa.shapes`."""

    def __init__(self, target: TargetMatrices, shape: MedusaShape, loss: MedusaLoss, seed: int) -> None:
        super().__init__()
        del seed  # begins as the target's own output, at zero
        self.target, self.shape, self.how = target, shape, loss
        wanted = shapes(target.hidden_size, shape.heads, shape.blocks)
        self.weights = nn.ParameterDict({name: nn.Parameter(torch.zeros(size)) for name, size in wanted.items()})

    @property
    def numbers(self) -> dict[str, float]:
        return asdict(self.shape)

    def loss(self, batch: Batch, generator: torch.Generator) -> tuple[torch.Tensor, dict[str, float]]:
        """Divergence of head k from the target's own distribution k tokens on."""
        noise = torch.empty_like(batch.states).uniform_(-1, 1, generator=generator) * 3**0.5
        noisy = batch.states + noise * self.target.state_scale * self.how.noise
        counted = batch.weight > 0
        with torch.no_grad():
            logits = self.target.logits(batch.states[counted])
            probs = softmax(logits, dim=-1)
            entropy = -(probs * probs.clamp_min(1e-9).log()).sum(-1)
        total = torch.zeros(())
        told: dict[str, float] = {}
        for head, states in enumerate(self.heads(noisy), 1):
            there = counted[:, head:]  # of what head k says behind token i, the truth stands behind token i + k
            kept = torch.zeros_like(counted)
            kept[:, head:] = there
            truth = kept[counted]
            share = batch.weight[:, head:][there]
            own = log_softmax(self.target.logits(states[:, :-head][there]), dim=-1)
            cross = -(probs[truth] * own).sum(-1) - entropy[truth]
            mean = (cross * share).sum() / share.sum()
            total = total + self.how.decay ** (head - 1) * mean
            told[f"kl_{head}"] = float(mean.detach())
        return total, told

    def heads(self, states: torch.Tensor) -> list[torch.Tensor]:
        """What each head gives to the output matrix, float[B, T, D]."""
        results = []
        for weight, bias in zip(self.weights["weight"], self.weights["bias"], strict=True):
            x = states
            for block in range(self.shape.blocks):
                x = x + silu(linear(x, weight[block], bias[block]))
            results.append(x)
        return results

    def guesses(self, batch: Batch, depth: int) -> torch.Tensor:
        """long[B, T, depth]: the chain that a draft behind token i would be; -1 where the heads are never asked."""
        result = torch.full((*batch.tokens.shape, depth), -1, dtype=torch.long)
        with torch.no_grad():
            for head, states in enumerate(self.heads(batch.states)[:depth]):
                result[:, 1:, head] = self.target.best(states)[:, :-1]
        return result
