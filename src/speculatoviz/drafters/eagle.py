"""An EAGLE head drafts: it continues the target's hidden states (Li et al. 2024, "EAGLE"; trees as in EAGLE-2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from speculatoviz.core.types import ROOT, Floats
from speculatoviz.drafters.head import HeadDrafter
from speculatoviz.heads.eagle import EagleHead
from speculatoviz.heads.states import States

_CHUNK = 256  # pairs between two checks for cancellation


class EagleDrafter(HeadDrafter):
    """Keeps a cache of the committed pairs (state after a token, next token), rewound to the longest common prefix.

    After a prompt of one token there is no state to start from, so the draft is empty.
    """

    name = "eagle"

    def __init__(
        self,
        head: EagleHead,
        states: States,
        clock: Callable[[], float],
        width: int = 8,
        support_size: int = 256,
        alternatives: int = 8,
    ) -> None:
        super().__init__(states, head.vocabulary, clock, width, support_size, alternatives)
        self._head, self._cache = head, head.open()
        self._held: list[int] = []  # the tokens of the cached pairs, and the token before the first pair
        self._own_states = np.empty((0, head.hidden_size), np.float32)  # float32[1 + nodes, D], ROOT's first

    def forget_prompts(self) -> None:
        super().forget_prompts()
        self._held = []

    def _first(self, prefix: list[int]) -> Floats | None:
        common, most = 0, min(len(self._held), len(prefix))
        while common < most and self._held[common] == prefix[common]:
            common += 1
        # The last pair is always appended again: drafting starts from its state.
        start = min(max(0, common - 1), len(prefix) - 2)
        self._cache.keep(start)
        self._held = prefix[: start + 1]
        for begin in range(start, len(prefix) - 1, _CHUNK):
            self.check_cancelled()
            end = min(begin + _CHUNK, len(prefix) - 1)
            self._cache.append(self._states.states[begin:end], prefix[begin : end + 1])
            self._held = prefix[: end + 1]
        self._own_states = self._cache.state()
        row: Floats = self._head.logits(self._own_states)[0]
        return row

    def _below(self, tokens: Sequence[int], parents: Sequence[int]) -> Floats | None:
        before = self._own_states[[parent - ROOT for parent in parents]]  # ROOT is -1
        own = self._cache.grow(before, tokens, parents)
        self._own_states = np.concatenate([self._own_states, own])
        return self._head.logits(own)
