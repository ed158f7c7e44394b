"""A recorded run as what-if questions read it: the output, a draft after every token of it, and measured times."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from speculatoviz.core.types import FinishReason, Rule, Sampling
from speculatoviz.errors import BadRequestError
from speculatoviz.telemetry.events import Done, DraftToken, Event, Metrics, Record, Started
from speculatoviz.telemetry.mapping import sampling_of

_RECORD_IT = "Record one: give `speculatoviz generate` or `speculatoviz serve` --record-depth 8."


class MeasuredRound(NamedTuple):
    """A round of the run: counts, milliseconds without those for evidence, and milliseconds of each drafted token."""

    drafted: int
    accepted: int
    emitted: int
    draft_ms: float
    verify_ms: float
    network_ms: float
    other_ms: float
    token_ms: tuple[float, ...]

    @property
    def own_ms(self) -> float:
        return self.draft_ms + self.verify_ms + self.network_ms + self.other_ms


class Chain(NamedTuple):
    """What would become of a draft. length: its tokens.

    accepted_probs[i]: the probability that token i is accepted, given that the tokens before it are, and given the
    output; fewer than `length` where no further token can be accepted. exact: whether all were recorded as they would
    be drafted.
    """

    length: int
    accepted_probs: tuple[float, ...]
    exact: bool


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run with its record. depth: of the recorded drafts. by_prefix: see `telemetry.parts.RecordInfo`.

    places[t]: recorded before the output's token t. pass_ms[n]: measured time of a pass of the target over n tokens.
    whole: whether every token of the output is recorded.
    """

    started: Started
    depth: int
    drafter: str
    by_prefix: bool
    sampling: Sampling
    finish_reason: FinishReason | None
    places: tuple[Record, ...]
    pass_ms: dict[int, float]
    rounds: tuple[MeasuredRound, ...]
    whole: bool

    @property
    def text(self) -> tuple[int, ...]:
        """The ids of the output."""
        return tuple(place.token_id for place in self.places)

    @property
    def reports_certainty(self) -> bool:
        """Whether the drafter reported its certainty of every token."""
        return all(len(place.certainties) == len(place.drafted) for place in self.places)

    def chain(self, position: int, depth: int, rule: Rule) -> Chain:
        """The draft after the first `position` tokens of the output, at most `depth` deep, under a rule.

        Given that verification has reached the output's token x at place i, and that the output goes on with x, token i
        was accepted with the probability min(1, q(x) / (w p(x))) (`docs/whatif.md` derives it), where w is 1 under
        `token` and the weight of the prefix under `block`; q(x) under `match`. At T=0 and for chosen tokens it is 1
        or 0. Raises BadRequestError where p is needed and was not recorded.
        """
        left, length = len(self.places) - position, self.length(position, depth)
        probs, weight, exact = list[float](), 1.0, True
        for i in range(min(length, left)):
            q, recorded = self._text_prob(position, i)
            exact &= recorded
            p = 1.0 if q in {0.0, 1.0} and rule != "block" else self._target_prob(position + i)
            prob = q if rule == "match" else min(1.0, q / (weight * p))
            if rule == "block" and q > 0.0:
                weight = min(1.0, weight * p / q)
            probs.append(prob)
            if prob == 0.0:
                break
        return Chain(length, tuple(probs), exact)

    def length(self, position: int, depth: int) -> int:
        """The tokens of the draft after the first `position` tokens of the output, at most `depth` deep.

        A recorded draft can be shorter than that; one that was drawn up to an end token need not have been.
        """
        place = self.places[position]
        if self.by_prefix and not self.sampling.greedy and place.drafted:
            return depth
        return min(depth, len(place.drafted))

    def _text_prob(self, position: int, i: int) -> tuple[float, bool]:
        """q of the output's token at place i of the draft at `position`, and whether it is that of such a draft.

        A draft that was drawn leaves the output at some place: from there on, q at the first place of a later draft
        stands for it. It is the same where q depends on the prefix alone.
        """
        probs = self.places[position].text_probs
        if i < len(probs):
            return probs[i], True
        later = self.places[position + i].text_probs
        return (later[0] if later else 0.0), self.by_prefix

    def _target_prob(self, position: int) -> float:
        prob = 1.0 if self.sampling.greedy else self.places[position].target_prob
        if prob is None:
            raise BadRequestError(
                "This run was sampled, and its record has no probabilities of the target.",
                "Record it with evidence and a target in this process, or at temperature 0.",
            )
        return max(prob, sys.float_info.min)


@dataclass(slots=True)
class _Gathering:
    started: Started | None = None
    done: Done | None = None
    places: list[Record] = field(default_factory=list)
    rounds: list[MeasuredRound] = field(default_factory=list)
    token_ms: list[float] = field(default_factory=list)

    def add(self, event: Event) -> None:
        match event:
            case Started():
                self.started = event
            case DraftToken():
                self.token_ms.append(event.draft_time_ms)
            case Metrics():
                self.rounds.append(_round(event, tuple(self.token_ms)))
                self.token_ms = []
            case Record() if event.position == len(self.places):
                self.places.append(event)
            case Done():
                self.done = event


def _round(event: Metrics, token_ms: tuple[float, ...]) -> MeasuredRound:
    return MeasuredRound(
        event.round_drafted,
        event.round_accepted,
        event.round_emitted,
        event.draft_ms,
        event.verify_ms,
        event.network_ms,
        event.other_ms,
        token_ms,
    )


def run_record(events: Iterable[Event]) -> RunRecord:
    """The record of a run. A record that ends early stands for the output up to there.

    Raises BadRequestError without a record, and for a rule that changes the output.
    """
    found = _Gathering()
    for event in events:
        found.add(event)
    started, record = found.started, found.started.record if found.started else None
    if started is None or record is None or not found.places:
        raise BadRequestError("This trace has no record of what was drafted after every token.", _RECORD_IT)
    if started.rule == "typical":
        raise BadRequestError(
            "Under typical acceptance the output itself depends on the drafts, so nothing follows from a record.",
            "Record a run with --rule token.",
        )
    emitted = sum(round.emitted for round in found.rounds)
    return RunRecord(
        started=started,
        depth=record.depth,
        drafter=record.drafter,
        by_prefix=record.by_prefix,
        sampling=sampling_of(started.sampling),
        finish_reason=found.done.finish_reason if found.done else None,
        places=tuple(found.places),
        pass_ms={one.tokens: one.ms for one in started.pass_times},
        rounds=tuple(found.rounds),
        whole=found.done is not None and emitted == len(found.places),
    )
