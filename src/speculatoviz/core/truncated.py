"""Verifying with scores that an endpoint cut off at its N most probable tokens, and with its own draws.

p is the target's distribution, q the draft's. Two ways lead past what the endpoint does not say:

- `estimate` gives a lower bound of p, token by token, and what it lacks of 1: the bound on the total variation.
- `first_kept` draws from the residual norm(max(0, p - q)) exactly, given draws from p that the server made.

Why a lower bound can be verified with. An endpoint adds the drafted token's score to its top A, so what is known
depends on the token x that was drawn. Let f <= p be a function of the top and of the token's own score, of which a
row shows A and x. A round over a chain that tests x with f, and on rejection draws from norm(max(0, f - q)), emits y
with probability out(y) >= f(y) on A, because it rejects with 1 - sum min(q, f) >= sum over A of max(0, f - q), and
out(y) >= min(q, f)(y) elsewhere. Hence TV(out, p) = sum max(0, p - out) <= 1 - f(A) - sum over the rest of
min(q, f), which is at most the mean over x ~ q of 1 - f(A and x): the mean of the bounds `estimate` returns.
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
    """What an endpoint said of one place.

    ids int32[n], unique; logprobs float64[n], raw (T=1, unfiltered, normalised over the whole vocabulary), minus
    infinity allowed. The first top_n are the most probable tokens in the endpoint's own order, which also ranks
    equals: no other id has a log-probability above the last of them. Further ids (the drafted token) may follow.
    n_vocab: rows of the model's output, padding included; too many loosens bounds, too few breaks them.
    slack: how far the sum of the endpoint's probabilities over the whole vocabulary may be from 1 (by default what
    float32 loses; llama.cpp servers reach 2e-4). Ratios of its probabilities are taken as exact.
    Raises ValueError where the numbers cannot be what this says.
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
        return len(self.ids) == self.n_vocab


def estimate(row: Row, sampling: Sampling) -> tuple[Distribution, float]:
    """A lower bound of the target's distribution p on the known ids, and an upper bound on the total variation.

    The Distribution's weights over its total are at most p, token by token; what they lack of 1 is at most the
    second value. That value also bounds TV(p-hat, p), with p-hat what is drawn from the Distribution (its weights
    renormalised), and, in the mean over the drafted token, the error of a verified chain (see the module). It is 0.0
    where the Distribution is p: whole rows; T=0 with the argmax certain; top_k <= top_n; and where top-p or min-p
    keep the same known tokens however the unknown mass lies. Of equal scores, the endpoint's order ranks the top
    (at T=0 and in whole rows the lowest id comes first).

    With w = p^(1/T): filters keep a prefix of the ranking, so the kept set S has w(C) <= w(S) <= W for the tokens C
    that are certainly kept and the most weight W that S can have; w/W on C is at most p = w/w(S), and TV(p-hat, p) is
    1 - w(C)/w(S). Unfiltered, C is the top and W = w(C) (1 + r) with the r of `_Tail.weight`: TV <= r / (1 + r).
    """
    if row.whole:
        by_id = np.argsort(row.ids)
        return distribution(row.logprobs[by_id], sampling), 0.0
    if sampling.greedy:
        return _greedy(row)
    return _Filtered(row, sampling).estimate()


def _greedy(row: Row) -> tuple[Distribution, float]:
    """The point mass on the argmax. Only an unknown id that equals the top, with a lower id, could be it instead.

    None can where the last of the top is below the first, where all lower ids are known, or where what is left of
    the mass is less than the top token has (always, if that is more than half).
    """
    largest = float(row.logprobs[0])
    best = int(row.ids[row.logprobs == largest].min())
    hidden_below = best - int(np.count_nonzero(row.ids < best))
    known = float(np.exp(row.logprobs).sum())
    unknown = max(0.0, 1.0 - known) + _total_error(row, known)
    certain = row.logprobs[row.top_n - 1] < largest or hidden_below == 0 or unknown < math.exp(largest)
    return Distribution(np.ones(1), 1.0, np.array([best], np.int32)), 0.0 if certain else 1.0


