"""Chooses the drafter and the depth of every round, plain decoding included, by expected tokens per second.

With tau(d, K) the expected tokens of a round that drafts K tokens with drafter d, and c(d, K) its expected time, the
choice maximises the rate lambda = tau / c (tokens per ms). Plain decoding is one of the choices, with tau = 1.
"""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from speculatoviz.core.constraint import FORCED
from speculatoviz.core.planning import Forecast, Outlook, Plan, Reason
from speculatoviz.core.rounds import Round
from speculatoviz.core.types import ROOT
from speculatoviz.policies.acceptance import Acceptance
from speculatoviz.policies.base import State
from speculatoviz.policies.costs import Costs, PassTimes, passes_of

_EXPLORED = 0.01  # the share of the time that may be spent on choices that look worse
_STAKE = 2.0  # plain passes that may be spent on them as a run begins
_PLAIN_EVERY = 256  # rounds after which a plain round shows again what one costs
_REINVESTED = 0.1  # the share of the time that speculation has saved in this run that may be spent on them too
_DEVIATIONS = 1.5  # of an optimistic estimate
_CAUTION = 1.0  # standard deviations below the estimate, of one that decides about reading a prompt
_FEW_TOKENS = 16  # missing tokens that are read without caution
_HORIZON = 128  # rounds over which reading the missing tokens has to pay
_NEGLIGIBLE = 0.01  # of a token: what a sibling has to bring to be weighed at all
_USUAL_TOKENS = 64.0  # of a text, before any has ended
_KEPT = 0.9  # the share of what is known of lengths that the next run keeps


class Experience:
    """What is known of a target's drafters, across runs: their costs and their acceptance.

    priors: the acceptance assumed of each drafter before anything is known.
    """

    def __init__(self, costs: Costs, priors: Mapping[str, float]) -> None:
        self.costs = costs
        self._ends, self._tokens = 1.0, _USUAL_TOKENS  # of earlier texts that ended by themselves, and of all texts
        self._texts = itertools.count()
        self._left: dict[int, int] = {}  # by text, tokens that it could still have; the last changed one is the last
        self._acceptance = {name: Acceptance(prior) for name, prior in priors.items()}

    @property
    def drafters(self) -> tuple[str, ...]:
        """Those that can be chosen."""
        return tuple(self._acceptance)

    def acceptance(self, drafter: str) -> Acceptance:
        """What is known of one drafter."""
        return self._acceptance[drafter]

    def expected_tokens(self, left: int) -> float:
        """How many of `left` tokens a text will have: after each, it ends as often as earlier texts have ended."""
        goes_on = 1.0 - min(1.0, self._ends / self._tokens)
        return (1.0 - goes_on**left) / (1.0 - goes_on)

    def emitted(self, text: int, tokens: int, left: int) -> None:
        """A round of a text has emitted tokens; at most `left` more can follow."""
        self._tokens += tokens
        self._left.pop(text, None)
        self._left[text] = left

    def next_run(self) -> int:
        """Another text begins, and earlier ones count less. Returns its number.

        Of the earlier ones, those have ended that are not of other runs now: the ones without a round for longest. One
        that could have gone on has ended by itself.
        """
        over = list(self._left)[: max(0, len(self._left) - (self.costs.runs - 1))]
        ended = sum(self._left.pop(text) > 0 for text in over)
        self._ends = _KEPT * (self._ends + ended)
        self._tokens *= _KEPT
        for acceptance in self._acceptance.values():
            acceptance.carry()
        return next(self._texts)


@dataclass(frozen=True, slots=True)
class MarginalGain:
    """A stop rule: goes on while some number of further tokens is expected to come at more than the round's own rate.

    path[i]: the estimated acceptance at position i while its certainty is not known. verify_ms[n]: of a pass over n
    drafted tokens and the last committed one. pass_ms: of one pass of the drafter, which computes `block` tokens. rate:
    tokens per ms that the round is planned for. given: the estimated acceptance for a certainty.
    """

    path: tuple[float, ...]
    verify_ms: tuple[float, ...]
    pass_ms: float
    rate: float
    given: Callable[[float], float]
    block: int = 1

    def computes_another(self, certainties: Sequence[float]) -> bool:
        return self._pays(certainties, None)

    def adds_another(self, certainties: Sequence[float], certainty: float) -> bool:
        return self._pays(certainties, certainty)

    def _pays(self, certainties: Sequence[float], certainty: float | None) -> bool:
        drafted = len(certainties)
        reach = 1.0
        for known in certainties:
            reach *= self.given(known)
        gain, made = 0.0, passes_of(drafted if certainty is None else drafted + 1, self.block)
        for position in range(drafted, len(self.path)):
            computed = position == drafted and certainty is not None
            reach *= self.given(certainty) if computed and certainty is not None else self.path[position]
            gain += reach
            cost_ms = (passes_of(position + 1, self.block) - made) * self.pass_ms
            if gain > self.rate * (cost_ms + self.verify_ms[position + 1] - self.verify_ms[drafted]):
                return True
        return False


