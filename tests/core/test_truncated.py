"""Truncated scores against distributions that are known in full."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speculatoviz.core import truncated
from speculatoviz.core.sampling import Distribution, distribution
from speculatoviz.core.truncated import Row, estimate
from speculatoviz.core.types import Sampling
from support.truncated_rows import EXACT, FILTERS, ROUNDING, V, cases, endpoint, failures, raw, sampling_of, variation

TEMPERATURES = [0.0, 0.3, 0.7, 1.0, 1.5, 2.0]
STEEP = -0.5 * np.arange(V)  # relative to the top, p is 1, .61, .37, .22, .14, .08, .05 ...
SAMPLINGS = [(t, name) for t in TEMPERATURES for name in FILTERS]


@pytest.mark.parametrize(("temperature", "name"), SAMPLINGS)
def test_the_bound_is_above_the_truth(temperature: float, name: str) -> None:
    assert failures(estimate, 20, sampling_of(temperature, name)) == []


unit_logits = st.lists(st.integers(-1200, 1200).map(lambda n: n / 100), min_size=2, max_size=25)


@given(
    unit_logits,
    st.integers(1, 24),
    st.sets(st.integers(0, 24), max_size=3),
    st.builds(
        Sampling,
        temperature=st.sampled_from([0.0, 0.2, 0.5, 0.9, 1.0, 1.1, 3.0, 10.0]),
        top_k=st.integers(0, 25),
        top_p=st.sampled_from([1.0, 0.99, 0.7, 0.31, 0.1]),
        min_p=st.sampled_from([0.0, 0.0517, 0.41]),
    ),
)
def test_the_bound_is_above_the_truth_for_any_row(
    logits: list[float], top_n: int, drafted: set[int], sampling: Sampling
) -> None:
    known = [token for token in sorted(drafted) if token < len(logits)]
    row = endpoint(np.array(logits), min(top_n, len(logits)), *known)
    p = distribution(np.array(logits), sampling).dense(len(logits))
    p_hat, bound = estimate(row, sampling)
    assert 0.0 <= bound <= 1.0
    assert variation(p_hat, p) <= bound + ROUNDING


@pytest.mark.parametrize("temperature", [0.001, 0.01, 1.0, 100.0, 1e4])
@pytest.mark.parametrize(
    "logits",
    [
        [0.0] + [-700.0] * 30,
        [0.0] + [-800.0] * 30,  # underflows
        [0.0, -1e-9] + [-745.0] * 29,
        [0.0] * 3 + [-np.inf] * 28,
        [0.0] * 31,
    ],
)
def test_the_bound_is_above_the_truth_at_the_ends_of_the_numbers(logits: list[float], temperature: float) -> None:
    for top_n, name in itertools.product([1, 2, 5], FILTERS):
        sampling = sampling_of(temperature, name)
        p = distribution(np.array(logits), sampling).dense(31)
        p_hat, bound = estimate(endpoint(np.array(logits), top_n, 30), sampling)
        assert 0.0 <= bound <= 1.0
        assert variation(p_hat, p) <= bound + ROUNDING


@pytest.mark.parametrize("temperature", [0.3, 0.7, 1.0, 1.5])
@pytest.mark.parametrize("error", [-2e-4, 2e-4])
def test_an_endpoint_whose_probabilities_do_not_sum_to_one(temperature: float, error: float) -> None:
    for name, logits, row in cases(10):
        scaled = Row(row.ids, row.logprobs + np.log1p(error), row.top_n, V, slack=3e-4)
        p = distribution(logits, Sampling(temperature)).dense(V)
        p_hat, bound = estimate(scaled, Sampling(temperature))
        assert variation(p_hat, p) <= bound + ROUNDING, name


@pytest.mark.parametrize(("error", "edge"), [(-2e-4, -1e-4), (2e-4, 1e-4)])
def test_a_nucleus_within_the_error_of_the_sum_is_uncertain(error: float, edge: float) -> None:
    row = endpoint(STEEP, 6)
    scaled = Row(row.ids, row.logprobs + np.log1p(error), 6, V, slack=3e-4)
    sampling = Sampling(1.0, top_p=float(np.exp(row.logprobs[:3]).sum()) * (1 + edge))
    p_hat, bound = estimate(scaled, sampling)
    assert variation(p_hat, distribution(STEEP, sampling).dense(V)) <= bound + ROUNDING
    assert 0.0 < bound < 0.15


def test_a_sum_beyond_the_slack_widens_the_bound() -> None:
    logits = np.array([5.0, 1.0, 0.5, 0.0])
    row = endpoint(logits, 3)
    over = Row(row.ids, row.logprobs + np.log1p(8e-3), 3, 4)
    assert np.exp(over.logprobs).sum() > 1.001
    p_hat, bound = estimate(over, Sampling(1.0))
    assert variation(p_hat, distribution(logits, Sampling(1.0)).dense(4)) <= bound < 0.02


@pytest.mark.parametrize("temperature", [0.0, 0.7, 1.0, 2.0])
def test_a_whole_row_is_renormalised_and_exact(temperature: float) -> None:
    logits = np.random.default_rng(3).normal(size=V)
    order = np.random.default_rng(4).permutation(V).astype(np.int32)
    row = Row(order, raw(logits)[order] + np.log1p(2e-4), 0, V)
    sampling = Sampling(temperature, top_k=20, top_p=0.9, min_p=0.02)
    p_hat, bound = estimate(row, sampling)
    assert bound == 0.0
    assert p_hat.dense(V) == pytest.approx(distribution(logits, sampling).dense(V), abs=EXACT)
    assert p_hat.dense(V).sum() == pytest.approx(1.0, abs=EXACT)


EXACT_CASES: dict[str, tuple[Sampling, int, bool]] = {
    "T=0": (Sampling(0.0), 2, True),
    "T=0, N=1, no lower id": (Sampling(0.0), 1, True),
    "top-k = N": (Sampling(1.7, top_k=5), 5, True),
    "top-k < N, all filters": (Sampling(0.4, top_k=5, top_p=0.7, min_p=0.1), 7, True),
    "top-k > N": (Sampling(1.7, top_k=6), 5, False),
    "T=1, nucleus inside": (Sampling(1.0, top_p=0.9), 6, True),
    "T=1, nucleus not inside": (Sampling(1.0, top_p=0.99), 6, False),
    "T=0.7, nucleus inside": (Sampling(0.7, top_p=0.9), 8, True),
    "T=1.2, nucleus inside": (Sampling(1.2, top_p=0.6), 15, True),
    "T=1, min-p above the N-th": (Sampling(1.0, min_p=0.1), 6, True),
    "T=2, min-p above the N-th": (Sampling(2.0, min_p=0.1), 12, True),
    "T=1, min-p below the N-th": (Sampling(1.0, min_p=0.01), 6, False),
    "unfiltered": (Sampling(1.0), 20, False),
}


@pytest.mark.parametrize(("sampling", "top_n", "exact"), EXACT_CASES.values(), ids=EXACT_CASES.keys())
def test_what_is_exact_and_what_is_not(sampling: Sampling, top_n: int, exact: bool) -> None:
    p_hat, bound = estimate(endpoint(STEEP, top_n), sampling)
    assert (bound == 0.0) is exact
    if exact:
        assert p_hat.dense(V) == pytest.approx(distribution(STEEP, sampling).dense(V), abs=EXACT)


def test_min_p_is_exact_where_the_rest_has_not_the_mass_for_one_more_token() -> None:
    row = endpoint(2 * STEEP, 6)  # the last of the top is at .0067, all others together at .0039
    assert estimate(row, Sampling(1.0, min_p=0.005))[1] == 0.0
    assert estimate(row, Sampling(1.0, min_p=0.003))[1] > 0.0


@pytest.mark.parametrize(
    ("logits", "top_n", "bound"),
    [
        ([1.0, 1.0, 0.0, 0.0, 0.0], 3, 0.0),
        ([0.0, 0.0, 1.0, 1.0, 1.0], 2, 1.0),  # 4 could be listed before 2: an id below could equal the top
        ([1.0, 1.0, 1.0, 1.0, 0.0], 2, 0.0),  # no id is below 0
        ([0.0, 0.0, 1.0, 0.0, 0.0], 1, 1.0),  # 0.4 of the mass: another 0.4 could be elsewhere
        ([0.0, 0.0, 2.0, 0.0, 0.0], 1, 0.0),
        ([0.0, 0.0, 1.0, 0.9, 0.0], 2, 0.0),  # a third of the mass; the second is below it already
    ],
)
def test_only_an_equal_of_a_lower_id_can_hide_the_argmax(logits: list[float], top_n: int, bound: float) -> None:
    row = endpoint(np.array(logits), top_n)
    p_hat, found = estimate(row, Sampling(0.0))
    assert found == bound
    assert p_hat.ids is not None
    assert p_hat.ids.tolist() == [int(np.argmax(logits))]


def test_the_endpoints_order_ranks_equal_scores() -> None:
    row = Row(np.array([2, 0], np.int32), np.log(np.array([0.25, 0.25])), 2, 4)
    p_hat, bound = estimate(row, Sampling(1.0, top_k=1))
    assert (p_hat.dense(4).tolist(), bound) == ([0, 0, 1, 0], 0.0)
    p_hat, bound = estimate(row, Sampling(1.0, top_p=0.2))
    assert (p_hat.dense(4).tolist(), bound) == ([0, 0, 1, 0], 0.0)
    p_hat, bound = estimate(row, Sampling(0.0))
    assert (p_hat.dense(4).tolist(), bound) == ([1, 0, 0, 0], 0.0)


@pytest.mark.parametrize("min_p", [0.5, 0.25, 0.125])
def test_weights_at_the_floor_may_go_either_way(min_p: float) -> None:
    logits = np.log(np.array([8, 4, 4, 2, 2, 1, 1, 1, 1]) / 24)
    for shift, top_n in itertools.product([0.0, 0.1, 7.3, -31.7], [3, 5, 6]):
        p = distribution(logits + shift, Sampling(1.0, min_p=min_p)).dense(9)
        p_hat, bound = estimate(endpoint(logits, top_n), Sampling(1.0, min_p=min_p))
        assert variation(p_hat, p) <= bound + ROUNDING


@pytest.mark.parametrize("temperature", [0.3, 0.7, 1.0])
@pytest.mark.parametrize("name", ["unfiltered", "top-k 22", "top-p .95", "min-p .0013"])
def test_the_bound_of_a_peaked_row_is_small(temperature: float, name: str) -> None:
    for family, _, row in cases(30):
        if family == "peaked" and row.top_n >= 5:
            assert estimate(row, sampling_of(temperature, name))[1] < 0.05


@pytest.mark.parametrize("temperature", [1.0, 1.5, 2.0])
def test_the_bound_is_met_where_the_tail_is_what_it_assumes(temperature: float) -> None:
    """A uniform tail: the bound equals the distance, so no smaller bound holds."""
    logits = np.repeat([0.0, -3.0], [5, V - 5])
    p_hat, bound = estimate(endpoint(logits, 5), Sampling(temperature))
    truth = variation(p_hat, distribution(logits, Sampling(temperature)).dense(V))
    assert truth > 0.3
    assert bound == pytest.approx(truth, abs=1e-4)


def test_a_nucleus_beyond_the_top_is_no_heavier_than_its_share() -> None:
    sampling = Sampling(1.0, top_p=0.5)
    p_hat, bound = estimate(endpoint(np.zeros(V), 20), sampling)
    assert variation(p_hat, distribution(np.zeros(V), sampling).dense(V)) == pytest.approx(1 - 20 / 30)
    assert bound == pytest.approx(1 - 20 / 31, abs=1e-4)
    assert estimate(endpoint(np.zeros(V), 20), Sampling(1.0, top_k=22, top_p=0.99))[1] == pytest.approx(1 - 20 / 22)


def test_the_score_of_a_drafted_token_is_used() -> None:
    logits = np.random.default_rng(1).normal(size=V)
    drafted = int(np.argsort(-logits)[7])
    without, loose = estimate(endpoint(logits, 5), Sampling(1.0))
    p_hat, bound = estimate(endpoint(logits, 5, drafted), Sampling(1.0))
    p = distribution(logits, Sampling(1.0))
    assert without.prob(drafted) == 0.0
    assert p_hat.prob(drafted) == pytest.approx(p.prob(drafted), rel=1e-4)
    assert bound == pytest.approx(loose - p.prob(drafted), abs=1e-4)


@given(
    st.lists(st.floats(0.0, 1.0), min_size=1, max_size=20),
    st.floats(1.0, 3.0),
    st.integers(1, 25),
    st.sampled_from([0.1, 0.5, 0.9, 1.0, 1.4, 3.0, 20.0]),
)
def test_the_weight_of_a_tail_lies_between_its_extremes(
    probs: list[float], above: float, count: int, power: float
) -> None:
    mass = sum(probs)
    tail = truncated._Tail(len(probs), max(probs) * above, truncated._Interval(mass * 0.99, mass * 1.01))
    found = tail.weight(count, power)
    true = sum(x**power for x in sorted(probs, reverse=True)[:count])
    assert found.low * (1 - ROUNDING) <= true <= found.high * (1 + ROUNDING) + 1e-300


def always_concentrated(tail: truncated._Tail, count: int, power: float) -> truncated._Interval:
    """The formula for T <= 1 at any T."""
    weight = tail.mass.high * tail.largest ** (power - 1) if tail.largest > 0 else 0.0
    return truncated._Interval(weight, weight)


def no_tail(tail: truncated._Tail, count: int, power: float) -> truncated._Interval:
    return truncated._Interval(0.0, 0.0)


def without_vocabulary(tail: truncated._Tail, count: int, power: float) -> truncated._Interval:
    """Treats the tail as one token."""
    return truncated._Interval(tail.mass.low**power, tail.mass.high**power)


@pytest.mark.parametrize("twin", [always_concentrated, no_tail, without_vocabulary])
def test_broken_sums_over_the_tail_are_caught(monkeypatch: pytest.MonkeyPatch, twin: object) -> None:
    monkeypatch.setattr(truncated._Tail, "weight", twin)
    assert failures(estimate, 3, Sampling(1.5))
    assert failures(estimate, 3, Sampling(1.5, top_k=30))


def test_the_formula_for_low_temperatures_is_far_too_small_above_temperature_1(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    logits = np.log(np.repeat([0.98 / 20, 0.02 / 50_000], [20, 50_000]))
    row, sampling = endpoint(logits, 20), Sampling(1.5)
    p = distribution(logits, sampling).dense(len(logits))
    p_hat, bound = estimate(row, sampling)
    assert 0.5 < variation(p_hat, p) <= bound < 0.52
    monkeypatch.setattr(truncated._Tail, "weight", always_concentrated)
    assert estimate(row, sampling)[1] < 0.03


def test_taking_a_drafted_token_for_one_of_the_top_is_caught() -> None:
    def careless(row: Row, sampling: Sampling) -> tuple[Distribution, float]:
        order = np.argsort(-row.logprobs, kind="stable")
        return estimate(Row(row.ids[order], row.logprobs[order], len(order), V), sampling)

    assert failures(careless, 3, Sampling(0.3))
    assert failures(careless, 3, Sampling(1.0, top_k=4))


def test_a_nucleus_of_the_known_tokens_alone_is_caught() -> None:
    def careless(row: Row, sampling: Sampling) -> tuple[Distribution, float]:
        by_id = np.argsort(row.ids)
        kept = distribution(row.logprobs[by_id], sampling)
        places = slice(None) if kept.ids is None else kept.ids
        return Distribution(kept.weights, kept.total, row.ids[by_id][places]), 0.0

    assert failures(careless, 3, Sampling(0.7, top_p=0.9))


@pytest.mark.parametrize(
    ("ids", "logprobs", "top_n"),
    [
        ([], [], 0),
        ([0, 1], [-1.0], 1),
        ([0, 0], [-1.0, -1.0], 2),
        ([0, 9], [-1.0, -1.0], 2),
        ([0, 1], [-1.0, -0.5], 2),  # not most probable first
        ([0, 1], [-1.0, -0.5], 1),  # a further id above the top
        ([0, 1], [-1.0, -2.0], 0),
        ([0, 1], [-1.0, -2.0], 3),
        ([0, 1], [3.0, 1.0], 2),  # logits
        ([0, 1], [-0.1, -0.2], 2),
        ([0, 1], [-4.0, -5.0], 2),  # four tokens cannot all be below a quarter
        ([0, 1], [float("nan"), -1.0], 2),
        ([0, 1], [-np.inf, -np.inf], 2),
        ([0, 1, 2, 3], [-3.0, -3.0, -3.0, -3.0], 4),
    ],
)
def test_rows_that_cannot_be_are_refused(ids: list[int], logprobs: list[float], top_n: int) -> None:
    with pytest.raises(ValueError, match="expected"):
        Row(np.array(ids, np.int32), np.array(logprobs, np.float64), top_n, 4)
