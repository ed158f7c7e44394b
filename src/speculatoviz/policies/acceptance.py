"""Running estimates of acceptance: by drafter, position, the drafter's own certainty, and the target's.

Where the target's largest probability is high, drafts are accepted more often, and it is known in every round without a
draft. Over a text, its mean and the acceptance of a draft's first token are nearly equal (docs/performance.md).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

_POSITIONS = 8  # deeper ones count as the last
_BINS = 10  # of certainty, 0 to 1
_MEMORIES = (5.0, 20.0, 80.0)  # tests that each estimate of a rate remembers
_SHARED = 0.05  # of the weight of all estimates, given to each alike after every test
_STALE = 0.99  # weight of what is known after a round in which a drafter was not tested
_PRIOR = 2.0  # tests that the prior counts as
_POOLED = 4.0  # tests of one position at which it counts as much as all positions together
_SIBLINGS = 0.3  # the acceptance of a second choice after a rejection, before anything is known
_CARRIED = 8.0  # tests that what earlier runs showed counts as at most
_LEAST, _MOST = 0.01, 0.99


class Rate:
    """A share of successes that may change. mean: the estimate. tests: how many tests it counts as.

    Estimates with short and long memories are mixed with weights that follow how well each has predicted the last
    tests: the fixed-share forecaster (Herbster and Warmuth 1998). In steady text the long memory prevails, and after a
    change the short one.
    """

    def __init__(self, mean: float, tests: float = _PRIOR) -> None:
        self._means = [mean] * len(_MEMORIES)
        self._weights = [1.0 / len(_MEMORIES)] * len(_MEMORIES)
        self._count = tests

    @property
    def mean(self) -> float:
        (a, b, c), (short, middle, long) = self._weights, self._means
        return a * short + b * middle + c * long

    @property
    def tests(self) -> float:
        (a, b, c), count = self._weights, self._count
        short, middle, long = _MEMORIES
        return a * min(short, count) + b * min(middle, count) + c * min(long, count)

    def add(self, success: float) -> None:
        """A test succeeded (1) or failed (0). In between: the probability that it would have succeeded."""
        self._count += 1.0
        failure, count, means, likely = 1.0 - success, self._count, list[float](), list[float]()
        for weight, mean, memory in zip(self._weights, self._means, _MEMORIES, strict=True):
            bounded = 0.02 if mean < 0.02 else 0.98 if mean > 0.98 else mean
            likely.append(weight * (bounded * success + (1.0 - bounded) * failure))
            means.append(mean + (success - mean) / (memory if memory < count else count))
        share = (1.0 - _SHARED) / sum(likely)
        self._weights = [share * part + _SHARED / len(_MEMORIES) for part in likely]
        self._means = means

    def age(self, share: float) -> None:
        """Trust the estimate less: the share of its tests that still counts."""
        self._count = min(self._count, _MEMORIES[-1]) * share

    def carry(self) -> None:
        """Begin another text: what is known counts as few tests."""
        self._count = min(self._count, _CARRIED)

    def optimistic(self, deviations: float) -> float:
        """The mean plus that many standard deviations of it. deviations: below 0 for a cautious estimate."""
        return min(max(self.mean + deviations * math.sqrt(0.25 / (self.tests + 1.0)), _LEAST), _MOST)


class Acceptance:
    """What is known of one drafter. prior: the acceptance assumed before anything of it is known."""

    def __init__(self, prior: float) -> None:
        self._all = Rate(prior)
        self._positions = [Rate(prior, 0.0) for _ in range(_POSITIONS)]
        self._siblings = Rate(_SIBLINGS)
        self._bins = [Rate((place + 0.5) / _BINS, 2 * _PRIOR) for place in range(_BINS)]
        self._target_bins = [Rate((place + 0.5) / _BINS, 2 * _PRIOR) for place in range(_BINS)]
        self._estimates: tuple[float, ...] = ()  # by position; empty after a change, until they are asked for

    def at(self, position: int) -> float:
        """The estimated acceptance at a position, if the tokens before it are accepted."""
        if not self._estimates:
            shared = self._all.mean * _POOLED
            self._estimates = tuple(_pooled(own, shared) for own in self._positions)
        return self._estimates[min(position, _POSITIONS - 1)]

    def given(self, certainty: float) -> float:
        """The estimated acceptance of a token whose drafter is this certain: what became of similar ones.

        Interpolated between the middles of two bins.
        """
        return _interpolated(self._bins, certainty)

    def relate(self, target_certainty: float, accepted: bool) -> None:
        """A first drafted token was accepted or rejected where the target's largest probability was this."""
        self._target_bins[min(int(target_certainty * _BINS), _BINS - 1)].add(accepted)

    def expect(self, target_certainty: float) -> None:
        """Nothing was drafted in this round: count the acceptance that drafts had where the target was this certain."""
        likely = _interpolated(self._target_bins, target_certainty)
        self._estimates = ()
        for rate in (self._all, *self._positions):
            rate.add(likely)

    def path(self, depth: int, certainties: Sequence[float] = (), deviations: float = 0.0) -> list[float]:
        """The estimated acceptance of each of `depth` positions; certainties: of the first ones, if known.

        deviations: how many standard deviations of the drafter's overall rate to add, for an optimistic or, below
        zero, a cautious estimate.
        """
        known = [self.given(certainty) for certainty in certainties[:depth]]
        estimated = known + [self.at(position) for position in range(len(known), min(depth, _POSITIONS))]
        estimated += [self.at(_POSITIONS - 1)] * (depth - len(estimated))
        if not deviations:
            return estimated
        more = self._all.optimistic(deviations) - self._all.mean
        return [min(max(rate + more, _LEAST), _MOST) for rate in estimated]

    @property
    def sibling(self) -> float:
        """The estimated acceptance of another token at a position, if the first choice there was rejected."""
        return self._siblings.mean

    def observe_sibling(self, accepted: bool) -> None:
        """The first choice at a position was rejected, and another token there was tested."""
        self._siblings.add(accepted)

    def observe(self, outcomes: Sequence[bool], certainties: Sequence[float | None]) -> None:
        """The first choice at each position of a path was accepted or rejected, as far as positions were reached."""
        self._estimates = ()
        for position, success in enumerate(outcomes):
            self._all.add(success)
            self._positions[min(position, _POSITIONS - 1)].add(success)
            certainty = certainties[position] if position < len(certainties) else None
            if certainty is not None:
                self._bins[min(int(certainty * _BINS), _BINS - 1)].add(success)
        for rate in self._positions[len(outcomes) :]:
            rate.age(_STALE)

    def age(self) -> None:
        """A round passed in which this drafter was not tested."""
        self._estimates = ()
        for rate in (self._all, *self._positions):
            rate.age(_STALE)

    def carry(self) -> None:
        """Another text begins."""
        self._estimates = ()
        for rate in (self._all, *self._positions):
            rate.carry()


def _pooled(own: Rate, shared: float) -> float:
    """The rate of a position, with that of all positions as its prior. shared: their rate, times its weight."""
    tests = own.tests
    return min(max((own.mean * tests + shared) / (tests + _POOLED), _LEAST), _MOST)


def _interpolated(bins: Sequence[Rate], certainty: float) -> float:
    """The mean rate at a certainty, between the middles of two bins."""
    place = min(max(certainty * len(bins) - 0.5, 0.0), len(bins) - 1.0)
    low = int(place)
    high = min(low + 1, len(bins) - 1)
    mean = bins[low].mean * (low + 1 - place) + bins[high].mean * (place - low)
    return min(max(mean, _LEAST), _MOST)
