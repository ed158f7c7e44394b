"""Trees of the draft model, and drafters made of drafters: all of them leave the target's distribution as it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from speculatoviz.core.chance import Chance, seeded
from speculatoviz.core.planning import Plan
from speculatoviz.core.rules import RULES
from speculatoviz.core.types import ROOT, Draft, Drafting, Probes, Rule, Sampling, Support
from speculatoviz.drafters import merge as merging
from speculatoviz.drafters import multi
from speculatoviz.drafters.base import Drafter
from speculatoviz.drafters.hybrid import HybridDrafter
from speculatoviz.drafters.lookahead import LookaheadDrafter
from speculatoviz.drafters.mixture import MixtureDrafter, blended
from speculatoviz.drafters.multi import MultiDrafter
from speculatoviz.drafters.ngram import NgramDrafter
from speculatoviz.models.runtimes.toy import ToyModel
from speculatoviz.targets.local import LocalTarget
from support import twins
from support.toy_pair import (
    Factory,
    fit_of_seeded_runs,
    largest_difference,
    model_drafter,
    no_clock,
    pair,
    request,
    run_tokens,
)
from support.whole_runs import whole_runs

EXACT = 1e-12
BROKEN = 1e-3
SIGNIFICANCE = 1e-4
OTHER = ToyModel(9, [b"a", b"b"])


def two_models(draft: ToyModel, target: ToyModel) -> MultiDrafter:
    return MultiDrafter([model_drafter(draft, target), model_drafter(OTHER, target)])


def model_and_match(draft: ToyModel, target: ToyModel) -> MultiDrafter:
    return MultiDrafter([NgramDrafter(1, 2), model_drafter(draft, target)])


def mixture(draft: ToyModel, target: ToyModel) -> MixtureDrafter:
    return MixtureDrafter([(0.6, model_drafter(draft, target)), (0.4, NgramDrafter(1, 2))], no_clock)


def hybrid(draft: ToyModel, target: ToyModel) -> HybridDrafter:
    return HybridDrafter([NgramDrafter(1, 2)], model_drafter(draft, target), enough=0.5)


FACTORIES: dict[str, tuple[Factory, int]] = {
    "model, a tree": (model_drafter, 4),
    "two models": (two_models, 4),
    "model and match": (model_and_match, 4),
    "mixture": (mixture, 0),
    "hybrid": (hybrid, 3),
}
SAMPLINGS = [Sampling(0.0), Sampling(1.0), Sampling(0.7, top_k=2), Sampling(1.0, top_p=0.8)]


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize(("factory", "nodes"), FACTORIES.values(), ids=FACTORIES.keys())
def test_whole_runs_keep_the_targets_distribution(factory: Factory, nodes: int, sampling: Sampling) -> None:
    found, expected = whole_runs(sampling, 2, factory, nodes=nodes)
    assert largest_difference(found, expected) < EXACT


@pytest.mark.parametrize("rule", [rule for rule, info in RULES.items() if info.label == "exact"])
def test_whole_runs_are_exact_under_every_rule_that_says_so(rule: Rule) -> None:
    found, expected = whole_runs(Sampling(1.0), 2, model_drafter, nodes=4, rule=rule)
    assert largest_difference(found, expected) < EXACT


def test_whole_runs_under_typical_acceptance_are_not() -> None:
    found, expected = whole_runs(Sampling(1.0), 2, model_drafter, nodes=4, rule="typical")
    assert largest_difference(found, expected) > BROKEN


# --- seeded runs: independence shows here, where a script would draw everything anew ------------------


def p_value(factory: Factory, runs: int = 4_000, depth: int = 2) -> float:
    """The p-value of outputs of up to `depth` + 1 tokens, with two nodes for each position."""
    target_model, draft_model = pair(letters=2)
    asked = request(Sampling(1.0), depth + 1, target_model)
    target, drafter = LocalTarget(target_model, 16, no_clock), factory(draft_model, target_model)
    return fit_of_seeded_runs(asked, target_model, target, drafter, depth, runs, 2 * depth)


@pytest.mark.parametrize("factory", [model_drafter, two_models, mixture])
def test_seeded_runs_follow_the_target(factory: Factory) -> None:
    assert p_value(factory) > SIGNIFICANCE


def test_members_that_share_random_numbers_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two drafters with the same random numbers are not independent of each other."""
    monkeypatch.setattr(multi, "MemberChance", twins.shared_chance)
    assert p_value(two_models, 10_000, depth=1) < SIGNIFICANCE


