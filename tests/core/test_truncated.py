"""Truncated scores against distributions that are known in full, and thinning by exhaustive enumeration."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speculatoviz.core import truncated
from speculatoviz.core.chance import EXTRA, Chance, SeededChance, Toss
from speculatoviz.core.rejection import verify_tokens
from speculatoviz.core.sampling import Distribution, distribution
from speculatoviz.core.truncated import FIRST_DRAW, Row, estimate, first_kept, thinned
from speculatoviz.core.types import Draft, Floats, Sampling, Support
from support.enumerate import Script

EXACT = 1e-12
ROUNDING = 1e-9
BROKEN = 1e-3
V = 60
TEMPERATURES = [0.0, 0.3, 0.7, 1.0, 1.5, 2.0]
TOPS = [1, 2, 5, 20]
FILTERS: dict[str, dict[str, float]] = {
    "unfiltered": {},
    "top-k 4": {"top_k": 4},
    "top-k 22": {"top_k": 22},
    "top-p .5": {"top_p": 0.5},
    "top-p .95": {"top_p": 0.95},
    "min-p .07": {"min_p": 0.07},
    "min-p .0013": {"min_p": 0.0013},
    "top-k 30, top-p .9, min-p .013": {"top_k": 30, "top_p": 0.9, "min_p": 0.013},
}
STEEP = -0.5 * np.arange(V)  # relative to the top, p is 1, .61, .37, .22, .14, .08, .05 ...
SAMPLINGS = [(t, name) for t in TEMPERATURES for name in FILTERS]

Estimate = Callable[[Row, Sampling], tuple[Distribution, float]]


def sampling_of(temperature: float, name: str) -> Sampling:
    return Sampling(temperature, **FILTERS[name])


def raw(logits: Floats) -> Floats:
    shifted = logits - logits.max()
    return shifted - np.log(np.exp(shifted).sum())


def endpoint(logits: Floats, top_n: int, *further: int, slack: float = 1e-5) -> Row:
    """What an endpoint says of its `top_n` most probable tokens (lowest id first among equals) and of others."""
    logprobs = raw(logits)
    top = np.argsort(-logprobs, kind="stable")[:top_n].tolist()
    ids = np.array([*top, *(token for token in further if token not in top)], np.int32)
    return Row(ids, logprobs[ids], top_n, len(logits), slack)


def families(rng: np.random.Generator) -> dict[str, Floats]:
    zipf = -rng.uniform(0.7, 2.5) * np.log(np.arange(1, V + 1))
    peak = rng.normal(size=V)
    peak[rng.integers(V)] = rng.uniform(10, 14)
    return {
        "peaked": peak,
        "flat": rng.normal(scale=0.3, size=V),
        "normal": rng.normal(scale=rng.uniform(1, 4), size=V),
        "zipf": rng.permutation(zipf),
        "ties": rng.integers(-3, 3, size=V).astype(np.float64),
        "even": np.zeros(V),
        "plateau": rng.permutation(np.repeat([0.0, -rng.uniform(2, 9)], [8, V - 8])),
        "impossible": np.where(rng.random(V) < 0.7, -np.inf, rng.normal(size=V)),
    }


def cases(seeds: int) -> Iterator[tuple[str, Floats, Row]]:
    """Every family, with the scores of the top alone and with those of one or two drafted tokens beside it."""
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        for (name, logits), top_n in itertools.product(families(rng).items(), TOPS):
            drafted = rng.integers(V, size=int(rng.integers(3))).tolist()
            if np.isfinite(logits).any():
                yield name, logits, endpoint(logits, top_n, *dict.fromkeys(drafted))


def variation(found: Distribution, p: Floats) -> float:
    """TV(p-hat, p), p-hat being what is drawn from the Distribution."""
    drawn = found.dense(len(p)) * found.total / found.weights.sum()
    return float(np.abs(drawn - p).sum()) / 2


def failures(estimator: Estimate, seeds: int, sampling: Sampling) -> list[str]:
    """Where an estimator claims more than is true."""
    found = []
    for name, logits, row in cases(seeds):
        p = distribution(logits, sampling).dense(V)
        p_hat, bound = estimator(row, sampling)
        wrong = variation(p_hat, p)
        here = f"{name}, N={row.top_n}, {len(row.ids)} known: bound {bound}, truth {wrong}"
        if wrong > bound + ROUNDING:
            found.append(f"{here}: not a bound")
        if bound == 0.0 and wrong > ROUNDING:
            found.append(f"{here}: not exact")
        if bound < 1.0 and ((p_hat.dense(V) > p + ROUNDING).any() or 1 - p_hat.dense(V).sum() > bound + ROUNDING):
            found.append(f"{here}: not a lower bound that lacks at most the bound")
    return found


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


def test_a_sum_that_belies_the_slack_counts_as_the_most_that_is_allowed() -> None:
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


def test_of_equals_the_endpoints_order_counts() -> None:
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
    """An even tail: the bound is the truth, so no smaller one would hold."""
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
    tail = truncated._Tail(len(probs), max(probs) * above, truncated._Span(mass * 0.99, mass * 1.01))
    found = tail.weight(count, power)
    true = sum(x**power for x in sorted(probs, reverse=True)[:count])
    assert found.low * (1 - ROUNDING) <= true <= found.high * (1 + ROUNDING) + 1e-300


def always_piled(tail: truncated._Tail, count: int, power: float) -> truncated._Span:
    """The formula for T <= 1 at any T."""
    weight = tail.mass.high * tail.each ** (power - 1) if tail.each > 0 else 0.0
    return truncated._Span(weight, weight)


def no_tail(tail: truncated._Tail, count: int, power: float) -> truncated._Span:
    return truncated._Span(0.0, 0.0)


def without_vocabulary(tail: truncated._Tail, count: int, power: float) -> truncated._Span:
    """Takes the tail's mass for one token's."""
    return truncated._Span(tail.mass.low**power, tail.mass.high**power)


@pytest.mark.parametrize("twin", [always_piled, no_tail, without_vocabulary])
def test_broken_sums_over_the_tail_are_caught(monkeypatch: pytest.MonkeyPatch, twin: object) -> None:
    monkeypatch.setattr(truncated._Tail, "weight", twin)
    assert failures(estimate, 3, Sampling(1.5))
    assert failures(estimate, 3, Sampling(1.5, top_k=30))


def test_the_formula_for_low_temperatures_says_a_fiftieth_where_the_truth_is_a_half(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    logits = np.log(np.repeat([0.98 / 20, 0.02 / 50_000], [20, 50_000]))
    row, sampling = endpoint(logits, 20), Sampling(1.5)
    p = distribution(logits, sampling).dense(len(logits))
    p_hat, bound = estimate(row, sampling)
    assert 0.5 < variation(p_hat, p) <= bound < 0.52
    monkeypatch.setattr(truncated._Tail, "weight", always_piled)
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


# Verification with what a truncated row shows, and thinning: every branch of small vocabularies.


def verified(p: Floats, q: Support, rows: Callable[[int], Distribution]) -> Floats:
    """What a round of depth 1 emits first, `rows(x)` being what is known of p when x was drafted."""
    script, emitted = Script(), np.zeros(len(p))

    def one_round() -> int:
        token = int(q.ids[script.draw(q.probs, 0)])
        draft = Draft.chain(0, [token], (q,), "test")
        decision = verify_tokens(draft, lambda node: rows(token), script)
        return token if decision.path else decision.extra.token

    for prob, token in script.outcomes(one_round):
        emitted[token] += prob
    return emitted


def random_draft(seed: int, n: int = 6) -> Support:
    probs = np.random.default_rng(seed).dirichlet(np.full(n, 0.7))
    return Support(np.arange(n, dtype=np.int32), probs)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 1.8])
@pytest.mark.parametrize("name", ["unfiltered", "top-k 4", "top-p .5", "top-p .95", "min-p .07"])
@pytest.mark.parametrize("top_n", [1, 2, 4])
def test_a_verified_round_is_as_near_to_the_target_as_the_bounds_say(temperature: float, name: str, top_n: int) -> None:
    """The scores depend on the drafted token: the mean of the bounds over it still bounds what is emitted."""
    sampling = sampling_of(temperature, name)
    for seed in range(25):
        rng = np.random.default_rng(seed)
        logits = rng.normal(scale=rng.choice([0.3, 1.0, 2.0]), size=6)
        q = random_draft(seed)
        found = [estimate(endpoint(logits, top_n, token), sampling) for token in range(6)]
        p = distribution(logits, sampling).dense(6)
        emitted = verified(p, q, lambda token, found=found: found[token][0])
        mean_bound = sum(float(q.probs[token]) * found[token][1] for token in range(6))
        assert np.abs(emitted - p).sum() / 2 <= mean_bound + ROUNDING


def test_a_chain_is_as_near_to_the_target_as_its_bounds_say() -> None:
    """Two positions: the bounds of the rows a round emits from add up."""
    rng, sampling = np.random.default_rng(5), Sampling(0.8)
    logits = rng.normal(scale=1.5, size=(6, 5))  # behind the prompt, and behind each first token
    qs = [Support(np.arange(5, dtype=np.int32), rng.dirichlet(np.ones(5))) for _ in range(6)]
    ps = [distribution(row, sampling).dense(5) for row in logits]
    script, emitted, mean_bound = Script(), np.zeros((5, 5)), 0.0

    def one_round() -> tuple[tuple[int, ...], float]:
        first = int(qs[0].ids[script.draw(qs[0].probs, 0)])
        second = int(qs[1 + first].ids[script.draw(qs[1 + first].probs, 1)])
        found = [
            estimate(endpoint(logits[0], 2, first), sampling),
            estimate(endpoint(logits[1 + first], 2, second), sampling),
        ]
        draft = Draft.chain(0, [first, second], (qs[0], qs[1 + first]), "test")
        whole = distribution(np.zeros(5), sampling)  # the third token is not looked at
        rows = [*(p_hat for p_hat, _ in found), whole]
        decision = verify_tokens(draft, lambda node: rows[node + 1], script)
        tokens = (*([first, second][: len(decision.path)]), decision.extra.token)[:2]
        return tokens, sum(bound for _, bound in found[: len(tokens)])

    for prob, (tokens, bound) in script.outcomes(one_round):
        # A round that ended after one token goes on with the target's own distribution.
        row = ps[1 + tokens[0]] if len(tokens) == 1 else np.eye(5)[tokens[1]]
        emitted[tokens[0]] += prob * row
        mean_bound += prob * bound
    truth = np.stack([ps[0][first] * ps[1 + first] for first in range(5)])
    assert BROKEN < np.abs(emitted - truth).sum() / 2 <= mean_bound


DRAWS = 3
Kept = Callable[[list[tuple[int, float]], Support, int, Chance], int | None]


def test_a_draw_is_kept_with_the_share_of_it_that_q_leaves() -> None:
    assert thinned(0.4, 0.1) == pytest.approx(0.75)
    assert (thinned(0.1, 0.4), thinned(0.2, 0.2), thinned(0.2, 0.0)) == (0.0, 0.0, 1.0)
    # Underflow: a token that was drawn although its probability rounds to zero.
    assert (thinned(0.0, 0.1), thinned(0.0, 0.0)) == (0.0, 1.0)


def thinned_rounds(p: Floats, q: Support | None, kept: Kept) -> tuple[Floats, Floats, float]:
    """Probabilities of the emitted token, after acceptance and after thinning, and that of no draw being kept."""
    script = Script()
    target = Distribution(p, 1.0)
    accepted, resampled, unfinished = np.zeros(len(p)), np.zeros(len(p)), 0.0

    def one_round() -> tuple[bool, int | None]:
        token = int(q.ids[script.draw(q.probs, 0)]) if q else 1
        decision = verify_tokens(Draft.chain(0, [token], (q,), "test"), lambda node: target, script)
        if decision.path:
            return True, token
        drawn = [script.draw(p, 0) for _ in range(DRAWS)]
        index = kept([(x, float(p[x])) for x in drawn], q, token, script)
        return False, None if index is None else drawn[index]

    for prob, (was_accepted, token) in script.outcomes(one_round):
        if token is None:
            unfinished += prob
        else:
            (accepted if was_accepted else resampled)[token] += prob
    return accepted, resampled, unfinished


THINNED: dict[str, tuple[Floats, Support | None]] = {
    "broad": (np.array([0.5, 0.3, 0.15, 0.05]), random_draft(1, 4)),
    "far": (np.array([0.05, 0.05, 0.6, 0.3]), Support(np.array([0, 1], np.int32), np.array([0.7, 0.3]))),
    "near": (np.array([0.4, 0.3, 0.2, 0.1]), Support(np.arange(4, dtype=np.int32), np.array([0.35, 0.35, 0.2, 0.1]))),
    "zeros in p": (np.array([0.0, 0.6, 0.4, 0.0]), random_draft(2, 4)),
    "point mass": (np.array([0.5, 0.3, 0.15, 0.05]), None),
}


def departure(p: Floats, q: Support | None, kept: Kept) -> float:
    """How far rejection and thinning are from p, once what is unfinished is shared out as the finished part is."""
    accepted, resampled, unfinished = thinned_rounds(p, q, kept)
    emitted = accepted + resampled * (1 + unfinished / resampled.sum())
    return float(np.abs(emitted - p).max())


@pytest.mark.parametrize(("p", "q"), THINNED.values(), ids=THINNED.keys())
def test_rejection_and_thinning_give_the_target(p: Floats, q: Support | None) -> None:
    """Every further draw is like the first, so given that one is kept, how many it took does not matter."""
    accepted, resampled, unfinished = thinned_rounds(p, q, first_kept)
    dense = Distribution(q.probs, 1.0, q.ids).dense(4) if q else np.eye(4)[1]
    distance = np.maximum(p - dense, 0).sum()
    assert accepted == pytest.approx(np.minimum(p, dense), abs=EXACT)
    assert unfinished == pytest.approx(distance * (1 - distance) ** DRAWS, abs=EXACT)
    assert resampled.sum() == pytest.approx(distance - unfinished, abs=EXACT)
    assert departure(p, q, first_kept) < EXACT


def first_drawn(draws: list[tuple[int, float]], q: Support, token: int, chance: Chance) -> int | None:
    """Takes the server's first draw as it is."""
    return 0