class _Span(NamedTuple):
    low: float
    high: float


class _Tail(NamedTuple):
    """The tokens outside the top, known and unknown.

    size tokens, none with more than `each`, together with `mass`; both relative to the most probable token's.
    """

    size: int
    each: float
    mass: _Span

    @classmethod
    def of(cls, row: Row) -> _Tail:
        probs = np.exp(row.logprobs)
        top, further = float(probs[: row.top_n].sum()), float(probs[row.top_n :].sum())
        error = _total_error(row, top + further)
        mass = _Span(max(1.0 - top - error, 0.0), max(1.0 - top, further) + error)
        gap = float(row.logprobs[row.top_n - 1] - row.logprobs[0])
        # What underflows at T=1 may still count at a high temperature.
        each = max(math.exp(gap), math.ulp(0.0)) if gap > -math.inf else 0.0
        return cls(row.n_vocab - row.top_n, each, _Span(mass.low / float(probs[0]), mass.high / float(probs[0])))

    def weight(self, count: int, power: float) -> _Span:
        """The least and the most that x^power can sum to over the `count` most probable of these tokens.

        With mass m, x <= c and power = 1/T, two arrangements are extreme: piled up, m/c tokens at c each, which makes
        m c^(power-1); and even, which makes count^(1-power) m^power. For T <= 1 x^power is convex and lies below its
        chord x c^(power-1): piled up is the most. For T > 1 it is concave and lies above: piled up is the least.
        Jensen's inequality gives the even sum as the other end. At T=1 both are m; neither exceeds count c^power.
        The r of TV <= r / (1 + r) is the larger, over the weight of the top.
        """
        count = min(count, self.size)
        if count <= 0 or self.each <= 0.0:
            return _Span(0.0, 0.0)

        def piled(mass: float) -> float:
            return float(min(count, mass / self.each) * self.each**power)

        def even(mass: float) -> float:
            return float(count * min(self.each, mass / count) ** power)

        least = self.mass.low * count / self.size  # the most probable have at least their share
        return _Span(min(piled(least), even(least)), max(piled(self.mass.high), even(self.mass.high)))

    def reaching(self, prob: float) -> int:
        """The most tokens here that can have `prob` or more each."""
        return int(min(self.size, self.mass.high / prob)) if prob > 0.0 else self.size


def _total_error(row: Row, known: float) -> float:
    """How far the sum over the vocabulary may be from 1: where the known sum belies the slack, all a Row allows."""
    return (row.slack if known <= 1.0 + row.slack else _NOT_PROBABILITIES) + _ROUNDING


