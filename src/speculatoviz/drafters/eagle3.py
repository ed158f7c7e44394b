"""An EAGLE-3 head drafts: it reads three inner layers of the target (Li et al. 2025; trees as in EAGLE-2)."""

from __future__ import annotations

from collections.abc import Callable

from speculatoviz.core.types import Ints
from speculatoviz.drafters.pairs import PairsDrafter
from speculatoviz.heads.eagle3 import Eagle3Cache
from speculatoviz.heads.states import States
from speculatoviz.models.eagle3_graph import Eagle3Graph


class Eagle3Drafter(PairsDrafter):
    """graph: computes the head, and is closed with the drafter. states: the inputs of the target's inner layers.

    vocabulary int32[K], ascending: the ids of the head's logits. size: pairs that the graph can hold.
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
        super().__init__(Eagle3Cache(graph), states, vocabulary, size, clock, width, support_size, alternatives)
        self._graph = graph

    def close(self) -> None:
        super().close()
        self._graph.close()
