"""Drafting with heads that do not know of each other, for `medusa`."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from speculatoviz.core.chance import seeded
from speculatoviz.core.planning import Plan
from speculatoviz.core.rules import RULES
from speculatoviz.core.types import Draft, Drafting, Limits, Penalties, Request, Sampling
from speculatoviz.drafters.medusa import MedusaDrafter
from speculatoviz.heads.medusa import MedusaHeads
from speculatoviz.models.runtimes.toy import ToyModel
from support.enumerate import Script
from support.tiny_heads import VOCABULARY, HashedStates, TinyRows, medusa_file, medusa_heads, state
from support.toy_grammar import Automaton
from support.toy_pair import PROMPT, largest_difference, no_clock
from support.tree_rounds import N_VOCAB, outcome, truth

PREFIX = [0, 1, 4, 2, 3, 3, 1]
HEADS = 3


def drafter(sampling: Sampling, width: int = 8, ends: frozenset[int] = frozenset()) -> MedusaDrafter:
    made = MedusaDrafter(medusa_heads(), HashedStates(PREFIX[:-1]), no_clock, width)
    drafting = Drafting(trees=True)
    made.begin(Request((0,), sampling, Limits(64, stop_ids=ends), evidence=False, drafting=drafting))
    return made


def drafted(made: MedusaDrafter, depth: int, nodes: int = 0, seed: int = 0) -> Draft:
    return made.draft(PREFIX, 0, Plan("medusa", depth, nodes), seeded(seed)("draft", 0))


def probs() -> np.ndarray:
    """float64[heads, K] after the state that the last committed token came from."""
    logits = medusa_heads().logits(state(PREFIX[:-1]), HEADS).astype(np.float64)
    weights = np.exp(logits - logits.max(1, keepdims=True))
    return weights / weights.sum(1, keepdims=True)


def tree(draft: Draft) -> set[tuple[int, ...]]:
    return {tuple(draft.tokens[draft.path(node)].tolist()) for node in range(len(draft))}


def test_a_chain_is_the_best_token_of_each_head() -> None:
    assert drafted(drafter(Sampling(0.0)), 2).tokens.tolist() == VOCABULARY[probs().argmax(1)].tolist()[:2]


def test_it_drafts_no_deeper_than_there_are_heads() -> None:
    for sampling in (Sampling(0.0), Sampling(1.0)):
        draft = drafted(drafter(sampling), 6)
        assert len(draft) == HEADS
        assert draft.is_chain


@pytest.mark.parametrize("nodes", [4, 9, 20])
def test_a_tree_holds_the_most_probable_paths(nodes: int) -> None:
    own = probs()
    values = {
        tuple(int(VOCABULARY[place]) for place in path): float(np.prod([own[h, place] for h, place in enumerate(path)]))
        for length in range(1, HEADS + 1)
        for path in itertools.product(range(len(VOCABULARY)), repeat=length)
    }
    assert tree(drafted(drafter(Sampling(0.0), width=64), HEADS, nodes)) == set(
        sorted(values, key=lambda path: -values[path])[:nodes]
    )


def test_every_level_is_drawn_from_its_own_head() -> None:
    own = probs()
    draft = drafted(drafter(Sampling(1.0)), HEADS, 6)
    firsts = [node for node in range(len(draft)) if node == draft.children(int(draft.parents[node]))[0]]
    assert len(firsts) >= HEADS
    for node in firsts:
        q = draft.q[node]
        assert q is not None
        np.testing.assert_allclose(q.probs, own[draft.position(node)], rtol=1e-4, atol=1e-6)


def test_in_a_mixture_every_place_is_asked_of_its_own_head() -> None:
    own, made = probs(), drafter(Sampling(1.0))
    for level in range(HEADS):
        q = made.next([*PREFIX, *([1] * level)])
        assert q is not None
        assert q.ids.tolist() == VOCABULARY.tolist()
        np.testing.assert_allclose(q.probs, own[level], rtol=1e-4, atol=1e-6)
    assert made.next([*PREFIX, *([1] * HEADS)]) is None
    assert made.next([*PREFIX, *([1] * (HEADS + 1))]) is None
    assert made.next(PREFIX) is not None


@pytest.mark.parametrize("sampling", [Sampling(0.0), Sampling(1.0), Sampling(0.7, top_k=2)])
@pytest.mark.parametrize(("depth", "nodes"), [(2, 2), (2, 4)])
def test_a_round_keeps_the_target_s_distribution(sampling: Sampling, depth: int, nodes: int) -> None:
    heads = MedusaHeads(medusa_file(vocabulary=np.arange(N_VOCAB, dtype=np.int32)), TinyRows())

    def propose(model: ToyModel, script: Script, asked: Sampling) -> Draft:
        del model
        made = MedusaDrafter(heads, HashedStates(PROMPT[:-1]), no_clock)
        made.begin(Request((0,), asked, Limits(64), evidence=False, drafting=Drafting(trees=True)))
        return made.draft(list(PROMPT), 0, Plan("medusa", depth, nodes), script)

    found, _ = outcome(propose, sampling, RULES["token"].verify, 2)
    assert largest_difference(found, truth(sampling, 2)) < 1e-6


def asked(sampling: Sampling, constraint: Automaton | None = None, evidence: bool = False) -> MedusaDrafter:
    """After a prompt of three tokens and an output of four."""
    made = MedusaDrafter(medusa_heads(), HashedStates(PREFIX[:-1]), no_clock)
    drafting = Drafting(trees=True)
    request = Request(
        tuple(PREFIX), sampling, Limits(64), evidence=evidence, drafting=drafting, output_from=3, constraint=constraint
    )
    made.begin(request)
    return made


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_penalties_count_the_output_and_the_path_of_each_node(temperature: float) -> None:
    penalties = Penalties(frequency=1.5, bias=((int(VOCABULARY[0]), 2.0),))
    heads = medusa_heads().logits(state(PREFIX[:-1]), HEADS).astype(np.float64)
    draft = drafted(asked(Sampling(temperature, penalties=penalties), evidence=True), HEADS, 6, seed=3)
    raw = drafted(asked(Sampling(temperature), evidence=True), HEADS, 6, seed=3)

    first = [node for node in range(len(draft)) if node == draft.children(int(draft.parents[node]))[0]]
    assert len(first) >= HEADS
    for node in first:
        before = [*PREFIX[3:], *draft.tokens[draft.path(int(draft.parents[node]))].tolist()]
        counts = np.array([before.count(int(token)) for token in VOCABULARY])
        logits = heads[draft.position(node)] - 1.5 * counts + 2.0 * (VOCABULARY[0] == VOCABULARY)
        q, shown = draft.q[node], draft.scores[node]
        if q is None:
            assert int(draft.tokens[node]) == int(VOCABULARY[logits.argmax()])
        else:
            np.testing.assert_allclose(q.probs, np.exp(logits) / np.exp(logits).sum(), rtol=1e-4, atol=1e-6)
        assert shown is not None
        assert raw.scores[0] is not None
        if node == 0:
            assert shown.top == raw.scores[0].top  # what is shown is raw


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("nodes", [0, 6])
def test_no_node_breaks_a_grammar_and_a_head_without_an_allowed_token_ends_the_draft(
    temperature: float, nodes: int
) -> None:
    first, second, *_ = VOCABULARY.tolist()
    lacking = next(token for token in range(99) if token not in VOCABULARY)
    output = [{token: place + 1} for place, token in enumerate(PREFIX[3:])]
    one_way = Automaton([*output, {first: 5, second: 5}, {second: 6}, {lacking: 6}], n_vocab=99)
    draft = drafted(asked(Sampling(temperature), one_way), HEADS, nodes)

    assert draft.depth == 2
    for node in range(len(draft)):
        allowed = one_way.allowed([*PREFIX[3:], *draft.tokens[draft.path(int(draft.parents[node]))].tolist()])
        assert allowed is not None
        assert allowed[int(draft.tokens[node])]
