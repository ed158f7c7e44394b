"""The acceptance by position equals what is counted by hand, and what the run's own metrics report."""

from __future__ import annotations

from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speculatoviz.core.types import Sampling
from speculatoviz.lab.acceptance import (
    CountedRound,
    acceptance,
    length_interval,
    recorded_runs,
    usual_depth,
)
from speculatoviz.telemetry.events import Done, DraftToken
from support.explained import Proposing, exactly
from support.explained import events as decoded
from support.recorded import events
from support.toy_pair import pair

# Three tokens a draft; accepted: 3, 1, 0, 2, and a round without draft.
ROUNDS = [(3, 3), (3, 1), (3, 0), (3, 2), (0, 0)]

rounds_by_hand = st.lists(
    st.integers(0, 5).flatmap(lambda drafted: st.tuples(st.just(drafted), st.integers(0, drafted))), max_size=40
)


def counted(rounds: list[tuple[int, int]]) -> list[CountedRound]:
    return [CountedRound("model", drafted, accepted) for drafted, accepted in rounds]


def test_rates_of_five_rounds_by_hand() -> None:
    found = acceptance(counted(ROUNDS))

    assert (found.rounds, found.drafts, found.drafted, found.accepted) == (5, 4, 12, 6)
    assert found.accepted_at == (3, 2, 1)
    assert found.reached_at == (4, 3, 2)
    assert found.unconditional == [3 / 4, 2 / 4, 1 / 4]
    assert found.conditional == [3 / 4, 2 / 3, 1 / 2]
    assert found.acceptance_rate == 6 / 12
    assert found.mean_acceptance_length == 1 + 6 / 4
    assert found.tokens_per_round == 1 + 6 / 5


def test_a_position_that_a_draft_lacks_is_reached_by_no_one() -> None:
    """Drafts of 1 and of 3 tokens: the short one says nothing about the second position if it was accepted."""
    found = acceptance(counted([(1, 1), (3, 1), (3, 3)]))

    assert found.drafted_at == (3, 2, 2)
    assert found.reached_at == (3, 2, 1)
    assert found.conditional == [1.0, 0.5, 1.0]
    assert found.unconditional == [1.0, 1 / 3, 1 / 3]


@settings(deadline=None, max_examples=40)
@given(rounds_by_hand)
def test_the_two_definitions_belong_together(rounds: list[tuple[int, int]]) -> None:
    found = acceptance(counted(rounds))

    assert sum(found.accepted_at) == sum(accepted for _, accepted in rounds)
    assert list(found.unconditional) == sorted(found.unconditional, reverse=True)
    if len({drafted for drafted, _ in rounds if drafted}) == 1:  # then the conditional rates multiply to the others
        known = [rate or 0.0 for rate in found.conditional]
        assert list(accumulate(known, lambda a, b: a * b)) == pytest.approx(found.unconditional)


@settings(deadline=None, max_examples=40)
@given(rounds_by_hand, rounds_by_hand, st.integers(1, 5))
def test_counts_add_up_and_can_be_cut_to_a_depth(
    some: list[tuple[int, int]], others: list[tuple[int, int]], depth: int
) -> None:
    a, b = acceptance(counted(some)), acceptance(counted(others))
    shorter = [(min(drafted, depth), min(accepted, depth)) for drafted, accepted in some]

    assert a + b == acceptance(counted([*some, *others]))
    assert a.first(depth) == acceptance(counted(shorter))


def test_rounds_at_the_end_of_a_text_do_not_count() -> None:
    """With 12 tokens the fifth round has room for two drafted tokens only, and the sixth for none."""
    (limited,) = recorded_runs(events([(3, 3), (3, 1), (3, 0), (3, 1), (2, 1), (0, 0)], max_tokens=12))
    (ended,) = recorded_runs(events([(3, 3), (3, 2)], cut=1))

    assert [round.accepted for round in limited.rounds] == [3, 1, 0, 1]
    assert limited.left_out == 2
    assert [round.accepted for round in ended.rounds] == [3]


def test_drawn_tokens_belong_to_the_drafter_of_their_round_whatever_their_source() -> None:
    from_prediction = [
        e.model_copy(update={"source": "prediction"}) if isinstance(e, DraftToken) else e
        for e in events(ROUNDS, drawn=True)
    ]
    (run,) = recorded_runs(from_prediction)

    assert run.drawn == frozenset({"model"})


def test_a_trace_names_what_was_drawn_and_what_branched() -> None:
    (chosen,) = recorded_runs(events(ROUNDS))
    (drawn,) = recorded_runs(events(ROUNDS, drawn=True))
    (tree,) = recorded_runs(events([(3, 1), (3, 0)], tree=True))

    assert (chosen.drawn, drawn.drawn) == (frozenset(), frozenset({"model"}))
    assert (chosen.branched, tree.branched) == (False, True)


def test_a_run_of_the_engine_has_the_rates_of_its_own_metrics() -> None:
    """But for the rounds at the end, which the metrics count."""
    told = decoded(Proposing(exactly(pair()[0], Sampling(1.0, top_k=2))), Sampling(1.0), depth=3, tokens=600)
    started = told[0].model_copy(update={"max_tokens": 600})
    (run,) = recorded_runs([started, *told[1:]])
    (done,) = (event for event in told if isinstance(event, Done))
    found = acceptance(run.rounds)

    assert 0 < run.left_out <= 3
    assert found.rounds + run.left_out == done.total_rounds
    assert found.unconditional == pytest.approx(done.metrics.per_position_acceptance_rate, abs=0.02)
    assert found.conditional == pytest.approx(done.metrics.conditional_acceptance_rate, abs=0.02)


def test_the_interval_contains_the_mean_and_narrows_with_more_runs() -> None:
    few = [counted(ROUNDS * 2)]
    many = [counted(ROUNDS) for _ in range(3)] + [counted([(3, 3)] * 5) for _ in range(6)]
    alike = [counted(ROUNDS) for _ in range(9)]
    low, high = length_interval(few) or (0.0, 0.0)
    equal = length_interval(alike)

    assert low < 1 + 6 / 4 < high
    assert equal == pytest.approx((2.5, 2.5))  # runs that are alike leave no doubt about their mean
    low, high = length_interval(many) or (0.0, 0.0)
    assert low < (6 * 3 + 15 * 6) / (4 * 3 + 5 * 6) + 1 < high
    assert length_interval([counted(ROUNDS)]) is None
    assert length_interval([counted([(0, 0)] * 5)]) is None


def test_the_usual_depth_is_the_most_frequent_one() -> None:
    assert usual_depth(counted([(3, 1), (3, 1), (5, 1), (0, 0), (0, 0), (0, 0)])) == 3
    assert usual_depth(counted([(2, 1), (4, 1)])) == 4
    assert usual_depth(counted([(0, 0)])) == 0
