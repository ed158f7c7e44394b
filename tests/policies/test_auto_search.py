"""`auto` leaves out depths and trees that a bound rules out: its choice is that of a search over all of them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speculatoviz.core.planning import Outlook
from speculatoviz.policies import costs as costs_module
from speculatoviz.policies.auto import AutoPolicy, Experience
from speculatoviz.policies.base import State
from speculatoviz.policies.costs import Costs

DEEPEST = 8
TABLES = st.dictionaries(st.integers(2, 17), st.floats(5.0, 80.0), min_size=1, max_size=8)
OUTLOOKS = st.builds(
    Outlook,
    certainties=st.lists(st.floats(0.01, 0.99), max_size=6).map(tuple),
    longest=st.none() | st.integers(0, DEEPEST),
    missing=st.sampled_from([0, 5, 200]),
    branches=st.booleans(),
    block=st.sampled_from([1, 4]),
)


def plan_of(
    table: Mapping[int, float], outlook: Outlook, prior: float, draft_ms: float, runs: int = 1
) -> tuple[float, float]:
    """The expected tokens per ms of the policy's choice, and of the best of all chains and trees, and no draft.

    Draws nothing: both follow from the same table, costs and estimates. runs: that share the passes.
    """
    known = Experience(Costs(lambda: table, lambda _name: draft_ms, lambda: runs), {"model": prior})
    plan = AutoPolicy(known, DEEPEST).plan(State(0, 10, 200, lambda _name: outlook))
    assert plan.reason is not None
    weighed = [plan.reason.chosen, *plan.reason.others]  # one that is tried need not be the best
    chosen, times = (
        max(weighed, key=lambda choice: choice.tokens / choice.round_ms),
        known.costs.passes(2 * DEEPEST + 1),
    )
    found = [1.0 / times.ms(1)]
    path = known.acceptance("model").path(DEEPEST if outlook.longest is None else outlook.longest, outlook.certainties)
    second = known.acceptance("model").sibling if outlook.branches else 0.0
    for k in range(1, len(path) + 1):
        reach = [1.0, *itertools.accumulate(path[:k], lambda before, rate: before * rate)]
        gains = sorted((second * reach[i] * (1.0 - path[i]) for i in range(k)), reverse=True)
        draft = known.costs.draft.draft_ms("model", k, outlook.block)
        read = known.costs.draft.catch_up_ms("model", outlook.missing, outlook.block)
        read /= max(1.0, min(128, known.expected_tokens(200) / sum(reach)))
        for siblings in range(k + 1):
            if any(gain < 0.01 for gain in gains[:siblings]):
                break
            tokens = sum(reach) + sum(gains[:siblings])
            found.append(tokens / (read + draft + times.ms(k + 1 + siblings)))
    return chosen.tokens / chosen.round_ms, max(found)


@given(TABLES, OUTLOOKS, st.floats(0.05, 0.95), st.floats(0.1, 20.0), st.sampled_from([1, 2, 8]))
@settings(max_examples=300, deadline=None)
def test_the_choice_is_the_best_of_all(
    table: dict[int, float], outlook: Outlook, prior: float, draft_ms: float, runs: int
) -> None:
    chosen, best = plan_of({1: 10.0, **table}, outlook, prior, draft_ms, runs)

    if outlook.missing <= 16:
        assert chosen == pytest.approx(best)
    else:  # it reads a prompt only if that pays by a cautious estimate too
        assert chosen <= best * (1 + 1e-9)


def test_a_bound_that_forgets_faster_larger_passes_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The broken twin: it takes for granted that more rows never take less time."""
    blocks = {1: 10.0, 2: 20.0, 3: 500.0, 4: 500.0, 5: 11.0}
    outlook = Outlook(branches=False)

    right = plan_of(blocks, outlook, 0.9, 0.1)
    assert right[0] == pytest.approx(right[1])
    monkeypatch.setattr(costs_module.PassTimes, "least_ms", costs_module.PassTimes.ms)
    broken = plan_of(blocks, outlook, 0.9, 0.1)
    assert broken[0] < 0.9 * broken[1]


def test_a_bound_that_forgets_it_is_noticed_where_runs_share_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The broken twin of the bound that leaves a drafter out: with a tree of two tokens, a pass is fast again."""
    blocks = {2: 10.0, 4: 500.0, 6: 12.0}
    outlook = Outlook(longest=1, branches=True)

    right = plan_of(blocks, outlook, 0.9, 0.1, runs=2)
    assert right[0] == pytest.approx(right[1])
    monkeypatch.setattr(AutoPolicy, "_can_pay", _forgetful)
    broken = plan_of(blocks, outlook, 0.9, 0.1, runs=2)
    assert broken[0] < 0.9 * broken[1]


def _forgetful(policy: AutoPolicy, _drafter: str, _outlook: Outlook, _state: State) -> bool:
    passes = policy._passes
    return 2 * passes.ms(1) > passes.ms(2)