def upside_down(draws: list[tuple[int, float]], q: Support, token: int, chance: Chance) -> int | None:
    """Keeps with 1 - p / q."""
    tests = (chance.accept(1 - p / max(q.prob(x), 1e-300), i).accepted for i, (x, p) in enumerate(draws))
    return next((i for i, accepted in enumerate(tests) if accepted), None)


def last_if_none(draws: list[tuple[int, float]], q: Support, token: int, chance: Chance) -> int | None:
    """Gives up thinning with the last draw."""
    index = first_kept(draws, q, token, chance)
    return len(draws) - 1 if index is None else index


@pytest.mark.parametrize("twin", [first_drawn, upside_down, last_if_none])
@pytest.mark.parametrize("name", ["broad", "far"])
def test_broken_thinning_is_caught(twin: Kept, name: str) -> None:
    p, q = THINNED[name]
    assert departure(p, q, twin) > BROKEN / 2


class Noted:
    """A Chance that notes the nodes it is asked for and accepts nothing."""

    def __init__(self) -> None:
        self.nodes: list[int] = []

    def accept(self, prob: float, node: int) -> Toss:
        self.nodes.append(node)
        return Toss(False, 0.99)

    def draw(self, weights: Floats, node: int) -> int:
        self.nodes.append(node)
        return 0


def test_the_nodes_of_draws_are_their_own() -> None:
    noted, p = Noted(), Distribution(np.array([0.2, 0.8]), 1.0)
    q = Support(np.arange(2, dtype=np.int32), np.array([0.9, 0.1]))
    verify_tokens(Draft.chain(0, [0, 1], (q, q), "test"), lambda node: p, noted)
    for tested in (0, 2):
        assert first_kept([(0, 0.2), (1, 0.8)], q, 0, noted, tested) is None
    assert noted.nodes == [0, EXTRA, *range(FIRST_DRAW, FIRST_DRAW + 4)]


def test_draws_in_two_calls_are_judged_as_in_one() -> None:
    q = Support(np.arange(2, dtype=np.int32), np.array([0.9, 0.1]))
    draws = [(1, 0.11), (0, 0.95)] * 10
    for round in range(20):
        chance = SeededChance(1, "verify", round)
        at_once = first_kept(draws, q, 0, chance)
        early = first_kept(draws[:5], q, 0, chance)
        late = first_kept(draws[5:], q, 0, chance, tested=5)
        assert at_once == (early if early is not None else None if late is None else late + 5)
