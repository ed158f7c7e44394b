"""Medusa's heads: from the target's state after a token, head k predicts the token k + 1 places after it, k from 1
(Cai et al. 2024, section 2.1).

    x        = norm(s)                               float32[D], s: the target's hidden state
    x        = x + SiLU(weight x + bias)             float32[D], once per block
    logits   = (map x) @ output.T                    float32[K], over the heads' vocabulary of K tokens

Medusa trains an output matrix per head. Here a head has `map` float32[D, D] before the target's own output rows
(`TargetRows`), which is a fraction of the size. A head's prediction does not depend on the tokens of the other heads.
"""

from __future__ import annotations

import numpy as np

from speculatoviz.core.types import Floats
from speculatoviz.heads.file import HeadFile, Shapes
from speculatoviz.heads.maths import rms_norm, silu
from speculatoviz.heads.rows import TargetRows


def shapes(hidden_size: int, heads: int, blocks: int) -> Shapes:
    """The shapes of the weights. hidden_size: D. blocks: of each head."""
    d = hidden_size
    result: dict[str, tuple[int, ...]] = {}
    for head in range(heads):
        for block in range(blocks):
            result |= {f"weight_{head}_{block}": (d, d), f"bias_{head}_{block}": (d,)}
        result[f"map_{head}"] = (d, d)
    return result


class MedusaHeads:
    """The weights of all heads.

    count: how many heads there are. vocabulary int32[K]: the ids they can draft. Raises HeadError if a weight does not
    have its shape.
    """

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
        """float32[count, K] of the first `count` heads.

        state float32[D]: the one that the last committed token was predicted from. Row k predicts the token k + 1
        places after that token.
        """
        x = np.repeat(rms_norm(state, self._even)[None, :, None], count, axis=0)  # [count, D, 1]
        for block in range(self._blocks):
            x = x + silu(self._weight[:count, block] @ x + self._bias[:count, block, :, None])
        return (self._map[:count] @ x)[:, :, 0] @ self._output.T
