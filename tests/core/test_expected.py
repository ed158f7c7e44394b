"""What the benchmark of rules expects of a draft is what the rules do on average."""

from __future__ import annotations

import numpy as np
import pytest

from speculatoviz.bench.rules import expected_accepted
from speculatoviz.core.rules import RULES
from speculatoviz.core.sampling import distribution
from speculatoviz.core.types import Rule, Sampling
from support.enumerate import Script
from support.toy_pair import PROMPT, pair
from support.tree_rounds import draw_tree


@pytest.mark.parametrize("deterministic", [(), (1,)])
@pytest.mark.parametrize("rule", ["token", "block", "match"])
def test_expected_acceptance_is_the_mean_over_all_outcomes(rule: Rule, deterministic: tuple[int, ...]) -> None:
    target, model = pair(4)
    sampling, drawing = Sampling(0.8), np.random.default_rng(5)

    class Drawn(Script):
        def draw(self, weights: np.ndarray, node: int) -> int:
            return int(drawing.choice(len(weights), p=np.asarray(weights) / np.sum(weights)))

    for _ in range(20):
        draft = draw_tree(model, Drawn(), sampling, (-1, 0, 1), 5, deterministic)
        ids = [*PROMPT, *draft.tokens.tolist()]
        p = [distribution(target.logits(ids[: len(PROMPT) + node]), sampling) for node in range(len(draft) + 1)]
        script = Script()
        outcomes = script.outcomes(lambda d=draft, p=p, s=script: RULES[rule].verify(d, lambda n: p[n + 1], s))  # type: ignore[misc]
        mean = sum(prob * len(decision.path) for prob, decision in outcomes)
        assert expected_accepted(draft, p)[rule] == pytest.approx(mean, abs=1e-12)
