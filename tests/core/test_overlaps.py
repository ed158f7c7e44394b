"""The overlap of draft and target at tested tokens: over all that can happen, it predicts the rejections exactly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from speculatoviz.core.overlaps import overlaps
from speculatoviz.core.rejection import Decision
from speculatoviz.core.rounds import Check, Overlap
from speculatoviz.core.rules import RULES
from speculatoviz.core.sampling import Distribution, distribution, support
from speculatoviz.core.types import Draft, DraftEvidence, Node, Rule, Sampling
from speculatoviz.models.runtimes.toy import ToyModel
from support.enumerate import Script
from support.toy_pair import PROMPT, pair
from support.tree_rounds import TREES, Propose, chosen, drawn

CHAIN = (-1, 0, 1)
FILTERED = Sampling(1.0, top_k=2)
Measure = Callable[[Draft, Decision, Callable[[int], Distribution], Rule], list[Overlap]]


def measured(draft: Draft, decision: Decision, p: Callable[[int], Distribution], rule: Rule) -> list[Overlap]:
    return overlaps(draft, decision.checks, p, None, rule)


def balance(propose: Propose, sampling: Sampling, rule: Rule, measure: Measure = measured) -> tuple[float, float]:
    """(expected, measured) rejections of a round, as means over every draft and every verdict."""
    target, draft_model = pair(2)
    script = Script()
    expected = rejected = 0.0

    def one_round() -> tuple[float, float]:
        draft = propose(draft_model, script, sampling)

        def p(node: int) -> Distribution:
            path = draft.tokens[draft.path(node)].tolist()
            return distribution(target.logits([*PROMPT, *path]), sampling)

        decision = RULES[rule].verify(draft, p, script)
        found = measure(draft, decision, p, rule)
        return sum(one.reach - one.accepted for one in found), rejections(draft, decision, rule)

    for prob, (one_expected, one_rejected) in script.outcomes(one_round):
        expected += prob * one_expected
        rejected += prob * one_rejected
    return expected, rejected


def rejections(draft: Draft, decision: Decision, rule: Rule) -> float:
    if rule == "block":
        return float(len(decision.path) < len(draft))
    return float(sum(check.status == "rejected" for check in decision.checks))


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(1.0), FILTERED], ids=["greedy", "T=1", "top-k 2"])
@pytest.mark.parametrize("rule", ["token", "match", "typical"])
@pytest.mark.parametrize("name", TREES)
def test_expected_rejections_are_the_measured_ones_on_trees(name: str, rule: Rule, sampling: Sampling) -> None:
    if sampling.greedy and rule == "typical":
        pytest.skip("the thresholds of typical acceptance are for sampling")
    expected, rejected = balance(TREES[name], sampling, rule)

    assert expected == pytest.approx(rejected, abs=1e-12)


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(1.0), FILTERED], ids=["greedy", "T=1", "top-k 2"])
@pytest.mark.parametrize("rule", ["token", "block", "match"])
@pytest.mark.parametrize("propose", [drawn(CHAIN), chosen((0, 1, 1), CHAIN), drawn(CHAIN, deterministic=(1,))])
def test_expected_rejections_are_the_measured_ones_on_chains(propose: Propose, rule: Rule, sampling: Sampling) -> None:
    expected, rejected = balance(propose, sampling, rule)

    assert expected == pytest.approx(rejected, abs=1e-12)


# --- broken twins ------------------------------------------------------------------------------------


def every_sibling_against_p(
    draft: Draft, decision: Decision, p: Callable[[int], Distribution], rule: Rule
) -> list[Overlap]:
    """Forgets that a rejected sibling leaves a residual."""
    return [overlaps(draft, [check], p, None, rule)[0] for check in decision.checks]


def by_prefix_weight_one(
    draft: Draft, decision: Decision, p: Callable[[int], Distribution], rule: Rule
) -> list[Overlap]:
    """Reads block verification as if it tested tokens."""
    return overlaps(draft, decision.checks, p, None, "token")


def given_the_token(draft: Draft, decision: Decision, p: Callable[[int], Distribution], rule: Rule) -> list[Overlap]:
    """Takes p of the drafted token alone for the probability over all that could have been drawn."""
    found = overlaps(draft, decision.checks, p, None, rule)
    return [replace(one, accepted=check.target_prob or 0.0) for one, check in zip(found, decision.checks, strict=True)]


@pytest.mark.parametrize(
    ("measure", "propose", "rule"),
    [
        (every_sibling_against_p, TREES["two siblings"], "token"),
        (every_sibling_against_p, TREES["two siblings"], "match"),
        (by_prefix_weight_one, drawn(CHAIN), "block"),
        (given_the_token, drawn(CHAIN), "token"),
        (given_the_token, drawn(CHAIN), "block"),
    ],
)
def test_a_wrong_overlap_does_not_add_up(measure: Measure, propose: Propose, rule: Rule) -> None:
    expected, rejected = balance(propose, Sampling(1.0), rule, measure)

    assert abs(expected - rejected) > 1e-6


# --- the parts ---------------------------------------------------------------------------------------


def overlap_of(node: Node, sampling: Sampling) -> tuple[Overlap, Distribution, Distribution]:
    """The overlap at a single node, p and p without filters."""
    target, _ = pair()
    logits = target.logits(PROMPT)
    p, unfiltered = distribution(logits, sampling), distribution(logits, Sampling(sampling.temperature))
    draft = Draft.tree(0, [node])
    check = Check(0, node.token, "rejected", None, None, None, None)
    cut = (lambda _: unfiltered) if sampling.filtered else None
    return overlaps(draft, [check], lambda _: p, cut, "token")[0], p, unfiltered


def draft_model() -> ToyModel:
    return pair()[1]


def test_a_chosen_token_is_compared_with_the_distribution_that_it_could_have_been_drawn_from() -> None:
    own = support(draft_model().logits(PROMPT), Sampling(1.0), 64)
    token = int(own.ids[own.probs.argmax()])
    found, p, _ = overlap_of(Node(token, -1, evidence=DraftEvidence(own=own)), Sampling(1.0))

    assert found.accepted == pytest.approx(p.prob(token))
    assert found.shared == pytest.approx(sum(min(p.prob(t), own.prob(t)) for t in range(5)))


def test_the_uncovered_mass_is_that_of_the_tokens_the_drafter_cannot_propose() -> None:
    own = support(draft_model().logits(PROMPT)[:3], Sampling(1.0), 64)
    found, p, _ = overlap_of(Node(1, -1, own, evidence=DraftEvidence(vocabulary=own.ids)), Sampling(1.0))

    assert found.uncovered == pytest.approx(p.prob(3) + p.prob(4))
    assert found.reach - found.shared >= found.uncovered


def test_filtered_is_what_the_cut_tokens_would_have_shared() -> None:
    own = support(draft_model().logits(PROMPT), Sampling(1.0), 64)
    found, p, unfiltered = overlap_of(Node(1, -1, own), FILTERED)

    cut = [token for token in range(5) if p.prob(token) == 0.0]
    assert len(cut) == 3
    assert found.filtered == pytest.approx(sum(min(unfiltered.prob(t), own.prob(t)) for t in cut))


@pytest.mark.parametrize("sampling", [Sampling(1.0), FILTERED, Sampling()], ids=["whole", "top-k 2", "greedy"])
@pytest.mark.parametrize("tokens", [[0], [1, 3], [0, 1, 2, 3, 4], [2, 4, 9]])
def test_a_mass_is_the_sum_of_the_probabilities(sampling: Sampling, tokens: list[int]) -> None:
    p = distribution(pair()[0].logits(PROMPT), sampling)

    assert p.mass(np.array(tokens, np.int32)) == pytest.approx(sum(p.prob(token) for token in tokens))
