"""The suffix drafter is exact whatever it counts, and its tokens fit the q it declares for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from drafters import test_audit
from drafters.test_audit import SIGNIFICANCE, audit
from speculatoviz.core.chance import Chance
from speculatoviz.core.planning import Plan
from speculatoviz.core.types import Draft, Drafting, Request, Rule, Sampling, Support
from speculatoviz.drafters.base import Drafter
from speculatoviz.drafters.suffix import SuffixDrafter
from support import twins
from support.toy_pair import SAMPLINGS, largest_difference, no_clock
from support.tree_runs import whole_tree_runs

EXACT = 1e-12
BROKEN = 1e-3
TREES = Drafting(trees=True)
EARLIER = [[0, 1, 0, 1, 1, 0, 0, 1, 2], [1, 0, 1, 0, 0, 2]]  # of the toy's letters 0 and 1, and its end 2
LETTERS = np.random.default_rng(3).integers(0, 4, (20, 12)).tolist()  # for the audit: four letters, no end

Make = Callable[..., SuffixDrafter]
Twin = Callable[[SuffixDrafter], Drafter]


def suffix(kind: Make = SuffixDrafter, **settings: object) -> SuffixDrafter:
    return kind(no_clock, **{"longest": 3, "least": 0.0, "corpus": EARLIER, **settings})


class Quantising(twins.Breaking):
    """Quantises what it declares after it has drawn; coarsely, so that few cases show it."""

    def draft(self, prefix: list[int], round: int, plan: Plan, chance: Chance) -> Draft:
        draft = super().draft(prefix, round, plan, chance)
        rough = [Support(q.ids, np.round(q.probs * 8 + 0.5) / np.round(q.probs * 8 + 0.5).sum()) for q in draft.q if q]
        return replace(draft, q=tuple(rough))


class Predicting(SuffixDrafter):
    """Has no earlier outputs, and a prediction instead."""

    def begin(self, request: Request) -> None:
        super().begin(replace(request, prediction=(*request.prompt, 0, 1, 1, 0, 1, 2)))


SETTINGS: dict[str, tuple[int, int, Drafting, Rule]] = {
    "tree of 4": (2, 4, TREES, "token"),
    "tree of 3": (2, 3, TREES, "token"),
    "tree of 3 under match": (2, 3, TREES, "match"),
    "wide": (1, 3, TREES, "token"),
    "chain": (2, 0, TREES, "token"),
    "chain under block": (2, 4, Drafting(), "block"),
    "quantised": (2, 4, Drafting(trees=True, quantised=True), "token"),
    "support of 2": (2, 4, Drafting(trees=True, support_size=2), "token"),
    "chosen": (2, 4, Drafting(trees=True, sampled=False), "token"),
    "three tokens": (2, 4, Drafting(trees=True, tokens=3), "token"),
}


def whole_runs(
    sampling: Sampling,
    setting: tuple[int, int, Drafting, Rule],
    twin: Twin = lambda drafter: drafter,
    make: Callable[[], SuffixDrafter] = suffix,
) -> tuple[float, float]:
    """How far off the outcome is, and the tokens accepted."""
    depth, nodes, drafting, rule = setting

    found, truth, accepted = whole_tree_runs(
        sampling, lambda _: twin(make()), depth, nodes, drafting, rule, tokens=6 if sampling.greedy else 3
    )
    assert sum(found.values()) == pytest.approx(1.0, abs=EXACT)
    return largest_difference(found, truth), accepted


@pytest.mark.parametrize("sampling", [Sampling(0.0), Sampling(1.0), Sampling(0.7, top_k=2)], ids=str)
@pytest.mark.parametrize("name", SETTINGS)
def test_whole_runs_keep_the_targets_distribution(name: str, sampling: Sampling) -> None:
    wrong, accepted = whole_runs(sampling, SETTINGS[name])
    assert wrong < EXACT
    assert accepted > 0


@pytest.mark.parametrize("sampling", [Sampling(0.0), Sampling(1.0), Sampling(0.7, top_k=2)], ids=str)
@pytest.mark.parametrize("name", ["tree of 4", "chain", "chain under block", "tree of 3 under match"])
def test_a_prediction_changes_no_distribution(name: str, sampling: Sampling) -> None:
    wrong, accepted = whole_runs(sampling, SETTINGS[name], make=lambda: suffix(Predicting, corpus=[]))
    assert wrong < EXACT
    assert accepted > 0


@pytest.mark.parametrize("twin", [twins.Pruning, Quantising])
def test_a_broken_drafter_with_a_prediction_is_caught(twin: Twin) -> None:
    wrong, _ = whole_runs(Sampling(1.0), SETTINGS["chain"], twin, lambda: suffix(Predicting, corpus=[]))
    assert wrong > BROKEN


@pytest.mark.parametrize(
    ("twin", "name"), [(twins.ScoredBeforeRemoval, "wide"), (twins.Pruning, "chain"), (Quantising, "chain")]
)
def test_broken_drafters_are_caught(twin: Twin, name: str) -> None:
    wrong, _ = whole_runs(Sampling(1.0), SETTINGS[name], twin)
    assert wrong > BROKEN


# --- the audit ---------------------------------------------------------------------------------------


class AsTree(SuffixDrafter):
    """Drafts a tree where the audit asks for a chain."""

    def begin(self, request: Request) -> None:
        super().begin(replace(request, drafting=TREES))

    def draft(self, prefix: list[int], round: int, plan: Plan, chance: Chance) -> Draft:
        return super().draft(prefix, round, replace(plan, nodes=7), chance)


@pytest.fixture(autouse=True)
def fewer_drafts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(test_audit, "RUNS", 700)


@pytest.mark.parametrize("kind", [SuffixDrafter, AsTree])
def test_drawn_tokens_fit_the_declared_q(kind: Make) -> None:
    assert audit(suffix(kind, corpus=LETTERS), SAMPLINGS["T=1"]) > SIGNIFICANCE


def test_the_audit_catches_another_q() -> None:
    assert audit(twins.Sharpening(suffix(AsTree, corpus=LETTERS)), SAMPLINGS["T=1"]) < SIGNIFICANCE
