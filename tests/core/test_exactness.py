"""The proof: over a toy vocabulary, every draft and every branch, the output distribution is the target's."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest

from speculatoviz.core.rejection import verify_tokens
from speculatoviz.core.sampling import Distribution, distribution, support
from speculatoviz.core.types import Draft, Sampling, Support
from speculatoviz.drafters.base import Drafter
from speculatoviz.models.runtimes.toy import ToyModel
from support import twins
from support.enumerate import Script
from support.toy_pair import (
    PROMPT,
    SAMPLINGS,
    FixedDrafter,
    largest_difference,
    model_drafter,
    pair,
    request,
    sequence_probs,
)
from support.whole_runs import whole_runs

EXACT = 1e-12
BROKEN = 1e-3

Propose = Callable[[ToyModel, Script, Sampling], Draft]


def broad(depth: int) -> Propose:
    """Drawn from the draft's whole filtered distribution."""

    def propose(model: ToyModel, script: Script, sampling: Sampling) -> Draft:
        return _drawn(model, script, sampling, depth, 5)

    return propose


def narrow(depth: int) -> Propose:
    """Drawn from the two most probable tokens only."""

    def propose(model: ToyModel, script: Script, sampling: Sampling) -> Draft:
        return _drawn(model, script, sampling, depth, 2)

    return propose


def early_stopped(depth: int) -> Propose:
    """Stops after certain tokens: known before the token that is then not drawn."""

    def propose(model: ToyModel, script: Script, sampling: Sampling) -> Draft:
        return _drawn(model, script, sampling, depth, 5, stop_behind=frozenset({1, 4}))

    return propose


def point_mass(tokens: tuple[int, ...]) -> Propose:
    def propose(model: ToyModel, script: Script, sampling: Sampling) -> Draft:
        del model, script, sampling
        return Draft.chain(0, list(tokens), (), "fixed")

    return propose


def _drawn(
    model: ToyModel,
    script: Script,
    sampling: Sampling,
    depth: int,
    size: int,
    stop_behind: frozenset[int] = frozenset(),
) -> Draft:
    tokens: list[int] = []
    qs: list[Support | None] = []
    own = sampling if not sampling.greedy else Sampling(1.0)
    while len(tokens) < depth and not (tokens and tokens[-1] in stop_behind):
        q = support(model.logits([*PROMPT, *tokens]), own, size)
        qs.append(q)
        tokens.append(int(q.ids[script.draw(q.probs, len(tokens))]))
    return Draft.chain(0, tokens, tuple(qs), "model")


def output_distribution(
    propose: Propose, sampling: Sampling, verify: twins.Verify, length: int
) -> dict[tuple[int, ...], float]:
    """P(first `length` tokens): one round enumerated, the rest continued by the target's own distribution."""
    target, draft_model = pair()
    script = Script()
    result: dict[tuple[int, ...], float] = {}

    def p_behind(output: tuple[int, ...]) -> Distribution:
        return distribution(target.logits([*PROMPT, *output]), sampling)

    def one_round() -> tuple[int, ...]:
        draft = propose(draft_model, script, sampling)
        tokens = tuple(draft.tokens.tolist())
        decision = verify(draft, lambda node: p_behind(tokens[: node + 1]), script)
        return *(tokens[node] for node in decision.path), decision.extra.token

    for prob, emitted in script.outcomes(one_round):
        for output, more in _continued(emitted, length, p_behind):
            result[output] = result.get(output, 0.0) + prob * more
    return result


def _continued(
    emitted: tuple[int, ...], length: int, p_behind: Callable[[tuple[int, ...]], Distribution]
) -> list[tuple[tuple[int, ...], float]]:
    grown = [(emitted[:length], 1.0)]
    for _ in range(length - len(emitted)):
        grown = [
            ((*output, token), prob * float(p))
            for output, prob in grown
            for token, p in enumerate(p_behind(output).dense(5))
            if p > 0
        ]
    return grown


PROPOSALS: dict[str, Propose] = {
    "broad, depth 1": broad(1),
    "broad, depth 2": broad(2),
    "broad, depth 3": broad(3),
    "narrow, depth 3": narrow(3),
    "early-stopped": early_stopped(3),
    "point mass": point_mass((2, 0, 3)),
    "point mass, unlikely": point_mass((1, 1, 1)),
    "empty": point_mass(()),
}


def truth(sampling: Sampling, length: int) -> dict[tuple[int, ...], float]:
    target, _ = pair()
    return sequence_probs(target, request(sampling, length, target, ignore_eos=True))


