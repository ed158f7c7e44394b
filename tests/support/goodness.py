"""The one test of whether counted outcomes follow their probabilities."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping
from typing import TypeVar

import numpy as np
from scipy.stats import chisquare

from speculatoviz.core.types import Floats

K = TypeVar("K", bound=Hashable)

LEAST = 5.0  # expected counts below it are pooled: the chi-square distribution does not hold for them


def goodness_of_fit(counts: Counter[K], probs: Mapping[K, float]) -> float:
    """The p-value of a chi-square test of counted outcomes against their probabilities, which sum to 1.

    0 if an outcome with probability 0 was counted; 1 if all outcomes are in one cell, so that nothing is tested.
    """
    if any(probs.get(outcome, 0.0) <= 0.0 for outcome in counts):
        return 0.0
    observed, expected = cells(counts, probs)
    return float(chisquare(observed, expected).pvalue) if len(expected) > 1 else 1.0


def cells(counts: Counter[K], probs: Mapping[K, float]) -> tuple[Floats, Floats]:
    """Observed and expected counts, float64[cells] each. The rarest outcomes are one cell that is at least LEAST."""
    outcomes = sorted(probs, key=lambda outcome: probs[outcome])
    observed = np.array([counts[outcome] for outcome in outcomes], np.float64)
    expected = np.array([probs[outcome] for outcome in outcomes], np.float64)
    expected *= counts.total() / expected.sum()
    enough = int(np.searchsorted(np.cumsum(expected), LEAST))
    last = min(max(enough, int((expected < LEAST).sum()) - 1), len(outcomes) - 1)
    starts = [0, *range(last + 1, len(outcomes))]
    return np.add.reduceat(observed, starts), np.add.reduceat(expected, starts)
