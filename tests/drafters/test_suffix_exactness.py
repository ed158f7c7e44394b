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
from speculatoviz.drafters.suffix import SuffixDrafter
from speculatoviz.models.runtimes.toy import ToyModel
from support.toy_pair import SAMPLINGS, largest_difference, no_clock
from support.tree_runs import whole_tree_runs

EXACT = 1e-12
BROKEN = 1e-3
TREES = Drafting(trees=True)
EARLIER = [[0, 1, 0, 1, 1, 0, 0, 1, 2], [1, 0, 1, 0, 0, 2]]  # of the toy's letters 0 and 1, and its end 2
LETTERS = np.random.default_rng(3).integers(0, 4, (20, 12)).tolist()  # for the audit: four letters, no end

Make = Callable[..., SuffixDrafter]


def suffix(kind: Make = SuffixDrafter, **settings: object) -> SuffixDrafter:
    return kind(no_clock, **{"longest": 3, "least": 0.0, "corpus": EARLIER, **settings})


class ScoredBeforeRemoval(SuffixDrafter):
    """Declares for every sibling the q that its first one was drawn from."""

    def draft(self, prefix: list[int], round: int, plan: Plan, chance: Chance) -> Draft:
        draft = super().draft(prefix, round, plan, chance)
        firsts = [draft.q[draft.children(int(parent))[0]] for parent in draft.parents]
        return replace(draft, q=tuple(firsts))


class Pruning(SuffixDrafter):
    """Withdraws drawn tokens, from the first one that its counts think little of."""

    def draft(self, prefix: list[int], round: int, plan: Plan, chance: Chance) -> Draft:
        draft = super().draft(prefix, round, plan, chance)
        unlikely = [node for node, q in enumerate(draft.q) if q and q.prob(int(draft.tokens[node])) < 0.5]
        kept = unlikely[0] if unlikely else len(draft)
        return replace(draft, tokens=draft.tokens[:kept], parents=draft.parents[:kept], q=draft.q[:kept])


class Quantising(SuffixDrafter):
    """Quantises what it declares after it has drawn; coarsely, so that few cases tell."""

    def draft(self, prefix: list[int], round: int, plan: Plan, chance: Chance) -> Draft:
        draft = super().draft(prefix, round, plan, chance)
        rough = [Support(q.ids, np.round(q.probs * 8 + 0.5) / np.round(q.probs * 8 + 0.5).sum()) for q in draft.q if q]
        return replace(draft, q=tuple(rough))


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
    sampling: Sampling, setting: tuple[int, int, Drafting, Rule], kind: Make = SuffixDrafter
) -> tuple[float, float]:
    """How far off the outcome is, and the tokens accepted."""
    depth, nodes, drafting, rule = setting

    def make(_: ToyModel) -> SuffixDrafter:
        return suffix(kind)

    found, truth, accepted = whole_tree_runs(
        sampling, make, depth, nodes, drafting, rule, tokens=6 if sampling.greedy else 3
    )
    assert sum(found.values()) == pytest.approx(1.0, abs=EXACT)
    return largest_difference(found, truth), accepted


@pytest.mark.parametrize("sampling", [Sampling(0.0), Sampling(1.0), Sampling(0.7, top_k=2)], ids=str)
@pytest.mark.parametrize("name", SETTINGS)
def test_whole_runs_keep_the_targets_distribution(name: str, sampling: Sampling) -> None:
    wrong, accepted = whole_runs(sampling, SETTINGS[name])
    assert wrong < EXACT
    assert accepted > 0


@pytest.mark.parametrize(("kind", "name"), [(ScoredBeforeRemoval, "wide"), (Pruning, "chain"), (Quantising, "chain")])
def test_broken_drafters_are_caught(kind: Make, name: str) -> None:
    wrong, _ = whole_runs(Sampling(1.0), SETTINGS[name], kind)
    assert wrong > BROKEN


# --- the audit ---------------------------------------------------------------------------------------


class AsTree(SuffixDrafter):
    """Drafts a tree where the audit asks for a chain."""

    def begin(self, request: Request) -> None:
        super().begin(replace(request, drafting=TREES))

    def draft(self, prefix: list[int], round: int, plan: Plan, chance: Chance) -> Draft:
        return super().draft(prefix, round, replace(plan, nodes=7), chance)


class Squared(AsTree):
    """Draws from a sharper distribution than the one it declares."""

    def _take(self, q: Support, node: int, chance: Chance) -> tuple[int, Support | None]:
        return int(q.ids[chance.draw(np.square(q.probs), node)]), q


@pytest.fixture(autouse=True)
def fewer_drafts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(test_audit, "RUNS", 700)


@pytest.mark.parametrize("kind", [SuffixDrafter, AsTree])
def test_drawn_tokens_fit_the_declared_q(kind: Make) -> None:
    assert audit(suffix(kind, corpus=LETTERS), SAMPLINGS["T=1"]) > SIGNIFICANCE


def test_the_audit_catches_another_q() -> None:
    assert audit(suffix(Squared, corpus=LETTERS), SAMPLINGS["T=1"]) < SIGNIFICANCE