class _Filtered:
    """A truncated row at T > 0 under the filters, in weights w = p^(1/T) relative to the top token's.

    Each filter keeps a prefix of the ranking: top-k its first top_k, top-p as many as reach its share of the weight
    behind top-k, min-p those whose weight is at least min_p. So all three together keep the shortest of the three.
    Lengths beyond the top stand for any number, up to n_vocab.
    """

    def __init__(self, row: Row, sampling: Sampling) -> None:
        self.row, self.sampling, self.power = row, sampling, 1.0 / sampling.temperature
        self.top_n, self.tail = row.top_n, _Tail.of(row)
        self.weights = np.exp((row.logprobs - row.logprobs[0]) * self.power)
        self.limit = min(sampling.top_k or row.n_vocab, row.n_vocab)
        self.sums = np.cumsum(self.weights[: min(self.top_n, self.limit)])
        behind = self.tail.weight(self.limit - self.top_n, self.power)
        self.total = _Span(float(self.sums[-1]) + behind.low, float(self.sums[-1]) + behind.high)

    def estimate(self) -> tuple[Distribution, float]:
        (nucleus, nucleus_most), (above, above_most) = self._nucleus(), self._above_floor()
        sure = min(self.limit, nucleus, above, self.top_n)
        most = min(self.limit, nucleus_most, above_most)
        kept = np.arange(sure)
        if most > self.top_n == sure:
            kept = np.append(kept, self._sure_beyond_top())
        kept = kept[np.argsort(self.row.ids[kept])]
        weights, ids = self.weights[kept], self.row.ids[kept].astype(np.int32)
        weight = float(weights.sum())
        if most == sure:
            return Distribution(weights, weight, ids), 0.0
        most_weight = max(weight, self._most_weight(most))
        return Distribution(weights, most_weight, ids), 1.0 - weight / most_weight

    def _nucleus(self) -> tuple[int, int]:
        """The shortest and the longest that top-p can keep, over every total weight there can be."""
        if self.sampling.top_p >= 1.0:
            return self.limit, self.limit
        goals = self.sampling.top_p * np.array(self.total) * (1 - _ROUNDING)
        short, long = (int(places) + 1 for places in np.searchsorted(self.sums, goals))
        return short, long if long <= len(self.sums) else self.limit

    def _above_floor(self) -> tuple[int, int]:
        """The fewest and the most that min-p can keep; a weight at the floor, up to rounding, may go either way."""
        floor, top = self.sampling.min_p, self.weights[: self.top_n]
        if floor <= 0.0:
            return self.limit, self.limit
        sure = int(np.count_nonzero(top >= min(1.0, floor * (1 + _ROUNDING))))
        most = int(np.count_nonzero(top >= floor * (1 - _ROUNDING)))
        if most == self.top_n:
            most += self.tail.reaching((floor * (1 - _ROUNDING)) ** self.sampling.temperature)
        return sure, most

    def _most_weight(self, most: int) -> float:
        """The most weight the kept set can have, if it is at most a prefix of length `most`."""
        if most <= self.top_n:
            return float(self.sums[most - 1])
        weight = float(self.sums[-1]) + self.tail.weight(most - self.top_n, self.power).high
        if self.sampling.top_p < 1.0:
            # A nucleus is over its goal by less than its last token, which is not above the last of the top.
            weight = min(weight, self.sampling.top_p * self.total.high + float(self.weights[self.top_n - 1]))
        return weight

    def _sure_beyond_top(self) -> npt.NDArray[np.intp]:
        """Places of further known ids that every filter keeps for certain.

        Each is judged by the top and its own score alone, so that f (see the module) does not depend on the others.
        Ahead of it or equal stand at most mass / prob tokens outside the top; a token is in the nucleus if the weight
        without it falls short of the goal.
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
    """Probability max(0, 1 - q(x) / p(x)) of keeping a token x that was drawn from p after a rejection.

    A draw is x and kept with probability p(x) max(0, 1 - q(x)/p(x)) = max(0, p(x) - q(x)), so a kept one has the
    residual's distribution, without a look at the rest of the vocabulary. One draw is kept with probability
    sum max(0, p - q) = TV(p, q), so 1 / TV(p, q) draws are expected; a rejection itself has probability TV(p, q),
    which makes it one draw per tested token on average. prob_p must be the probability with which x was drawn: for a
    raw log-probability, at T=1 without filters.
    """
    if prob_q <= 0.0:
        return 1.0
    return max(0.0, 1.0 - prob_q / prob_p) if prob_p > 0.0 else 0.0


def first_kept(
    draws: Sequence[tuple[int, float]], q: Support | None, token: int, chance: Chance, tested: int = 0
) -> int | None:
    """Index of the first of the server's draws that thinning keeps, None if it keeps none.

    draws: independent draws (id, p(id)) from p at the place where `token`, drawn from q (None: chosen without
    chance), was rejected. tested: draws already tested at this place; after None, ask for more and go on with it, as
    anything else would favour the tokens that are kept early. A kept draw is the round's extra token: nothing is
    drawn under EXTRA. Draw i is tested under node FIRST_DRAW + i, beyond any draft's nodes, so its uniform is its
    own; one place in a round at most is thinned, as a chain ends at its first rejection. Chains only: after several
    rejected siblings the residual is a residual's, and its normaliser needs the whole vocabulary.
    """
    q = q or Support.point(token)
    for index, (drawn, prob_p) in enumerate(draws):
        if chance.accept(thinned(prob_p, q.prob(drawn)), FIRST_DRAW + tested + index).accepted:
            return index
    return None
