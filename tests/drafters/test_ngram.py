"""Prompt lookup and its corner cases."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speculatoviz.core.chance import seeded
from speculatoviz.core.planning import Plan
from speculatoviz.core.types import Limits, Request, Sampling
from speculatoviz.drafters.ngram import NgramDrafter


def continuation(
    prefix: list[int], depth: int, shortest: int = 1, longest: int = 3, ends: frozenset[int] = frozenset()
) -> list[int]:
    drafter = NgramDrafter(shortest, longest)
    drafter.begin(Request(tuple(prefix), Sampling(), Limits(64, stop_ids=ends)))
    draft = drafter.draft(prefix, 0, Plan("ngram", depth), seeded(0)("draft", 0))
    assert all(q is None for q in draft.q)
    return [int(token) for token in draft.tokens]


def reference(prefix: list[int], depth: int, shortest: int, longest: int) -> list[int]:
    """The definition, word by word: longest suffix first, newest earlier occurrence first."""
    for size in range(longest, shortest - 1, -1):
        for start in range(len(prefix) - size - 1, -1, -1):
            if size < len(prefix) and prefix[start : start + size] == prefix[-size:]:
                return prefix[start + size : start + size + depth]
    return []


@given(st.lists(st.integers(0, 3), min_size=1, max_size=40), st.integers(1, 8), st.integers(1, 4), st.integers(0, 3))
def test_it_finds_what_the_definition_finds(prefix: list[int], depth: int, shortest: int, more: int) -> None:
    assert continuation(prefix, depth, shortest, shortest + more) == reference(prefix, depth, shortest, shortest + more)


def test_the_longest_match_wins() -> None:
    assert continuation([1, 2, 3, 9, 2, 3, 7, 1, 2, 3], 1) == [9]


def test_the_newest_of_equal_matches_wins() -> None:
    assert continuation([2, 3, 5, 2, 3, 6, 2, 3], 1) == [6]


def test_no_match_gives_an_empty_draft() -> None:
    assert continuation([1, 2, 3, 4], 4) == []


def test_a_single_token_gives_an_empty_draft() -> None:
    assert continuation([1], 4) == []


def test_a_match_may_overlap_the_suffix() -> None:
    assert continuation([7, 7, 7], 4) == [7]


def test_it_stops_at_an_end_token() -> None:
    assert continuation([1, 2, 9, 5, 1, 2], 4, ends=frozenset({9})) == [9]


def test_sizes_are_checked() -> None:
    with pytest.raises(ValueError, match="shortest <= longest"):
        NgramDrafter(3, 2)
