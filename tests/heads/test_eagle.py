"""EAGLE's head: its cache, its trees, its window."""

from __future__ import annotations

import numpy as np
import pytest

from speculatoviz.core.types import Floats
from speculatoviz.errors import HeadError
from speculatoviz.heads.eagle import EagleCache, EagleHead
from support.tiny_heads import EAGLE_NUMBERS, HIDDEN, TinyRows, eagle_file, eagle_head, state

IDS = [0, 1, 3, 4, 2, 1, 0, 3, 3, 1, 4]


def states(ids: list[int]) -> Floats:
    return np.array([state(ids[: end + 1]) for end in range(len(ids))], np.float32)


def filled(head: EagleHead, ids: list[int], *ends: int) -> tuple[EagleCache, Floats]:
    """The pairs of `ids`, added in pieces, and the head's state after the last one."""
    cache, start, own = head.open(), 0, np.empty(0, np.float32)
    for end in (*ends, len(ids) - 1):
        _, own = cache.append(states(ids)[start:end], ids[start : end + 1], last=end == len(ids) - 1)
        start = end
    return cache, own


def test_pairs_added_in_pieces_give_what_pairs_added_at_once_give() -> None:
    head = eagle_head()
    whole = filled(head, IDS)[1]
    for ends in ((1,), (4,), (3, 5, 9)):
        np.testing.assert_allclose(filled(head, IDS, *ends)[1], whole, rtol=1e-4, atol=1e-5)


def test_a_rewound_cache_is_one_that_never_went_on() -> None:
    head = eagle_head()
    cache, _ = filled(head, IDS)
    cache.keep(3)
    other = [*IDS[:4], 1, 1]
    _, own = cache.append(states(other)[3:5], other[3:6], last=True)

    assert cache.length == 5
    np.testing.assert_allclose(own, filled(head, other)[1], rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="up to 5"):
        cache.keep(6)


def test_a_cache_grows_with_its_text() -> None:
    """Beyond the cells that it begins with; with and without the pairs that were there before, up to the window."""
    head = EagleHead(eagle_file(numbers={**EAGLE_NUMBERS, "window": 300}), TinyRows())
    ids = np.random.default_rng(2).integers(0, 5, 600).tolist()
    rows = np.random.default_rng(3).standard_normal((599, HIDDEN)).astype(np.float32)
    cache, start = head.open(), 0
    for end in (200, 250, 264, 520, 599):
        _, own = cache.append(rows[start:end], ids[start : end + 1], last=True)
        start = end
    late = head.open()
    _, whole = late.append(rows, ids, last=True)
    np.testing.assert_allclose(own, whole, rtol=1e-4, atol=1e-5)


def test_a_branch_of_a_tree_is_the_chain_of_its_path() -> None:
    head = eagle_head()
    cache, first = filled(head, IDS)
    #   0   1
    #  2 3  4
    _, level = cache.grow(np.repeat(first, 2, 0), [1, 3], [-1, -1])
    _, below = cache.grow(level[[0, 0, 1]], [0, 4, 0], [0, 0, 1])
    _, deepest = cache.grow(below[1:2], [3], [3])

    for path, found in (([1, 0], below[0]), ([1, 4], below[1]), ([3, 0], below[2]), ([1, 4, 3], deepest[0])):
        alone, own = filled(head, IDS)
        for node, token in enumerate(path):
            _, own = alone.grow(own, [token], [node - 1])
        np.testing.assert_allclose(found, own[0], rtol=1e-4, atol=1e-5)


def test_a_place_knows_which_token_it_follows() -> None:
    """Which a pair's own token and state alone do not say: so one layer can look up what came after it before."""
    head = eagle_head()
    (one, own), other = filled(head, IDS[:2]), head.open()
    _, changed = other.append(states(IDS[:2])[:1], [4, IDS[1]], last=True)
    assert np.abs(own - changed).max() > 1e-4

    _, level = one.grow(np.repeat(own, 2, 0), [1, 3], [-1, -1])
    _, below = one.grow(np.repeat(level[:1], 2, 0), [0, 0], [0, 1])
    assert np.abs(below[0] - below[1]).max() > 1e-4


def test_the_nodes_of_a_draft_leave_nothing_behind() -> None:
    head = eagle_head()
    cache, before = filled(head, IDS)
    grown = cache.grow(before, [1], [-1])
    cache.grow(grown[1], [2], [0])
    cache.keep(len(IDS) - 1)
    for again, once in zip(cache.grow(before, [1], [-1]), grown, strict=True):
        np.testing.assert_array_equal(again, once)


def test_it_sees_no_further_back_than_its_window() -> None:
    head, window = eagle_head(), int(EAGLE_NUMBERS["window"])
    changed = states(IDS)
    changed[0] += 1.0
    assert len(IDS) - 1 > window
    np.testing.assert_array_equal(filled(head, IDS)[1], head.open().append(changed[:-1], IDS, last=True)[1])

    wide = EagleHead(eagle_file(numbers={**EAGLE_NUMBERS, "window": 64}), TinyRows())
    near, moved = (wide.open().append(rows[:-1], IDS, last=True)[1] for rows in (states(IDS), changed))
    assert np.abs(near - moved).max() > 1e-4, "with a wide window the first pair matters"


def test_the_window_moves_with_the_nodes() -> None:
    head, window = eagle_head(), int(EAGLE_NUMBERS["window"])
    ids = IDS[: window + 1]  # exactly a window of pairs: the first is out of sight of the first node
    changed = states(ids)
    changed[0] += 1.0
    (cache, own), other = filled(head, ids), head.open()
    _, moved = other.append(changed[:-1], ids, last=True)

    assert np.abs(own - moved).max() > 1e-4
    np.testing.assert_allclose(cache.grow(own, [1], [-1])[1], other.grow(own, [1], [-1])[1], rtol=1e-4, atol=1e-5)


def test_logits_are_the_products_with_the_target_s_own_rows() -> None:
    head = eagle_head()
    cache, own = filled(head, IDS)
    for logits, after in (cache.append(states(IDS)[-1:], [4, 1], last=True), cache.grow(own, [1], [-1])):
        np.testing.assert_allclose(logits, after @ TinyRows().output(head.vocabulary).T, rtol=1e-5, atol=1e-5)


def test_a_width_that_cannot_be_rotated_is_refused() -> None:
    with pytest.raises(HeadError, match="odd"):
        EagleHead(eagle_file(numbers={**EAGLE_NUMBERS, "heads": 1, "width": 3}), TinyRows())
