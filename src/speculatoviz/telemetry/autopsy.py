"""Why drafted tokens were rejected: every rejection of a run by cause. docs/autopsy.md defines the causes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

import numpy as np

from speculatoviz.core.token_classes import TOKEN_CLASSES, TokenClass, token_class
from speculatoviz.telemetry.autopsy_info import (
    CAUSES,
    Autopsy,
    Cause,
    CauseShare,
    ClassShare,
    RejectedToken,
    ShorterDraft,
)
from speculatoviz.telemetry.causes import Sums, Table, shares_of, split
from speculatoviz.telemetry.events import Done, Event
from speculatoviz.telemetry.rejections import Parts, Rejections, Tested, TestedRound

LEVEL = 0.9
_RESAMPLES = 1000
_FEWEST_ROUNDS = 8  # that an interval or a shorter draft is computed from
_EXAMPLES = 3
_ROUNDING = 1e-6  # of a sum of float32 probabilities
_WORTH_SHOWING = 0.05  # the least share of a rejection for an example of a cause
_WORTH_CHANGING = 1.02  # a shorter draft is named if it is that much faster

REMEDIES: Mapping[Cause, str] = {
    "irreducible": "A draft that is closer to the target: a larger or less quantised draft model, or a head trained on "
    "such text.",
    "position": "Shorter drafts, or a head that was trained on more of its own steps.",
    "depth": "Drafts no deeper than the head was trained for.",
    "vocabulary": "A drafter with more of the target's vocabulary: --draft-vocabulary all, a draft model of the same "
    "family, or a head that was trained with a larger one.",
    "filters": "Wider filters (--top-p, --top-k, --min-p) accept these tokens, but change the output.",
    "greedy": "Draw the draft's tokens at the target's temperature instead of taking the most probable ones.",
    "rule": "Verify with --rule token, which reads the draft's probabilities.",
    "unknown": "A target that returns its distributions (in this process), and a run with --evidence.",
}
_NO_OVERLAP = (
    "{} of {} tested tokens have no record of both distributions, so their rejections cannot be split: the target is "
    "remote, evidence was off, or an earlier version wrote the trace."
)
_ESTIMATED = (
    "The parts of {} of {} tested tokens are estimated from the most probable tokens of both models; what these leave "
    "open is not known, and filters and vocabulary are not told apart."
)


class _Found(NamedTuple):
    """A rejected token with the shares of its causes."""

    round: TestedRound
    test: Tested
    shares: Parts

    @property
    def cause(self) -> Cause:
        """The cause of the largest share, of equal ones the first."""
        return max(CAUSES, key=lambda cause: self.shares.get(cause, 0.0))


def autopsy(events: Iterable[Event], seed: int = 0) -> Autopsy | None:
    """The autopsy of the events of one run, or of several after each other; None if no drafted token was tested."""
    rejections = Rejections()
    for event in events:
        rejections.add(event)
    return explain(rejections, seed)


def followed(events: Iterable[Event]) -> Iterator[Event]:
    """The events of a run; its last one receives the autopsy."""
    rejections = Rejections()
    for event in events:
        rejections.add(event)
        yield event.model_copy(update={"autopsy": explain(rejections)}) if isinstance(event, Done) else event


def explain(rejections: Rejections, seed: int = 0) -> Autopsy | None:
    """The autopsy of gathered rounds; None if no drafted token was tested. seed: of the resampled rounds."""
    rounds = rejections.rounds
    tests = [test for round in rounds for test in round.tests]
    if not tests:
        return None
    table = Table(rounds, rejections.depths)
    sums = table.sums()
    bounds = _interval(table, seed) if len(rounds) >= _FEWEST_ROUNDS else None
    found = _rejected(rounds, table, sums)
    gains = _Gains(rounds, table, sums)
    total = float(sums.expected.sum())
    known = total > _ROUNDING * len(tests)
    causes = [
        CauseShare(
            cause=cause,
            tokens=sum(one.cause == cause for one in found),
            rejections=float(sums.measured[index]),
            expected=float(sums.expected[index]),
            share=float(sums.expected[index]) / total if known else None,
            low=float(bounds[0][index]) if bounds and known else None,
            high=float(bounds[1][index]) if bounds and known else None,
            remedy=REMEDIES[cause],
            gain=gains.without(cause),
            examples=_examples(cause, found),
        )
        for index, cause in enumerate(CAUSES)
        if abs(sums.expected[index]) > _ROUNDING or sums.measured[index]
    ]
    return Autopsy(
        rounds=len(rounds),
        tested=len(tests),
        rejected=len(found),
        expected=total,
        level=LEVEL,
        tokens_per_round=fmean(round.emitted for round in rounds),
        causes=sorted(causes, key=lambda cause: -cause.expected),
        classes=_classes(rounds),
        shorter=_shorter(rounds, rejections.pass_ms),
        missing=_missing(rejections, len(tests)),
    )


def _interval(table: Table, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The bounds float[C] of the shares of the causes over runs whose rounds are drawn from these rounds."""
    drawn = table.resampled(_RESAMPLES, np.random.default_rng(seed))
    totals = drawn.sum(axis=1, keepdims=True)
    shares = np.divide(drawn, totals, out=np.zeros_like(drawn), where=totals > 0)
    low, high = np.quantile(shares, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return low, high


def _rejected(rounds: Sequence[TestedRound], table: Table, sums: Sums) -> list[_Found]:
    found: list[_Found] = []
    for round in rounds:
        for test in round.tests:
            if test.rejected:
                group = table.group(test)
                found.append(_Found(round, test, split(shares_of(test), float(sums.excess[group]), group)))
    return found


def _classes(rounds: Sequence[TestedRound]) -> list[ClassShare]:
    """Tested tokens by the class of what the text has in their place; siblings count one by one.

    Tokens at places that the text does not go through, which block verification tests, are left out.
    """
    groups: dict[TokenClass, list[Tested]] = {}
    for round in rounds:
        for test in round.tests:
            if (chosen := round.chosen.get(test.position)) is not None:
                groups.setdefault(token_class(chosen, test.before), []).append(test)
    found = [
        ClassShare(
            token_class=name,
            tested=len(tests),
            rejected=sum(test.rejected for test in tests),
            expected=sum(test.expected for test in tests),
        )
        for name, tests in groups.items()
    ]
    return sorted(found, key=lambda one: (-one.tested, TOKEN_CLASSES.index(one.token_class)))


def _examples(cause: Cause, found: Sequence[_Found]) -> list[RejectedToken]:
    """Up to three tokens of which the cause explains the most; those that it explains best come first."""
    having = [one for one in found if one.shares.get(cause, 0.0) >= _WORTH_SHOWING]
    having.sort(key=lambda one: (one.cause != cause, -one.shares[cause]))
    return [_example(one, one.shares[cause]) for one in having[:_EXAMPLES]]


def _example(one: _Found, share: float) -> RejectedToken:
    event = one.test.event
    return RejectedToken(
        run=event.run,
        round=event.round,
        node=event.node or 0,
        position=event.position,
        before=one.test.before,
        drafted=event.draft_token or "",
        chosen=one.round.chosen.get(event.position),
        draft_prob=event.draft_prob,
        target_prob=event.target_prob,
        share=share,
    )


class _Gains:
    """Tokens a round without a cause, by the acceptance of each position, for drafts that are chains.

    With a_j the probability that position j is accepted if it is tested, a round of depth d has
    1 + sum_(i < d) prod_(j <= i) a_j tokens. Without a cause, a_j grows by its part at position j.
    """

    def __init__(self, rounds: Sequence[TestedRound], table: Table, sums: Sums) -> None:
        drafting = [round for round in rounds if round.token_ms]
        self._chains = all(round.chain for round in drafting)
        depths = Counter(len(round.token_ms) for round in drafting)
        self._depths, self._rounds = depths, len(rounds)
        deepest = max(depths, default=0)
        self._reach, self._kept = np.zeros(deepest), np.zeros(deepest)
        self._parts = {cause: np.zeros(deepest) for cause in CAUSES}
        for test in (test for round in drafting for test in round.tests if self._chains):
            group = table.group(test)
            self._reach[test.position] += test.reach
            self._kept[test.position] += test.reach - test.expected
            for cause, part in split(test.parts, float(sums.excess[group]), group).items():
                self._parts[cause][test.position] += part

    def without(self, cause: Cause) -> float | None:
        """Tokens a round more; None for a tree, and for causes that cannot be taken away."""
        if not self._chains or cause in {"irreducible", "unknown"}:
            return None
        return self._tokens(self._kept + self._parts[cause]) - self._tokens(self._kept)

    def _tokens(self, kept: np.ndarray) -> float:
        acceptance = np.divide(kept, self._reach, out=np.zeros_like(kept), where=self._reach > 0)
        reached = np.cumprod(np.clip(acceptance, 0.0, 1.0))
        return float(sum(count * reached[:depth].sum() for depth, count in self._depths.items())) / self._rounds


def _shorter(rounds: Sequence[TestedRound], pass_ms: Mapping[int, float]) -> ShorterDraft | None:
    """The depth that would have been the fastest, if it is shallower and faster enough than what was drafted."""
    drafting = [round for round in rounds if round.token_ms]
    deepest = max((len(round.token_ms) for round in drafting), default=0)
    if deepest < 2 or len(drafting) < _FEWEST_ROUNDS or not all(round.chain for round in drafting):
        return None
    rates = {depth: _rate(drafting, depth, pass_ms) for depth in range(1, deepest + 1)}
    best = max(rates, key=lambda depth: rates[depth])
    if rates[best] <= _WORTH_CHANGING * rates[deepest]:
        return None
    return ShorterDraft(depth=best, tps=rates[best], drafted=deepest, measured_tps=rates[deepest])


def _rate(rounds: Sequence[TestedRound], depth: int, pass_ms: Mapping[int, float]) -> float:
    """Tokens a second of these rounds if none had drafted more than `depth` tokens; 0 if they took no time."""
    tokens = sum(min(round.emitted, depth + 1) for round in rounds)
    saved_ms = sum(sum(round.token_ms[depth:]) + _saved_ms(round, depth, pass_ms) for round in rounds)
    taken_ms = sum(round.own_ms for round in rounds) - saved_ms
    return 1000.0 * tokens / taken_ms if taken_ms > 0 else 0.0


def _saved_ms(round: TestedRound, depth: int, pass_ms: Mapping[int, float]) -> float:
    """What verifying `depth` tokens instead of all saves: the round's time by the ratio of the measured passes.

    0 if either pass was not measured.
    """
    drafted = len(round.token_ms)
    longer, shorter = pass_ms.get(drafted + 1), pass_ms.get(min(depth, drafted) + 1)
    return round.verify_ms * (1.0 - shorter / longer) if longer and shorter is not None else 0.0


def _missing(rejections: Rejections, tested: int) -> list[str]:
    missing = list[str]()
    if rejections.without_overlap:
        missing.append(_NO_OVERLAP.format(rejections.without_overlap, tested))
    if rejections.estimated:
        missing.append(_ESTIMATED.format(rejections.estimated, tested))
    return missing
