"""A P-EAGLE head drafts: an EAGLE-3 head that predicts all tokens of a draft in one pass (Hui et al. 2026)."""

from __future__ import annotations

from collections.abc import Callable

from speculatoviz.core.types import Floats, Ints
from speculatoviz.drafters.pairs import PairReader
from speculatoviz.drafters.parallel import ParallelDrafter
from speculatoviz.heads.eagle3_file import Masks
from speculatoviz.heads.p_eagle import PEagleCache
from speculatoviz.heads.states import States
from speculatoviz.models.eagle3_graph import Eagle3Graph


class PEagleDrafter(ParallelDrafter):
    """graph: computes the head, and is closed with the drafter. states: the inputs of the target's inner layers.

    vocabulary int32[K], ascending: the ids of the head's logits. masks: of the places after the first one. size: pairs
    that the graph can hold.
    """

    name = "p-eagle"
    _needs = frozenset({"layers"})

    def __init__(
        self,
        graph: Eagle3Graph,
        states: States,
        vocabulary: Ints,
        masks: Masks,
        size: int,
        clock: Callable[[], float],
        width: int = 8,
        support_size: int = 256,
        alternatives: int = 8,
    ) -> None:
        super().__init__(masks.depth, states, vocabulary, clock, width, support_size, alternatives)
        self._graph = graph
        self._reader = PairReader(PEagleCache(graph, masks), size - masks.depth)

    def unread(self, prefix: list[int]) -> int:
        return self._reader.unread(prefix)

    def forget_prompts(self) -> None:
        super().forget_prompts()
        self._reader.forget()

    def _all_rows(self, prefix: list[int]) -> Floats | None:
        read = self._reader.read(prefix, self._states, self.check_cancelled)
        return None if read is None else read[0]

    def close(self) -> None:
        super().close()
        self._graph.close()
