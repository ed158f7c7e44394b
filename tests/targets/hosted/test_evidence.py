"""What endpoints tell of their scores is shown, and what they do not tell is absent."""

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


def runs_of(tells: bool, mode: str, sampling: Sampling) -> Iterator[list[Round]]:
    """A few runs with evidence on."""

    def mute(endpoint: Endpoint, tokenizer: Tokenizer) -> Api:
        return OpenAIApi(endpoint, "toy", Reader(tokenizer), Dialect({}, frozenset({"top_k", "min_p"})))

    def telling(endpoint: Endpoint, tokenizer: Tokenizer) -> Api:
        return VllmApi(endpoint, "toy", tokenizer)

    model, draft = pair(letters=3)
    with looped() as loop:
        target = hosted(stand_in(), telling if tells else mute, loop, mode)
        drafter = model_drafter(draft, model)
        for seed in range(8):
            request = replace(asked(sampling, 4, model, ignore_eos=True), seed=seed, evidence=True)
            steps = speculate(request, target, {"model": drafter}, FixedPolicy("model", 2), seeded(seed), no_clock)
            yield [step for step in steps if isinstance(step, Round)]


@pytest.mark.parametrize(("mode", "temperature"), [("scores", 0.0), ("thinning", 1.0), ("match", 1.0)])
def test_told_scores_are_the_models_own(mode: str, temperature: float) -> None:
    model, told = pair(letters=3)[0], 0
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
                    told += 1
            ids += round.emitted
    assert told > 8


def test_what_an_endpoint_does_not_tell_is_absent() -> None:
    for rounds in runs_of(False, "match", Sampling(1.0)):
        for round in rounds:
            assert all(check.target is None for check in round.verdict.checks)
            assert all(check.target_prob is None for check in round.verdict.checks)
            assert round.verdict.extra.target_prob is None
