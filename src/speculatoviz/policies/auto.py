"""Chooses the drafter and the depth of every round, plain decoding included, by expected tokens per second.

With tau(d, K) the expected tokens of a round that drafts K tokens with drafter d, c(d, K) its expected time, and
lambda the rate reached lately (tokens per ms), the choice maximises tau - lambda c: what a round brings beyond what its
time brings elsewhere. If all rounds are alike this is the highest tau / c; if they differ, it drafts longer where
a draft is likely to be accepted, and not at all where it is not.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from speculatoviz.core.planning import Choice, Outlook, Plan, Reason
from speculatoviz.core.rounds import Round
from speculatoviz.policies.acceptance import Acceptance
from speculatoviz.policies.base import State
from speculatoviz.policies.costs import Costs

_FORGET = 0.95  # weight of the past in the running rate, for each round
_EXPLORED = 0.01  # the share of the time that may be spent on choices that look worse
_DEVIATIONS = 1.5  # of an optimistic estimate
_HORIZON = 32  # rounds over which reading the missing tokens has to pay
_LEAST_GAIN = 0.02  # tokens: a draft has to promise this much more than plain decoding


class Experience:
    """What is known of a target's drafters, across runs: their costs and their acceptance.

    priors: the acceptance assumed of each drafter before anything is known.
    """

    def __init__(self, costs: Costs, priors: Mapping[str, float]) -> None:
        self.costs = costs
        self._acceptance = {name: Acceptance(prior) for name, prior in priors.items()}

    @property
    def drafters(self) -> tuple[str, ...]:
        """Those that can be chosen."""
        return tuple(self._acceptance)

    def acceptance(self, drafter: str) -> Acceptance:
        """What is known of one drafter."""
        return self._acceptance[drafter]

    def next_run(self) -> None:
        """Another text begins: what earlier ones showed counts less."""
        for acceptance in self._acceptance.values():
            acceptance.carry()


@dataclass(frozen=True, slots=True)
class MarginalGain:
    """A stop rule: goes on while some number of further tokens is expected to bring more than its time would elsewhere.

    path[i]: the estimated acceptance at position i while its certainty is not known. verify_ms[n]: of a pass over n
    drafted tokens and the last committed one. token_ms: of one drafted token. rate: tokens per ms, lambda above.
    given: the estimated acceptance for a certainty.
    """

    path: tuple[float, ...]
    verify_ms: tuple[float, ...]
    token_ms: float
    rate: float
    given: Callable[[float], float]

    def computes_another(self, certainties: Sequence[float]) -> bool:
        return self._pays(certainties, None)

    def adds_another(self, certainties: Sequence[float], certainty: float) -> bool:
        return self._pays(certainties, certainty)

    def _pays(self, certainties: Sequence[float], certainty: float | None) -> bool:
        drafted = len(certainties)
        reach = 1.0
        for known in certainties:
            reach *= self.given(known)
        gain, cost_ms = 0.0, 0.0
        for position in range(drafted, len(self.path)):
            computed = position == drafted and certainty is not None
            reach *= self.given(certainty) if computed and certainty is not None else self.path[position]
            gain += reach
            cost_ms += 0.0 if computed else self.token_ms
            if gain > self.rate * (cost_ms + self.verify_ms[position + 1] - self.verify_ms[drafted]):
                return True
        return False


class AutoPolicy:
    """Plans by expected gain. experience: shared by the runs of a session. deepest: the most drafted tokens of a path.

    drafters: those that may be chosen, all of the experience's if not given. The estimates of a drafter that is not
    used grow uncertain; it is tried again when it could be better, within 1 % of the time.
    """

    def __init__(self, experience: Experience, deepest: int, drafters: Sequence[str] | None = None) -> None:
        experience.next_run()
        self._experience, self._deepest = experience, deepest
        self._drafters = tuple(experience.drafters if drafters is None else drafters)
        self._tokens = self._ms = 0.0  # of the last rounds, with forgetting
        self._total_ms = self._explored_ms = 0.0
        self._seen: tuple[int, dict[str, Outlook]] = (-1, {})  # the outlooks of the round that was planned last

    @property
    def rate(self) -> float:
        """Tokens per ms that the last rounds reached, at least that of plain decoding."""
        plain = 1.0 / self._experience.costs.verify.ms(1)
        return max(plain, self._tokens / self._ms if self._ms else 0.0)

    def plan(self, state: State) -> Plan:
        outlooks = {name: state.outlook(name) for name in self._drafters}
        self._seen = (state.round, outlooks)
        plain_ms = self._experience.costs.verify.ms(1)
        plain = Choice(self._drafters[0] if self._drafters else "none", 0, 1.0, plain_ms)
        best = {name: self._best(name, outlooks[name], state) for name in self._drafters}
        chosen = max([plain, *best.values()], key=self._value)
        if chosen.depth and self._value(chosen) < self._value(plain) + _LEAST_GAIN:
            chosen = plain
        tried = self._worth_trying(chosen, outlooks, state)
        explored = tried is not None
        chosen = tried or chosen
        others = tuple(choice for choice in (plain, *best.values()) if choice.depth == 0 or choice != chosen)
        reason = Reason(chosen, tuple(dict.fromkeys(o for o in others if o != chosen)), plain_ms, explored)
        return self._plan_for(chosen, outlooks, reason)

    def observe(self, round: Round) -> None:
        emitted, spent_ms = len(round.emitted), round.times.round_ms
        self._tokens, self._ms = self._tokens * _FORGET + emitted, self._ms * _FORGET + spent_ms
        self._total_ms += spent_ms
        reason = round.plan.reason
        if reason is not None and reason.explored:
            plain = Choice(reason.chosen.drafter, 0, 1.0, reason.plain_ms)
            best = max([plain, *reason.others], key=self._value)
            self._explored_ms += max(0.0, self._value(best) - self._value(reason.chosen)) / self.rate
        outlooks = self._seen[1] if self._seen[0] == round.index else {}
        used = round.plan.drafter if round.plan.depth > 0 else None
        missing = outlooks[used].missing if used in outlooks else 0
        self._experience.costs.observe(round, missing)
        for name in self._drafters:
            if name == used:
                self._learn_from_draft(name, round)
            else:
                self._learn_from_outlook(name, outlooks.get(name), round)

    def change(self, *, depth: int | None, drafter: str | None, nodes: int | None) -> None:
        """A depth limits drafts. A drafter is then the only one that may be chosen."""
        del nodes
        self._deepest = self._deepest if depth is None else depth
        if drafter is not None and drafter in self._experience.drafters:
            self._drafters = (drafter,)

    def _value(self, choice: Choice) -> float:
        """Expected tokens beyond what the same time brings at the present rate."""
        return choice.tokens - self.rate * choice.round_ms

    def _best(self, drafter: str, outlook: Outlook, state: State, deviations: float = 0.0) -> Choice:
        """The best depth of at least one token with one drafter."""
        depth = self._depth(outlook, state)
        if depth < 1:
            return Choice(drafter, 0, 1.0, self._experience.costs.verify.ms(1))
        path = self._experience.acceptance(drafter).path(depth, outlook.certainties, deviations)
        reach = list(itertools.accumulate(path, lambda before, rate: before * rate))
        tokens = [1.0 + brought for brought in itertools.accumulate(reach)]
        costs, rounds = self._experience.costs, max(1.0, min(_HORIZON, state.left / tokens[-1]))
        begin_ms = costs.draft.catch_up_ms(drafter, outlook.missing) / rounds
        choices = [
            Choice(drafter, k, tokens[k - 1], begin_ms + k * costs.draft.token_ms(drafter) + costs.verify.ms(k + 1))
            for k in range(1, depth + 1)
        ]
        return max(choices, key=self._value)

    def _depth(self, outlook: Outlook, state: State) -> int:
        longest = self._deepest if outlook.longest is None else min(outlook.longest, self._deepest)
        return min(longest, max(0, state.left - 1))

    def _worth_trying(self, chosen: Choice, outlooks: Mapping[str, Outlook], state: State) -> Choice | None:
        """A choice that could be better than the chosen one, if the budget allows what it is expected to lose."""
        allowed_ms = _EXPLORED * self._total_ms - self._explored_ms
        for name in self._drafters:
            if name == chosen.drafter and chosen.depth:
                continue
            hopeful = self._best(name, outlooks[name], state, _DEVIATIONS)
            if hopeful.depth == 0 or self._value(hopeful) <= self._value(chosen):
                continue
            path = self._experience.acceptance(name).path(hopeful.depth, outlooks[name].certainties)
            tokens = 1.0 + sum(itertools.accumulate(path, lambda before, rate: before * rate))
            tried = hopeful._replace(tokens=tokens)
            if (self._value(chosen) - self._value(tried)) / self.rate <= allowed_ms:
                return tried
        return None

    def _plan_for(self, chosen: Choice, outlooks: Mapping[str, Outlook], reason: Reason) -> Plan:
        plan = Plan(chosen.drafter, chosen.depth, reason=reason)
        if chosen.depth == 0 or not outlooks[chosen.drafter].stops or reason.explored:
            return plan
        costs, acceptance = self._experience.costs, self._experience.acceptance(chosen.drafter)
        deepest = max(chosen.depth, self._deepest)
        rule = MarginalGain(
            tuple(acceptance.path(deepest)),
            tuple(costs.verify.ms(n + 1) for n in range(deepest + 1)),
            costs.draft.token_ms(chosen.drafter),
            self.rate,
            acceptance.given,
        )
        return replace(plan, depth=deepest, stop=rule)

    def _learn_from_draft(self, drafter: str, round: Round) -> None:
        draft, accepted = round.draft, len(round.verdict.path)
        last = round.verdict.path[-1] if accepted else -1
        tested = accepted + bool(draft.children(last))
        nodes = list(round.verdict.path)
        if tested > accepted:
            nodes.append(draft.children(last)[0])
        certainties = [draft.certainties[node] if draft.certainties else None for node in nodes]
        acceptance = self._experience.acceptance(drafter)
        acceptance.observe(accepted, tested, certainties)
        if not tested:
            acceptance.age()

    def _learn_from_outlook(self, drafter: str, outlook: Outlook | None, round: Round) -> None:
        """The emitted tokens show what would have become of a path that is known without drafting."""
        acceptance = self._experience.acceptance(drafter)
        if outlook is None or not outlook.tokens:
            acceptance.age()
            return
        pairs = list(zip(outlook.tokens, round.emitted, strict=False))
        right = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
        acceptance.observe(right, min(right + 1, len(pairs)), outlook.certainties)
