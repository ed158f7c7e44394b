"""The figures of a run, against sums done by hand and against their own definitions."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speculatoviz.core.rounds import Round, Usage
from speculatoviz.telemetry.events import MetricValues
from speculatoviz.telemetry.metrics import WINDOW_ROUNDS, MetricsFold
from support.rounds import make_round, times


def fold(rounds: list[Round], baseline_tps: float | None = None, window_rounds: int = WINDOW_ROUNDS) -> MetricsFold:
    result = MetricsFold(baseline_tps, window_rounds)
    for round in rounds:
        result.add(round)
    return result


def test_before_the_first_round_nothing_is_known() -> None:
    values = fold([], baseline_tps=10.0).values()
    counts = {
        "window_rounds",
        "tokens",
        "rounds",
        "accepted",
        "drafted",
        "bonus",
        "resampled",
        "plain",
        "shared_rounds",
    }

    known = {name: value for name, value in values if value is not None and value != []}
    assert known == dict.fromkeys(counts, 0) | {"baseline_tps": 10.0, "total_variation_bound": 0.0}


def test_a_run_worked_out_by_hand() -> None:
    # 3 drafted, 3 accepted, bonus; 3 drafted, 1 accepted, resampled; a plain step; 2 drafted, 0 accepted, resampled
    rounds = [make_round(3, 3), make_round(3, 1), make_round(0, 0), make_round(2, 0)]
    values = fold(rounds, baseline_tps=100.0).values()

    assert (values.tokens, values.rounds, values.accepted, values.drafted) == (4 + 2 + 1 + 1, 4, 4, 8)
    assert (values.bonus, values.resampled, values.plain) == (1, 2, 1)
    assert values.acceptance_rate == 4 / 8
    assert values.mean_acceptance_length == 1 + 4 / 3  # over the three drafting rounds
    assert values.tokens_per_round == 8 / 4  # over all of them
    assert values.per_position_acceptance_rate == [2 / 3, 1 / 3, 1 / 3]
    assert values.conditional_acceptance_rate == [2 / 3, 1 / 2, 1 / 1]
    assert values.effective_tps == 8 / 0.040  # four rounds of 10 ms
    assert values.speedup == 2.0
    assert (values.avg_draft_latency_ms, values.avg_verify_latency_ms, values.avg_network_ms) == (2.0, 5.0, 0.0)


def test_a_position_that_was_drafted_and_never_tested_has_no_conditional_rate() -> None:
    values = fold([make_round(4, 0), make_round(4, 1)]).values()

    assert values.per_position_acceptance_rate == [0.5, 0.0, 0.0, 0.0]
    assert values.conditional_acceptance_rate == [0.5, 0.0, None, None]


def test_what_a_whole_prefix_was_tested_with_and_lost_counts_as_tested() -> None:
    """Block verification rejects no single token: those beyond the chosen length are discarded, with their tests."""
    round = make_round(3, 1)
    checks = [
        *round.verdict.checks[:1],
        *(replace(round.verdict.checks[1], node=n, status="discarded") for n in (1, 2)),
    ]
    values = fold([replace(round, verdict=replace(round.verdict, checks=tuple(checks))), make_round(3, 3)]).values()

    assert values.per_position_acceptance_rate == [1.0, 0.5, 0.5]
    assert values.conditional_acceptance_rate == [1.0, 0.5, 0.5]


def test_plain_rounds_have_no_acceptance() -> None:
    values = fold([make_round(0, 0)] * 3, baseline_tps=200.0).values()

    assert (values.acceptance_rate, values.mean_acceptance_length) == (None, None)
    assert (values.per_position_acceptance_rate, values.conditional_acceptance_rate) == ([], [])
    assert (values.tokens, values.plain, values.tokens_per_round, values.speedup) == (3, 3, 1.0, 0.5)


def test_accepted_tokens_that_were_dropped_do_not_count() -> None:
    values = fold([make_round(4, 4, kept=2)]).values()  # the run ended at the second

    assert (values.tokens, values.accepted, values.drafted, values.bonus) == (2, 2, 4, 0)
    assert values.per_position_acceptance_rate == [1.0, 1.0, 0.0, 0.0]
    assert values.conditional_acceptance_rate == [1.0, 1.0, None, None]


def test_only_the_engines_own_time_enters_a_rate() -> None:
    measured = times(draft_ms=10.0, verify_ms=20.0, network_ms=17.0)  # and 3 for the rest
    values = fold([make_round(1, 1, measured=measured)]).values()

    assert values.effective_tps == 2 / 0.050
    assert values.avg_network_ms == 17.0


def test_without_a_baseline_there_is_no_speedup() -> None:
    values = fold([make_round(1, 1)]).values()

    assert (values.baseline_tps, values.speedup, values.overall_speedup) == (None, None, None)


def test_rounds_that_took_no_time_have_no_rate() -> None:
    values = fold([make_round(1, 1, measured=times(-1.0, -2.0))], baseline_tps=5.0).values()

    assert (values.effective_tps, values.speedup, values.overall_tps) == (None, None, None)


def test_the_first_token_time_is_passed_on() -> None:
    metrics = fold([])
    metrics.ttft_ms = 12.5

    assert metrics.values().ttft_ms == 12.5


def test_the_window_forgets_and_the_counts_do_not() -> None:
    early = [make_round(2, 0, measured=times(12.0))] * 3  # 20 ms each
    late = [make_round(2, 2)] * 2
    values = fold(early + late, baseline_tps=100.0, window_rounds=2).values()

    assert (values.window_rounds, values.rounds) == (2, 5)
    assert (values.acceptance_rate, values.overall_acceptance_rate) == (1.0, 4 / 10)
    assert (values.mean_acceptance_length, values.overall_mean_acceptance_length) == (3.0, 1 + 4 / 5)
    assert (values.effective_tps, values.overall_tps) == (6 / 0.020, 9 / 0.080)
    assert (values.speedup, values.overall_speedup) == (3.0, 9 / 8)
    assert (values.tokens, values.accepted, values.drafted, values.bonus, values.resampled) == (9, 4, 10, 2, 3)


def test_the_values_of_a_finished_run_are_of_the_whole_of_it() -> None:
    values = fold([make_round(2, 0)] * 3 + [make_round(2, 2)] * 2, window_rounds=2).values(whole=True)

    assert values.window_rounds == 5
    assert values.acceptance_rate == values.overall_acceptance_rate == 4 / 10
    assert values.effective_tps == values.overall_tps


def test_the_window_is_fifty_rounds_unless_said_otherwise() -> None:
    values = fold([make_round(1, 0)] * 10 + [make_round(1, 1)] * 50).values()

    assert (values.window_rounds, values.acceptance_rate) == (50, 1.0)


shapes = st.integers(0, 6).flatmap(lambda drafted: st.tuples(st.just(drafted), st.integers(0, drafted)))
runs = st.lists(shapes, max_size=70)


@settings(deadline=None)
@given(runs, st.integers(1, 80))
def test_figures_keep_their_definitions(shapes: list[tuple[int, int]], window_rounds: int) -> None:
    metrics = fold([make_round(*shape) for shape in shapes], 50.0, window_rounds)
    values, whole = metrics.values(), metrics.values(whole=True)

    assert values.tokens == values.accepted + values.resampled + values.bonus + values.plain
    assert values.window_rounds == min(len(shapes), window_rounds)
    window = shapes[-window_rounds:]
    drafting = [shape for shape in window if shape[0]]
    accepted, drafted = sum(a for _, a in window), sum(d for d, _ in window)
    if drafting:
        assert values.acceptance_rate == accepted / drafted
        assert values.mean_acceptance_length == 1 + accepted / len(drafting)
        rates = values.per_position_acceptance_rate
        assert len(rates) == max(d for d, _ in drafting)
        assert rates == sorted(rates, reverse=True)
        # What is accepted at every position adds up to the mean acceptance length.
        assert 1 + sum(rates) == pytest.approx(values.mean_acceptance_length)
    for rate in (*values.per_position_acceptance_rate, *values.conditional_acceptance_rate):
        assert rate is None or 0 <= rate <= 1
    for name in ("acceptance_rate", "mean_acceptance_length"):
        assert getattr(values, f"overall_{name}") == getattr(whole, name)
    assert values.overall_tps == pytest.approx(whole.effective_tps)
    assert values.overall_speedup == pytest.approx(whole.speedup)
    counts = ("tokens", "rounds", "accepted", "drafted", "bonus", "resampled", "plain")
    assert [getattr(values, name) for name in counts] == [getattr(whole, name) for name in counts]
    if len(shapes) <= window_rounds:
        assert values == whole


@settings(deadline=None)
@given(runs)
def test_looking_does_not_change_what_is_seen(shapes: list[tuple[int, int]]) -> None:
    looked, metrics = list[MetricValues](), MetricsFold(50.0)
    for shape in shapes:
        metrics.add(make_round(*shape))
        looked.append(metrics.values())

    for length, values in enumerate(looked, start=1):
        assert values == fold([make_round(*shape) for shape in shapes[:length]], 50.0).values()


def test_a_cost_that_one_round_does_not_tell_is_not_told_of_the_run() -> None:
    rounds = [
        replace(r, verdict=replace(r.verdict, usage=usage))
        for r, usage in zip(
            [make_round(2, 1), make_round(2, 2)],
            [Usage(1, 10, None, None, 5, 7), Usage(2, 20, 3, None, 6, 8)],
            strict=True,
        )
    ]
    told = fold(rounds).values().usage

    assert told is not None
    assert told.model_dump() == {
        "calls": 3,
        "prompt_tokens": 30,
        "completion_tokens": None,
        "cached_tokens": None,
        "sent_bytes": 11,
        "received_bytes": 15,
    }
