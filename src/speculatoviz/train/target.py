"""The target's embedding and output rows in PyTorch; training does not change them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn.functional import embedding, linear

from speculatoviz.core.types import Ints
from speculatoviz.heads.rows import TargetRows
from speculatoviz.train.store import Dialogue


class TargetMatrices:
    """Embeddings of the ids that occur in dialogues, output rows of a head's vocabulary, and the scale of the states.

    vocabulary int32[K], ascending. output [K, D], of `dtype`, in which logits are computed. state_scale float[D]: root
    mean squares of the states' numbers, over the first dialogues.
    """

    def __init__(
        self, rows: TargetRows, vocabulary: Ints, dialogues: Sequence[Dialogue], dtype: torch.dtype = torch.float32
    ) -> None:
        self.hidden_size, self.vocabulary = rows.hidden_size, vocabulary
        occurring = np.unique(np.concatenate([d.tokens for d in dialogues]))
        self._place = torch.zeros(int(occurring[-1]) + 1, dtype=torch.long)
        self._place[torch.from_numpy(occurring.astype(np.int64))] = torch.arange(len(occurring))
        self._embeddings = torch.from_numpy(rows.embed(occurring))
        self.output = torch.from_numpy(rows.output(vocabulary)).to(dtype)
        self._ids = torch.from_numpy(vocabulary.astype(np.int64))
        some = np.concatenate([d.states.astype(np.float32) for d in dialogues[:200]])
        self.state_scale = torch.from_numpy(np.sqrt(np.square(some).mean(0)))

    def embed(self, tokens: torch.Tensor) -> torch.Tensor:
        """float[..., D] of tokens long[...], which have to occur in the dialogues."""
        return embedding(self._place[tokens], self._embeddings)

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        """float[..., K] over `vocabulary`, of states float[..., D]."""
        return linear(states.to(self.output.dtype), self.output).float()

    def best(self, states: torch.Tensor) -> torch.Tensor:
        """long[...]: the most probable id of `vocabulary` after states float[..., D]."""
        return self._ids[self.logits(states).argmax(-1)]
