"""What the permutation tests share: exchanged labels of pooled draws, and the p-value of simulated statistics."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_ROUNDING = 1e-9  # a simulated statistic that is equal but for its last digits counts as equal


def labels(first: int, total: int) -> npt.NDArray[np.float32]:
    """Which of the pooled draws are of the first sample, float32[1, total]: 1 for the first `first` of them."""
    found = np.zeros((1, total), np.float32)
    found[0, :first] = 1.0
    return found


def exchanged(own: npt.NDArray[np.float32], count: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Random divisions of the pooled draws float32[1, total] into samples of the same sizes, float32[count, total]."""
    return rng.permuted(np.repeat(own, count, axis=0), axis=1)


def simulated_p_value(found: float, null: npt.NDArray[np.float64]) -> float:
    """How often the hypothesis alone gives a statistic as large: (1 + those) / (1 + simulations)."""
    return float((1 + np.count_nonzero(null >= found * (1.0 - _ROUNDING))) / (len(null) + 1))
