"""A toy model whose passes a test can block, fail or count."""

from __future__ import annotations

from collections.abc import Sequence

from speculatoviz.models.base import Feed, Rows
from speculatoviz.models.runtimes.toy import ALPHABET, ToyContext, ToyModel
from support.live_server import Gate


class _Context(ToyContext):
    closed = False

    def close(self) -> None:
        assert not self.closed, "closed twice"
        self.closed = True
        super().close()


class WatchedToy(ToyModel):
    """Its passes go through a gate. batches: sequences and tokens of each pass. caches: all that were opened.

    poison: tokens after the first of a feed that make its whole pass fail.
    """

    def __init__(self) -> None:
        super().__init__(0, ALPHABET)
        self.poison: list[int] | None = None
        self.gate = Gate()
        self.batches: list[tuple[int, int]] = []
        self.caches: list[_Context] = []

    @property
    def open_caches(self) -> int:
        return sum(not cache.closed for cache in self.caches)

    def open(self, size: int) -> ToyContext:
        self.caches.append(_Context(size))
        return self.caches[-1]

    def forward(self, feeds: Sequence[Feed]) -> list[Rows]:
        assert not any(feed.context.closed for feed in feeds if isinstance(feed.context, _Context)), "fed when closed"
        self.gate.enter()
        if any(list(feed.tokens[1:]) == self.poison for feed in feeds):
            raise RuntimeError("poisoned")
        self.batches.append((len(feeds), sum(len(feed.tokens) for feed in feeds)))
        return super().forward(feeds)
