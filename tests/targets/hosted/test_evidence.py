"""The scores that an endpoint returns are shown; those that it does not return are absent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from speculatoviz.core.chance import seeded
from speculatoviz.core.rounds import Round
from speculatoviz.core.types import Sampling
from speculatoviz.engine import speculate
from speculatoviz.models.base import Tokenizer
from speculatoviz.policies.fixed import FixedPolicy
from speculatoviz.targets.hosted.api import Api
from speculatoviz.targets.hosted.endpoint import Endpoint
from speculatoviz.targets.hosted.openai import Dialect, OpenAIApi
from speculatoviz.targets.hosted.tokens import Reader
from speculatoviz.targets.hosted.vllm import VllmApi
from support.hosted import hosted, looped, stand_in
from support.toy_pair import PROMPT, model_drafter, no_clock, pair
from support.toy_pair import request as asked


def runs_of(scores: bool, mode: str, sampling: Sampling) -> Iterator[list[Round]]:
    """A few runs with evidence on."""

    def without_scores(endpoint: Endpoint, tokenizer: Tokenizer) -> Api:
        return OpenAIApi(endpoint, "toy", Reader(tokenizer), Dialect({}, frozenset({"top_k", "min_p"})))

    def with_scores(endpoint: Endpoint, tokenizer: Tokenizer) -> Api:
        return VllmApi(endpoint, "toy", tokenizer)

    model, draft = pair(letters=3)
    with looped() as loop:
        target = hosted(stand_in(), with_scores if scores else without_scores, loop, mode)
        drafter = model_drafter(draft, model)
        for seed in range(8):
            request = replace(asked(sampling, 4, model, ignore_eos=True), seed=seed, evidence=True)
            steps = speculate(request, target, {"model": drafter}, FixedPolicy("model", 2), seeded(seed), no_clock)
            yield [step for step in steps if isinstance(step, Round)]


@pytest.mark.parametrize(("mode", "temperature"), [("scores", 0.0), ("thinning", 1.0), ("match", 1.0)])
def test_returned_scores_are_the_models_own(mode: str, temperature: float) -> None:
    model, compared = pair(letters=3)[0], 0
    for rounds in runs_of(True, mode, Sampling(temperature)):
        ids = list(PROMPT)
        for round in rounds:
            for check in round.verdict.checks:
                assert check.target is not None
                assert check.target.entropy is None
                if check.target.logprob is not None:
                    logits = model.logits([*ids, *round.draft.tokens[: check.node].tolist()])
                    expected = logits[check.token] - np.log(np.exp(logits).sum())
                    assert check.target.logprob == pytest.approx(expected, abs=1e-3)
                    compared += 1
            ids += round.emitted
    assert compared > 8


def test_scores_that_are_not_returned_are_absent() -> None:
    for rounds in runs_of(False, "match", Sampling(1.0)):
        for round in rounds:
            assert all(check.target is None for check in round.verdict.checks)
            assert all(check.target_prob is None for check in round.verdict.checks)
            assert round.verdict.extra.target_prob is None
