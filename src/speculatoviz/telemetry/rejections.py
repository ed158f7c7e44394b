"""The tested tokens of a run with the parts of their rejections, gathered from its events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from speculatoviz.core.types import Rule, Sampling
from speculatoviz.telemetry.autopsy_info import Cause
from speculatoviz.telemetry.estimates import Estimate, estimated
from speculatoviz.telemetry.events import DraftToken, Event, Metrics, Started, Updated, VerifyResult
from speculatoviz.telemetry.mapping import sampling_of
from speculatoviz.telemetry.parts import OverlapInfo

_BEFORE = 80  # characters of the text before a rejected token

Parts = Mapping[Cause, float]


class Tested(NamedTuple):
    """A tested token. parts: of the probability that it is rejected, given the tokens before it; their sum is it.

    reach: the weight of the test (`core.rounds.Overlap`). event: the verdict on the token.
    """

    position: int
    source: str
    reach: float
    rejected: bool
    parts: Parts
    event: VerifyResult
    before: str

    @property
    def expected(self) -> float:
        """The probability of rejection."""
        return sum(self.parts.values())


class TestedRound(NamedTuple):
    """A finished round. chosen: the token that the text has at each position of the draft. token_ms: of each node.

    own_ms: the round without the time for evidence. verify_ms: of it, verification. chain: whether every node follows
    the one before.
    """

    tests: list[Tested]
    chosen: Mapping[int, str]
    token_ms: list[float]
    own_ms: float
    verify_ms: float
    accepted: int
    emitted: int
    chain: bool


def parts_of(overlap: OverlapInfo, rule: Rule, *, drawn: bool) -> Parts:
    """The parts of reach - accepted, the probability of rejection at a tested token. Their sum is exact.

    1. Typical acceptance compares with a threshold of its own: all of it is the rule's.
    2. No draft reaches the mass of p outside its vocabulary: uncovered.
    3. Without filters, as much more would have been shared: filtered, at most what is left.
    4. What is left up to `shared` is the difference between draft and target.
    5. shared - accepted is lost because the token was chosen, or because the rule does not read q. It is negative where
       that accepts more.
    """
    if rule == "typical":
        return {"rule": overlap.reach - overlap.accepted}
    left = overlap.reach - overlap.uncovered - overlap.shared
    filters = min(overlap.filtered, max(0.0, left))
    kept: dict[Cause, float] = {"irreducible": left - filters, "vocabulary": overlap.uncovered, "filters": filters}
    how: Cause = "rule" if rule == "match" and drawn else "greedy"
    return kept | {how: overlap.shared - overlap.accepted}


def estimated_parts(found: Estimate, *, drawn: bool) -> Parts:
    """The parts of a rejection of which bounds are known: what they leave open is unknown."""
    parts: dict[Cause, float] = {"irreducible": 1.0 - found.shared - found.unknown, "unknown": found.unknown}
    return parts if drawn else parts | {"greedy": found.shared - found.target_prob}


@dataclass(slots=True)
class Rejections:
    """A fold over the events of one run or of several after each other.

    rounds: the finished ones. depths: of each source, the depth its head is trained for. pass_ms: measured times of the
    target's passes, by tokens. without_overlap: tested tokens whose distributions are not known. estimated: those whose
    parts are estimated from the most probable tokens.
    """

    rounds: list[TestedRound] = field(default_factory=list)
    depths: dict[str, int] = field(default_factory=dict)
    pass_ms: dict[int, float] = field(default_factory=dict)
    without_overlap: int = 0
    estimated: int = 0
    _rule: Rule = "token"
    _sampling: Sampling = field(default_factory=Sampling)
    _masked: bool = False  # whether a grammar masks p
    _n_vocab: int | None = None  # of the target; None where its ids are not those of the draft's scores
    _text: str = ""
    _drafted: dict[int, DraftToken] = field(default_factory=dict)
    _results: list[VerifyResult] = field(default_factory=list)

    def add(self, event: Event) -> None:
        """Take in an event. A round counts once its metrics have come."""
        match event:
            case Started():
                self._rule, self._text, self._masked = event.rule, "", event.grammar is not None
                self._sampling = sampling_of(event.sampling)
                self._n_vocab = None if event.translated else event.target_model.vocabulary
                self.depths |= {head.drafter: head.depth for head in event.heads}
                self.pass_ms |= {one.tokens: one.ms for one in event.pass_times}
                self._forget()
            case Updated():
                self._sampling = sampling_of(event.sampling)
            case DraftToken():
                self._drafted[event.node] = event
            case VerifyResult():
                self._results.append(event)
            case Metrics():
                self.rounds.append(self._finished(event))
                self._text = (self._text + "".join(result.text for result in self._results))[-_BEFORE:]
                self._forget()

    def _forget(self) -> None:
        self._drafted, self._results = {}, []

    def _finished(self, event: Metrics) -> TestedRound:
        emitted = [result for result in self._results if result.final_token is not None]
        cut = self._cut()
        tests = [test for result in self._results if (test := self._tested(result, emitted, cut)) is not None]
        return TestedRound(
            tests=tests,
            chosen={result.position: result.final_token or "" for result in emitted},
            token_ms=[self._drafted[node].draft_time_ms for node in sorted(self._drafted)],
            own_ms=event.round_ms - event.evidence_ms,
            verify_ms=event.verify_ms,
            accepted=event.round_accepted,
            emitted=event.round_emitted,
            chain=all(
                (token.parent is None and not node) or token.parent == node - 1 for node, token in self._drafted.items()
            ),
        )

    def _cut(self) -> int | None:
        """The position where block verification cut the draft; None under other rules and if nothing was cut."""
        extra = next((result for result in self._results if result.node is None), None)
        cut = self._rule == "block" and extra is not None and extra.status == "resampled"
        return extra.position if cut and extra is not None else None

    def _tested(self, result: VerifyResult, emitted: list[VerifyResult], cut: int | None) -> Tested | None:
        """None for a token that was not tested, and for the token after the accepted path."""
        drafted = self._drafted.get(-1 if result.node is None else result.node)
        tested = result.overlap is not None or result.status in {"accepted", "rejected"}
        if drafted is None or not tested:
            return None
        rejected = result.status == "rejected" or (cut is not None and result.position == cut)
        reach, parts = 1.0, self._parts(result, drafted)
        if result.overlap is not None:
            reach = result.overlap.reach
        before = self._text + "".join(token.text for token in emitted if token.position < result.position)
        return Tested(result.position, drafted.source, reach, rejected, parts, result, before[-_BEFORE:])

    def _parts(self, result: VerifyResult, drafted: DraftToken) -> Parts:
        if result.overlap is not None:
            return parts_of(result.overlap, self._rule, drawn=drafted.draft_prob < 1.0)
        if (found := self._estimate(result, drafted)) is not None:
            self.estimated += 1
            return estimated_parts(found, drawn=drafted.draft_prob < 1.0)
        self.without_overlap += 1
        accepted = float(result.status == "accepted") if result.acceptance_prob is None else result.acceptance_prob
        # At T=0 a rejected token is not the target's most probable one: the distributions add nothing.
        return {"irreducible" if self._sampling.greedy and self._rule != "typical" else "unknown": 1.0 - accepted}

    def _estimate(self, result: VerifyResult, drafted: DraftToken) -> Estimate | None:
        """From the most probable tokens of both; None where they do not give p: a residual, penalties, other ids."""
        first = all(other.node >= drafted.node or other.parent != drafted.parent for other in self._drafted.values())
        if self._sampling.greedy or self._n_vocab is None or not first or self._rule in {"block", "typical"}:
            return None
        if self._sampling.penalties.active or self._masked:  # the scores of the event are raw
            return None
        tops = result.target_top_tokens, drafted.top_tokens
        return estimated(drafted.token_id, *tops, self._sampling, self._n_vocab)
