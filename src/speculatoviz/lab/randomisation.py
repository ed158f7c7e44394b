"""Two tests by simulation, and the smallest distance that each would catch. No p-value rests on an approximation.

Counts of rare tokens are small, so the chi-square distribution would not hold for them. Here the statistic is
Pearson's, and its distribution under the hypothesis is simulated: by draws from given probabilities, or by exchanged
labels of two samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from speculatoviz.core.types import Floats
from speculatoviz.lab.permutations import exchanged, labels, simulated_p_value

_LEAST = 5.0  # expected counts below it are pooled: single rare outcomes say little
_SIMULATIONS = 5_000
_CHUNK = 1_000  # simulations at a time, for the memory
POWER = 0.9  # with which a distance has to be caught


@dataclass(frozen=True, slots=True)
class Outcome:
    """p_value: how often the hypothesis alone gives a statistic as large, at least 1 / 5,001.

    distance: the total variation of one position that is caught with a probability of about 0.9, in whatever direction
    it lies between the cells of the test. None if the test has a single cell, so that it catches nothing.
    """

    p_value: float
    distance: float | None


def goodness_of_fit(counts: npt.NDArray[np.int64], probs: Floats, level: float, rng: np.random.Generator) -> Outcome:
    """Whether counts int64[C] follow probabilities float64[C], which sum to 1.

    Outcomes with an expected count below 5 are one cell. level: the p-value below which the test rejects.
    """
    samples = int(counts.sum())
    kept = probs * samples >= _LEAST
    observed = np.append(counts[kept], counts[~kept].sum()).astype(np.float64)
    expected = np.append(probs[kept], probs[~kept].sum()) * samples
    if not expected[-1]:
        if observed[-1]:  # an outcome that has no probability
            return Outcome(1.0 / (_SIMULATIONS + 1), None)
        observed, expected = observed[:-1], expected[:-1]
    if len(expected) < 2:
        return Outcome(1.0, None)
    drawn = rng.multinomial(samples, expected / expected.sum(), size=_SIMULATIONS)
    null = (np.square(drawn - expected) / expected).sum(axis=1)
    found = float((np.square(observed - expected) / expected).sum())
    return Outcome(simulated_p_value(found, null), 0.5 * float(np.sqrt(_caught(null, level, rng) / samples)))


def two_samples(
    first: npt.NDArray[np.int64], second: npt.NDArray[np.int64], level: float, rng: np.random.Generator
) -> Outcome:
    """Whether the rows of both samples, int64[n, L], come from one distribution.

    The statistic sums over the L positions and over whole rows, so it sees single positions and how they belong
    together. Rows exchange their labels as wholes. Outcomes that occur fewer than 10 times in both samples together are
    one cell. level: the p-value below which the test rejects.
    """
    rows = np.concatenate([first, second])
    cells = np.concatenate([_cells(column) for column in (*rows.T, _as_whole(rows))], axis=1)
    if not cells.shape[1]:
        return Outcome(1.0, None)
    own = labels(len(first), len(rows))
    null = np.concatenate([_statistics(exchanged(own, _CHUNK, rng), cells) for _ in range(_SIMULATIONS // _CHUNK)])
    found = float(_statistics(own, cells)[0])
    samples = 2.0 * len(first) * len(second) / len(rows)
    return Outcome(simulated_p_value(found, null), 0.5 * float(np.sqrt(2.0 * _caught(null, level, rng) / samples)))


def _as_whole(rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.unique(rows, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)


def _cells(column: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """float32[N, C]: which of the C cells each outcome is in. No cells if all outcomes are in one."""
    _, places, counts = np.unique(column, return_inverse=True, return_counts=True)
    frequent = np.flatnonzero(counts >= 2 * _LEAST)
    cells = places.reshape(-1)[:, None] == frequent[None]
    others = ~cells.any(axis=1, keepdims=True)
    if others.any():
        cells = np.concatenate([cells, others], axis=1)
    return cells.astype(np.float32) if cells.shape[1] > 1 else np.zeros((len(column), 0), np.float32)


def _statistics(labels: npt.NDArray[np.float32], cells: npt.NDArray[np.float32]) -> Floats:
    """Pearson's statistic of each row of labels float32[S, N], summed over all cells float32[N, C]."""
    both = cells.sum(axis=0, dtype=np.float64)
    share = float(labels[0].mean(dtype=np.float64))
    expected = both * share
    difference = (labels @ cells).astype(np.float64) - expected
    total: Floats = (np.square(difference) / (expected * (1.0 - share))).sum(axis=1)
    return total


def _caught(null: Floats, level: float, rng: np.random.Generator) -> float:
    """The noncentrality with which the statistic exceeds the critical value with probability POWER.

    A shift adds lambda + 2 sqrt(lambda) z to the statistic, z being standard normal. By Cauchy and Schwarz, every shift
    with a total variation of at least sqrt(lambda / n) / 2 has at least this noncentrality, whatever its direction.
    """
    critical = float(np.quantile(null, 1.0 - level))
    z = rng.standard_normal(len(null))
    low, high = 0.0, 4.0 * critical + 100.0
    for _ in range(40):
        middle = 0.5 * (low + high)
        power = float(np.mean(null + middle + 2.0 * np.sqrt(middle) * z >= critical))
        low, high = (middle, high) if power < POWER else (low, middle)
    return high
