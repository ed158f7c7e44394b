"""What heads share that continue states of their own: a cache of pairs, each of a state and the token after it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from speculatoviz.core.types import Floats


class PairCache(Protocol):
    """m committed pairs (state at a token, next token), then the nodes of a draft.

    F is the length of the target's states that the head reads, D that of its own, K the number of ids that it drafts.
    """

    def keep(self, length: int) -> None:
        """Rewind to the first `length` pairs, and drop the nodes. Raises ValueError for a greater length."""

    def append(self, features: Floats, tokens: Sequence[int], *, last: bool) -> tuple[Floats, Floats]:
        """Add n committed pairs, at most MOST_PAIRS of `models.eagle3_graph`.

        features float32[n, F]: the target's, at the first n of `tokens` int[n + 1]. last: whether logits float32[1, K]
        and state float32[1, D] of the last pair are wanted; otherwise they are empty.
        """

    def grow(self, states: Floats, tokens: Sequence[int], parents: Sequence[int]) -> tuple[Floats, Floats]:
        """Add one level of a draft in one pass. Returns logits float32[n, K] and own states float32[n, D].

        states float32[n, D]: the head's, of each node's parent. tokens int[n]. parents int[n]: nodes of the level
        before, or ROOT.
        """