def one_token(model: ToyModel, target: ToyModel) -> MixtureDrafter:
    """Draws one branch, never a sibling beside it."""
    return MixtureDrafter([(1.0, model_drafter(model, target))], no_clock)


def nested(draft: ToyModel, target: ToyModel) -> MultiDrafter:
    """A `multi` whose first member is a `multi`: one model is at its place 1, the other one at the outer place 1."""
    return MultiDrafter([MultiDrafter([NgramDrafter(1, 2), one_token(draft, target)]), one_token(OTHER, target)])


@pytest.mark.full
def test_a_multi_within_a_multi_follows_the_target() -> None:
    assert p_value(nested, 20_000, depth=1) > SIGNIFICANCE


@pytest.mark.full
def test_nested_members_whose_numbers_add_up_alike_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """The inner place 1 of the outer place 0 must not use the numbers of the outer place 1."""
    monkeypatch.setattr(multi, "MemberChance", twins.AddedChance)
    assert p_value(nested, 20_000, depth=1) < SIGNIFICANCE


def test_room_that_depends_on_what_is_tested_later_is_caught() -> None:
    """What the second member drew would show in whether the first has a further branch, which is tested before."""

    class Backwards(MultiDrafter):
        def draft(self, prefix: list[int], round: int, plan: Plan, chance: Chance) -> Draft:
            last, first = (
                self.members[place].draft(prefix, round, own, multi.MemberChance(chance, place))
                for place, own in [(1, Plan("", 2)), (0, Plan("", 1, 1))]
            )
            if len(last) == 1:
                first = self.members[0].draft(prefix, round, Plan("", 1, 2), chance)
            return merging.merge(round, [first, last])

    def factory(draft: ToyModel, target: ToyModel) -> Drafter:
        return Backwards([model_drafter(draft, target), model_drafter(OTHER, target)])

    found, expected = whole_runs(Sampling(1.0), 2, factory, nodes=4)
    assert largest_difference(found, expected) > BROKEN


def test_a_blend_that_declares_one_members_q_is_caught() -> None:
    class OneSided(MixtureDrafter):
        def draft(self, prefix: list[int], round: int, plan: Plan, chance: Chance) -> Draft:
            draft = super().draft(prefix, round, plan, chance)
            own = self.members[0].next(prefix)
            return Draft.chain(round, draft.tokens[:1].tolist(), (own,), "mixture") if len(draft) else draft

    def factory(draft: ToyModel, target: ToyModel) -> Drafter:
        return OneSided([(0.3, model_drafter(draft, target)), (0.7, model_drafter(OTHER, target))], no_clock)

    found, expected = whole_runs(Sampling(1.0), 1, factory)
    assert largest_difference(found, expected) > BROKEN


# --- how they draft ----------------------------------------------------------------------------------


def drafted(drafter: Drafter, depth: int, nodes: int, sampling: Sampling, drafting: Drafting) -> Draft:
    target, _ = pair(letters=2)
    asked = request(sampling, 9, target, ignore_eos=True)
    drafter.begin(type(asked)(asked.prompt, sampling, asked.limits, evidence=True, drafting=drafting))
    return drafter.draft(list(asked.prompt), 0, Plan(drafter.name, depth, nodes), seeded(3)("draft", 0))


