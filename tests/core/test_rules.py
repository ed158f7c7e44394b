"""The proof for every rule and every shape of draft: all choices are listed, and the outcome is the target's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speculatoviz.core.chance import seeded
from speculatoviz.core.comparison import verify_match, verify_typical
from speculatoviz.core.rejection import verify_block, verify_tokens
from speculatoviz.core.rules import RULES, Verify
from speculatoviz.core.sampling import Distribution, distribution
from speculatoviz.core.types import Draft, Node, Sampling
from support import twins
from support.enumerate import Script
from support.toy_pair import SAMPLINGS, largest_difference, total_variation
from support.tree_rounds import TREES, WRONG, Propose, chosen, drawn, outcome, truth, two_drafters

EXACT = 1e-12
BROKEN = 1e-3
LENGTH = 4
CHAIN = (-1, 0, 1)
CHAINS: dict[str, Propose] = {
    "a drawn token": drawn((-1,)),
    "a drawn chain": drawn(CHAIN),
    "narrow support": drawn(CHAIN, size=2),
    "an unrelated draft": two_drafters((), CHAIN),
    "chosen in the middle": drawn(CHAIN, deterministic=(1,)),
    "a chosen chain": chosen((0, 1, 1), CHAIN),
    "empty": chosen((), ()),
}


def stopped(model: object, script: Script, sampling: Sampling) -> Draft:
    """A drawn chain that ends after the end token: its length depends on what was drawn."""
    whole = drawn(CHAIN)(model, script, sampling)  # type: ignore[arg-type]
    ends = np.flatnonzero(whole.tokens == 2)
    kept = int(ends[0]) + 1 if len(ends) else len(whole)
    return Draft.chain(0, whole.tokens[:kept].tolist(), whole.q[:kept], "model")


CHAINS["stopped at an end token"] = stopped


@pytest.mark.parametrize("sampling", SAMPLINGS.values(), ids=SAMPLINGS.keys())
@pytest.mark.parametrize("propose", TREES.values(), ids=TREES.keys())
def test_a_round_over_a_tree_keeps_the_targets_distribution(propose: Propose, sampling: Sampling) -> None:
    found, _ = outcome(propose, sampling, verify_tokens, LENGTH)
    assert sum(found.values()) == pytest.approx(1.0, abs=EXACT)
    assert largest_difference(found, truth(sampling, LENGTH)) < EXACT


@pytest.mark.parametrize("name", ["greedy", "all filters"])
@pytest.mark.parametrize("propose", TREES.values(), ids=TREES.keys())
def test_matching_over_a_tree_keeps_the_targets_distribution(propose: Propose, name: str) -> None:
    found, _ = outcome(propose, SAMPLINGS[name], verify_match, LENGTH)
    assert largest_difference(found, truth(SAMPLINGS[name], LENGTH)) < EXACT


@pytest.mark.parametrize("sampling", SAMPLINGS.values(), ids=SAMPLINGS.keys())
@pytest.mark.parametrize("propose", CHAINS.values(), ids=CHAINS.keys())
@pytest.mark.parametrize("rule", [verify_block, verify_match])
def test_a_round_over_a_chain_keeps_the_targets_distribution(
    rule: Verify, propose: Propose, sampling: Sampling
) -> None:
    found, _ = outcome(propose, sampling, rule, LENGTH)
    assert sum(found.values()) == pytest.approx(1.0, abs=EXACT)
    assert largest_difference(found, truth(sampling, LENGTH)) < EXACT


# --- what has to be caught ---------------------------------------------------------------------------


@pytest.mark.parametrize("propose", WRONG.values(), ids=WRONG.keys())
def test_wrong_drafts_are_caught(propose: Propose) -> None:
    found, _ = outcome(propose, Sampling(1.0), verify_tokens, 2)
    assert largest_difference(found, truth(Sampling(1.0), 2)) > BROKEN


@pytest.mark.parametrize("twin", [twins.without_weights, twins.shortest_first, twins.kept_by_weight, twins.drawn_again])
def test_broken_rules_are_caught(twin: Verify) -> None:
    found, _ = outcome(CHAINS["a drawn chain"], Sampling(1.0), twin, 3, letters=4)
    assert largest_difference(found, truth(Sampling(1.0), 3, letters=4)) > BROKEN


# --- typical acceptance is lossy ---------------------------------------------------------------------


def test_typical_acceptance_is_labelled_lossy_and_is() -> None:
    distances = {}
    for name, propose in [("drawn", CHAINS["a drawn chain"]), ("chosen", TREES["a chosen tree of seven"])]:
        found, _ = outcome(propose, Sampling(1.0), verify_typical, LENGTH)
        assert sum(found.values()) == pytest.approx(1.0, abs=EXACT)
        distances[name] = total_variation(found, truth(Sampling(1.0), LENGTH))
    assert RULES["typical"].label == "lossy"
    assert all(distance > 0.05 for distance in distances.values()), distances
    assert {rule for rule, info in RULES.items() if info.label == "exact"} == {"token", "block", "match"}


def test_typical_acceptance_is_greedy_at_temperature_zero() -> None:
    for propose in TREES.values():
        found, _ = outcome(propose, Sampling(0.0), verify_typical, LENGTH)
        assert largest_difference(found, truth(Sampling(0.0), LENGTH)) < EXACT


def test_typical_acceptance_takes_the_longest_path() -> None:
    likely = Distribution(np.array([0.5, 0.5, 0.0]), 1.0)
    draft = Draft.tree(0, [Node(0, -1), Node(1, -1), Node(0, 1), Node(2, 0)])
    decision = verify_typical(draft, lambda node: likely, seeded(0)("verify", 0))
    assert decision.path == (1, 2)
    assert {check.node: check.status for check in decision.checks} == {
        0: "discarded",
        1: "accepted",
        2: "accepted",
        3: "rejected",
    }


# --- what the rules accept ---------------------------------------------------------------------------


def accepted(propose: Propose, sampling: Sampling, rule: Verify) -> float:
    return outcome(propose, sampling, rule, 1)[1]


@pytest.mark.parametrize("sampling", SAMPLINGS.values(), ids=SAMPLINGS.keys())
@pytest.mark.parametrize("propose", CHAINS.values(), ids=CHAINS.keys())
def test_block_verification_never_accepts_less(propose: Propose, sampling: Sampling) -> None:
    assert accepted(propose, sampling, verify_block) >= accepted(propose, sampling, verify_tokens) - EXACT


def test_block_verification_gains_on_drawn_chains_alone() -> None:
    gain = {
        name: accepted(CHAINS[name], sampling, verify_block) - accepted(CHAINS[name], sampling, verify_tokens)
        for name, sampling in [("a drawn chain", Sampling(1.0)), ("a chosen chain", Sampling(1.0))]
    }
    assert gain["a drawn chain"] > 1e-3
    assert abs(gain["a chosen chain"]) < EXACT
    greedy = [accepted(CHAINS["a drawn chain"], Sampling(0.0), rule) for rule in (verify_block, verify_tokens)]
    assert greedy[0] == pytest.approx(greedy[1], abs=EXACT)


def test_matching_accepts_less_than_rejection_sampling() -> None:
    for name in ("a drawn token", "a drawn chain"):
        assert accepted(CHAINS[name], Sampling(1.0), verify_match) < accepted(
            CHAINS[name], Sampling(1.0), verify_tokens
        )


def test_siblings_raise_what_is_accepted() -> None:
    one, two = (accepted(drawn(parents), Sampling(1.0), verify_tokens) for parents in [(-1,), (-1, -1)])
    assert two > one + 1e-3


def test_block_verification_refuses_a_tree() -> None:
    draft = Draft.tree(0, [Node(0, -1), Node(1, -1)])
    p = distribution(np.zeros(3), Sampling(1.0))
    with pytest.raises(ValueError, match="chain"):
        verify_block(draft, lambda node: p, seeded(0)("verify", 0))


# --- random trees ------------------------------------------------------------------------------------


@st.composite
def shapes(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Parents of up to five nodes, no more than three children each, and which of them are chosen."""
    parents: list[int] = []
    for node in range(draw(st.integers(1, 5))):
        free = [p for p in range(-1, node) if parents.count(p) < 3]
        parents.append(draw(st.sampled_from(free)))
    return tuple(parents), tuple(draw(st.sets(st.integers(0, len(parents) - 1))))


@settings(max_examples=25, deadline=None)
@given(shape=shapes(), sampling=st.sampled_from(list(SAMPLINGS.values())), size=st.integers(1, 3))
def test_any_tree_keeps_the_targets_distribution(
    shape: tuple[tuple[int, ...], tuple[int, ...]], sampling: Sampling, size: int
) -> None:
    parents, deterministic = shape

    found, _ = outcome(drawn(parents, size, deterministic), sampling, verify_tokens, 3)
    assert largest_difference(found, truth(sampling, 3)) < EXACT
