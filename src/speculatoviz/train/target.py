"""The target's embedding and output rows in PyTorch; training does not change them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn.functional import embedding, linear

from speculatoviz.core.types import Floats, Ints
from speculatoviz.heads.rows import TargetRows
from speculatoviz.train.store import Dialogue

_CPU = torch.device("cpu")


class TargetMatrices:
    """Embeddings of the ids that occur in dialogues, output rows of a head's vocabulary, and sizes of the states.

    also: further ids with embeddings. vocabulary int32[K], ascending; ids long[K]: the same. output [K, D], of `dtype`,
    in which logits are computed. state_scale float[D]: root mean squares of the states' numbers, over the first
    dialogues; state_size: over all numbers. layer_scale float[L * D]: for every number of the inputs of inner layers
    the usual root mean square of its layer's; empty if none are recorded. device: where all of it is.
    """

    def __init__(
        self,
        rows: TargetRows,
        vocabulary: Ints,
        dialogues: Sequence[Dialogue],
        dtype: torch.dtype = torch.float32,
        device: torch.device = _CPU,
        also: Sequence[int] = (),
    ) -> None:
        self.hidden_size, self.vocabulary, self.device = rows.hidden_size, vocabulary, device
        occurring = np.unique(np.concatenate([*(d.tokens for d in dialogues), np.array(also, np.int32)]))
        place = np.zeros(int(occurring[-1]) + 1, np.int64)
        place[occurring] = np.arange(len(occurring))
        self._place = torch.from_numpy(place).to(device)
        self._embeddings = torch.from_numpy(rows.embed(occurring)).to(device)
        self.output = torch.from_numpy(rows.output(vocabulary)).to(device, dtype)
        self.ids = torch.from_numpy(vocabulary.astype(np.int64)).to(device)
        some = np.concatenate([np.asarray(d.states, np.float32) for d in dialogues[:200]])
        self.state_scale = torch.from_numpy(np.sqrt(np.square(some).mean(0))).to(device)
        self.state_size = float(np.sqrt(np.square(some).mean()))
        self.layer_scale = torch.from_numpy(_layer_scale(dialogues[:20], self.hidden_size)).to(device)

    def embed(self, tokens: torch.Tensor) -> torch.Tensor:
        """float[..., D] of tokens long[...], which have to occur in the dialogues or in `also`."""
        return embedding(self._place[tokens], self._embeddings)

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        """float[..., K] over `vocabulary`, of states float[..., D]."""
        return linear(states.to(self.output), self.output).float()

    def best(self, states: torch.Tensor) -> torch.Tensor:
        """long[...]: the most probable id of `vocabulary` after states float[..., D]."""
        return self.ids[self.logits(states).argmax(-1)]


def _layer_scale(dialogues: Sequence[Dialogue], hidden_size: int) -> Floats:
    """float32[L * D], where layers are recorded. Medians over tokens: the first ones of a text are outliers."""
    rows = [np.asarray(d.layers, np.float32) for d in dialogues if d.layers is not None]
    if not rows:
        return np.empty(0, np.float32)
    sizes = np.sqrt(np.square(np.concatenate(rows).reshape(-1, rows[0].shape[1] // hidden_size, hidden_size)).mean(-1))
    scale: Floats = np.repeat(np.median(sizes, axis=0), hidden_size).astype(np.float32)
    return scale
