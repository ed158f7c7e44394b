"""Medusa's heads: each guesses one of the tokens ahead from the target's last hidden state (Cai et al. 2024, 2.1).

Head k is a stack of residual blocks, x + SiLU(W x + b), on the normalised state, and an output matrix. That matrix is
a map of the head's own in front of the target's output rows of frequent tokens, which costs a fraction of rows of its
own. The heads do not know of each other's tokens.
"""

from __future__ import annotations

import numpy as np

from speculatoviz.core.types import Floats
from speculatoviz.heads.file import HeadFile, Shapes
from speculatoviz.heads.maths import rms_norm, silu
from speculatoviz.heads.rows import TargetRows


def shapes(hidden_size: int, heads: int, blocks: int) -> Shapes:
    d = hidden_size
    result: dict[str, tuple[int, ...]] = {}
    for head in range(heads):
        for block in range(blocks):
            result |= {f"weight_{head}_{block}": (d, d), f"bias_{head}_{block}": (d,)}
        result[f"map_{head}"] = (d, d)
    return result


class MedusaHeads:
    """Raises HeadError where the weights do not have their shapes."""

    def __init__(self, file: HeadFile, rows: TargetRows) -> None:
        self.count = int(file.number("heads", 1, 64))
        self._blocks = int(file.number("blocks", 1, 16))
        file.require(shapes(file.hidden_size, self.count, self._blocks))
        self.vocabulary = file.vocabulary
        heads, blocks, w = range(self.count), range(self._blocks), file.tensors
        self._weight = np.stack([[w[f"weight_{head}_{block}"] for block in blocks] for head in heads])
        self._bias = np.stack([[w[f"bias_{head}_{block}"] for block in blocks] for head in heads])
        self._map = np.stack([w[f"map_{head}"] for head in heads])
        self._even = np.ones(file.hidden_size, np.float32)
        self._output = rows.output(file.vocabulary)

    def logits(self, state: Floats, count: int) -> Floats:
        """float32[count, K] of the first heads, from the state float32[D] that the last committed token came from.

        Row k is about the token k + 1 places behind that one.
        """
        x = np.repeat(rms_norm(state, self._even)[None, :, None], count, axis=0)  # [count, D, 1]
        for block in range(self._blocks):
            x = x + silu(self._weight[:count, block] @ x + self._bias[:count, block, :, None])
        return (self._map[:count] @ x)[:, :, 0] @ self._output.T
