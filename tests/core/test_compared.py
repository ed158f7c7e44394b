"""p and q that a decision shows are those that decided it: after temperature, filters and earlier siblings."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from speculatoviz.core.chance import seeded
from speculatoviz.core.compared import compared, compared_checks
from speculatoviz.core.rejection import Decision
from speculatoviz.core.rounds import Compared
from speculatoviz.core.rules import RULES
from speculatoviz.core.sampling import Distribution, distribution, support, without
from speculatoviz.core.types import ROOT, Draft, Floats, Node, Rule, Sampling

N_VOCAB = 6
SAMPLING = Sampling(temperature=0.6, top_p=0.95)
RAW = Sampling(temperature=1.0)


def _logits(key: int, node: int) -> Floats:
    return np.random.default_rng((key, node + 1)).normal(0.0, 1.5, N_VOCAB).astype(np.float32)


def _draft(seed: int) -> Draft:
    """Two siblings drawn without replacement, and a child of the first."""
    rng = np.random.default_rng(seed)
    first = support(_logits(1, ROOT), SAMPLING, N_VOCAB)
    a = int(rng.choice(first.ids, p=first.probs / first.probs.sum()))
    second = without(first, a)
    assert second is not None
    b = int(rng.choice(second.ids, p=second.probs / second.probs.sum()))
    third = support(_logits(1, 0), SAMPLING, N_VOCAB)
    return Draft.tree(0, [Node(a, ROOT, first), Node(b, ROOT, second), Node(int(third.ids[0]), 0, third)])


def _target(sampling: Sampling) -> Callable[[int], Distribution]:
    return lambda node: distribution(_logits(2, node), sampling)


def _decisions(rule: Rule) -> Iterator[tuple[Draft, Decision]]:
    for seed in range(40):
        draft = _draft(seed)
        yield draft, RULES[rule].verify(draft, _target(SAMPLING), seeded(seed)("verify", 0))


def _agrees(draft: Draft, decision: Decision, shown: dict[int, tuple[Compared, ...]]) -> bool:
    """Whether the shown p and q give every acceptance probability and the probability of a resampled token."""
    for check in decision.checks:
        row = next(row for row in shown[check.node] if row.token == check.token)
        if row.draft_prob is None or check.acceptance_prob is None:
            return False
        if not np.isclose(min(1.0, row.target_prob / row.draft_prob), check.acceptance_prob, atol=1e-5):
            return False
    if decision.extra.status != "resampled":
        return True
    residual = {r.token: max(0.0, r.target_prob - (r.draft_prob or 0.0)) for r in shown[decision.checks[-1].node]}
    drawn = residual[decision.extra.token] / sum(residual.values())
    return bool(np.isclose(drawn, decision.extra.target_prob, atol=1e-5))


def test_p_and_q_of_a_decision_give_its_probabilities() -> None:
    seen = set[str]()
    for draft, decision in _decisions("token"):
        assert _agrees(draft, decision, compared_checks(decision, draft, "token", _target(SAMPLING), N_VOCAB))
        seen |= {decision.extra.status, *(f"{check.node} {check.status}" for check in decision.checks)}
    assert {"resampled", "bonus", "0 rejected", "1 accepted", "1 rejected"} <= seen


def test_raw_scores_would_not() -> None:
    """The broken twin: p before temperature and filters."""
    agreed = [
        _agrees(draft, decision, compared_checks(decision, draft, "token", _target(RAW), N_VOCAB))
        for draft, decision in _decisions("token")
    ]
    assert not all(agreed)


def test_p_of_a_later_sibling_without_the_residual_would_not() -> None:
    """The broken twin: the same p for every sibling, as under a rule for chains."""
    agreed: list[bool] = []
    for draft, decision in _decisions("token"):
        shown = compared_checks(decision, draft, "block", _target(SAMPLING), N_VOCAB)
        agreed.append(_agrees(draft, decision, shown))
    assert not all(agreed)


@pytest.mark.parametrize("rule", ["match", "typical"])
def test_a_rule_that_reads_no_q_shows_none(rule: Rule) -> None:
    for draft, decision in _decisions(rule):
        shown = compared_checks(decision, draft, rule, _target(SAMPLING), N_VOCAB)
        assert {row.draft_prob for rows in shown.values() for row in rows} <= {None}
        for check in decision.checks:
            row = next(row for row in shown[check.node] if row.token == check.token)
            assert row.target_prob == check.target_prob


def test_the_concerned_tokens_are_shown_and_the_rest_by_probability() -> None:
    p = Distribution(np.array([0.05, 0.4, 0.3, 0.2, 0.05]), 1.0)
    q = support(np.log(np.array([0.1, 0.1, 0.1, 0.1, 0.6], np.float32)), RAW, 5)
    assert [row.token for row in compared(p, q, [0], 3)] == [4, 1, 0]
    assert [row.token for row in compared(p, None, [4], 2)] == [1, 4]
    assert [row.token for row in compared(p, q, [0, 3], 1)] == [3, 0]


def test_greedy_decoding_shows_the_targets_most_probable_token_and_the_drafts() -> None:
    greedy = Sampling(0.0)
    draft = Draft.chain(0, [int(_logits(2, ROOT).argmin())], (None,), "hand")
    decision = RULES["token"].verify(draft, _target(greedy), seeded(0)("verify", 0))
    (rows,) = compared_checks(decision, draft, "token", _target(greedy), 8).values()
    best = int(_logits(2, ROOT).argmax())
    assert set(rows) == {Compared(best, 1.0, 0.0), Compared(int(draft.tokens[0]), 0.0, 1.0)}
    assert decision.extra.token == best
