"""Means of ratios and their intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

_RESAMPLES = 2000  # of the prompts, for an interval


def geometric_mean(ratios: Sequence[float]) -> float:
    """exp of the mean logarithm; NaN of nothing."""
    return float(np.exp(np.mean(np.log(ratios)))) if ratios else math.nan


def interval(ratios: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """The middle 95 % of the geometric mean over prompts that are drawn again with replacement (bootstrap).

    NaN for fewer than two.
    """
    if len(ratios) < 2:
        return math.nan, math.nan
    logs = np.log(ratios)
    drawn = np.random.default_rng(seed).integers(0, len(logs), (_RESAMPLES, len(logs)))
    low, high = np.quantile(logs[drawn].mean(axis=1), [0.025, 0.975])
    return float(np.exp(low)), float(np.exp(high))
