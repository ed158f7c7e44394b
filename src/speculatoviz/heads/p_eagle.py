"""P-EAGLE's head: an EAGLE-3 head that drafts all tokens in one pass, at masked places (Hui et al. 2026, "P-EAGLE").

With the notation of `heads.eagle3`: W fuses the inputs of the target's layers, n is the index of the last committed
token, m the mask token, h float32[3 * D] a trained vector (`mask_hidden`), K the tokens of a draft.

    pair n-1:        token t_n, state W f_n-1                 the last committed pair
    pair n-1 + d:    token m,   state W h                     d = 1 .. K - 1, the masked places

The layer computes all of them in one pass, with the attention of text: a place sees the committed pairs and the places
before it. Place d gives the distribution of t_n+1+d. No place sees a drafted token, so every distribution is known
before anything is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence

from speculatoviz.core.types import Floats
from speculatoviz.heads.eagle3 import Eagle3Cache
from speculatoviz.heads.eagle3_file import Masks
from speculatoviz.models.eagle3_graph import MOST_PAIRS, Eagle3Graph, Pair


class PEagleCache(Eagle3Cache):
    """The committed pairs of a graph. After the last one it gives the logits of all K tokens of a draft."""

    def __init__(self, graph: Eagle3Graph, masks: Masks) -> None:
        super().__init__(graph)
        self._masks = masks
        self._masked_state = graph.fuse(masks.state[None])[0]

    def append(self, features: Floats, tokens: Sequence[int], *, last: bool) -> tuple[Floats, Floats]:
        """As `Eagle3Cache.append`; if `last`, logits float32[K, V] and states float32[K, D] of a whole draft."""
        if not last:
            return super().append(features, tokens, last=False)
        before = len(features) - 1  # pairs before the last one
        if before + self._masks.depth > MOST_PAIRS:
            super().append(features[:before], tokens[:-1], last=False)
            features, tokens, before = features[before:], tokens[before:], 0
        states = self._graph.fuse(features)
        pairs = [
            Pair(token, state, self.length + place, 0, place == before)
            for place, (token, state) in enumerate(zip(tokens[1:], states, strict=True))
        ]
        self.length += len(pairs)
        masked = [
            Pair(self._masks.token, self._masked_state, self.length + place, 0, True)
            for place in range(self._masks.depth - 1)
        ]
        result = self._graph.decode([*pairs, *masked])
        self._graph.keep(self.length)
        return result
