"""What a round costs: the measured times of passes and drafts, kept fresh by the rounds themselves.

All times are milliseconds.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_left
from collections.abc import Callable, Container, Mapping, Sequence

import numpy as np

from speculatoviz.core.constraint import FORCED
from speculatoviz.core.rounds import Round, SharedPass

_NEWEST = 0.1  # weight of a round in the running averages
_UNKNOWN_SHARE = 0.3  # of a plain pass: the assumed cost of a drafted token that was never measured
_BATCHED = 0.3  # of the time of a single token: what one more token costs in a batch that a draft model reads
_READ_FOR_BLOCKS = 0.05  # of a block's time for a token: what a head that drafts in blocks pays to read one
_SLOWEST = 8.0  # a single observation changes an estimate by at most this factor
_FORGOTTEN = 0.005  # share of what was learned of a drafter that a round without it forgets


class Average:
    """A running mean of logarithms, so that one slow round counts little. known: counts as one observation."""

    def __init__(self, value: float, *, known: bool = False) -> None:
        self.value, self._count = value, float(known)

    def add(self, observed: float) -> None:
        bounded = min(max(observed, self.value / _SLOWEST), self.value * _SLOWEST)
        self._count += 1.0
        share = max(_NEWEST, 1.0 / self._count)
        self.value = _between(self.value, bounded, share)

    def forget(self, known: float, share: float) -> None:
        """Move by a share to what was known before the observations."""
        self.value = _between(self.value, known, share)


def _between(value: float, other: float, share: float) -> float:
    """`other` counts `share` in the mean of the logarithms."""
    return math.exp((1.0 - share) * math.log(value) + share * math.log(other))


class VerifyCosts:
    """The time of a verification by rows, a row for each token of the target's pass.

    measured: the table of pass times as it is now; it grows while a session is idle. A pass over n rows is estimated as
    table(n) * drift * shape(n). drift: how much slower everything is now than when the table was measured. shape(n):
    how much the size deviates from the table beyond that; it is learned where the size is observed, and interpolated
    for sizes between. Between two sizes of the table the time is interpolated too, because it is not monotone; after
    the last it grows as between the last two.
    """

    def __init__(self, measured: Callable[[], Mapping[int, float]]) -> None:
        self._measured = measured
        self._log_drift = 0.0
        self._log_shape: dict[int, float] = {}
        self._seen: dict[int, int] = {}  # observations by rows
        self._sizes: list[int] = []  # those with a shape, in order
        self._table: dict[int, float] = {}  # as it was measured when the times of `_by_rows` were read from it
        self._by_rows: dict[int, float] = {}
        self._expected: dict[range, list[float]] = {}  # what `of` returns, until something else is measured

    @property
    def slowdown(self) -> float:
        """How much longer a pass over one token takes now than when the table was measured."""
        return math.exp(self._log_drift + self._shape(1))

    def ms(self, rows: int) -> float:
        """The expected time of a pass over `rows` tokens."""
        return self._tabulated([rows])[0] * math.exp(self._log_drift + self._shape(rows))

    def of(self, sizes: range) -> list[float]:
        """The expected times of passes of these sizes. Not to be written to: it is kept until something changes."""
        self._read_table()
        if sizes not in self._expected:
            shapes = [self._log_shape[size] for size in self._sizes]
            shape = np.interp(sizes, self._sizes, shapes) if shapes else np.zeros(len(sizes))
            times: list[float] = (np.array(self._tabulated(sizes)) * np.exp(self._log_drift + shape)).tolist()
            self._expected[sizes] = times
        return self._expected[sizes]

    def observe(self, rows: int, ms: float) -> None:
        """A pass over `rows` tokens took `ms`."""
        if ms <= 0.0:
            return
        self._expected = {}
        limit = math.log(_SLOWEST)
        error = min(max(math.log(ms / self.ms(rows)), -limit), limit)
        if not self._seen:
            self._log_drift, error = error, 0.0
        count = self._seen.get(rows, 0)
        share = max(_NEWEST / 4, 1.0 / (count + 1))  # a size that is well known has a shape: the rest is drift
        self._log_shape[rows] = self._shape(rows) + share * error
        self._log_drift += _NEWEST * (1.0 - share) * error
        self._seen[rows] = count + 1
        self._sizes = sorted(self._log_shape)

    def _shape(self, rows: int) -> float:
        """The logarithm of the shape: as observed, between the nearest observed sizes, or as the nearest one."""
        if rows in self._log_shape or not self._log_shape:
            return self._log_shape.get(rows, 0.0)
        place = bisect_left(self._sizes, rows)
        low, high = self._sizes[max(place - 1, 0)], self._sizes[min(place, len(self._sizes) - 1)]
        share = (rows - low) / (high - low) if high > low else 0.0
        return self._log_shape[low] + share * (self._log_shape[high] - self._log_shape[low])

    def _tabulated(self, sizes: Sequence[int]) -> list[float]:
        """The times by the table. Times that were read from it are kept while it stays as it is."""
        self._read_table()
        for rows in sizes:
            if rows not in self._by_rows:
                self._by_rows[rows] = _interpolated(self._table or {1: 1.0}, rows)
        return [self._by_rows[rows] for rows in sizes]

    def _read_table(self) -> None:
        measured = self._measured()
        if measured != self._table:
            self._table, self._by_rows, self._expected = dict(measured), {}, {}


def _interpolated(table: Mapping[int, float], rows: int) -> float:
    """The time of a pass over `rows` tokens by a table that may not have that size."""
    sizes = sorted(table)
    place = bisect_left(sizes, rows)
    if place < len(sizes) and sizes[place] == rows:
        return table[rows]
    if place == 0:
        return table[sizes[0]]
    if len(sizes) == 1:
        return table[sizes[0]] * rows / sizes[0]
    low, high = (sizes[-2], sizes[-1]) if place == len(sizes) else (sizes[place - 1], sizes[place])
    slope = (table[high] - table[low]) / (high - low)
    return max(table[low] + slope * (rows - low), table[low if place < len(sizes) else high])


class PassTimes:
    """The expected times of passes, as they are now. ms[n - 1]: of n rows."""

    def __init__(self, ms: Sequence[float]) -> None:
        self._ms = ms
        self._least = [*itertools.accumulate(reversed(ms), min)][::-1]

    def ms(self, rows: int) -> float:
        """Of a pass over that many rows."""
        return self._ms[rows - 1]

    def least_ms(self, rows: int) -> float:
        """Of the fastest pass over at least that many rows: kernels that work in blocks may be faster with more."""
        return self._least[rows - 1]


def passes_of(tokens: int, block: int) -> int:
    """The passes of a drafter that computes `block` tokens of a path in each of them."""
    return -(-tokens // block)


class DraftCosts:
    """The time of one pass, by drafter. known: as measured before the run, None if it was not.

    Times are kept as multiples of `verify.slowdown`: what slows down the target slows down a drafter. So a drafter that
    looked dear while something else used the processor is cheap again as soon as the target's passes are, although it
    is not used. A round without it also forgets a little of what was observed, for `known`: a drafter that once
    looked too dear is tried again.

    block: the tokens that a pass computes. Most drafters compute one, so that a draft costs a pass for each token; a
    head that predicts several positions at once costs one pass, however deep the draft is. slower: how many times
    longer a drafter's pass takes while several runs use the models.
    """

    def __init__(
        self,
        known: Callable[[str], float | None],
        verify: VerifyCosts,
        slower: Callable[[str], float] = lambda _name: 1.0,
    ) -> None:
        self._verify, self._known, self._slower = verify, known, slower
        self._pass: dict[str, Average] = {}  # of a run alone, without a slowdown

    def pass_ms(self, drafter: str, block: int = 1) -> float:
        """The expected time of one more pass."""
        return self._slower(drafter) * self._alone_ms(drafter, block)

    def _alone_ms(self, drafter: str, block: int) -> float:
        usual = self._pass[drafter].value if drafter in self._pass else self._known(drafter)
        return _UNKNOWN_SHARE * self._verify.ms(block) if usual is None else usual * self._verify.slowdown

    def draft_ms(self, drafter: str, tokens: int, block: int = 1) -> float:
        """The expected time of a path of `tokens` tokens."""
        return passes_of(tokens, block) * self.pass_ms(drafter, block)

    def catch_up_ms(self, drafter: str, missing: int, block: int = 1) -> float:
        """The expected time of reading `missing` tokens; one or two of them are part of the first drafting pass."""
        share = _BATCHED if block == 1 else _READ_FOR_BLOCKS / block
        return max(0, missing - 2) * share * self.pass_ms(drafter, block)

    def observe(self, drafter: str, passes: int, ms: float) -> None:
        """A draft took `ms` for `passes` passes."""
        if passes > 0 and ms > 0.0:
            usual = max(ms / passes / self._slower(drafter) / self._verify.slowdown, 1e-6)
            if drafter not in self._pass:
                known = self._known(drafter)
                self._pass[drafter] = Average(usual) if known is None else Average(known, known=True)
            self._pass[drafter].add(usual)

    def forget_others(self, drafter: str) -> None:
        """A round was drafted by `drafter`, or by none: the others forget a little of what was observed of them."""
        for name, average in self._pass.items():
            known = self._known(name)
            if name != drafter and known is not None:
                average.forget(known, _FORGOTTEN)


class Costs:
    """The costs of a target and its drafters, as far as rounds and measurements show.

    pass_ms: the measured times of the target's passes by rows. draft_ms: the measured time of one pass of a drafter.
    runs: how many use the models now. joint: the drafters whose passes are computed for all runs together; those of
    other drafters are computed one after another.

    With B runs a pass is assumed to verify B drafts of the same size: the rate of all runs together is then B tau(k) /
    T(B (k + 1)), and the depth that maximises it falls where the time T of a pass grows with its rows.

    together: False for a remote target. Each run then has round trips of its own, and what was observed of them, and of
    drafting meanwhile, includes what other runs cost.
    """

    def __init__(
        self,
        pass_ms: Callable[[], Mapping[int, float]],
        draft_ms: Callable[[str], float | None] = lambda _name: None,
        runs: Callable[[], int] = lambda: 1,
        joint: Container[str] = (),
        *,
        together: bool = True,
    ) -> None:
        self._runs, self._joint, self._together = runs, joint, together
        self._pass: SharedPass | None = None  # the last one that was observed
        self._passes: tuple[list[float], PassTimes] | None = None  # the last ones
        self.verify = VerifyCosts(pass_ms)
        self.draft = DraftCosts(draft_ms, self.verify, self._slower)

    @property
    def runs(self) -> int:
        """How many runs use the models now."""
        return self._runs()

    def passes(self, rows: int) -> PassTimes:
        """The expected times of passes over 1 to `rows` tokens of each run."""
        runs = self._runs() if self._together else 1
        times = self.verify.of(range(runs, rows * runs + 1, runs))
        if self._passes is None or self._passes[0] is not times:
            self._passes = times, PassTimes(times)
        return self._passes[1]

    def _slower(self, drafter: str) -> float:
        runs = self._runs() if self._together else 1
        if runs == 1:
            return 1.0
        return self.verify.ms(runs) / self.verify.ms(1) if drafter in self._joint else float(runs)

    def observe(self, round: Round, missing: int, block: int = 1) -> None:
        """Learn from a finished round. missing: tokens that its drafter had to read first. block: of the drafter.

        A pass that several runs shared is one observation, although it ends a round of each of them.
        """
        shared = round.verdict.shared
        if shared is not None and shared.rows is not None:
            if shared is not self._pass:
                self._pass = shared
                self.verify.observe(shared.rows, shared.ms)
        else:
            rows = len(round.draft) + 1 + (len(round.draft.probes.tokens) if round.draft.probes else 0)
            self.verify.observe(rows, round.times.verify_ms + round.times.network_ms)
        if len(round.draft) and missing <= 2 and FORCED not in round.draft.source:  # else a token looks dear, or free
            self.draft.observe(round.plan.drafter, passes_of(round.draft.depth, block), _drawn_ms(round))
        self.draft.forget_others(round.plan.drafter if len(round.draft) else "")


def _drawn_ms(round: Round) -> float:
    """What the passes of a draft took whose tokens were drawn.

    A stop rule may end a draft after a pass and before its token. That pass brought no token: counted, it would make
    each of the others look dear, most of all in short drafts.
    """
    drawn_ms = sum(round.draft.times_ms)
    return min(drawn_ms, round.times.draft_ms) if drawn_ms > 0.0 else round.times.draft_ms
