"""Every sampled drafter is audited: the tokens it draws must fit the q it declares."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from scipy.stats import chisquare

from speculatoviz.core.chance import seeded
from speculatoviz.core.types import Plan, Sampling, Support
from speculatoviz.drafters.base import Drafter
from support import twins
from support.toy_pair import SAMPLINGS, model_drafter, no_clock, pair, request

SIGNIFICANCE = 1e-4
RUNS = 4_000
SAMPLED = {name: sampling for name, sampling in SAMPLINGS.items() if not sampling.greedy}


def audit(drafter: Drafter, sampling: Sampling, depth: int = 3) -> float:
    """The smallest p-value over all places where the same q was declared often enough to test it."""
    target_model, _ = pair()
    asked = request(sampling, 8, target_model, ignore_eos=True)
    drafter.begin(asked)
    drawn: dict[bytes, Counter[int]] = {}
    declared: dict[bytes, Support] = {}
    for seed in range(RUNS):
        draft = drafter.draft([0, 1], 0, Plan(drafter.name, depth), seeded(seed)("draft", 0))
        for node, q in enumerate(draft.q):
            assert q is not None, "a sampled drafter declares what it drew from"
            assert float(q.probs.sum()) == pytest.approx(1.0, abs=1e-9)
            assert np.all(np.diff(q.ids) > 0), "ids are ascending and unique"
            key = q.ids.tobytes() + q.probs.tobytes()
            declared[key] = q
            drawn.setdefault(key, Counter())[int(draft.tokens[node])] += 1
    p_values = [
        float(chisquare([drawn[key][int(i)] for i in q.ids], q.probs * drawn[key].total()).pvalue)
        for key, q in declared.items()
        if len(q.ids) > 1 and q.probs.min() * drawn[key].total() >= 8
    ]
    assert p_values or all(len(q.ids) == 1 for q in declared.values()), "nothing was tested"
    return min(p_values, default=1.0)


@pytest.mark.parametrize("sampling", SAMPLED.values(), ids=SAMPLED.keys())
@pytest.mark.parametrize("support_size", [64, 3])
def test_drawn_tokens_fit_the_declared_q(sampling: Sampling, support_size: int) -> None:
    target_model, draft_model = pair()
    assert audit(model_drafter(draft_model, target_model, support_size), sampling) > SIGNIFICANCE


def test_a_drafter_that_draws_from_another_q_is_caught() -> None:
    target_model, draft_model = pair()
    sharpened = twins.SharpenedDrafter(draft_model, target_model.tokenizer, 64, no_clock)
    assert audit(sharpened, Sampling(1.0)) < SIGNIFICANCE


def test_greedy_drafts_are_chosen_not_drawn() -> None:
    target_model, draft_model = pair()
    drafter = model_drafter(draft_model, target_model)
    drafter.begin(request(Sampling(0.0), 8, target_model, ignore_eos=True))
    drafts = [drafter.draft([0, 1], 0, Plan("model", 3), seeded(seed)("draft", 0)) for seed in range(5)]
    assert {tuple(d.tokens.tolist()) for d in drafts} == {tuple(drafts[0].tokens.tolist())}
    assert all(q is None for d in drafts for q in d.q)
