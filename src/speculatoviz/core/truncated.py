"""Verification with an endpoint's truncated scores and with its own draws.

p is the target's distribution, q the draft's. The proofs are in docs/exactness.md, "Truncated scores" and "Thinning";
the docstrings name their steps.

- `estimate` returns a lower bound of p and an upper bound on the total variation distance that it causes.
- `first_kept` draws from the residual norm(max(0, p - q)) exactly, by thinning draws from p that the server made.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from speculatoviz.core.chance import Chance
from speculatoviz.core.sampling import Distribution, distribution
from speculatoviz.core.types import Ints, Sampling, Support

FIRST_DRAW = 1_000_000  # the node of the first thinned draw; nodes of a draft count from 0, EXTRA is -1

_FLOAT32_SLACK = 1e-5
_ROUNDING = 1e-12
_NOT_PROBABILITIES = 1e-2


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """The scores that an endpoint returned for one position.

    ids int32[n], unique. logprobs float64[n]: raw (T=1, no filters, normalised over the whole vocabulary); minus
    infinity is allowed. top_n: the first top_n ids are the most probable tokens, in the endpoint's order, which also
    ranks equal ones; no other id has a higher log-probability than the last of them. Further ids, such as the drafted
    token, may follow. n_vocab: rows of the model's output, padding included; too many make the bounds loose, too few
    make them wrong. slack: how far the sum of the probabilities over the vocabulary may be from 1; the default is the
    rounding of float32, llama.cpp servers reach 2e-4. Ratios of probabilities are taken as exact.

    Raises ValueError for numbers that contradict this description.
    """

    ids: Ints
    logprobs: npt.NDArray[np.float64]
    top_n: int
    n_vocab: int
    slack: float = _FLOAT32_SLACK

    def __post_init__(self) -> None:
        ids, logprobs = self.ids, self.logprobs
        if ids.ndim != 1 or ids.shape != logprobs.shape or not len(ids):
            raise ValueError(f"expected as many ids as log-probabilities, got shapes {ids.shape} and {logprobs.shape}")
        if int(ids.min()) < 0 or int(ids.max()) >= self.n_vocab or len(np.unique(ids)) < len(ids):
            raise ValueError(f"expected different ids within 0 to {self.n_vocab - 1}, got {ids.tolist()[:8]}...")
        if not (self.whole or 1 <= self.top_n <= len(ids)):
            raise ValueError(f"expected 1 to {len(ids)} top tokens, got {self.top_n}")
        top, further = logprobs[: self.top_n], logprobs[self.top_n :]
        if bool((top[1:] > top[:-1]).any()) or (len(top) and bool((further > top[-1]).any())):
            raise ValueError("expected the top tokens, most probable first, and no other id above them")
        self._check_sum()

    def _check_sum(self) -> None:
        largest = float(self.logprobs.max())
        total = float(np.exp(np.minimum(self.logprobs, 1.0)).sum())
        # All of V tokens sum to 1, and the most probable of them has at least 1/V.
        least = total if self.whole else math.exp(min(largest, 1.0)) * self.n_vocab
        # Written so that a sum that is not a number fails as well.
        if not (total <= 1.0 + _NOT_PROBABILITIES and least >= 1.0 - _NOT_PROBABILITIES):
            raise ValueError(f"expected log-probabilities over {self.n_vocab} tokens, got {total} in all")

    @property
    def whole(self) -> bool:
        """Whether every token of the vocabulary has a score."""
        return len(self.ids) == self.n_vocab


def estimate(row: Row, sampling: Sampling) -> tuple[Distribution, float]:
    """A lower bound f of the target's distribution p, and a bound b on total variation ("Truncated scores", 5 to 8).

    Returns (f, b). f: a Distribution over known ids with f(y) = weight(y) / total <= p(y); its total is larger than the
    sum of its weights unless b = 0. b: 1 - f(known ids) <= b, TV(norm(f), p) <= b, and the mean of b over the drafted
    token bounds the error of a verified chain (step 4).

    b is 0.0 where f = p: in a whole row; at T=0 if the argmax is certain; for top_k <= top_n; if top-p or min-p keep
    the same known tokens wherever the unknown mass lies. Among equal scores the endpoint's order decides, and at T=0
    and in whole rows the lowest id.
    """
    if row.whole:
        by_id = np.argsort(row.ids)
        return distribution(row.logprobs[by_id], sampling), 0.0
    if sampling.greedy:
        return _greedy(row)
    return _Filtered(row, sampling).estimate()


def _greedy(row: Row) -> tuple[Distribution, float]:
    """The point mass on the argmax, which is certain unless an unknown lower id may have the same score (step 8)."""
    largest = float(row.logprobs[0])
    best = int(row.ids[row.logprobs == largest].min())
    unknown_below = best - int(np.count_nonzero(row.ids < best))  # unknown ids that are lower
    known = float(np.exp(row.logprobs).sum())
    unknown = max(0.0, 1.0 - known) + _total_error(row, known)
    certain = row.logprobs[row.top_n - 1] < largest or unknown_below == 0 or unknown < math.exp(largest)
    return Distribution(np.ones(1), 1.0, np.array([best], np.int32)), 0.0 if certain else 1.0


class _Interval(NamedTuple):
    low: float
    high: float


class _Tail(NamedTuple):
    """The tokens outside the top, known and unknown.

    size: how many there are. largest: the most probability that one of them can have (c). mass: their probability
    together (m). Both are relative to the probability of the most probable token.
    """

    size: int
    largest: float
    mass: _Interval

    @classmethod
    def of(cls, row: Row) -> _Tail:
        """The tail of a truncated row."""
        probs = np.exp(row.logprobs)
        top, further = float(probs[: row.top_n].sum()), float(probs[row.top_n :].sum())
        error = _total_error(row, top + further)
        mass = _Interval(max(1.0 - top - error, 0.0), max(1.0 - top, further) + error)
        gap = float(row.logprobs[row.top_n - 1] - row.logprobs[0])
        # What underflows at T=1 may still count at a high temperature.
        largest = max(math.exp(gap), math.ulp(0.0)) if gap > -math.inf else 0.0
        return cls(row.n_vocab - row.top_n, largest, _Interval(mass.low / float(probs[0]), mass.high / float(probs[0])))

    def weight(self, count: int, power: float) -> _Interval:
        """The interval of sum x^power over the `count` most probable of these tokens; power = 1/T (step 7)."""
        count = min(count, self.size)
        if count <= 0 or self.largest <= 0.0:
            return _Interval(0.0, 0.0)

        def concentrated(mass: float) -> float:
            return float(min(count, mass / self.largest) * self.largest**power)

        def uniform(mass: float) -> float:
            return float(count * min(self.largest, mass / count) ** power)

        low, high = self.mass.low * count / self.size, self.mass.high  # the most probable have at least their share
        return _Interval(min(concentrated(low), uniform(low)), max(concentrated(high), uniform(high)))

    def reaching(self, prob: float) -> int:
        """The most of these tokens that can have a probability of `prob` or more each."""
        return int(min(self.size, self.mass.high / prob)) if prob > 0.0 else self.size


def _total_error(row: Row, known: float) -> float:
    """How far the sum over the vocabulary may be from 1: the slack, or all that a Row allows if `known` exceeds it."""
    return (row.slack if known <= 1.0 + row.slack else _NOT_PROBABILITIES) + _ROUNDING


class _Filtered:
    """A truncated row at T > 0 under the filters, in weights w = p^(1/T) relative to the top token's (steps 5 and 6).

    Each filter keeps a prefix of the ranking, so together they keep the shortest of the three. Numbers of tokens are
    numbers of places in the ranking; what lies beyond the top is known up to an interval only.
    """

    def __init__(self, row: Row, sampling: Sampling) -> None:
        self.row, self.sampling, self.power = row, sampling, 1.0 / sampling.temperature
        self.top_n, self.tail = row.top_n, _Tail.of(row)
        self.weights = np.exp((row.logprobs - row.logprobs[0]) * self.power)
        self.limit = min(sampling.top_k or row.n_vocab, row.n_vocab)
        self.sums = np.cumsum(self.weights[: min(self.top_n, self.limit)])
        beyond = self.tail.weight(self.limit - self.top_n, self.power)
        self.total = _Interval(float(self.sums[-1]) + beyond.low, float(self.sums[-1]) + beyond.high)

    def estimate(self) -> tuple[Distribution, float]:
        """f and b of `estimate`."""
        nucleus, above = self._nucleus(), self._above_floor()
        fewest = min(self.limit, nucleus[0], above[0], self.top_n)
        most = min(self.limit, nucleus[1], above[1])
        kept = np.arange(fewest)
        if most > self.top_n == fewest:
            kept = np.append(kept, self._kept_beyond_top())
        kept = kept[np.argsort(self.row.ids[kept])]
        weights, ids = self.weights[kept], self.row.ids[kept].astype(np.int32)
        weight = float(weights.sum())
        if most == fewest:
            return Distribution(weights, weight, ids), 0.0
        most_weight = max(weight, self._most_weight(most))
        return Distribution(weights, most_weight, ids), 1.0 - weight / most_weight

    def _nucleus(self) -> tuple[int, int]:
        """The fewest and the most tokens that top-p can keep, over the interval of the total weight."""
        if self.sampling.top_p >= 1.0:
            return self.limit, self.limit
        goals = self.sampling.top_p * np.array(self.total) * (1 - _ROUNDING)
        fewest, most = (int(index) + 1 for index in np.searchsorted(self.sums, goals))
        return fewest, most if most <= len(self.sums) else self.limit

    def _above_floor(self) -> tuple[int, int]:
        """The fewest and the most tokens that min-p can keep. A weight that rounds to the floor counts as both."""
        floor, top = self.sampling.min_p, self.weights[: self.top_n]
        if floor <= 0.0:
            return self.limit, self.limit
        fewest = int(np.count_nonzero(top >= min(1.0, floor * (1 + _ROUNDING))))
        most = int(np.count_nonzero(top >= floor * (1 - _ROUNDING)))
        if most == self.top_n:
            most += self.tail.reaching((floor * (1 - _ROUNDING)) ** self.sampling.temperature)
        return fewest, most

    def _most_weight(self, most: int) -> float:
        """W: the most weight that a kept set of at most `most` tokens can have."""
        if most <= self.top_n:
            return float(self.sums[most - 1])
        weight = float(self.sums[-1]) + self.tail.weight(most - self.top_n, self.power).high
        if self.sampling.top_p < 1.0:
            # A nucleus exceeds its goal by less than the weight of its last token, at most that of the last of the top.
            weight = min(weight, self.sampling.top_p * self.total.high + float(self.weights[self.top_n - 1]))
        return weight

    def _kept_beyond_top(self) -> npt.NDArray[np.intp]:
        """The indices of the further known ids that every filter certainly keeps.

        Each is decided from the top and its own score alone, as step 1 requires. At most mass / prob tokens outside the
        top are as probable as it. A token is in the nucleus if the weight without it is below the goal.
        """
        weights = self.weights[self.top_n :]
        probs = np.exp(self.row.logprobs[self.top_n :] - self.row.logprobs[0])
        kept = weights >= self.sampling.min_p * (1 + _ROUNDING)
        if self.limit < self.row.n_vocab:
            kept &= probs * (self.limit - self.top_n + 1) > self.tail.mass.high
        if self.sampling.top_p < 1.0:
            kept &= weights > (1.0 - self.sampling.top_p * (1 - _ROUNDING)) * self.total.high
        return self.top_n + np.flatnonzero(kept)


def thinned(prob_p: float, prob_q: float) -> float:
    """The probability max(0, 1 - q(x) / p(x)) of keeping a token x that was drawn from p ("Thinning", step 1).

    prob_p: the probability with which x was drawn. For a raw log-probability that is the one at T=1 without filters.
    """
    if prob_q <= 0.0:
        return 1.0
    return max(0.0, 1.0 - prob_q / prob_p) if prob_p > 0.0 else 0.0


def first_kept(
    draws: Sequence[tuple[int, float]], q: Support | None, token: int, chance: Chance, tested: int = 0
) -> int | None:
    """The index of the first draw that thinning keeps; None if it keeps none ("Thinning", steps 2 and 3).

    draws: (id, p(id)) of independent draws from p at the position where `token` was rejected. q: what `token` was drawn
    from; None for a chosen token. tested: the number of draws tested at this position before. After None, ask the
    server for more draws and continue; anything else would prefer tokens that are kept early.

    A kept draw is the extra token of the round. Draw i uses the random number of node FIRST_DRAW + i; a chain has at
    most one rejected position, so each number is used once. For chains only: after several rejected siblings the
    residual's normaliser needs the whole vocabulary.
    """
    q = q or Support.point(token)
    for index, (drawn, prob_p) in enumerate(draws):
        if chance.accept(thinned(prob_p, q.prob(drawn)), FIRST_DRAW + tested + index).accepted:
            return index
    return None
