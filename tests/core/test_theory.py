"""Expected tokens and the best depth."""

from __future__ import annotations

import pytest

from speculatoviz.core.theory import best_depth, expected_tokens, expected_tps

# Milliseconds of a pass over n tokens as measured once: not monotone, four tokens cost less than three.
PASS_MS = {2: 99.8, 3: 152.0, 4: 134.0, 5: 179.0, 9: 254.0}


def test_expected_tokens_is_the_geometric_sum() -> None:
    assert expected_tokens(0.5, 3) == pytest.approx(1 + 0.5 + 0.25 + 0.125)
    assert expected_tokens(1.0, 4) == 5.0
    assert expected_tokens(0.0, 4) == 1.0


def test_the_rate_counts_drafting_and_verifying() -> None:
    assert expected_tps(1.0, 3, 31.0, PASS_MS) == pytest.approx(4000 / (93 + 134))


def test_the_best_depth_knows_that_four_tokens_are_cheaper_than_three() -> None:
    assert best_depth(0.9, 30.8, PASS_MS) == 3


def test_a_poor_drafter_is_kept_shallow() -> None:
    assert best_depth(0.2, 30.8, PASS_MS) == 1


def test_without_measurements_there_is_no_best_depth() -> None:
    with pytest.raises(ValueError, match="at least two tokens"):
        best_depth(0.9, 30.8, {1: 75.0})
