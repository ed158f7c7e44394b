"""A DFlash head drafts: one pass fills in a block of masked places after the last token (Chen et al. 2026)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from speculatoviz.core.planning import Outlook
from speculatoviz.core.types import Floats, Ints
from speculatoviz.drafters.parallel import ParallelDrafter
from speculatoviz.heads.dflash import DflashCache
from speculatoviz.heads.states import States
from speculatoviz.models.dflash_graph import MOST_ROWS, DflashGraph
from speculatoviz.models.prefix_cache import common_length


class DflashDrafter(ParallelDrafter):
    """Keeps a cache of the committed tokens (inner layers at each), rewound to the longest common prefix.

    graph: computes the head. states: the inputs of the target's inner layers. vocabulary int32[K], ascending: the ids
    of the head's logits. size: committed tokens that the graph can hold. After a prompt of one token, or one longer
    than that, the draft is empty.
    """

    name = "dflash"
    _needs = frozenset({"layers"})

    def __init__(
        self,
        graph: DflashGraph,
        states: States,
        vocabulary: Ints,
        size: int,
        clock: Callable[[], float],
        width: int = 8,
        support_size: int = 256,
        alternatives: int = 8,
    ) -> None:
        super().__init__(graph.drafted, states, vocabulary, clock, width, support_size, alternatives)
        self._graph, self._size = graph, size
        self._cache = DflashCache(graph)
        self._held: list[int] = []  # the tokens that the cache has read

    def unread(self, prefix: list[int]) -> int:
        return len(prefix) - 1 - common_length(self._held, prefix[:-1])

    def outlook(self, prefix: list[int]) -> Outlook:
        """The tokens of a round before are read in every draft, and are not missing."""
        outlook, unread = super().outlook(prefix), self.unread(prefix)
        return replace(outlook, missing=unread) if unread > self.block + 1 else outlook

    def forget_prompts(self) -> None:
        super().forget_prompts()
        self._held = []

    def _all_rows(self, prefix: list[int]) -> Floats | None:
        if len(prefix) > self._size:
            return None
        start, last = common_length(self._held, prefix[:-1]), len(prefix) - 1
        self._cache.keep(start)
        self._held = prefix[:start]
        for begin in range(start, last, MOST_ROWS):
            self.check_cancelled()
            end = min(begin + MOST_ROWS, last)
            self._cache.append(self._states.states[begin:end])
            self._held = prefix[:end]
        self.check_cancelled()
        return self._cache.block(prefix[-1])

    def close(self) -> None:
        super().close()
        self._graph.close()
