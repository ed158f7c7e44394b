"""An EAGLE-3 head drafts: it reads three inner layers of the target (Li et al. 2025; trees as in EAGLE-2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from speculatoviz.core.types import ROOT, Floats, Ints
from speculatoviz.drafters.head import HeadDrafter
from speculatoviz.heads.eagle3 import Eagle3Cache
from speculatoviz.heads.states import States
from speculatoviz.models.eagle3_graph import MOST_PAIRS, Eagle3Graph
from speculatoviz.models.prefix_cache import common_length


class Eagle3Drafter(HeadDrafter):
    """Keeps a cache of the committed pairs (inner layers at a token, next token), rewound to the longest common prefix.

    graph: computes the head. states: the inputs of the target's inner layers. vocabulary int32[K], ascending: the ids
    of the head's logits. size: pairs that the graph can hold. After a prompt of one token, or one longer than that, the
    draft is empty.
    """

    name = "eagle3"
    _needs = frozenset({"layers"})

    def __init__(
        self,
        graph: Eagle3Graph,
        states: States,
        vocabulary: Ints,
        size: int,
        clock: Callable[[], float],
        width: int = 8,
        support_size: int = 256,
        alternatives: int = 8,
    ) -> None:
        super().__init__(states, vocabulary, clock, width, support_size, alternatives)
        self._graph, self._size = graph, size
        self._cache = Eagle3Cache(graph)
        self._held: list[int] = []  # the tokens of the cached pairs, and the token before the first pair
        self._own_states = np.empty((0, graph.hidden_size), np.float32)  # float32[1 + nodes, D], ROOT's first

    def forget_prompts(self) -> None:
        super().forget_prompts()
        self._held = []

    def _first(self, prefix: list[int]) -> Floats | None:
        if len(prefix) > self._size:
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

    def close(self) -> None:
        super().close()
        self._graph.close()
