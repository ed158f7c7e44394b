"""Decode a prompt to its end and collect the rounds: the one place where experiments run the engine."""

from __future__ import annotations

from dataclasses import dataclass, replace

from speculatoviz import engine
from speculatoviz.core.chance import seeded
from speculatoviz.core.rounds import Round
from speculatoviz.policies.base import Policy
from speculatoviz.session.session import Session
from speculatoviz.targets.base import Target
from speculatoviz.telemetry.messages import Start


@dataclass(frozen=True, slots=True)
class Decoded:
    """The rounds of one run, and sums over them."""

    rounds: tuple[Round, ...]

    @property
    def tokens(self) -> int:
        """Emitted tokens."""
        return sum(len(round.emitted) for round in self.rounds)

    @property
    def token_ids(self) -> list[int]:
        """The emitted ids."""
        return [token for round in self.rounds for token in round.emitted]

    @property
    def drafted(self) -> int:
        return sum(round.drafted for round in self.rounds)

    @property
    def accepted(self) -> int:
        return sum(round.accepted for round in self.rounds)

    @property
    def draft_ms(self) -> float:
        return sum(round.times.draft_ms for round in self.rounds)

    @property
    def round_ms(self) -> float:
        """The time of all rounds, without the prefill of the prompt."""
        return sum(round.times.round_ms for round in self.rounds)

    @property
    def draft_prefill_ms(self) -> float:
        """What the drafter took to read the prompt before the first round."""
        return sum(round.times.draft_prefill_ms for round in self.rounds)

    @property
    def tps(self) -> float:
        """Tokens per second of the rounds and of the drafter's prefill.

        The target's prefill is left out: plain decoding has the same one.
        """
        return 1000 * self.tokens / (self.round_ms + self.draft_prefill_ms)

    @property
    def tokens_per_round(self) -> float:
        return self.tokens / len(self.rounds)

    @property
    def acceptance_rate(self) -> float:
        """accepted / drafted; 0 without a draft."""
        return self.accepted / self.drafted if self.drafted else 0.0


def decode_prompt(
    session: Session,
    start: Start,
    *,
    policy: Policy | None = None,
    overlap: bool | None = None,
    target: Target | None = None,
    prediction: str | None = None,
    evidence: bool = False,
    fresh: bool = True,
) -> Decoded:
    """Run a start message. Without `evidence`, nothing is computed only for display.

    fresh: the drafters begin without the prompts of earlier runs: each run has all of its cost, in whatever order runs
    follow each other. policy: instead of the message's own. overlap: instead of the session's. target: instead of the
    session's own, for a target that records. prediction: of the output, which `suffix` reads.

    Raises what `Session.prepare` and the run raise.
    """
    prepared = session.prepare(start)
    if prediction is not None:
        prepared = session.predicting(prepared, prediction)
    request = replace(prepared.request, evidence=evidence)
    if overlap is not None:
        request = replace(request, overlap=overlap)
    for drafter in session.drafters.values() if fresh else ():
        drafter.forget_prompts()
    rounds = engine.decode(
        request,
        target or session.target,
        session.drafters,
        policy or session.policy(prepared),
        seeded(request.seed),
        session.clock,
    )
    return Decoded(tuple(rounds))
