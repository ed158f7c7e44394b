"""P-EAGLE's head in PyTorch, for training. llama.cpp's graph computes the same; `heads.p_eagle` has the notation.

Step k of the unrolling is masked place k of the draft that begins after a token: with the pattern of attention that
`train.unroll` states, all steps of all places of a text are trained at once. A step reads nothing of the step before,
so the steps of a draft can be computed in one pass.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from speculatoviz.heads.eagle3_folder import Eagle3Shape, Masked
from speculatoviz.train.eagle3 import Eagle3Loss, Eagle3Module
from speculatoviz.train.target import TargetMatrices


class PEagleModule(Eagle3Module):
    """A head that is trained. mask: the id at the masked places, whose embedding is one of the target's.

    mask_hidden is trained as a multiple of the vector of the file, in the size of the inputs of the target's layers.
    Its loss is `Eagle3Loss`, whose steps are the tokens of a draft.
    """

    def __init__(self, target: TargetMatrices, shape: Eagle3Shape, loss: Eagle3Loss, seed: int, mask: int) -> None:
        super().__init__(target, shape, loss, seed)
        self.masked = Masked(mask, loss.steps)
        features = len(target.layer_scale)
        generator = torch.Generator(device="cpu").manual_seed(seed + 1)
        self.weights["mask_hidden"] = nn.Parameter(torch.randn(features, generator=generator, device="cpu"))
        self.scales: Mapping[str, torch.Tensor] = {**self.scales, "mask_hidden": 1 / target.layer_scale}

    @property
    def loss_words(self) -> str:
        """The loss, for the card."""
        return (
            f"KL divergence from the target's distributions over the head's vocabulary, at the {self.how.steps} places "
            f"of a draft, of which each counts {self.how.decay:g} times the one before"
        )

    def _inputs(
        self, tokens: torch.Tensor, first: torch.Tensor, before: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if before is None:
            return tokens, first
        state = nn.functional.linear(self.weights["mask_hidden"], self.weights["fc"]).float()  # W h
        return torch.full_like(tokens, self.masked.token), state.expand_as(first)
