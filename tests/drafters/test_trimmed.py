"""A draft model that lacks tokens keeps the target's distribution: every draft and every branch, at any temperature."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pytest

from speculatoviz.core.chance import seeded
from speculatoviz.core.planning import Plan
from speculatoviz.core.types import Drafting, Request, Sampling
from speculatoviz.drafters.base import Drafter
from speculatoviz.models.runtimes.toy import ToyModel
from speculatoviz.targets.local import LocalTarget
from support.toy_pair import (
    SAMPLINGS,
    Factory,
    fit_of_seeded_runs,
    largest_difference,
    model_drafter,
    no_clock,
    pair,
    request,
)
from support.trimmed_toy import DeclaringTheWhole, TrimmedToy
from support.whole_runs import whole_runs

EXACT, BROKEN = 1e-12, 1e-3
SIGNIFICANCE = 1e-4
RUNS = 2_000
LACKING = {"a letter": [0], "the end": [2], "all but one": [0, 2], "all but the end": [0, 1]}  # of two letters
SOME = ("greedy", "T=1", "T=0.7", "all filters")


def trimmed(lacks: Collection[int], support_size: int = 64) -> Factory:
    def drafter(draft: ToyModel, target: ToyModel) -> Drafter:
        return model_drafter(TrimmedToy(draft, lacks), target, support_size)

    return drafter


@pytest.mark.parametrize("name", SOME)
@pytest.mark.parametrize("lacks", LACKING.values(), ids=LACKING.keys())
def test_whole_runs_keep_the_targets_distribution(lacks: list[int], name: str) -> None:
    for size, nodes in ((64, 0), (2, 0), (64, 4)):  # q with tokens of no mass, without them, and in a tree
        found, expected = whole_runs(SAMPLINGS[name], 2, trimmed(lacks, size), nodes=nodes)
        assert largest_difference(found, expected) < EXACT, (size, nodes)


@pytest.mark.parametrize("name", ["T=1", "all filters"])
def test_block_verification_keeps_it_too(name: str) -> None:
    found, expected = whole_runs(SAMPLINGS[name], 2, trimmed([0]), rule="block")
    assert largest_difference(found, expected) < EXACT


@pytest.mark.parametrize("name", ["T=1", "T=0.7"])
@pytest.mark.parametrize("lacks", [[0], [2]])
def test_declaring_the_q_of_the_whole_model_is_caught(lacks: list[int], name: str) -> None:
    found, expected = whole_runs(SAMPLINGS[name], 2, lambda draft, target: DeclaringTheWhole(draft, target, lacks))
    assert largest_difference(found, expected) > BROKEN


def test_a_target_that_lacks_the_tokens_too_is_caught() -> None:
    """Greedy drafts have no q to declare wrongly; what must not happen is that the trimmed rows reach the target."""
    whole, expected = whole_runs(Sampling(0.0), 2, trimmed([0]))
    assert largest_difference(whole, expected) < EXACT
    target, draft = pair(letters=2)
    asked = request(Sampling(0.0), 3, target)
    for lacks, right in (([], True), ([int(np.argmax(target.logits(asked.prompt)))], False)):
        broken = LocalTarget(TrimmedToy(target, lacks), 16, no_clock)
        fits = fit_of_seeded_runs(asked, target, broken, trimmed([0])(draft, target), 2, 3)
        assert (fits > SIGNIFICANCE) == right


@pytest.mark.parametrize("name", ["T=1", "T=0.7"])
def test_seeded_runs_follow_the_target(name: str) -> None:
    target, related = pair(3)
    asked, lacks = request(SAMPLINGS[name], 3, target), [1, 3]
    honest = trimmed(lacks)(related, target)
    broken = DeclaringTheWhole(related, target, lacks)
    assert fit_of_seeded_runs(asked, target, LocalTarget(target, 16, no_clock), honest, 2, RUNS) > SIGNIFICANCE
    assert fit_of_seeded_runs(asked, target, LocalTarget(target, 16, no_clock), broken, 2, RUNS) < SIGNIFICANCE


@pytest.mark.parametrize("sampling", [Sampling(0.0), Sampling(1.0)])
@pytest.mark.parametrize("nodes", [0, 8])
def test_what_it_lacks_is_never_proposed(sampling: Sampling, nodes: int) -> None:
    """Nor is it a sibling in a tree, also where more siblings are asked for than there are tokens."""
    target, draft = pair(4)
    drafter = trimmed([0, 4])(draft, target)
    asked = Request((0, 1, 4, 0), sampling, request(sampling, 8, target).limits, drafting=Drafting(trees=True))
    drafter.begin(asked)
    for seed in range(50):
        made = drafter.draft(list(asked.prompt), 0, Plan("model", 3, nodes), seeded(seed)("draft", 0))
        assert len(made) >= 3
        assert not set(made.tokens.tolist()) & {0, 4}
