"""Seeded runs of the whole engine against the target's own distribution."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from scipy.stats import chisquare

from speculatoviz.core.chance import seeded
from speculatoviz.core.rules import RULES
from speculatoviz.core.types import Sampling
from speculatoviz.drafters.ngram import NgramDrafter
from speculatoviz.models.toy import ToyModel
from speculatoviz.targets.local import LocalTarget
from support import twins
from support.toy_pair import SAMPLINGS, Factory, impossible, model_drafter, no_clock, pair, pool, request, run_tokens
from support.toy_pair import sequence_probs as truth_of

SIGNIFICANCE = 1e-4  # seeds are fixed: a run that passes once passes always
Wrap = Callable[[LocalTarget], LocalTarget]


def p_value(sampling: Sampling, factory: Factory, runs: int, wrap: Wrap = lambda target: target) -> float:
    """Chi-square of outputs of up to three tokens at depth 2; 0 where the target cannot say what came out."""
    target_model, draft_model = pair(letters=3)
    asked = request(sampling, 3, target_model)
    target, drafter = wrap(LocalTarget(target_model, 16, no_clock)), factory(draft_model, target_model)
    counts: Counter[tuple[int, ...]] = Counter()
    for seed in range(runs):
        own = type(asked)(asked.prompt, sampling, asked.limits, seed=seed, evidence=False)
        counts[run_tokens(own, target, drafter, 2, seeded(seed))] += 1
    truth = truth_of(target_model, asked)
    if impossible(counts, truth):
        return 0.0
    observed, expected = pool(counts, truth, runs)
    return float(chisquare(observed, expected).pvalue) if len(observed) > 1 else 1.0


def ngram_drafter(draft: ToyModel, target: ToyModel) -> NgramDrafter:
    return NgramDrafter(1, 3)


SAMPLED = {name: sampling for name, sampling in SAMPLINGS.items() if not sampling.greedy}


@pytest.mark.parametrize("sampling", SAMPLED.values(), ids=SAMPLED.keys())
def test_model_runs_follow_the_target(sampling: Sampling) -> None:
    assert p_value(sampling, model_drafter, 20_000) > SIGNIFICANCE


def test_ngram_runs_follow_the_target() -> None:
    assert p_value(Sampling(1.0), ngram_drafter, 20_000) > SIGNIFICANCE


@pytest.mark.full
@pytest.mark.parametrize("sampling", SAMPLED.values(), ids=SAMPLED.keys())
def test_many_model_runs_follow_the_target(sampling: Sampling) -> None:
    assert p_value(sampling, model_drafter, 200_000) > SIGNIFICANCE


@pytest.mark.full
def test_many_ngram_runs_follow_the_target() -> None:
    assert p_value(Sampling(1.0), ngram_drafter, 200_000) > SIGNIFICANCE


@pytest.mark.parametrize("rule", [twins.accept_when_equal, twins.residual_without_q])
def test_broken_rules_are_caught(rule: twins.Verify, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("speculatoviz.targets.local.RULES", {"token": RULES["token"]._replace(verify=rule)})
    assert p_value(Sampling(1.0), model_drafter, 4_000) < SIGNIFICANCE


@pytest.mark.parametrize("broken", [twins.PruningDrafter, twins.SharpenedDrafter])
def test_broken_drafters_are_caught(broken: type[twins.PruningDrafter]) -> None:
    factory: Factory = lambda draft, target: broken(draft, target.tokenizer, 64, no_clock)  # noqa: E731
    assert p_value(Sampling(1.0), factory, 4_000) < SIGNIFICANCE


def test_a_cache_rewound_one_token_short_is_caught() -> None:
    assert p_value(Sampling(1.0), model_drafter, 4_000, twins.ForgetfulTarget) < SIGNIFICANCE
