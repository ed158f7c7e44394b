"""The sums behind an autopsy: parts of rejections by cause, and intervals by resampling rounds.

Shapes: R rounds, B resamples, C = len(CAUSES), G groups. A group is one source of tokens at positions of one kind: the
first position, later ones, or those deeper than its head is trained for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from speculatoviz.telemetry.autopsy_info import CAUSES, Cause
from speculatoviz.telemetry.rejections import Parts, Tested, TestedRound

Values = npt.NDArray[np.float64]
_KINDS: tuple[Cause, Cause, Cause] = ("irreducible", "position", "depth")
_NOTHING = 1e-9  # a probability of rejection below this is rounding


class Sums(NamedTuple):
    """Per cause, float[C]: the parts of the expected and of the measured rejections. excess: by group, float[G].

    excess[g] is the share of the irreducible part of group g that its first position does not explain.
    """

    expected: Values
    measured: Values
    excess: Values


class Table:
    """The tests of a run, summed by round. depths: the trained depth of the sources that have a head."""

    def __init__(self, rounds: Sequence[TestedRound], depths: Mapping[str, int]) -> None:
        self._depths = depths
        self.sources = sorted({test.source for round in rounds for test in round.tests})
        groups = len(_KINDS) * len(self.sources)
        shape, by_group = (len(rounds), len(CAUSES)), (len(rounds), groups)
        self._expected, self._measured = np.zeros(shape), np.zeros(shape)
        self._irreducible, self._irreducible_measured, self._reach = (np.zeros(by_group) for _ in range(3))
        for index, round in enumerate(rounds):
            for test in round.tests:
                self._add(index, test)

    def group(self, test: Tested) -> int:
        """The index of the group of a test."""
        deep = test.position >= self._depths.get(test.source, test.position + 1)
        return len(_KINDS) * self.sources.index(test.source) + (2 if deep else 1 if test.position else 0)

    def _add(self, index: int, test: Tested) -> None:
        group = self.group(test)
        self._expected[index] += _vector(test.parts)
        self._irreducible[index, group] += test.parts.get("irreducible", 0.0)
        self._reach[index, group] += test.reach
        if test.rejected:
            shares = _vector(shares_of(test))
            self._measured[index] += shares
            self._irreducible_measured[index, group] += shares[0]

    def sums(self) -> Sums:
        """Over all rounds."""
        expected, measured, excess = self._sums(np.ones((1, len(self._expected))))
        return Sums(expected[0], measured[0], excess[0])

    def resampled(self, count: int, rng: np.random.Generator) -> Values:
        """The expected rejections by cause, float[B, C], of `count` runs whose rounds are drawn from this run's."""
        rounds = len(self._expected)
        weights = rng.multinomial(rounds, np.full(rounds, 1.0 / rounds), size=count).astype(np.float64)
        return self._sums(weights)[0]

    def _sums(self, weights: Values) -> tuple[Values, Values, Values]:
        """Expected and measured float[B, C], excess float[B, G]. weights float[B, R]: how often each round counts."""
        irreducible = weights @ self._irreducible
        excess = _excess(irreducible, weights @ self._reach)
        expected, measured = weights @ self._expected, weights @ self._measured
        for sums, parts in ((expected, irreducible), (measured, weights @ self._irreducible_measured)):
            moved = (excess * parts).reshape(len(weights), len(self.sources), len(_KINDS)).sum(axis=1)
            sums[:, 0] -= moved.sum(axis=1)
            sums[:, 1] += moved[:, 1]
            sums[:, 2] += moved[:, 2]
        return expected, measured, excess


def _excess(irreducible: Values, reach: Values) -> Values:
    """max(0, 1 - u_0 / u_g) float[B, G], where u is the mean irreducible part of a test, at the source's position 0.

    0 where a source has no test at position 0.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(reach > 0, irreducible / reach, 0.0).reshape(len(reach), -1, len(_KINDS))
        known = (reach > 0).reshape(mean.shape)[:, :, :1]
        excess = np.where(known & (mean > 0), 1.0 - mean[:, :, :1] / mean, 0.0)
    clipped: Values = np.clip(excess, 0.0, 1.0).reshape(irreducible.shape)
    return clipped


def split(parts: Parts, excess: float, group: int) -> Parts:
    """Parts with the excess of their group moved from `irreducible` to its position or depth."""
    moved = excess * parts.get("irreducible", 0.0)
    kind = _KINDS[group % len(_KINDS)]
    return (
        {**parts, "irreducible": parts.get("irreducible", 0.0) - moved, kind: parts.get(kind, 0.0) + moved}
        if moved
        else parts
    )


def shares_of(test: Tested) -> Parts:
    """The parts of a rejected token, divided by their sum."""
    whole = test.expected
    if whole < _NOTHING:
        return {"unknown": 1.0}
    return {cause: part / whole for cause, part in test.parts.items()}


def _vector(parts: Parts) -> Values:
    return np.array([parts.get(cause, 0.0) for cause in CAUSES])
