"""A match or else the model, both drawn: who drafts is settled before any token is, and the runs show it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from speculatoviz.core.chance import Chance
from speculatoviz.core.planning import Plan
from speculatoviz.core.types import Draft, Sampling
from speculatoviz.drafters.hybrid import HybridDrafter
from speculatoviz.drafters.suffix import SuffixDrafter
from speculatoviz.models.runtimes.toy import ToyModel
from support.toy_pair import Factory, largest_difference, model_drafter, no_clock
from support.whole_runs import whole_runs

EXACT = 1e-12
BROKEN = 1e-3
EARLIER = [[0, 1, 0, 1, 1, 0, 0, 1, 2], [1, 0, 1, 0, 0, 2]]  # of the toy's letters 0 and 1, and its end 2
ALWAYS, AT_TIMES = 0.0, 1.3  # how sure a match has to be; the second is reached after some letters only
UNLIKELY = 0.5


class DecidingLate(HybridDrafter):
    """Lets the model draft where the match has drawn a token that it thinks little of."""

    def draft(self, prefix: list[int], round: int, plan: Plan, chance: Chance) -> Draft:
        draft = self._matchers[0].draft(prefix, round, plan, chance)
        if draft.q and draft.q[0] and draft.q[0].prob(int(draft.tokens[0])) >= UNLIKELY:
            return draft
        return self._fallback.draft(prefix, round, plan, chance)


class TakingTheLonger(HybridDrafter):
    """Lets both draft, and takes the longer draft: a match that has drawn an end is short."""

    def draft(self, prefix: list[int], round: int, plan: Plan, chance: Chance) -> Draft:
        drafts = [member.draft(prefix, round, plan, chance) for member in (*self._matchers, self._fallback)]
        return max(drafts, key=len)


def made(kind: Callable[..., HybridDrafter], enough: float = ALWAYS) -> Factory:
    def factory(draft: ToyModel, target: ToyModel) -> HybridDrafter:
        suffix = SuffixDrafter(no_clock, longest=3, corpus=EARLIER, least=0.0)
        return kind([suffix], model_drafter(draft, target), enough)

    return factory


@pytest.mark.parametrize("sampling", [Sampling(1.0), Sampling(0.7, top_k=2)], ids=str)
@pytest.mark.parametrize(("enough", "nodes"), [(ALWAYS, 0), (ALWAYS, 3), (AT_TIMES, 0), (AT_TIMES, 3)])
def test_whole_runs_keep_the_targets_distribution(enough: float, nodes: int, sampling: Sampling) -> None:
    found, expected = whole_runs(sampling, 2, made(HybridDrafter, enough), nodes=nodes)
    assert largest_difference(found, expected) < EXACT


@pytest.mark.parametrize(("enough", "who"), [(ALWAYS, {"suffix"}), (AT_TIMES, {"suffix", "model"})])
def test_the_runs_are_of_those_who_are_meant_to_draft(enough: float, who: set[str]) -> None:
    drafted: set[str] = set()

    class Noting(HybridDrafter):
        def draft(self, prefix: list[int], round: int, plan: Plan, chance: Chance) -> Draft:
            draft = super().draft(prefix, round, plan, chance)
            drafted.update(draft.source)
            return draft

    whole_runs(Sampling(1.0), 2, made(Noting, enough))
    assert drafted == who


@pytest.mark.parametrize("twin", [DecidingLate, TakingTheLonger])
def test_deciding_by_what_was_drawn_is_caught(twin: type[HybridDrafter]) -> None:
    found, expected = whole_runs(Sampling(1.0), 2, made(twin))
    assert largest_difference(found, expected) > BROKEN
