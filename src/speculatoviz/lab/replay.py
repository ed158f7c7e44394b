"""Decode a recorded output again without its models: the same engine and policies, on simulated time.

The drafter proposes what was recorded, the target accepts what follows from the record, and both move a clock on by
what a draft and a pass cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from speculatoviz.core.chance import Chance, ChanceSource
from speculatoviz.core.planning import Outlook, Plan
from speculatoviz.core.rejection import extra_status
from speculatoviz.core.rounds import Extra, Round, Verdict
from speculatoviz.core.types import Draft, Drafting, Exactness, Limits, Request, Rule
from speculatoviz.drafters.base import BaseDrafter
from speculatoviz.engine import speculate
from speculatoviz.lab.round_costs import RoundCosts
from speculatoviz.lab.run_record import MeasuredRound, RunRecord
from speculatoviz.models.base import Description, Tokenizer
from speculatoviz.models.runtimes.toy import ToyTokenizer
from speculatoviz.models.window import Window
from speculatoviz.policies.base import Policy
from speculatoviz.targets.base import RemoteTarget

_ENDLESS = 1 << 30  # tokens of a context that did not end the run


class Replay(NamedTuple):
    """The rounds that would have made a recorded output. exact: whether they follow from it without a random choice."""

    rounds: list[MeasuredRound]
    exact: bool


def replay(record: RunRecord, policy: Policy, rule: Rule, costs: RoundCosts, chance: ChanceSource) -> Replay:
    """Decode the output of a record again. chance: for the tests, where acceptance is not certain.

    The times of the rounds are computed from `costs`. The last round is cut where the output ends, as in the run.
    """
    time = _Time()
    target = _ReplayTarget(record, rule, costs, time, chance)
    drafter = _ReplayDrafter(record, costs, time)
    limits = Limits(record.started.max_tokens, ignore_eos=True)  # the output ends where it ended
    prompt = (0,) * _prompt_tokens(record)
    request = Request(prompt, record.sampling, limits, rule=rule, evidence=False, certainty=record.reports_certainty)
    rounds, left = list[MeasuredRound](), len(record.places)
    for step in speculate(request, target, {drafter.name: drafter}, policy, chance, time):
        if isinstance(step, Round):
            rounds.append(_measured(step, left, costs.other_ms))
            left -= rounds[-1].emitted
            if left == 0:
                break
    return Replay(rounds, target.exact)


def accepted_count(probs: Sequence[float], chance: Chance) -> int:
    """How many tokens of a draft are accepted: up to the first that is not. probs: of each, if reached."""
    for node, prob in enumerate(probs):
        if not chance.accept(prob, node).accepted:
            return node
    return len(probs)


def _prompt_tokens(record: RunRecord) -> int:
    return max(1, record.started.prompt_tokens)


def _measured(round: Round, left: int, other_ms: float) -> MeasuredRound:
    """left: tokens that the output still lacks."""
    times, emitted = round.times, min(len(round.emitted), left)
    accepted = min(len(round.verdict.path), emitted)
    return MeasuredRound(
        round.drafted, accepted, emitted, times.draft_ms, times.verify_ms, times.network_ms, other_ms, ()
    )


class _Time:
    """A clock that stands still until it is moved on. Seconds."""

    def __init__(self) -> None:
        self._now_s = 0.0

    def __call__(self) -> float:
        return self._now_s

    def pass_by(self, ms: float) -> None:
        self._now_s += ms / 1000


class _ReplayDrafter(BaseDrafter):
    """Proposes the recorded chains, and takes the time of their tokens."""

    begins_at_no_cost = True

    def __init__(self, record: RunRecord, costs: RoundCosts, time: _Time) -> None:
        self.name = record.drafter
        self._prompt_tokens = _prompt_tokens(record)
        self._record, self._costs, self._time = record, costs, time

    def _position(self, prefix: Sequence[int]) -> int:
        return len(prefix) - self._prompt_tokens

    def draft(self, prefix: list[int], round: int, plan: Plan, chance: Chance) -> Draft:
        """The plan's stop rule is asked as a draft model asks it: before a pass, and before its token."""
        del chance
        position, stop = self._position(prefix), plan.stop
        place = self._record.places[position]
        length = self._record.length(position, plan.depth)
        certainties, times_ms = list[float](), list[float]()
        while len(times_ms) < length:
            i = len(times_ms)
            if stop is not None and i and not stop.computes_another(certainties):
                break
            ms = self._costs.draft_ms if i else self._costs.first_draft_ms
            self._time.pass_by(ms)
            if stop is not None:
                certainty = place.certainties[i] if i < len(place.certainties) else 0.0
                if not stop.adds_another(certainties, certainty):
                    break
                certainties.append(certainty)
            times_ms.append(ms)
        tokens = [place.drafted[i] if i < len(place.drafted) else 0 for i in range(len(times_ms))]
        return Draft.chain(round, tokens, (), self.name, times_ms=tuple(times_ms), certainties=tuple(certainties))

    def outlook(self, prefix: list[int]) -> Outlook:
        place = self._record.places[min(self._position(prefix), len(self._record.places) - 1)]
        reports = self._record.reports_certainty
        return Outlook(longest=None if reports else len(place.drafted), stops=reports)


