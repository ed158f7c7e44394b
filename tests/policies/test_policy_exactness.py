"""Whatever a policy plans and wherever a rule stops a draft, the output has the target's distribution.

Every possible run is listed with its probability.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from speculatoviz.core.chance import Chance
from speculatoviz.core.planning import Outlook, Plan
from speculatoviz.core.types import Draft, Sampling
from speculatoviz.drafters.base import Drafter
from speculatoviz.drafters.model import ModelDrafter
from speculatoviz.drafters.suffix import SuffixDrafter
from speculatoviz.models.runtimes.toy import ToyModel
from speculatoviz.policies.adaptive import AdaptivePolicy
from speculatoviz.policies.auto import AutoPolicy, Experience, MarginalGain
from speculatoviz.policies.base import Policy, State
from speculatoviz.policies.costs import Costs
from support.toy_pair import largest_difference, model_drafter, no_clock
from support.whole_runs import whole_runs

EXACT, BROKEN = 1e-9, 1e-3
SAMPLINGS = [Sampling(0.0), Sampling(1.0), Sampling(0.7, top_k=2)]
ROWS = {1: 10.0, 2: 11.0, 3: 11.5, 4: 12.0}


def auto(drafter: str) -> Policy:
    """Learns from the outcomes of the rounds before, so that plans differ from run to run."""
    return AutoPolicy(Experience(Costs(lambda: ROWS, lambda _drafter: 2.0), {drafter: 0.6}), 3)


def adaptive(drafter: str) -> Policy:
    return AdaptivePolicy(drafter, 1, 3)


class Selective:
    """Stops before tokens of which the drafter is not certain, and after paths that it was not certain of."""

    def computes_another(self, certainties: Sequence[float]) -> bool:
        return certainties[-1] > 0.5

    def adds_another(self, certainties: Sequence[float], certainty: float) -> bool:
        return certainty > 0.45 or not certainties


class StoppingPolicy:
    """Depth 3 with a stop rule."""

    def __init__(self, drafter: str) -> None:
        self._plan = Plan(drafter, 3, stop=Selective())

    def plan(self, state: State) -> Plan:
        return self._plan

    def observe(self, round: object) -> None:
        pass

    def change(self, **settings: object) -> None:
        pass


def suffix_drafter(draft: ToyModel, target: ToyModel) -> Drafter:
    return SuffixDrafter(no_clock, longest=3, corpus=[[0, 1, 0, 1], [1, 0, 0, 1]], least=0.01)


POLICIES: dict[str, Callable[[str], Policy]] = {"auto": auto, "adaptive": adaptive, "stopping": StoppingPolicy}
DRAFTERS: dict[str, Callable[[ToyModel, ToyModel], Drafter]] = {"model": model_drafter, "suffix": suffix_drafter}


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("drafter", DRAFTERS)
@pytest.mark.parametrize("policy", POLICIES)
def test_whole_runs_keep_the_targets_distribution(policy: str, drafter: str, sampling: Sampling) -> None:
    found, expected = whole_runs(
        sampling, 0, DRAFTERS[drafter], tokens=4, policy=POLICIES[policy], certainty=policy == "auto"
    )

    assert largest_difference(found, expected) < EXACT


def test_auto_drafts_trees_here() -> None:
    """Or the runs above would list no tree of it: rows cost little, and a rejection is likely."""
    policy = auto("model")
    plan = policy.plan(State(0, 1, 4, lambda _name: Outlook(branches=True)))

    assert plan.spare > 0


class StopsAfterTheDraw(ModelDrafter):
    """The broken twin: draws a token, and withdraws it if it is unlikely, as stopping by the token's own q does."""

    def draft(self, prefix: list[int], round: int, plan: Plan, chance: Chance) -> Draft:
        whole = super().draft(prefix, round, plan, chance)
        probs = [q.prob(int(token)) if q else 1.0 for q, token in zip(whole.q, whole.tokens, strict=True)]
        kept = next((place for place, prob in enumerate(probs) if prob < 0.4), len(whole))
        return Draft.chain(round, whole.tokens[:kept].tolist(), whole.q[:kept], self.name)


class DepthFromTheOutcome(ModelDrafter):
    """The broken twin: plans another depth once it has seen what was drawn: one token if the last one is token 0."""

    def draft(self, prefix: list[int], round: int, plan: Plan, chance: Chance) -> Draft:
        whole = super().draft(prefix, round, replace(plan, depth=min(2, plan.depth)), chance)
        kept = 1 if len(whole) and int(whole.tokens[-1]) == 0 else len(whole)
        return Draft.chain(round, whole.tokens[:kept].tolist(), whole.q[:kept], self.name)


@pytest.mark.parametrize("twin", [StopsAfterTheDraw, DepthFromTheOutcome])
def test_decisions_after_the_draw_are_caught(twin: type[ModelDrafter]) -> None:
    found, expected = whole_runs(
        Sampling(1.0), 2, lambda draft, target: twin(draft, target.tokenizer, 64, no_clock), tokens=3
    )

    assert largest_difference(found, expected) > BROKEN


def test_the_stop_rule_weighs_gain_against_cost() -> None:
    def rule(rate: float) -> MarginalGain:
        return MarginalGain((0.9, 0.9, 0.9), (10.0, 12.0, 14.0, 14.0), 1.0, rate, lambda certainty: certainty)

    assert rule(0.1).computes_another([])
    assert rule(0.1).adds_another([0.9], 0.9)
    assert not rule(0.5).computes_another([0.1])
    assert not rule(0.1).adds_another([0.9], 0.05)
    assert rule(0.2).computes_another([0.9]), "the fourth row is free: two more tokens pay where one would not"


def test_the_stop_rule_knows_that_a_block_is_computed_at_once() -> None:
    """A pass of 8 ms for three tokens: before it the block has to pay, after it only rows of the target are left."""

    def rule(block: int, rate: float = 0.1) -> MarginalGain:
        verify_ms = (10.0, 11.0, 12.0, 13.0)
        return MarginalGain((0.9, 0.9, 0.9), verify_ms, 8.0, rate, lambda certainty: certainty, block)

    assert not rule(1).computes_another([0.9])
    assert rule(3).computes_another([0.9]), "the second token is there"
    assert rule(3).computes_another([]), "2.4 tokens for 11 ms"
    assert not rule(3, rate=0.3).computes_another([]), "and not for 3.3 tokens' time"
    assert rule(3, rate=0.3).adds_another([0.9], 0.9), "one row more, for 0.8 tokens"
    assert not rule(3, rate=0.3).adds_another([0.9], 0.1)
