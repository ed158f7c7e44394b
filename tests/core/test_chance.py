"""Every choice is a pure function of (seed, stream, round, node), and follows the probabilities it is given."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speculatoviz.core.chance import EXTRA, SeededChance, run_seed, seeded
from support.goodness import goodness_of_fit

keys = st.tuples(st.integers(0, 2**53), st.sampled_from(["draft", "verify"]), st.integers(0, 4096), st.integers(-1, 64))


def uniform(seed: int, stream: str, round: int, node: int) -> float | None:
    return SeededChance(seed, stream, round).accept(0.5, node).uniform  # type: ignore[arg-type]


@given(keys)
def test_the_same_key_gives_the_same_choice(key: tuple[int, str, int, int]) -> None:
    assert uniform(*key) == uniform(*key)


@given(keys, keys)
def test_other_keys_give_other_choices(key: tuple[int, str, int, int], other: tuple[int, str, int, int]) -> None:
    assert (uniform(*key) == uniform(*other)) == (key == other)


def test_a_certain_outcome_uses_no_chance() -> None:
    chance = seeded(0)("verify", 0)
    assert chance.accept(1.0, 0) == (True, None)
    assert chance.accept(1.7, 0) == (True, None)
    assert chance.accept(0.0, 0) == (False, None)


def test_acceptance_follows_its_probability() -> None:
    accepted = Counter(seeded(seed)("verify", 0).accept(0.3, 0).accepted for seed in range(10_000))
    assert goodness_of_fit(accepted, {True: 0.3, False: 0.7}) > 1e-4


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [3, 511, 512, 513, 1500])
def test_draws_follow_their_weights(size: int, dtype: type[np.floating]) -> None:
    weights = np.zeros(size, dtype)
    places = np.linspace(0, size - 1, 3).astype(int)
    weights[places] = [1.0, 2.0, 5.0]
    drawn = Counter(seeded(seed)("draft", 3).draw(weights, EXTRA) for seed in range(8_000))
    assert goodness_of_fit(drawn, {int(place): weights[place] / 8.0 for place in places}) > 1e-4


@given(st.lists(st.floats(0, 1e6, width=32), min_size=1, max_size=700).filter(any), st.integers(0, 99))
def test_what_has_no_weight_is_never_drawn(weights: list[float], seed: int) -> None:
    index = seeded(seed)("draft", 0).draw(np.array(weights, np.float32), 0)
    assert weights[index] > 0


ANY_SEED = st.integers(-(2**200), 2**200)
TURNS = st.integers(0, 10_000)


@given(ANY_SEED, TURNS, ANY_SEED, TURNS)
def test_every_integer_and_turn_has_a_seed_of_its_own(seed: int, turn: int, other: int, later: int) -> None:
    assert 0 <= run_seed(seed, turn) < 2**63
    assert (run_seed(seed, turn) == run_seed(other, later)) == ((seed, turn) == (other, later))


@given(st.integers(0, 2**63 - 1))
def test_the_first_answer_uses_the_seed_itself(seed: int) -> None:
    assert run_seed(seed) == seed


def test_large_and_negative_seeds_do_not_collapse() -> None:
    """NumPy rounds integers from 2^63 on when it makes a key of them."""
    seeds = [2**63 - 1, 2**63, 2**63 + 1, 2**63 + 5, 2**64, 2**64 + 1, -1, -2, -(2**63), 10**40]
    drawn = [uniform(seed, "verify", 0, 0) for seed in seeds]
    assert len(set(drawn)) == len(seeds)
    assert drawn == [uniform(seed, "verify", 0, 0) for seed in seeds]
