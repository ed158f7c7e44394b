"""A machine with known costs and text with known acceptance, on which a policy can be judged without a clock."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from speculatoviz.core.planning import Outlook, Plan
from speculatoviz.core.rounds import Check, Extra, Round, Times, Verdict
from speculatoviz.core.types import Draft
from speculatoviz.policies.base import Policy, State

READING = 0.3  # the time of reading a token, by that of drafting one

Rates = Callable[[int, int], float]  # (round, position) -> the true probability of acceptance


@dataclass(frozen=True)
class SimulatedDrafter:
    """rates: its true acceptance. token_ms: of one drafted token. spread: how much its certainty says.

    A token's own acceptance is the rate plus or minus `spread`, each as often; its certainty is that number. stops:
    whether it asks the stop rule. text: whether its path and certainties are known before it drafts. prompt: tokens
    that it has to read before its first draft.
    """

    rates: Rates
    token_ms: float
    spread: float = 0.0
    stops: bool = False
    text: bool = False
    prompt: int = 0


@dataclass
class Simulation:
    """Runs a policy. slower[round]: the factor by which everything takes longer than the table then.

    certain: a drafter whose true acceptance is also the target's certainty; None if the target does not report it.
    """

    verify_ms: Mapping[int, float]
    drafters: Mapping[str, SimulatedDrafter]
    seed: int = 1
    slower: Callable[[int], float] = lambda _round: 1.0
    certain: str | None = None
    plans: list[Plan] = field(default_factory=list)

    def run(self, policy: Policy, rounds: int, first: int = 0) -> tuple[float, float]:
        """(expected tokens, milliseconds) of the rounds from `first` on: by the true rates, so luck does not count."""
        random = np.random.default_rng(self.seed)
        tokens = ms = 0.0
        read = {name: -drafter.prompt for name, drafter in self.drafters.items()}
        for index in range(rounds):
            actual = {name: self.actual(name, index, random) for name in self.drafters}
            outlooks = {name: self._outlook(name, actual[name], index - read[name]) for name in self.drafters}
            plan = policy.plan(State(index, index, 1000, outlooks.__getitem__))
            self.plans.append(plan)
            path = self._drafted(plan, actual)
            reading = index - read[plan.drafter] if path else 0
            result = self._round(index, plan, path, reading, actual, random)
            if plan.depth:
                read[plan.drafter] = index + 1
            if index >= first:
                tokens += 1.0 + sum(itertools.accumulate(path, lambda a, b: a * b))
                ms += result.times.round_ms
            policy.observe(result)
        return tokens, ms

    def actual(self, name: str, index: int, random: np.random.Generator) -> list[float]:
        """The true acceptance of each position of a drafter in one round."""
        drafter = self.drafters[name]
        signs = random.choice([-1.0, 1.0], 16)
        return [min(0.99, max(0.01, drafter.rates(index, i) + drafter.spread * signs[i])) for i in range(16)]

    def _outlook(self, name: str, actual: Sequence[float], missing: int) -> Outlook:
        drafter = self.drafters[name]
        if drafter.text:
            return Outlook(certainties=tuple(actual))
        return Outlook(missing=missing if drafter.prompt else 0, stops=drafter.stops)

    def _drafted(self, plan: Plan, actual: Mapping[str, Sequence[float]]) -> list[float]:
        """The acceptance of the tokens that are drafted."""
        if not plan.depth:
            return []
        rates = actual[plan.drafter]
        if plan.stop is None:
            return list(rates[: plan.depth])
        path: list[float] = []
        while len(path) < plan.depth and (not path or plan.stop.computes_another(path)):
            if not plan.stop.adds_another(path, rates[len(path)]):
                break
            path.append(rates[len(path)])
        return path

    def _round(
        self,
        index: int,
        plan: Plan,
        path: Sequence[float],
        reading: int,
        actual: Mapping[str, Sequence[float]],
        random: np.random.Generator,
    ) -> Round:
        lucky = [bool(random.random() < rate) for rate in path]
        accepted = sum(1 for _ in itertools.takewhile(bool, lucky))
        draft = Draft.chain(index, [7] * len(path), (), plan.drafter, certainties=tuple(path))
        checks = tuple(Check(n, 7, "accepted", None, None, None, None) for n in range(accepted))
        certainty = None if self.certain is None else actual[self.certain][0]
        verdict = Verdict(tuple(range(accepted)), Extra(8, "bonus", None), checks, certainty=certainty)
        factor = self.slower(index)
        token_ms = self.drafters[plan.drafter].token_ms if path else 0.0
        reading_ms = token_ms * READING * max(0, reading - 2) if self.drafters[plan.drafter].prompt else 0.0
        times = Times(
            factor * (token_ms * len(path) + reading_ms), factor * self.verify_ms[len(path) + 1], 0.0, 0.0, 0.0
        )
        emitted = (7,) * accepted + (8,)
        return Round(
            index, plan, draft, verdict, emitted, ("accepted",) * accepted + ("bonus",), ("",) * len(emitted), times
        )


def best_static(simulation: Simulation, rounds: int, first: int, deepest: int) -> float:
    """The expected tokens per ms of the best drafter and depth that never change, plain decoding included."""
    random = np.random.default_rng(simulation.seed)
    indices = range(first, rounds)
    slower = sum(simulation.slower(index) for index in indices)
    found = [len(indices) / (slower * simulation.verify_ms[1])]
    for name, drafter in simulation.drafters.items():
        rates = np.array([simulation.actual(name, index, random) for index in indices])
        accepted = np.cumprod(rates, axis=1).sum(axis=0).cumsum()  # expected in all rounds, by depth
        for depth in range(1, deepest + 1):
            ms = slower * (drafter.token_ms * depth + simulation.verify_ms[depth + 1])
            found.append((len(indices) + accepted[depth - 1]) / ms)
    return max(found)