@pytest.mark.parametrize("sampling", [Sampling(0.0), Sampling(1.0)])
def test_a_tree_of_the_model_is_its_chain_with_leaves(sampling: Sampling) -> None:
    target, draft_model = pair(letters=2)
    tree = drafted(model_drafter(draft_model, target), 3, 6, sampling, Drafting(trees=True))
    chain = drafted(model_drafter(draft_model, target), 3, 6, sampling, Drafting())
    assert chain.is_chain
    assert tree.tokens[:3].tolist() == chain.tokens.tolist()
    assert len(tree) == 6
    assert not tree.is_chain
    families = [tuple(tree.tokens[tree.children(parent)].tolist()) for parent in (-1, 0, 1)]
    assert all(len(set(family)) == len(family) for family in families), "siblings differ"
    assert all((q is None) == sampling.greedy for q in tree.q)


def test_what_travels_is_quantised_before_it_is_drawn() -> None:
    target, draft_model = pair(letters=2)
    tree = drafted(model_drafter(draft_model, target), 2, 5, Sampling(1.0), Drafting(trees=True, quantised=True))
    for q in tree.q:
        assert q is not None
        assert np.array_equal(q.probs * 65536, np.round(q.probs * 65536))


def test_equal_branches_share_what_follows() -> None:
    q = Support(np.array([0, 1], np.int32), np.array([0.5, 0.5]))
    first = Draft.chain(0, [1, 0], (q, q), "a")
    second = Draft.chain(0, [1, 1], (q, q), "b")
    merged = merging.merge(0, [first, second])
    assert merged.tokens.tolist() == [1, 0, 1, 1]
    assert merged.parents.tolist() == [-1, 0, -1, 0]
    assert merged.source == ("a", "a", "b", "b")
    chosen = merging.merge(0, [Draft.chain(0, [1, 0], (), "a"), Draft.chain(0, [1, 1], (), "b")])
    assert (chosen.tokens.tolist(), chosen.parents.tolist()) == ([1, 0, 1], [-1, 0, 0])


def test_a_members_probes_go_along_and_teach_it() -> None:
    probing = replace(Draft.chain(0, [1, 0], (), "a"), probes=Probes((5, 6, 7), (ROOT, 1, 3)))
    merged = merging.merge(0, [Draft.chain(0, [2, 1], (), "b"), probing, replace(probing, probes=Probes((9,), (0,)))])
    assert merged.tokens.tolist() == [2, 1, 1, 0]
    assert merged.probes == Probes((5, 6, 7), (ROOT, 3, 5))

    _, draft_model = pair()
    model = ToyModel(1)
    lookahead = LookaheadDrafter()
    both = MultiDrafter([lookahead, model_drafter(draft_model, model)])
    asked = replace(request(Sampling(0.0), 30, model, ignore_eos=True), needs=both.needs)
    run_tokens(asked, LocalTarget(model, 64, no_clock), both, 3, seeded(0), 6)
    assert len(lookahead.pool) > 0


def test_one_member_drafts_for_a_target_that_takes_chains() -> None:
    target, draft_model = pair(letters=2)
    draft = drafted(model_and_match(draft_model, target), 3, 6, Sampling(1.0), Drafting())
    assert draft.is_chain
    assert set(draft.source) == {"model"}


def test_a_blend_is_the_weighted_sum() -> None:
    first = Support(np.array([0, 2], np.int32), np.array([0.25, 0.75]))
    second = Support(np.array([1, 2], np.int32), np.array([0.5, 0.5]))
    q = blended([(1.0, first), (3.0, second)])
    assert q.ids.tolist() == [0, 1, 2]
    assert q.probs == pytest.approx([0.0625, 0.375, 0.5625])


def test_a_match_goes_before_the_model() -> None:
    target, draft_model = pair(letters=2)
    asked = request(Sampling(0.0), 9, target, ignore_eos=True)
    drafter = hybrid(draft_model, target)
    drafter.begin(asked)
    plan, chance = Plan("hybrid", 2), seeded(0)("draft", 0)
    assert set(drafter.draft([0, 1, 0, 1, 0], 0, plan, chance).source) == {"ngram"}
    assert set(drafter.draft([0, 1], 0, plan, chance).source) == {"model"}
