"""Figures over prompts with their intervals.

Every interval is a bootstrap over prompts: the tokens of one prompt depend on each other, so prompts are drawn again
with replacement, never tokens or rounds (Efron and Tibshirani 1993, section 13.3, percentile intervals).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

_RESAMPLES = 2000  # of the prompts, for an interval
_OF_QUANTILES = 400  # likewise: each takes a sum over all values
_MIDDLE = (0.025, 0.975)

Array = npt.NDArray[np.float64]


class Estimate(NamedTuple):
    """A figure and its 95 % interval; NaN where there is nothing to compute, and for the interval of one prompt."""

    value: float
    low: float = math.nan
    high: float = math.nan

    @property
    def known(self) -> bool:
        return not math.isnan(self.value)


UNKNOWN = Estimate(math.nan)


def geometric_mean(ratios: Sequence[float]) -> float:
    """exp of the mean logarithm; NaN of nothing."""
    return float(np.exp(np.mean(np.log(ratios)))) if ratios else math.nan


def interval(ratios: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """The middle 95 % of the geometric mean over prompts that are drawn again with replacement.

    NaN for fewer than two.
    """
    if len(ratios) < 2:
        return math.nan, math.nan
    means = _draws(len(ratios), seed) @ np.log(ratios) / len(ratios)
    low, high = np.exp(np.quantile(means, _MIDDLE))
    return float(low), float(high)


def geometric(ratios: Sequence[float]) -> Estimate:
    """The geometric mean of a ratio of each prompt."""
    return Estimate(geometric_mean(ratios), *interval(ratios))


def share(parts: Sequence[float], wholes: Sequence[float], seed: int = 0) -> Estimate:
    """sum(parts) / sum(wholes), a part and a whole for each prompt.

    Draws in which the wholes add up to 0 are left out. NaN if all do.
    """
    whole = math.fsum(wholes)
    if not whole:
        return UNKNOWN
    value = math.fsum(parts) / whole
    if len(wholes) < 2:
        return Estimate(value)
    draws = _draws(len(wholes), seed)
    drawn = draws @ np.asarray(wholes, np.float64)
    counted = drawn > 0
    low, high = np.quantile((draws[counted] @ np.asarray(parts, np.float64)) / drawn[counted], _MIDDLE)
    return Estimate(value, float(low), float(high))


def quantile(values: Sequence[Sequence[float]], at: float, seed: int = 0) -> Estimate:
    """The quantile `at` of all values together: the smallest value that a share of at least `at` does not exceed.

    values: those of each prompt. NaN without a value.
    """
    pooled = np.array([value for of_prompt in values for value in of_prompt], np.float64)
    if not len(pooled):
        return UNKNOWN
    order = np.argsort(pooled, kind="stable")
    owner = np.repeat(np.arange(len(values)), [len(of_prompt) for of_prompt in values])[order]
    pooled = pooled[order]
    value = _weighted_quantile(pooled, np.ones(len(pooled)), at)
    if len(values) < 2:
        return Estimate(value)
    draws = _draws(len(values), seed)[:_OF_QUANTILES]
    drawn = [found for draw in draws if not math.isnan(found := _of(pooled, draw[owner], at))]
    low, high = np.quantile(drawn, _MIDDLE)
    return Estimate(value, float(low), float(high))


def _of(values: Array, weights: Array, at: float) -> float:
    return _weighted_quantile(values, weights, at) if weights.any() else math.nan


def _weighted_quantile(values: Array, weights: Array, at: float) -> float:
    """values: ascending."""
    reached = np.cumsum(weights)
    place = np.searchsorted(reached, at * reached[-1] * (1 - 1e-12))  # 1e-12: rounding must not skip a value
    return float(values[min(int(place), len(values) - 1)])


@lru_cache(maxsize=32)
def _draws(prompts: int, seed: int) -> Array:
    """How often each prompt is drawn: float[resamples, prompts], every row sums to `prompts`."""
    chance = np.random.default_rng(seed)
    drawn = chance.multinomial(prompts, [1 / prompts] * prompts, _RESAMPLES).astype(np.float64)
    drawn.flags.writeable = False
    return drawn
