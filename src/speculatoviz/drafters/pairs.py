"""What heads share that continue states of their own, token by token: `eagle`, `eagle3` and `mtp`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from speculatoviz.core.types import ROOT, Floats, Ints
from speculatoviz.drafters.head import HeadDrafter
from speculatoviz.heads.pairs import PairCache
from speculatoviz.heads.states import States
from speculatoviz.models.eagle3_graph import MOST_PAIRS
from speculatoviz.models.prefix_cache import common_length


class PairsDrafter(HeadDrafter):
    """Keeps a cache of the committed pairs (state at a token, next token), rewound to the longest common prefix.

    cache: of the head. states: the target's, that the head reads. vocabulary int32[K], ascending: the ids of the head's
    logits. size: pairs that the cache can hold; None if it grows. After a prompt of one token, or one longer than that,
    the draft is empty.
    """

    def __init__(
        self,
        cache: PairCache,
        states: States,
        vocabulary: Ints,
        size: int | None,
        clock: Callable[[], float],
        width: int = 8,
        support_size: int = 256,
        alternatives: int = 8,
    ) -> None:
        super().__init__(states, vocabulary, clock, width, support_size, alternatives)
        self._cache, self._size = cache, size
        self._held: list[int] = []  # the tokens of the cached pairs, and the token before the first pair
        self._own_states = np.empty((0, 0), np.float32)  # float32[1 + nodes, D], ROOT's first

    def forget_prompts(self) -> None:
        super().forget_prompts()
        self._held = []

    def _first(self, prefix: list[int]) -> Floats | None:
        if self._size is not None and len(prefix) > self._size:
            return None
        # The last pair is always appended again: drafting starts from its state.
        start = min(max(0, common_length(self._held, prefix) - 1), len(prefix) - 2)
        self._cache.keep(start)
        self._held = prefix[: start + 1]
        logits, own = np.empty((0, 0), np.float32), self._own_states
        for begin in range(start, len(prefix) - 1, MOST_PAIRS):
            self.check_cancelled()
            end = min(begin + MOST_PAIRS, len(prefix) - 1)
            features, last = self._states.states[begin:end], end == len(prefix) - 1
            logits, own = self._cache.append(features, prefix[begin : end + 1], last=last)
            self._held = prefix[: end + 1]
        self._own_states = own
        row: Floats = logits[0]
        return row

    def _below(self, tokens: Sequence[int], parents: Sequence[int]) -> Floats | None:
        before = self._own_states[[parent - ROOT for parent in parents]]  # ROOT is -1
        logits, own = self._cache.grow(before, tokens, parents)
        self._own_states = np.concatenate([self._own_states, own])
        return logits
