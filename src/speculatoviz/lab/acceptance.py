"""The acceptance of recorded runs, by position, in the two definitions that engines use.

Position i of a draft is its token i + 1. Over the rounds that count:

  unconditional[i] = rounds that accepted positions 0 to i / rounds with a draft
  conditional[i]   = rounds that accepted positions 0 to i / rounds that drafted position i and accepted all before it

The unconditional rates are vLLM's `per_position_acceptance_rate`; their sum is the mean number of accepted tokens, and
1 + that sum is the mean acceptance length. Rounds at the end of a text do not count: the token limit shortens their
drafts, and an end token inside a draft drops what was accepted after it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from speculatoviz.telemetry.events import DraftToken, Event, Metrics, Started, Updated
from speculatoviz.telemetry.parts import SamplingInfo

LEVEL = 0.95  # of intervals
_RESAMPLES = 2000
_ENOUGH = 8  # runs that an interval is resampled from; with fewer, rounds are, if there are as many


class CountedRound(NamedTuple):
    """A round that counts. drafted: tokens of its draft, 0 for plain decoding. accepted: those that were accepted."""

    drafter: str
    drafted: int
    accepted: int


@dataclass(frozen=True, slots=True)
class RecordedRun:
    """One run of a trace.

    rounds: those that count. left_out: rounds at the end of the text. branched: whether a draft was a tree. drawn: the
    drafters whose tokens were drawn from q; the tokens of others were chosen, and q is a point mass. samplings: in the
    order in which they held.
    """

    started: Started
    rounds: tuple[CountedRound, ...]
    left_out: int
    branched: bool
    drawn: frozenset[str]
    samplings: tuple[SamplingInfo, ...]


@dataclass(frozen=True, slots=True)
class Acceptance:
    """Counts over rounds; index i of the tuples is position i, up to the deepest draft.

    rounds: all that count. drafts: those with a draft. drafted_at: drafts that had the position. reached_at: those of
    them whose earlier positions were all accepted. accepted_at: those that accepted it too.
    """

    rounds: int
    drafts: int
    drafted_at: tuple[int, ...]
    reached_at: tuple[int, ...]
    accepted_at: tuple[int, ...]

    @property
    def drafted(self) -> int:
        return sum(self.drafted_at)

    @property
    def accepted(self) -> int:
        return sum(self.accepted_at)

    @property
    def unconditional(self) -> list[float]:
        """Of all drafts, the share that accepted each position; never increasing."""
        return [count / self.drafts for count in self.accepted_at]

    @property
    def conditional(self) -> list[float | None]:
        """Of the drafts that reached each position, the share that accepted it; None where none reached it."""
        return [
            accepted / reached if reached else None
            for accepted, reached in zip(self.accepted_at, self.reached_at, strict=True)
        ]

    @property
    def acceptance_rate(self) -> float | None:
        """accepted / drafted tokens; None without a draft."""
        return self.accepted / self.drafted if self.drafted else None

    @property
    def mean_acceptance_length(self) -> float | None:
        """1 + accepted tokens / drafts; None without a draft."""
        return 1.0 + self.accepted / self.drafts if self.drafts else None

    @property
    def tokens_per_round(self) -> float | None:
        """Tokens of a mean round, rounds without a draft included: 1 + accepted tokens / rounds."""
        return 1.0 + self.accepted / self.rounds if self.rounds else None

    def first(self, depth: int) -> Acceptance:
        """The counts as they would be if no draft had more than `depth` tokens.

        Exact for rules that decide on a token without the later ones, which block verification does not.
        """
        return Acceptance(
            self.rounds, self.drafts, self.drafted_at[:depth], self.reached_at[:depth], self.accepted_at[:depth]
        )

    def __add__(self, other: Acceptance) -> Acceptance:
        return Acceptance(
            self.rounds + other.rounds,
            self.drafts + other.drafts,
            _sums(self.drafted_at, other.drafted_at),
            _sums(self.reached_at, other.reached_at),
            _sums(self.accepted_at, other.accepted_at),
        )


def _sums(a: Sequence[int], b: Sequence[int]) -> tuple[int, ...]:
    longer, shorter = (a, b) if len(a) >= len(b) else (b, a)
    return tuple(count + (shorter[i] if i < len(shorter) else 0) for i, count in enumerate(longer))


def acceptance(rounds: Iterable[CountedRound]) -> Acceptance:
    """The counts of these rounds."""
    counted = list(rounds)
    drafting = [round for round in counted if round.drafted]
    depth = max((round.drafted for round in drafting), default=0)

    def at(true: Callable[[CountedRound, int], bool]) -> tuple[int, ...]:
        return tuple(sum(true(round, i) for round in drafting) for i in range(depth))

    return Acceptance(
        rounds=len(counted),
        drafts=len(drafting),
        drafted_at=at(lambda round, i: round.drafted > i),
        reached_at=at(lambda round, i: round.drafted > i and round.accepted >= i),
        accepted_at=at(lambda round, i: round.accepted > i),
    )


def usual_depth(rounds: Iterable[CountedRound]) -> int:
    """The most frequent number of drafted tokens of rounds with a draft, the largest of equals; 0 without a draft."""
    depths = Counter(round.drafted for round in rounds if round.drafted)
    return max(depths, key=lambda depth: (depths[depth], depth), default=0)


def length_interval(runs: Sequence[Sequence[CountedRound]], seed: int = 0) -> tuple[float, float] | None:
    """The LEVEL bootstrap interval of the mean acceptance length; None with fewer than eight rounds that drafted.

    Eight or more runs are resampled as wholes, because the rounds of one text resemble each other; of fewer runs the
    rounds are, which makes the interval too narrow.
    """
    groups = [[round.accepted for round in run if round.drafted] for run in runs]
    groups = [group for group in groups if group]
    if len(groups) < _ENOUGH:
        groups = [[accepted] for group in groups for accepted in group]
    if len(groups) < _ENOUGH:
        return None
    sums = np.array([sum(group) for group in groups], np.float64)
    sizes = np.array([len(group) for group in groups], np.float64)
    chosen = np.random.default_rng(seed).integers(0, len(groups), (_RESAMPLES, len(groups)))
    lengths = 1.0 + sums[chosen].sum(axis=1) / sizes[chosen].sum(axis=1)
    low, high = np.quantile(lengths, [(1.0 - LEVEL) / 2.0, (1.0 + LEVEL) / 2.0])
    return float(low), float(high)


# --- from events --------------------------------------------------------------------------------------


def recorded_runs(events: Iterable[Event]) -> list[RecordedRun]:
    """The runs of a trace, in order. Events before the first `started` belong to none."""
    gathered: list[_Gathering] = []
    for event in events:
        if isinstance(event, Started):
            gathered.append(_Gathering(event))
        elif gathered:
            gathered[-1].add(event)
    return [one.run() for one in gathered]


@dataclass(slots=True)
class _Gathering:
    started: Started
    rounds: list[Metrics] = field(default_factory=list)
    drawn: set[str] = field(default_factory=set)
    drawing: bool = False  # whether a token of the round was drawn
    branched: bool = False
    samplings: list[SamplingInfo] = field(default_factory=list)

    def add(self, event: Event) -> None:
        match event:
            case DraftToken():
                self.branched = self.branched or (-1 if event.parent is None else event.parent) != event.node - 1
                self.drawing = self.drawing or event.draft_prob < 1.0
            case Updated():
                self.samplings.append(event.sampling)
            case Metrics():
                self.rounds.append(event)
                if self.drawing:
                    self.drawn.add(event.drafter)  # its tokens can have other sources
                self.drawing = False

    def run(self) -> RecordedRun:
        counted = self._counted()
        return RecordedRun(
            self.started,
            tuple(CountedRound(round.drafter, round.round_drafted, round.round_accepted) for round in counted),
            len(self.rounds) - len(counted),
            self.branched,
            frozenset(self.drawn),
            tuple(dict.fromkeys([self.started.sampling, *self.samplings])),
        )

    def _counted(self) -> list[Metrics]:
        """The rounds that began with room for the deepest draft of the run, and emitted a token after their draft."""
        deepest = max((round.k for round in self.rounds), default=0)
        counted, left_tokens = list[Metrics](), self.started.max_tokens
        for round in self.rounds:
            if left_tokens - 1 >= deepest and round.round_emitted > round.round_accepted:
                counted.append(round)
            left_tokens -= round.round_emitted
        return counted
