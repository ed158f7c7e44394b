"""Seeded runs of the whole engine against the target's own distribution, for every rule and shape of draft."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import pytest

from speculatoviz.core.chance import seeded
from speculatoviz.core.planning import Plan
from speculatoviz.core.rules import RULES
from speculatoviz.core.types import ROOT, Drafting, Rule, Sampling
from speculatoviz.drafters.base import Drafter
from speculatoviz.drafters.multi import MultiDrafter
from speculatoviz.drafters.ngram import NgramDrafter
from speculatoviz.models.runtimes.toy import ALPHABET, ToyModel
from speculatoviz.targets.local import LocalTarget
from support import twins
from support.toy_pair import SAMPLINGS, Factory, fit_of_seeded_runs, model_drafter, no_clock, pair, request

SIGNIFICANCE = 1e-4  # seeds are fixed: a run that passes once passes always
FEW, MANY = 2_000, 200_000
LETTERS, TOKENS, DEPTH = 3, 3, 2
TARGET, RELATED = pair(LETTERS)
DRAFT = ToyModel(12, ALPHABET[:LETTERS])  # unrelated, and of the seeds one under which broken rules show well
Wrap = Callable[[LocalTarget], LocalTarget]


class Shape(NamedTuple):
    """Who drafts, and how many nodes; 0 for a chain."""

    factory: Factory
    nodes: int = 0


def two_models(draft: ToyModel, target: ToyModel) -> Drafter:
    return MultiDrafter([model_drafter(draft, target), model_drafter(RELATED, target)])


def ngram_drafter(draft: ToyModel, target: ToyModel) -> Drafter:
    return NgramDrafter(1, 3)


SHAPES = {"chain": Shape(model_drafter), "tree": Shape(model_drafter, 5), "two models": Shape(two_models, 6)}
SAMPLED = {name: sampling for name, sampling in SAMPLINGS.items() if not sampling.greedy}


def p_value(rule: Rule, shape: Shape, sampling: Sampling, runs: int, wrap: Wrap = lambda target: target) -> float:
    """The p-value of outputs of up to three tokens."""
    asked = replace(request(sampling, TOKENS, TARGET), rule=rule)
    target, drafter = wrap(LocalTarget(TARGET, 16, no_clock)), shape.factory(DRAFT, TARGET)
    return fit_of_seeded_runs(asked, TARGET, target, drafter, DEPTH, runs, shape.nodes)


# --- what is exact ------------------------------------------------------------------------------------

EXACT = [rule for rule, info in RULES.items() if info.label == "exact"]
TAKEN = [(rule, shape) for rule in EXACT for shape in SHAPES if shape == "chain" or RULES[rule].trees]
CASES: list[tuple[Rule, str, str]] = [
    *[("token", "chain", sampling) for sampling in SAMPLED],
    *[(*taken, sampling) for taken in TAKEN if taken != ("token", "chain") for sampling in ("T=1", "all filters")],
]


@pytest.mark.parametrize("runs", [FEW, pytest.param(MANY, marks=pytest.mark.full)])
@pytest.mark.parametrize(("rule", "shape", "sampling"), CASES)
def test_runs_follow_the_target(rule: Rule, shape: str, sampling: str, runs: int) -> None:
    assert p_value(rule, SHAPES[shape], SAMPLED[sampling], runs) > SIGNIFICANCE


@pytest.mark.parametrize("runs", [FEW, pytest.param(MANY, marks=pytest.mark.full)])
def test_ngram_runs_follow_the_target(runs: int) -> None:
    assert p_value("token", Shape(ngram_drafter), Sampling(1.0), runs) > SIGNIFICANCE


def test_trees_have_siblings_and_two_models_say_the_same_token() -> None:
    asked = replace(request(Sampling(1.0), TOKENS, TARGET, ignore_eos=True), drafting=Drafting(trees=True))
    for name, repeats in [("tree", False), ("two models", True)]:
        factory, nodes = SHAPES[name]
        drafter = factory(DRAFT, TARGET)
        drafter.begin(asked)
        drafts = [
            drafter.draft(list(asked.prompt), 0, Plan(name, DEPTH, nodes), seeded(seed)("draft", 0))
            for seed in range(20)
        ]
        families = [draft.tokens[draft.children(ROOT)].tolist() for draft in drafts]
        assert all(len(draft) == nodes for draft in drafts)
        assert max(map(len, families)) > 1
        assert any(len(set(family)) < len(family) for family in families) == repeats


# --- what has to be caught ----------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["chain", "tree"])
def test_typical_acceptance_is_caught(shape: str) -> None:
    assert RULES["typical"].label == "lossy"
    assert p_value("typical", SHAPES[shape], Sampling(1.0), 500) < SIGNIFICANCE


@pytest.mark.parametrize(
    ("rule", "twin", "shape", "runs"),
    [
        ("token", twins.accept_when_equal, "chain", 1_000),
        ("token", twins.accept_when_equal, "tree", 500),
        ("token", twins.residual_without_q, "chain", 500),
        ("token", twins.residual_without_q, "two models", 500),
        ("block", twins.without_weights, "chain", 5_000),
        ("block", twins.shortest_first, "chain", 500),
        ("block", twins.kept_by_weight, "chain", 1_000),
        ("match", twins.drawn_again, "chain", 500),
        ("match", twins.drawn_again, "tree", 500),
    ],
)
def test_broken_rules_are_caught(
    rule: Rule, twin: twins.Verify, shape: str, runs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("speculatoviz.targets.local.RULES", {rule: RULES[rule]._replace(verify=twin)})
    assert p_value(rule, SHAPES[shape], Sampling(1.0), runs) < SIGNIFICANCE


@pytest.mark.parametrize(
    ("rule", "twin", "shape", "runs"),
    [
        ("token", twins.Sharpening, "chain", 1_500),
        ("token", twins.Redrawing, "tree", 1_500),
        ("token", twins.Pruning, "chain", 1_500),
        ("token", twins.Pruning, "tree", 1_500),
        ("token", twins.ScoredBeforeRemoval, "tree", 500),
        ("token", twins.DroppingDuplicates, "two models", 3_000),
        ("block", twins.Sharpening, "chain", 1_000),
        ("block", twins.Pruning, "chain", 1_000),
    ],
)
def test_broken_drafters_are_caught(rule: Rule, twin: type[twins.Breaking], shape: str, runs: int) -> None:
    honest = SHAPES[shape]
    broken = honest._replace(factory=lambda draft, target: twin(honest.factory(draft, target)))
    assert p_value(rule, broken, Sampling(1.0), runs) < SIGNIFICANCE


def test_a_cache_rewound_one_token_short_is_caught() -> None:
    assert p_value("token", SHAPES["chain"], Sampling(1.0), 500, twins.ForgetfulTarget) < SIGNIFICANCE
