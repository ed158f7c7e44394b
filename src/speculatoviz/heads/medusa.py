"""Medusa's heads: from the target's state after a token, head k predicts the token k + 1 places after it, k from 1
(Cai et al. 2024, section 2.1).

    x        = norm(s)                               float32[D], s: the target's hidden state
    x        = x + SiLU(weight x + bias)             float32[D], once per block
    logits   = (map x) @ output.T                    float32[K], over the heads' vocabulary of K tokens

Medusa trains an output matrix per head. Here a head has `map` float32[D, D] before the target's own output rows
(`TargetRows`), which is a fraction of the size. A head's prediction does not depend on the tokens of the other heads.
Kernels compute this (`models.runtimes.ggml`).
"""

from __future__ import annotations

from speculatoviz.core.types import Floats
from speculatoviz.heads.file import EPSILON, HeadFile, Shapes
from speculatoviz.heads.rows import TargetRows
from speculatoviz.models.runtimes.ggml import Pass, Stored


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

    count: how many heads there are. vocabulary int32[K]: the ids they can draft. threads: that compute a pass. Matrices
    are stored in 8 bits. Raises HeadError if a weight does not have its shape, ModelError without ggml.
    """

    def __init__(self, file: HeadFile, rows: TargetRows, threads: int = 1) -> None:
        self.count = int(file.number("heads", 1, 64))
        self._blocks = int(file.number("blocks", 1, 16))
        file.require(shapes(file.hidden_size, self.count, self._blocks))
        self.vocabulary, self._threads = file.vocabulary, threads
        self._weights = Stored({**file.tensors, "output": rows.output(file.vocabulary)}, small=True)

    def logits(self, state: Floats, count: int) -> Floats:
        """float32[count, K] of the first `count` heads.

        state float32[D]: the one that the last committed token was predicted from. Row k predicts the token k + 1
        places after that token.
        """
        w, blocks = self._weights, self._blocks
        numbers = count * (len(self.vocabulary) + (4 * blocks + count + 8) * len(state))
        with Pass(numbers, self._threads, count * (6 * blocks + 4) + 8) as graph:
            normal, mapped = graph.norm(graph.floats(state[None]), EPSILON), []
            for head in range(count):
                x = normal
                for block in range(blocks):
                    inner = graph.add(graph.linear(x, w[f"weight_{head}_{block}"]), w[f"bias_{head}_{block}"])
                    x = graph.add(x, graph.silu(inner))
                mapped.append(graph.linear(x, w[f"map_{head}"]))
            return graph.compute(graph.linear(graph.joined(mapped, axis=0), w["output"]))[0]
