"""Medusa heads draft: each predicts one of the next positions from the last hidden state (Cai et al. 2024)."""

from __future__ import annotations

from collections.abc import Callable

from speculatoviz.core.types import Floats
from speculatoviz.drafters.parallel import ParallelDrafter
from speculatoviz.heads.medusa import MedusaHeads
from speculatoviz.heads.states import States


class MedusaDrafter(ParallelDrafter):
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
        super().__init__(heads.count, states, heads.vocabulary, clock, width, support_size, alternatives)
        self._heads = heads

    def unread(self, prefix: list[int]) -> int:
        del prefix
        return 0  # the heads read the last hidden state only

    def _all_rows(self, prefix: list[int]) -> Floats | None:
        return self._heads.logits(self._states.states[len(prefix) - 2], self._heads.count)
