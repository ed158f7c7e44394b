"""Comparing the shapes of a model finds every way in which its logits can depend on how tokens were fed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from speculatoviz.core.types import Floats
from speculatoviz.measure.invariance import CHECKED_TOKENS, TOKENS, Comparison, ShapeComparer
from speculatoviz.models.base import PREFILL_TOKENS, Feed, Rows
from speculatoviz.models.kernels import CANDIDATES, Kernels
from speculatoviz.models.prefix_cache import Snapshot
from speculatoviz.models.runtimes.toy import ALPHABET, ToyContext, ToyModel

ROOM = 1024
Flawed = Callable[[Sequence[Feed], int], bool]  # whether the rows of a feed, by its index, are computed otherwise


def text(count: int) -> list[int]:
    return [(7 * i + i // 5) % 20 for i in range(count)]


def near(logits: Floats) -> Floats:
    """The next number of the format: the smallest difference there is."""
    return np.nextafter(logits, np.inf)


class ShortMemory(ToyModel):
    """Fast on long contexts: only the last three tokens count."""

    def logits(self, prefix: Sequence[int]) -> Floats:
        return super().logits(prefix[-3:])


class Kernel(ShortMemory):
    """Computes some feeds with other kernels."""

    def __init__(self, flawed: Flawed) -> None:
        super().__init__(3, ALPHABET)
        self._flawed = flawed

    def forward(self, feeds: Sequence[Feed]) -> list[Rows]:
        flawed = [self._flawed(feeds, index) for index in range(len(feeds))]
        results = super().forward(feeds)
        return [
            Rows(near(rows.logits), rows.hidden) if bad else rows for rows, bad in zip(results, flawed, strict=True)
        ]


class Cache(ShortMemory):
    """Keys and values of a cell depend on how it was filled, which shows in every later row."""

    def __init__(self, marks: Callable[[Feed], bool], *, at_restore: bool = False) -> None:
        super().__init__(3, ALPHABET)
        self._marks, self._at_restore = marks, at_restore

    def open(self, size: int) -> ToyContext:
        at_restore = self._at_restore

        class Context(ToyContext):
            marked: int | None = None  # the first cell that was filled otherwise

            def keep(self, length: int, path: Sequence[int] = ()) -> None:
                super().keep(length, path)
                if self.marked is not None and self.length <= self.marked:
                    self.marked = None

            def restore(self, state: Snapshot, length: int) -> bool:
                restored = super().restore(state, length)
                self.marked = 0 if at_restore else None
                return restored

        return Context(size)

    def forward(self, feeds: Sequence[Feed]) -> list[Rows]:
        before = [feed.context.length for feed in feeds]
        results = super().forward(feeds)
        shown: list[Rows] = []
        for feed, length, rows in zip(feeds, before, results, strict=True):
            marked = getattr(feed.context, "marked", None)
            shown.append(rows if marked is None else Rows(near(rows.logits), rows.hidden))
            if marked is None and self._marks(feed):
                feed.context.marked = length  # type: ignore[attr-defined]
        return shown


def rows(feeds: Sequence[Feed]) -> int:
    return sum(len(feed.tokens) for feed in feeds)


FLAWS = {
    "repacked weights": (Kernel(lambda feeds, _: rows(feeds) >= 4), "rows"),
    "one row over": (Kernel(lambda feeds, _: rows(feeds) == 23), "a pass of 23 rows"),
    "a block of 64 rows": (Kernel(lambda feeds, _: rows(feeds) == 64), "a pass of 64 rows"),
    "single rows after 256 tokens": (
        Kernel(lambda feeds, i: rows(feeds) == 1 and feeds[i].context.length >= 256),
        "rows",
    ),
    "several rows after 512 tokens": (
        Kernel(lambda feeds, i: rows(feeds) > 1 and feeds[i].context.length + rows(feeds) > 512),
        "rows",
    ),
    "the last row of a chunk": (Kernel(lambda feeds, i: feeds[i].rows == "last"), "the last row"),
    "other contexts": (Kernel(lambda feeds, _: len(feeds) > 1), "two contexts"),
    "hidden states": (Kernel(lambda feeds, i: feeds[i].hidden), "hidden states"),
    "a restored prefix": (Cache(lambda _: False, at_restore=True), "a restored prefix"),
    "cells of long passes": (Cache(lambda feed: len(feed.tokens) > 16 and feed.context.length > 100), ""),
    "cells of short chunks": (
        Cache(lambda feed: 1 < len(feed.tokens) < 6 and feed.context.length in range(80, 90)),
        "",
    ),
}


def compared(model: ToyModel, tokens: int = TOKENS) -> Comparison:
    return ShapeComparer(model, text(tokens), ROOM).compare()


def test_a_model_without_kernels_is_batch_invariant() -> None:
    shares: list[float] = []
    comparer = ShapeComparer(ShortMemory(3, ALPHABET), text(TOKENS), ROOM, shares.append)
    assert comparer.compare() == (None, None)
    assert comparer.tokens == TOKENS > 512
    assert shares == sorted(shares)
    assert comparer.check() is None


@pytest.mark.parametrize("flaw", FLAWS)
def test_every_flaw_is_found_and_named(flaw: str) -> None:
    model, shape = FLAWS[flaw]
    chains, trees = compared(model)
    assert chains is not None
    assert shape in chains.shape
    assert 0 <= chains.total_variation < 1e-9
    assert trees is None, "trees are compared where all else is equal"


def test_a_tree_that_is_computed_otherwise_departs_alone() -> None:
    for flawed in (
        Kernel(lambda feeds, i: feeds[i].parents is not None),
        Cache(lambda feed: feed.parents is not None),
    ):
        chains, trees = compared(flawed)
        assert chains is None
        assert trees is not None
        assert "tree" in trees.shape


def test_the_check_of_every_start_finds_other_kernels_in_a_few_passes() -> None:
    passes = 0

    def counting(_: Sequence[Feed], __: int) -> bool:
        nonlocal passes
        passes += 1
        return False

    assert ShapeComparer(Kernel(counting), text(CHECKED_TOKENS), ROOM).check() is None
    assert passes < 80
    for flaw in ("repacked weights", "single rows after 256 tokens"):
        assert ShapeComparer(FLAWS[flaw][0], text(CHECKED_TOKENS), ROOM).check() is not None, flaw


def test_a_small_context_is_compared_as_far_as_it_goes() -> None:
    comparer = ShapeComparer(ShortMemory(3, ALPHABET), text(TOKENS), 128)
    assert comparer.compare() == (None, None)
    assert comparer.tokens == 88


@pytest.mark.parametrize("kernels", [*CANDIDATES["llamacpp"], *CANDIDATES["ik"], Kernels(fewest=4, most=10)])
def test_no_part_of_a_pass_has_fewer_rows_than_its_kernels_need(kernels: Kernels) -> None:
    for count in range(1, PREFILL_TOKENS + 1):
        padded = count + kernels.padding(count)
        last = padded % kernels.most or kernels.most
        assert last >= min(kernels.fewest, kernels.most)
        assert padded - count < kernels.fewest