class _NoText(ToyTokenizer):
    """Tokens without text: a record holds ids only."""

    def token_bytes(self, token: int) -> bytes:
        del token
        return b""


class _ReplayTarget:
    """Accepts what follows from a record, and takes the time of its passes. exact: no test was left to chance."""

    window: Window | None = None
    remote: RemoteTarget | None = None
    drafting = Drafting()

    def __init__(self, record: RunRecord, rule: Rule, costs: RoundCosts, time: _Time, chance: ChanceSource) -> None:
        self._record, self._rule, self._time, self._chance = record, rule, time, chance
        self._verify_ms, self._network_ms = costs.pass_times(), costs.network_ms
        self._position, self._certainty, self.exact = 0, False, True
        self.tokenizer: Tokenizer = _NoText([b""])
        started = record.started
        ended = record.finish_reason == "context"
        self.context_tokens = _prompt_tokens(record) + len(record.places) if ended else _ENDLESS
        about = started.target_model
        self.description = Description(
            about.name,
            about.runtime,
            about.quantisation,
            about.parameters,
            about.size_bytes,
            self.context_tokens,
            about.computes_on,
        )

    def claim(self, request: Request) -> Exactness:
        del request
        exactness = self._record.started.exactness
        return Exactness(exactness.label, exactness.reason)

    def begin(self, request: Request) -> Exactness:
        self._position, self._certainty = 0, request.certainty
        return self.claim(request)

    def submit(self, draft: Draft) -> _Verified:
        return _Verified(self, draft)

    def verify(self, draft: Draft) -> Verdict:
        """The verdict that the record gives, after the time of the pass."""
        self._time.pass_by(self._verify_ms(len(draft) + 1) + self._network_ms)
        position, text = self._position, self._record.places
        chain = self._record.chain(position, len(draft), self._rule)
        probs = chain.accepted_probs[: len(draft)]
        self.exact &= chain.exact and set(probs) <= {0.0, 1.0}
        kept = accepted_count(probs, self._chance("verify", draft.round))
        following = text[position + kept].token_id if position + kept < len(text) else 0
        self._position += kept + 1
        return Verdict(
            path=tuple(range(kept)),
            extra=Extra(following, extra_status(draft, kept - 1), None),
            checks=(),
            network_ms=self._network_ms,
            certainty=text[position].target_certainty if self._certainty else None,
        )

    def close(self) -> None:
        pass


class _Verified:
    """The verdict is computed by whoever asks for it."""

    def __init__(self, target: _ReplayTarget, draft: Draft) -> None:
        self._target, self._draft = target, draft

    def done(self) -> bool:
        return True

    def result(self) -> Verdict:
        return self._target.verify(self._draft)

    def cancel(self) -> None:
        pass
