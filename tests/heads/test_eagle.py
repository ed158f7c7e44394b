"""EAGLE's head: its cache, its trees, its window."""

from __future__ import annotations

import numpy as np
import pytest

from speculatoviz.core.types import Floats
from speculatoviz.heads.eagle import EagleCache, EagleHead
from support.tiny_heads import EAGLE_NUMBERS, HIDDEN, TinyRows, eagle_file, eagle_head, state

IDS = [0, 1, 3, 4, 2, 1, 0, 3, 3, 1, 4]


def states(ids: list[int]) -> Floats:
    return np.array([state(ids[: end + 1]) for end in range(len(ids))], np.float32)


def filled(head: EagleHead, ids: list[int], *ends: int) -> EagleCache:
    """The pairs of `ids`, added in pieces."""
    cache, start = head.open(), 0
    for end in (*ends, len(ids) - 1):
        cache.append(states(ids)[start:end], ids[start : end + 1])
        start = end
    return cache


def test_pairs_added_in_pieces_give_what_pairs_added_at_once_give() -> None:
    head = eagle_head()
    whole = filled(head, IDS)
    for ends in ((1,), (4,), (3, 5, 9)):
        np.testing.assert_allclose(filled(head, IDS, *ends).state(), whole.state(), rtol=1e-5, atol=1e-6)


def test_a_rewound_cache_is_one_that_never_went_on() -> None:
    head = eagle_head()
    cache = filled(head, IDS)
    cache.keep(3)
    with pytest.raises(ValueError, match="appended"):
        cache.state()
    other = [*IDS[:4], 1, 1]
    cache.append(states(other)[3:5], other[3:6])

    assert cache.length == 5
    np.testing.assert_allclose(cache.state(), filled(head, other).state(), rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="up to 5"):
        cache.keep(6)


def test_a_branch_of_a_tree_is_the_chain_of_its_path() -> None:
    head = eagle_head()
    cache = filled(head, IDS)
    first = cache.state()
    #   0   1
    #  2 3  4
    level = cache.grow(np.repeat(first, 2, 0), [1, 3], [-1, -1])
    below = cache.grow(level[[0, 0, 1]], [0, 4, 0], [0, 0, 1])
    deepest = cache.grow(below[1:2], [3], [3])

    for path, found in (([1, 0], below[0]), ([1, 4], below[1]), ([3, 0], below[2]), ([1, 4, 3], deepest[0])):
        alone = filled(head, IDS)
        own = alone.state()
        for node, token in enumerate(path):
            own = alone.grow(own, [token], [node - 1])
        np.testing.assert_allclose(found, own[0], rtol=1e-5, atol=1e-6)


def test_a_place_knows_which_token_it_follows() -> None:
    """Which a pair's own token and state alone do not say: so one layer can look up what came after it before."""
    head = eagle_head()
    one, other = filled(head, IDS[:2]), head.open()
    other.append(states(IDS[:2])[:1], [4, IDS[1]])
    assert np.abs(one.state() - other.state()).max() > 1e-4

    level = one.grow(np.repeat(one.state(), 2, 0), [1, 3], [-1, -1])
    below = one.grow(np.repeat(level[:1], 2, 0), [0, 0], [0, 1])
    assert np.abs(below[0] - below[1]).max() > 1e-4


def test_the_nodes_of_a_draft_leave_nothing_behind() -> None:
    head = eagle_head()
    cache = filled(head, IDS)
    before = cache.state()
    grown = cache.grow(before, [1], [-1])
    cache.clear()
    np.testing.assert_array_equal(cache.state(), before)
    np.testing.assert_array_equal(cache.grow(before, [1], [-1]), grown)


def test_it_sees_no_further_back_than_its_window() -> None:
    head, window = eagle_head(), int(EAGLE_NUMBERS["window"])
    changed = states(IDS)
    changed[0] += 1.0
    other = head.open()
    other.append(changed[:-1], IDS)
    assert len(IDS) - 1 > window
    np.testing.assert_array_equal(filled(head, IDS).state(), other.state())

    wide = EagleHead(eagle_file(numbers={**EAGLE_NUMBERS, "window": 64}), TinyRows())
    near, moved = wide.open(), wide.open()
    near.append(states(IDS)[:-1], IDS)
    moved.append(changed[:-1], IDS)
    assert np.abs(near.state() - moved.state()).max() > 1e-4, "with a wide window the first pair matters"


def test_the_window_moves_with_the_nodes() -> None:
    head, window = eagle_head(), int(EAGLE_NUMBERS["window"])
    ids = IDS[: window + 1]  # exactly a window of pairs: the first is out of sight of the first node
    changed = states(ids)
    changed[0] += 1.0
    cache, other = filled(head, ids), head.open()
    other.append(changed[:-1], ids)
    own = cache.state()

    assert np.abs(own - other.state()).max() > 1e-4
    np.testing.assert_allclose(cache.grow(own, [1], [-1]), other.grow(own, [1], [-1]), rtol=1e-5, atol=1e-6)


def test_logits_are_the_products_with_the_target_s_own_rows() -> None:
    head, x = eagle_head(), np.ones((2, HIDDEN), np.float32)
    np.testing.assert_array_equal(head.logits(x), x @ TinyRows().output(head.vocabulary).T)
