"""Medusa heads draft: each predicts one of the next positions from the last hidden state (Cai et al. 2024)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from speculatoviz.core.types import ROOT, Floats
from speculatoviz.drafters.head import HeadDrafter
from speculatoviz.heads.medusa import MedusaHeads
from speculatoviz.heads.states import States


class MedusaDrafter(HeadDrafter):
    """Drafts at most as deep as there are heads. Head k gives q for every node of level k, whatever its parent."""

    name = "medusa"

    def __init__(
        self,
        heads: MedusaHeads,
        states: States,
        clock: Callable[[], float],
        width: int = 8,
        support_size: int = 256,
        alternatives: int = 8,
    ) -> None:
        super().__init__(states, heads.vocabulary, clock, width, support_size, alternatives)
        self._heads = heads
        self._rows = np.empty((0, len(heads.vocabulary)), np.float32)  # float32[heads, K]
        self._levels: list[int] = []  # of each node

    def _first(self, prefix: list[int]) -> Floats | None:
        self._levels = []
        self._rows = self._heads.logits(self._states.states[len(prefix) - 2], self._heads.count)
        row: Floats = self._rows[0]
        return row

    def _below(self, tokens: Sequence[int], parents: Sequence[int]) -> Floats | None:
        del tokens  # the heads do not read them
        level = 1 if parents[0] == ROOT else self._levels[parents[0]] + 1
        self._levels += [level] * len(parents)
        return np.repeat(self._rows[level][None], len(parents), 0) if level < len(self._rows) else None
