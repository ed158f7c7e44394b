"""Estimates over prompts: their values by hand, and intervals that are those of prompts, not of tokens."""

from __future__ import annotations

import math

import numpy as np
import pytest

from speculatoviz.lab.statistics import geometric, quantile, share


def test_a_share_is_the_ratio_of_sums_and_one_prompt_has_no_interval() -> None:
    many, one, none = share([1, 3, 0], [2, 4, 2]), share([1], [4]), share([0, 0], [0, 0])

    assert many.value == pytest.approx(4 / 8)
    assert many.low <= many.value <= many.high
    assert one.value == 0.25
    assert math.isnan(one.low)
    assert math.isnan(none.value)
    assert not none.known


def test_a_quantile_is_the_smallest_value_that_so_many_do_not_exceed() -> None:
    values = [[4.0, 1.0], [2.0], [3.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0]]

    assert [quantile(values, at).value for at in (0.1, 0.5, 0.95, 1.0)] == [1.0, 5.0, 10.0, 10.0]
    assert quantile([[], []], 0.5) == pytest.approx((math.nan,) * 3, nan_ok=True)
    low, high = quantile(values, 0.5)[1:]
    assert 1.0 <= low <= 5.0 <= high <= 10.0


def test_draws_are_of_prompts_so_that_tokens_of_one_prompt_do_not_make_an_interval_narrow() -> None:
    """Ten prompts of a hundred tokens that are all accepted or all rejected: only ten things are known."""
    accepted = [100.0 * (number % 2) for number in range(10)]
    by_prompt = share(accepted, [100.0] * 10)
    by_token = share([1.0, 0.0] * 500, [1.0] * 1000)  # the twin that draws tokens

    assert by_prompt.value == by_token.value == 0.5
    assert by_prompt.high - by_prompt.low > 5 * (by_token.high - by_token.low)


def test_95_of_100_intervals_hold_the_true_mean() -> None:
    chance = np.random.default_rng(0)
    held = 0
    for _ in range(200):
        estimate = geometric(np.exp(chance.normal(0.2, 0.3, 40)).tolist())
        held += estimate.low <= math.exp(0.2) <= estimate.high
    assert 180 <= held <= 198  # 190 expected; percentile intervals of 40 are a little narrow
