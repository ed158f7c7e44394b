"""The filters against their definitions, written out plainly: the proofs rely on them on both sides."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speculatoviz.core.sampling import covered_mass, distribution, scores, support, top_ids
from speculatoviz.core.types import GREEDY_BELOW, Sampling, Support
from speculatoviz.errors import NotFiniteError

# Hundredths: weights of closer logits can round to the same number, and ties go to the lowest id.
logits_lists = st.lists(st.integers(-800, 800).map(lambda n: n / 100), min_size=2, max_size=30, unique=True)


def by_definition(logits: list[float], sampling: Sampling) -> list[float]:
    """Temperature, top-k, top-p, min-p, one after the other, over plain lists."""
    order = sorted(range(len(logits)), key=lambda i: (-logits[i], i))
    if sampling.greedy:
        return [float(i == order[0]) for i in range(len(logits))]
    kept = order[: sampling.top_k] if sampling.top_k else order
    weight = {i: math.exp((logits[i] - logits[order[0]]) / sampling.temperature) for i in kept}
    total = sum(weight.values())
    if sampling.top_p < 1.0:
        nucleus, mass = [], 0.0
        for i in kept:
            nucleus.append(i)
            mass += weight[i]
            if mass >= sampling.top_p * total * (1 - 1e-12):
                break
        kept = nucleus
    kept = [i for i in kept if weight[i] >= sampling.min_p * weight[kept[0]]]
    total = sum(weight[i] for i in kept)
    return [weight[i] / total if i in kept else 0.0 for i in range(len(logits))]


@given(
    logits_lists,
    st.builds(
        Sampling,
        temperature=st.sampled_from([0.0, 0.3, 0.7, 1.0, 1.5]),
        top_k=st.integers(0, 12),
        top_p=st.sampled_from([1.0, 0.95, 0.5, 0.1]),
        min_p=st.sampled_from([0.0, 0.05, 0.4]),
    ),
)
def test_filters_do_what_their_definitions_say(logits: list[float], sampling: Sampling) -> None:
    found = distribution(np.array(logits), sampling).dense(len(logits))
    assert found == pytest.approx(by_definition(logits, sampling), abs=1e-9)


def test_greedy_takes_the_lowest_id_on_ties() -> None:
    assert distribution(np.array([1.0, 3.0, 3.0]), Sampling(0.0)).dense(3).tolist() == [0, 1, 0]


def test_of_equals_at_the_edge_the_lowest_ids_stay() -> None:
    assert top_ids(np.array([2.0, 1.0, 1.0, 1.0]), 3).tolist() == [0, 1, 2]


def largest_by_definition(logits: np.ndarray, count: int) -> list[int]:
    return sorted(sorted(range(len(logits)), key=lambda i: (-logits[i], i))[:count])


SHAPES: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "normal": lambda rng: rng.standard_normal(5000),
    "with equals": lambda rng: rng.integers(0, 40, 5000).astype(float),
    "all equal": lambda _: np.zeros(5000),
    "ascending": lambda _: np.arange(5000.0),
    "the last ones, in no whole group": lambda rng: np.where(np.arange(5003) >= 5000, 9.0, rng.standard_normal(5003)),
    "a trimmed vocabulary": lambda rng: np.where(np.arange(5000) < 1000, rng.standard_normal(5000), -np.inf),
    "all in one group": lambda rng: np.where(np.arange(5000) % 78 == 3, rng.standard_normal(5000), -np.inf),
    "few finite ones": lambda rng: np.where(np.arange(5000) < 5, rng.standard_normal(5000), -np.inf),
}


@pytest.mark.parametrize("count", [1, 7, 30, 200, 4999])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_the_largest_of_many_are_those_of_the_definition(
    shape: Callable[[np.random.Generator], np.ndarray], count: int
) -> None:
    """However they are grouped on the way."""
    for seed in range(5):
        logits = shape(np.random.default_rng(seed)).astype(np.float32)
        assert top_ids(logits, count).tolist() == largest_by_definition(logits, count)


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("sampling", [Sampling(1.0, top_k=3), Sampling(1.0, top_p=0.5), Sampling(1.0)])
def test_one_number_of_many_that_is_none_is_refused(sampling: Sampling) -> None:
    for value in (math.nan, math.inf):
        for place in (0, 2500, 4999):
            logits = np.random.default_rng(0).standard_normal(5000).astype(np.float32)
            logits[place] = value
            with pytest.raises(NotFiniteError):
                distribution(logits, sampling)
            with pytest.raises(NotFiniteError):
                support(logits, sampling, 7)


def test_a_nucleus_larger_than_the_first_try_is_found() -> None:
    p = distribution(np.zeros(5000), Sampling(1.0, top_p=0.5)).dense(5000)
    assert np.count_nonzero(p) == 2500


@given(logits_lists, st.integers(1, 30))
def test_a_support_is_the_renormalised_top(logits: list[float], size: int) -> None:
    q = support(np.array(logits), Sampling(0.8), size)
    expected = by_definition(logits, Sampling(0.8, top_k=size))
    assert q.probs.sum() == pytest.approx(1.0)
    assert [q.prob(i) for i in range(len(logits))] == pytest.approx(expected, abs=1e-9)
    whole = by_definition(logits, Sampling(0.8))
    mass = covered_mass(np.array(logits), q, Sampling(0.8))
    assert mass == pytest.approx(sum(whole[int(i)] for i in q.ids))


def test_the_residual_is_the_positive_part_renormalised() -> None:
    p = distribution(np.log(np.array([0.5, 0.3, 0.2])), Sampling(1.0))
    q = Support(np.array([0, 2], np.int32), np.array([0.8, 0.2]))
    assert p.minus(q).dense(3).tolist() == pytest.approx([0.0, 1.0, 0.0])


def test_a_residual_without_mass_leaves_p_as_it_is() -> None:
    p = distribution(np.log(np.array([0.5, 0.5])), Sampling(1.0))
    q = Support(np.array([0, 1], np.int32), np.array([0.6, 0.6]))
    assert p.minus(q).dense(2).tolist() == pytest.approx([0.5, 0.5])


def test_scores_are_raw_log_probabilities_and_the_entropy_in_nats() -> None:
    probs = np.array([0.5, 0.25, 0.25])
    shown = scores(np.log(probs) + 3.0, 1, 2)
    assert shown.logprob == pytest.approx(math.log(0.25))
    assert shown.entropy == pytest.approx(-sum(p * math.log(p) for p in probs))
    assert [i for i, _ in shown.top] == [0, 1]


@pytest.mark.parametrize("temperature", [0.0, 5e-324, 1e-39, 1e-10, 0.99 * GREEDY_BELOW])
def test_a_tiny_temperature_is_greedy(temperature: float) -> None:
    """1 / 1e-39 overflows float32, and 0 times infinity is not a number."""
    logits = np.array([0.5, 2.0, 2.0, -1.0], np.float32)
    assert Sampling(temperature) == Sampling(0.0)
    assert distribution(logits, Sampling(temperature)).dense(4).tolist() == [0, 1, 0, 0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("temperature", [GREEDY_BELOW, 1e-3, 1.0, 100.0, 1e38])
def test_every_other_temperature_gives_a_distribution(temperature: float, dtype: type[np.floating]) -> None:
    logits = np.array([40.0, -60.0, 39.0, -np.inf], dtype)
    probs = distribution(logits, Sampling(temperature)).dense(4)
    assert np.isfinite(probs).all()
    assert probs.sum() == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("temperature", [-1.0, -1e-40, math.inf, math.nan])
def test_a_temperature_that_is_no_number_is_refused(temperature: float) -> None:
    with pytest.raises(ValueError, match="finite temperature"):
        Sampling(temperature)


NOT_FINITE = {
    "one NaN": [0.0, math.nan, 1.0],
    "all NaN": [math.nan] * 3,
    "plus infinity": [0.0, math.inf, 1.0],
    "minus infinity everywhere": [-math.inf] * 3,
}


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("sampling", [Sampling(0.0), Sampling(1.0), Sampling(0.7, top_k=2), Sampling(1.0, top_p=0.5)])
@pytest.mark.parametrize("logits", NOT_FINITE.values(), ids=NOT_FINITE.keys())
def test_logits_that_give_no_distribution_are_refused(logits: list[float], sampling: Sampling) -> None:
    row = np.array(logits, np.float32)
    with pytest.raises(NotFiniteError):
        distribution(row, sampling)
    with pytest.raises(NotFiniteError):
        support(row, sampling, 2)
