"""A head goes on where the target's hidden states end (Li et al. 2024, "EAGLE"; trees as in EAGLE-2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from speculatoviz.core.types import ROOT, Floats
from speculatoviz.drafters.headed import HeadDrafter
from speculatoviz.errors import CancelledError
from speculatoviz.heads.eagle import EagleHead
from speculatoviz.heads.states import States

_CHUNK = 256  # pairs between two looks at whether the run was cancelled


class EagleDrafter(HeadDrafter):
    """Its cache holds the pairs (state behind a token, next token) of what is committed, rewound to the common prefix.

    A run of one token has no state to start from: nothing is drafted.
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
        self._held: list[int] = []  # the tokens of the cached pairs, and the one before them
        self._behind = np.empty((0, head.hidden_size), np.float32)  # the head's own states, ROOT's first

    def _first(self, prefix: list[int]) -> Floats | None:
        common, most = 0, min(len(self._held), len(prefix))
        while common < most and self._held[common] == prefix[common]:
            common += 1
        # The last pair is always added anew: its state is what drafting starts from.
        start = min(max(0, common - 1), len(prefix) - 2)
        self._cache.keep(start)
        self._held = prefix[: start + 1]
        for begin in range(start, len(prefix) - 1, _CHUNK):
            if self._request.cancelled():
                raise CancelledError
            end = min(begin + _CHUNK, len(prefix) - 1)
            self._cache.append(self._states.states[begin:end], prefix[begin : end + 1])
            self._held = prefix[: end + 1]
        self._behind = self._cache.state()
        row: Floats = self._head.logits(self._behind)[0]
        return row

    def _below(self, tokens: Sequence[int], parents: Sequence[int]) -> Floats | None:
        before = self._behind[[parent - ROOT for parent in parents]]  # ROOT is -1
        own = self._cache.grow(before, tokens, parents)
        self._behind = np.concatenate([self._behind, own])
        return self._head.logits(own)