@pytest.mark.parametrize("sampling", SAMPLINGS.values(), ids=SAMPLINGS.keys())
@pytest.mark.parametrize("propose", PROPOSALS.values(), ids=PROPOSALS.keys())
def test_a_round_keeps_the_targets_distribution(propose: Propose, sampling: Sampling) -> None:
    found = output_distribution(propose, sampling, verify_tokens, 4)
    assert sum(found.values()) == pytest.approx(1.0, abs=EXACT)
    assert largest_difference(found, truth(sampling, 4)) < EXACT


@pytest.mark.parametrize("twin", [twins.accept_when_equal, twins.residual_without_q])
@pytest.mark.parametrize("name", ["broad, depth 1", "broad, depth 3", "narrow, depth 3", "early-stopped", "point mass"])
def test_broken_rules_are_caught(twin: twins.Verify, name: str) -> None:
    found = output_distribution(PROPOSALS[name], Sampling(1.0), twin, 4)
    wrong = largest_difference(found, truth(Sampling(1.0), 4))
    if twin is twins.accept_when_equal and name == "point mass":
        # With q a point mass, accepting with p(x) is the right rule.
        assert wrong < EXACT
    else:
        assert wrong > BROKEN


def test_withdrawing_drawn_tokens_is_caught() -> None:
    def pruned(model: ToyModel, script: Script, sampling: Sampling) -> Draft:
        draft = broad(3)(model, script, sampling)
        unlikely = [i for i, q in enumerate(draft.q) if q and q.prob(int(draft.tokens[i])) < 0.25]
        keep = unlikely[0] if unlikely else len(draft)
        return Draft.chain(0, draft.tokens[:keep].tolist(), draft.q[:keep], "pruned")

    found = output_distribution(pruned, Sampling(1.0), verify_tokens, 4)
    assert largest_difference(found, truth(Sampling(1.0), 4)) > BROKEN


DRAFTERS: dict[str, Callable[[ToyModel, ToyModel], Drafter]] = {
    "model": model_drafter,
    "model, support 2": lambda draft, target: model_drafter(draft, target, 2),
    "fixed": lambda draft, target: FixedDrafter([0, 1, 0]),
    "fixed, end inside": lambda draft, target: FixedDrafter([2, 0]),
}


@pytest.mark.parametrize("sampling", [Sampling(0.0), Sampling(1.0), Sampling(0.7, top_k=2), Sampling(1.0, top_p=0.8)])
@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("drafter", DRAFTERS.values(), ids=DRAFTERS.keys())
def test_whole_runs_keep_the_targets_distribution(
    drafter: Callable[[ToyModel, ToyModel], Drafter], depth: int, sampling: Sampling
) -> None:
    found, expected = whole_runs(sampling, depth, drafter)
    assert largest_difference(found, expected) < EXACT


def test_a_cache_rewound_one_token_short_is_caught() -> None:
    found, expected = whole_runs(Sampling(1.0), 2, model_drafter, forgetful=True)
    assert largest_difference(found, expected) > BROKEN


def test_a_drafter_that_withdraws_tokens_is_caught_in_whole_runs() -> None:
    found, expected = whole_runs(Sampling(1.0), 2, lambda *models: twins.Pruning(model_drafter(*models)))
    assert largest_difference(found, expected) > BROKEN


def test_a_drafter_that_declares_another_q_is_caught_in_whole_runs() -> None:
    found, expected = whole_runs(Sampling(1.0), 2, lambda *models: twins.Sharpening(model_drafter(*models)))
    assert largest_difference(found, expected) > BROKEN


def test_siblings_keep_the_targets_distribution() -> None:
    """Two children of one parent, drawn independently, tested in order (the tree rule)."""
    target, draft_model = pair()
    script = Script()
    q = support(draft_model.logits(PROMPT), Sampling(1.0), 5)
    p = distribution(target.logits(PROMPT), Sampling(1.0))

    def one_round() -> int:
        tokens = [int(q.ids[script.draw(q.probs, node)]) for node in range(2)]
        draft = Draft(
            0, np.array(tokens, np.int32), np.array([-1, -1], np.int32), (q, q), ("a", "b"), (None, None), (0.0, 0.0)
        )
        after = {
            node: distribution(target.logits([*PROMPT, token]), Sampling(1.0)) for node, token in enumerate(tokens)
        }
        decision = verify_tokens(draft, lambda node: p if node < 0 else after[node], script)
        return tokens[decision.path[0]] if decision.path else decision.extra.token

    first = np.zeros(5)
    for prob, token in script.outcomes(one_round):
        first[token] += prob
    assert np.abs(first - p.dense(5)).max() < EXACT


def test_the_enumeration_covers_every_draft() -> None:
    script = Script()
    _, draft_model = pair()
    drafts = [
        tuple(d.tokens.tolist()) for _, d in script.outcomes(lambda: broad(2)(draft_model, script, Sampling(1.0)))
    ]
    assert sorted(drafts) == sorted(itertools.product(range(5), repeat=2))
