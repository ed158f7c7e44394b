"""Medusa's heads in PyTorch, for training. `heads.medusa` computes the same on ggml's kernels, and has the formulas."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import torch
from torch import nn
from torch.nn.functional import linear, silu

from speculatoviz.heads.medusa import shapes
from speculatoviz.train.data import Batch, sampled_places, with_noise
from speculatoviz.train.divergence import divergences
from speculatoviz.train.target import TargetMatrices
from speculatoviz.train.unroll import factors, rms_norm


@dataclass(frozen=True, slots=True)
class MedusaShape:
    """heads: how many. blocks: of each."""

    heads: int = 4
    blocks: int = 1


@dataclass(frozen=True, slots=True)
class MedusaLoss:
    """loss = sum_k decay^k KL_k over heads k (Cai et al. 2024, equation 1). noise, share: as in `EagleLoss`."""

    decay: float = 0.8
    noise: float = 0.05
    share: float = 0.5


class MedusaModule(nn.Module):  # type: ignore[misc]  # the library is optional
    """Heads that are trained. weights: by the names and shapes of `heads.medusa.shapes`."""

    output_rows: frozenset[str] = frozenset()
    scales: Mapping[str, torch.Tensor] = {}  # read only

    def __init__(self, target: TargetMatrices, shape: MedusaShape, loss: MedusaLoss, seed: int) -> None:
        super().__init__()
        del seed  # blocks begin at zero, so every head begins as the target's own output
        self.target, self.shape, self.how = target, shape, loss
        wanted = shapes(target.hidden_size, shape.heads, shape.blocks)
        self.weights = nn.ParameterDict({name: nn.Parameter(torch.zeros(size)) for name, size in wanted.items()})
        with torch.no_grad():
            for head in range(shape.heads):
                self.weights[f"map_{head}"] += torch.eye(target.hidden_size) * target.state_size

    @property
    def numbers(self) -> dict[str, float]:
        """The hyperparameters of the heads' file."""
        return asdict(self.shape)

    @property
    def trained_depth(self) -> int:
        """The tokens of a draft that the heads predict."""
        return self.shape.heads

    @property
    def loss_words(self) -> str:
        """The loss, for the card."""
        return (
            f"KL divergence from the target's distributions over the heads' vocabulary; each head counts "
            f"{self.how.decay:g} times the one before; noise of {self.how.noise:g} times the states' root mean square"
        )

    def loss(self, batch: Batch, generator: torch.Generator, done: float) -> tuple[torch.Tensor, dict[str, float]]:
        """The loss of `MedusaLoss` and its divergences: of head k from the target's distribution k + 1 places ahead."""
        del done  # all heads learn from the beginning
        counted = sampled_places(batch.weight, self.how.share, generator)
        heads = self.heads(with_noise(batch, self.target, self.how.noise, generator))
        # The k-th head's states after token i - k predict the token after token i.
        own = [states.roll(k, 1)[counted] for k, states in enumerate(heads, 1)]
        places = torch.arange(counted.shape[1], device=counted.device)
        shares = torch.stack([(batch.weight * (places >= k))[counted] for k in range(1, len(heads) + 1)])
        scaled = factors(self.how.decay, len(heads), counted.device)
        total, apart = divergences(batch.states[counted], shares, scaled, self.target.output, own)
        return total, {f"kl_{head}": value for head, value in enumerate(apart.tolist(), 1)}

    def heads(self, states: torch.Tensor) -> list[torch.Tensor]:
        """Of each head float[B, T, D], which the output matrix multiplies. states float[B, T, D]: the target's."""
        w, even, results = self.weights, rms_norm(states, torch.ones_like(states[0, 0])), []
        for head in range(self.shape.heads):
            x = even
            for block in range(self.shape.blocks):
                x = x + silu(linear(x, w[f"weight_{head}_{block}"], w[f"bias_{head}_{block}"]))
            results.append(linear(x, w[f"map_{head}"]).float())
        return results

    def guesses(self, batch: Batch, depth: int) -> torch.Tensor:
        """See `score.ChainPredictor`; -1 also beyond the number of heads."""
        batch = batch.to(self.target.device)
        result = torch.full((*batch.tokens.shape, depth), -1, dtype=torch.long, device="cpu")
        with torch.no_grad():
            for head, states in enumerate(self.heads(batch.states)[:depth]):
                result[:, 1:, head] = self.target.best(states)[:, :-1].cpu()
        return result