class AutoPolicy:
    """Plans by expected gain. experience: shared by the runs of a session. deepest: the most drafted tokens of a path.

    drafters: those that may be chosen, all of the experience's if not given. The estimates of a drafter that is not
    used grow uncertain; it is tried again when it could be better, within 1 % of the time and a part of what was
    saved.
    """

    def __init__(self, experience: Experience, deepest: int, drafters: Sequence[str] | None = None) -> None:
        self._text = experience.next_run()
        self._experience, self._deepest = experience, deepest
        self._drafters = tuple(experience.drafters if drafters is None else drafters)
        self._rate = 0.0  # tokens per ms that the last plan expects
        self._total_ms = self._explored_ms = self._saved_ms = 0.0
        self._plain_round = -_PLAIN_EVERY  # the last plain round
        self._informed = True  # whether rounds without a draft show the target's certainty
        self._passes = self._expected_passes()  # as expected at the last plan
        self._seen: dict[int, dict[str, Outlook]] = {}  # the outlooks of planned rounds; one may be planned ahead
        self._left: dict[int, int] = {}  # tokens that could still be emitted when these rounds were planned

    def plan(self, state: State) -> Plan:
        outlooks = {name: state.outlook(name) for name in self._drafters}
        self._seen[state.round], self._left[state.round] = outlooks, state.left
        self._passes = self._expected_passes()
        plain_ms = self._passes.ms(1)
        plain = self._plain(self._drafters[0] if self._drafters else "none")
        best = {name: self._best(name, outlooks[name], state) for name in self._drafters}
        chosen = max([plain, *best.values()], key=_rate)
        self._rate = _rate(chosen)
        tried = self._worth_trying(chosen, outlooks, state)
        explored = tried is not None
        chosen = tried or chosen
        others = tuple(choice for choice in (plain, *best.values()) if choice.depth == 0 or choice != chosen)
        reason = Reason(chosen, tuple(dict.fromkeys(o for o in others if o != chosen)), plain_ms, explored)
        return self._plan_for(chosen, outlooks, reason)

    def observe(self, round: Round) -> None:
        emitted, spent_ms = len(round.emitted), round.times.round_ms
        if (left := self._left.pop(round.index, None)) is not None:
            self._experience.emitted(self._text, emitted, left - emitted)
        self._total_ms += spent_ms
        if not len(round.draft):
            self._plain_round = round.index
        self._saved_ms += emitted * self._passes.ms(1) - spent_ms
        reason = round.plan.reason
        if reason is not None and reason.explored:
            tokens = min(float(emitted), reason.chosen.tokens)  # luck does not pay for more
            self._explored_ms += max(0.0, spent_ms - tokens / self._rate)
        self._informed = round.verdict.certainty is not None
        outlooks = self._seen.get(round.index, {})
        self._seen = {index: seen for index, seen in self._seen.items() if index > round.index}
        used = round.plan.drafter if round.plan.depth > 0 else None
        outlook = outlooks[used] if used in outlooks else Outlook()
        self._experience.costs.observe(round, outlook.missing, outlook.block)
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

    def _best(self, drafter: str, outlook: Outlook, state: State) -> Forecast:
        """The best draft of at least one token with one drafter; else a plain round.

        What reading a prompt costs is lost if the estimate is too high, so such a draft has to pay by a cautious one.
        While several runs share the passes, a drafter whose drafts cannot pay is not looked at.
        """
        plain = self._plain(drafter)
        if self._experience.costs.runs > 1 and not self._can_pay(drafter, outlook, state):
            return plain
        best = self._search(drafter, outlook, state)
        if best is None:
            return plain
        reads = outlook.missing > _FEW_TOKENS and _rate(best) > _rate(plain)
        if reads and self._search(drafter, outlook, state, -_CAUTION, above=_rate(plain)) is None:
            return plain
        return best

    def _can_pay(self, drafter: str, outlook: Outlook, state: State) -> bool:
        """Whether a draft with this drafter would be faster than plain decoding if all its tokens were accepted."""
        pass_ms, plain_ms = self._experience.costs.draft.pass_ms(drafter, outlook.block), self._passes.ms(1)
        return any(
            (k + 1) * plain_ms > passes_of(k, outlook.block) * pass_ms + self._passes.least_ms(k + 1)
            for k in range(1, self._depth(outlook, state) + 1)
        )

    def _search(
        self, drafter: str, outlook: Outlook, state: State, deviations: float = 0.0, above: float = 0.0
    ) -> Forecast | None:
        """The draft with one drafter that has the highest rate, of those above a rate; None if there is none.

        A depth is not looked at where a bound already shows that neither it nor any deeper one is better: as many
        tokens as the deepest tree would bring, in the time of the fastest pass over at least as many rows.
        """
        depth = self._depth(outlook, state)
        if depth < 1:
            return None
        path = self._experience.acceptance(drafter).path(depth, outlook.certainties, deviations)
        second = self._experience.acceptance(drafter).sibling if outlook.branches else 0.0
        most = 1.0 + sum(itertools.accumulate(path, operator.mul)) + second * (1.0 - math.prod(path))
        costs, block = self._experience.costs.draft, outlook.block
        pass_ms, begin_ms = costs.pass_ms(drafter, block), costs.catch_up_ms(drafter, outlook.missing, block)
        text = self._experience.expected_tokens(state.left)
        best: Forecast | None = None
        reach, expected, gains = 1.0, 1.0, list[float]()
        for k, rate in enumerate(path, start=1):
            draft_ms = passes_of(k, block) * pass_ms
            if most <= above * (draft_ms + self._passes.least_ms(k + 1)):
                break
            gains.append(second * reach * (1.0 - rate))
            reach *= rate
            expected += reach
            rounds = max(1.0, min(_HORIZON, text / expected))  # over which reading is spread
            found = Forecast(drafter, k, expected, begin_ms / rounds + draft_ms + self._passes.ms(k + 1))
            found = self._with_siblings(found, gains, above) if second else found
            if _rate(found) > above:
                best, above = found, _rate(found)
        return best

    def _with_siblings(self, chain: Forecast, gains: Sequence[float], above: float) -> Forecast:
        """The chain, or the tree of the highest rate that has it and one sibling at some positions.

        gains: the probability, for each position, that verification gets there, rejects the first choice and accepts
        the second one. Siblings are weighed only where they could lift the draft above that rate and plain decoding's.
        """
        rows = chain.depth + 1
        other_ms = chain.round_ms - self._passes.ms(rows)
        needed = max(above, 1.0 / self._passes.ms(1))
        if chain.tokens + sum(gains) <= needed * (other_ms + self._passes.least_ms(rows)):
            return chain
        expected, best = chain.tokens, chain
        for count, gain in enumerate(sorted(gains, reverse=True), start=1):
            if gain < _NEGLIGIBLE:
                break
            expected += gain
            tree = chain._replace(tokens=expected, round_ms=other_ms + self._passes.ms(rows + count), siblings=count)
            best = max(best, tree, key=_rate)
        return best

    def _depth(self, outlook: Outlook, state: State) -> int:
        longest = self._deepest if outlook.longest is None else min(outlook.longest, self._deepest)
        return min(longest, max(0, state.left - 1))

    def _worth_trying(self, chosen: Forecast, outlooks: Mapping[str, Outlook], state: State) -> Forecast | None:
        """A choice that shows whether an estimate is out of date; None if none is needed or the budget is spent.

        Of the drafters that could be better than the chosen one, the most promising, and of its drafts the one that
        loses least for what it shows. A plain round if none has shown for long what a plain pass costs.
        """
        if self._budget_ms(_STAKE) <= 0.0:
            return None
        others = [
            name
            for name in self._drafters
            if not outlooks[name].tokens  # a known path needs no trial
            and (chosen.depth == 0 or name != chosen.drafter)
            and self._affords_reading(name, outlooks[name])
            and self._can_pay(name, outlooks[name], state)
        ]
        hopes = [self._search(name, outlooks[name], state, _DEVIATIONS, above=self._rate) for name in others]
        promising = max(filter(None, hopes), key=_rate, default=None)
        tried: Forecast | None = None
        if chosen.depth and state.round - self._plain_round > _PLAIN_EVERY:
            tried = self._plain(chosen.drafter)
        elif promising is not None:
            tried = self._search(promising.drafter, outlooks[promising.drafter], state)
        return tried if tried is not None and self._affords(tried, outlooks.get(tried.drafter)) else None

    def _affords(self, tried: Forecast, outlook: Outlook | None) -> bool:
        """Whether the budget covers a trial, whose reading of a prompt may be wholly lost."""
        read = outlook if outlook is not None and tried.depth else Outlook()
        return self._affords_reading(tried.drafter, read, self._lost_ms(tried))

    def _affords_reading(self, drafter: str, outlook: Outlook, lost_ms: float = 0.0) -> bool:
        """Whether the budget covers what a drafter has to read before it drafts, beside what the draft loses.

        Reading is not worth the stake where the target's certainty already shows, at no cost, how drafts would do.
        """
        missing, costs = outlook.missing, self._experience.costs.draft
        lost_ms += costs.catch_up_ms(drafter, missing, outlook.block)
        return lost_ms <= self._budget_ms(0.0 if self._informed and missing > _FEW_TOKENS else _STAKE)

    def _lost_ms(self, tried: Forecast) -> float:
        """The time that a choice is expected to take beyond that of its tokens at the rate of the best one."""
        return tried.round_ms - tried.tokens / self._rate

    def _budget_ms(self, stake: float) -> float:
        """What may be lost now on choices that look worse. stake: in plain passes, before anything is earned.

        A choice that loses time makes all runs wait that share the passes, so each run has its part of the budget.
        """
        stake_ms = stake * self._passes.ms(1)
        earned_ms = _EXPLORED * self._total_ms + _REINVESTED * max(0.0, self._saved_ms)
        return (stake_ms + earned_ms) / self._experience.costs.runs - self._explored_ms

    def _expected_passes(self) -> PassTimes:
        """Of passes over a draft of any size, with as many rows of each other run."""
        return self._experience.costs.passes(2 * self._deepest + 1)

    def _plain(self, drafter: str) -> Forecast:
        return Forecast(drafter, 0, 1.0, self._passes.ms(1))

    def _plan_for(self, chosen: Forecast, outlooks: Mapping[str, Outlook], reason: Reason) -> Plan:
        nodes = chosen.depth + chosen.siblings if chosen.siblings else 0
        plan = Plan(chosen.drafter, chosen.depth, nodes, reason=reason)
        if chosen.depth == 0 or chosen.siblings or not outlooks[chosen.drafter].stops or reason.explored:
            return plan
        costs, acceptance = self._experience.costs, self._experience.acceptance(chosen.drafter)
        longest, block = outlooks[chosen.drafter].longest, outlooks[chosen.drafter].block
        deepest = self._deepest if longest is None else min(longest, self._deepest)
        rule = MarginalGain(
            tuple(acceptance.path(deepest)),
            tuple(self._passes.ms(n + 1) for n in range(deepest + 1)),
            costs.draft.pass_ms(chosen.drafter, block),
            self._rate,
            acceptance.given,
            block,
        )
        return replace(plan, depth=deepest, stop=rule)

    def _learn_from_draft(self, drafter: str, round: Round) -> None:
        draft, acceptance = round.draft, self._experience.acceptance(drafter)
        if FORCED in draft.source:  # what a grammar forces shows nothing of the drafter
            return
        outcomes, certainties = list[bool](), list[float | None]()
        for above, node in zip((ROOT, *round.verdict.path), (*round.verdict.path, ROOT), strict=True):
            children = draft.children(above)
            if not children:
                break
            outcomes.append(node == children[0])
            certainties.append(draft.certainties[children[0]] if draft.certainties else None)
            if node != children[0] and len(children) > 1:
                acceptance.observe_sibling(node != ROOT)
        if outcomes and round.verdict.certainty is not None:
            acceptance.relate(round.verdict.certainty, outcomes[0])
        acceptance.observe(outcomes, certainties)
        if not outcomes:
            acceptance.age()

    def _learn_from_outlook(self, drafter: str, outlook: Outlook | None, round: Round) -> None:
        """The emitted tokens show what would have become of a path that is known without drafting.

        Where no path is known, the target's certainty shows what a draft would probably have met with.
        """
        acceptance = self._experience.acceptance(drafter)
        if outlook is None or not outlook.tokens:
            certainty = round.verdict.certainty
            if certainty is None or (outlook is not None and outlook.longest == 0):
                acceptance.age()
            else:
                acceptance.expect(certainty)
            return
        pairs = list(zip(outlook.tokens, round.emitted, strict=False))
        right = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
        outcomes = [drafted == emitted for drafted, emitted in pairs[: right + 1]]
        acceptance.observe(outcomes, outlook.certainties)


def _rate(choice: Forecast) -> float:
    """Expected tokens per ms."""
    return choice.tokens / choice.round_ms
