"""What drafters share whose heads keep a cache of pairs: `eagle`, `eagle3`, `mtp` and `p-eagle`.

All but the last continue states of their own, token by token.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from speculatoviz.core.types import ROOT, Floats, Ints
from speculatoviz.drafters.head import HeadDrafter
from speculatoviz.heads.pairs import PairCache
from speculatoviz.heads.states import States
from speculatoviz.models.eagle3_graph import MOST_PAIRS
from speculatoviz.models.prefix_cache import common_length


class PairReader:
    """Adds the committed pairs of a text (state at a token, next token) to a head's cache.

    The cache is rewound to the longest common prefix. size: pairs that it can hold; None if it grows.
    """

    def __init__(self, cache: PairCache, size: int | None) -> None:
        self._cache, self._size = cache, size
        self._held: list[int] = []  # the tokens of the cached pairs, and the token before the first pair

    def forget(self) -> None:
        """Read all pairs again for the next text."""
        self._held = []

    def unread(self, prefix: list[int]) -> int:
        """How many pairs `read` would add for this text."""
        return len(prefix) - 1 - self._start(prefix)

    def read(
        self, prefix: list[int], states: States, check_cancelled: Callable[[], None]
    ) -> tuple[Floats, Floats] | None:
        """What the cache gives after the last pair of `prefix`, two tokens or more; None if it is too long.

        states: the target's, at all tokens but the last. check_cancelled: called before each pass.
        """
        if self._size is not None and len(prefix) > self._size:
            return None
        start, end = self._start(prefix), len(prefix) - 1
        self._cache.keep(start)
        self._held = prefix[: start + 1]
        while True:
            check_cancelled()
            after = min(start + MOST_PAIRS, end)
            found = self._cache.append(states.states[start:after], prefix[start : after + 1], last=after == end)
            self._held = prefix[: after + 1]
            if after == end:
                return found
            start = after

    def _start(self, prefix: list[int]) -> int:
        """The last pair is always added again: drafting starts from its state."""
        return min(max(0, common_length(self._held, prefix) - 1), len(prefix) - 2)


class PairsDrafter(HeadDrafter):
    """cache: of the head. states: the target's, that the head reads. size: pairs that the cache can hold, if limited.

    vocabulary int32[K], ascending: the ids of the head's logits. After a prompt of one token, or one longer than the
    cache, the draft is empty.
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
        self._cache, self._reader = cache, PairReader(cache, size)
        self._own_states = np.empty((0, 0), np.float32)  # float32[1 + nodes, D], ROOT's first

    def forget_prompts(self) -> None:
        super().forget_prompts()
        self._reader.forget()

    def _first(self, prefix: list[int]) -> Floats | None:
        read = self._reader.read(prefix, self._states, self.check_cancelled)
        if read is None:
            return None
        logits, self._own_states = read
        row: Floats = logits[0]
        return row

    def _below(self, tokens: Sequence[int], parents: Sequence[int]) -> Floats | None:
        before = self._own_states[[parent - ROOT for parent in parents]]  # ROOT is -1
        logits, own = self._cache.grow(before, tokens, parents)
        self._own_states = np.concatenate([self._own_states, own])
        return logits
