"""One round: what verification decided, what was emitted, and how long it took."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from speculatoviz.core.planning import Plan
from speculatoviz.core.types import Draft, Label, Scores, Status


class Compared(NamedTuple):
    """p and q of one token as the rule used them, after temperature and filters. For display.

    draft_prob: None where the rule compares p with no q.
    """

    token: int
    target_prob: float
    draft_prob: float | None


@dataclass(frozen=True, slots=True)
class Overlap:
    """What a drafter could reach at a tested node, for display. `overlaps` computes it.

    Probabilities, given the tokens before the node and that its earlier siblings are rejected. p is the target's
    distribution there, p° the same without filters, w = reach.

    reach: the weight with which the rule tests the node: 1, or the weight of the prefix before it under block
    verification (`rejection.prefixes`). accepted: the probability of acceptance, of all tokens that could have been
    drawn from q. shared: sum min(w p, q), which modified rejection sampling reaches if the token is drawn; for a token
    that was chosen, q is the distribution that it could have been drawn from. uncovered: w times the mass of p outside
    the drafter's vocabulary. filtered: sum min(w p°, q) over the tokens that the filters cut.
    """

    reach: float
    accepted: float
    shared: float
    uncovered: float
    filtered: float


@dataclass(frozen=True, slots=True)
class Check:
    """One tested node: what the rule compared and decided.

    target_prob: p(token). draft_prob: q(token). acceptance_prob: the probability with which the rule accepts it. All
    three are None if the target decides without them. uniform: the random number that decided, None if the outcome was
    certain. target: the target's raw scores there, for display. compared: p and q of the most probable tokens there.
    overlap: of p and q, for display.
    """

    node: int
    token: int
    status: Status
    target_prob: float | None
    draft_prob: float | None
    acceptance_prob: float | None
    uniform: float | None
    target: Scores | None = None
    compared: tuple[Compared, ...] = ()
    overlap: Overlap | None = None


@dataclass(frozen=True, slots=True)
class Extra:
    """The one token after the accepted path: a bonus, a resampled or a plain token (see `status`).

    target_prob: its probability under the distribution it was drawn from (p for a bonus or plain token, the residual
    norm(max(0, p - q)) for a resampled one); None if not known. target: the target's raw scores there. residual: the
    most probable (id, log-probability) of the residual, after a rejection. compared: p of the most probable tokens
    there, for a token that was drawn from p itself.
    """

    token: int
    status: Status
    target_prob: float | None
    target: Scores | None = None
    residual: tuple[tuple[int, float], ...] = ()
    compared: tuple[Compared, ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    """What a verification used of a remote target. A part is None if the endpoint does not report it.

    Tokens as the endpoint bills them; cached tokens are part of the prompt's. Bytes as they went over the wire.
    """

    calls: int = 0
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    sent_bytes: int | None = None
    received_bytes: int | None = None

    def __add__(self, other: Usage) -> Usage:
        """The sum of both. A part that is None in one of them is None in the sum."""
        others = asdict(other)
        summed: dict[str, Any] = {
            name: None if mine is None or others[name] is None else mine + others[name]
            for name, mine in asdict(self).items()
        }
        return Usage(**summed)


@dataclass(frozen=True, slots=True)
class SharedPass:
    """A pass of the target while several runs use the models.

    runs: how many use them. rows: tokens of the pass, those of other runs included; None for a remote target, which
    does not report them. ms: of the pass alone, without the time for which it waited for others.
    """

    runs: int
    rows: int | None
    ms: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of one verification.

    path: the accepted nodes, from the first level down. extra: the token after them. checks: every tested node.
    exactness: what holds for this round. total_variation_bound: its mean over the drafted tokens is an upper bound on
    the sum, over the emitted tokens, of TV(emitted, p); 0 if exact. flight_ms: from submission to answer, for a remote
    target; network_ms: the part of it that was not the target's computation. evidence_ms: spent on scores for display.
    sampling_ms, cache_ms: of the target's computation, the acceptance tests and draws, and keeping the accepted path in
    its context; 0 where they are not known apart.
    probed[i]: the most probable token after probe i. certainty: max p after the last committed token, where p has the
    run's temperature (1 if it is greedy) and no filters; None if the request does not ask for it or p is not known.
    shared: the target's pass, if other runs used the models at that time.
    """

    path: tuple[int, ...]
    extra: Extra
    checks: tuple[Check, ...]
    exactness: Label = "exact"
    total_variation_bound: float = 0.0
    network_ms: float = 0.0
    evidence_ms: float = 0.0
    sampling_ms: float = 0.0
    cache_ms: float = 0.0
    flight_ms: float | None = None
    usage: Usage | None = None
    probed: tuple[int, ...] = ()
    certainty: float | None = None
    shared: SharedPass | None = None


@dataclass(frozen=True, slots=True)
class Times:
    """Milliseconds of one round. round_ms = draft + verify + network + evidence + other.

    hidden_draft_ms: drafting of the next round while a remote target verified this one; not part of round_ms.
    prefill_ms: computing the prompt before this round; not part of round_ms. draft_prefill_ms: the drafter's part of
    it, which plain decoding does not have. sampling_ms, cache_ms: parts of verify_ms, see `Verdict`.
    """

    draft_ms: float
    verify_ms: float
    network_ms: float
    evidence_ms: float
    other_ms: float
    hidden_draft_ms: float = 0.0
    prefill_ms: float = 0.0
    draft_prefill_ms: float = 0.0
    sampling_ms: float = 0.0
    cache_ms: float = 0.0

    @property
    def round_ms(self) -> float:
        return self.draft_ms + self.verify_ms + self.network_ms + self.evidence_ms + self.other_ms


@dataclass(frozen=True, slots=True, eq=False)
class Round:
    """One draft-and-verify step after it was committed.

    emitted: the ids added to the output, 1 to depth + 1 of them. statuses[i] and texts[i] belong to emitted[i]; a text
    may be empty while a character or a stop string is incomplete. Tokens after an end token or a stop string are
    dropped: they are neither emitted nor counted.
    """

    index: int
    plan: Plan
    draft: Draft
    verdict: Verdict
    emitted: tuple[int, ...]
    statuses: tuple[Status, ...]
    texts: tuple[str, ...]
    times: Times

    @property
    def drafted(self) -> int:
        """The nodes of the draft."""
        return len(self.draft)

    @property
    def accepted(self) -> int:
        """The emitted tokens that were drafted."""
        return sum(status == "accepted" for status in self.statuses)

    def count(self, status: Status) -> int:
        """How many emitted tokens have this status."""
        return sum(s == status for s in self.statuses)
